"""The page of a run: one file that needs no network and runs nothing but its own script, whatever it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, fields
from typing import Any

from .blocks import block, json_block, packed
from .budget import Budget
from .document import document
from .folders import Folder
from .overview import overview
from .pictures import Pictures
from .tokens import Decode, Speller
from .trajectories import Entry, Trained, entry, whole
from .transcripts import RecordFile, read_records

# In this order, as one script: each file uses what stands in those before it.
SCRIPTS = (
    "elements.js",
    "data.js",
    "state.js",
    "filters.js",
    "table.js",
    "tokens.js",
    "segments.js",
    "trajectory.js",
    "curves.js",
    "overview.js",
    "keys.js",
    "main.js",
)
PICTURE_BYTES = 12_000_000
TEXT_BYTES = 16_000_000
ENTRIES = 20_000


def render_page(
    folders: Sequence[tuple[Folder, Decode | None]],
    picture_bytes: int = PICTURE_BYTES,
    text_bytes: int = TEXT_BYTES,
    home: str = "",
) -> str:
    """The page as HTML: what it holds depends on the folders' files alone.

    Args:
        folders: What to show, each with what its token ids say (None: no tokenizer).
        picture_bytes: What all pictures may take. Every file has an equal share; each picture is there once.
        text_bytes: What all trajectories may take, packed. Those without room are in the table, and nothing more.
        home: The address of the list of all runs, where the page is one of a site.
    """
    content = _Content(picture_bytes, text_bytes, sum(len(folder.files) for folder, _ in folders))
    for number, (folder, decode) in enumerate(folders):
        selection = folder.setting("algorithm.selection.turns"), folder.setting("algorithm.selection.drop_truncated")
        trained = Trained(selection[0] == "last", selection[1] is True)
        content.label = f"{folder.title}." if len(folders) > 1 else ""
        for file in folder.files:
            content.add(number, file, Speller(decode) if decode is None else content.speller(decode), trained)
    index = {
        "folders": [overview(folder) for folder, _ in folders],
        "files": content.files,
        "columns": [field.name for field in fields(Entry)],
        "rows": [astuple(each) for each in content.entries],
        "notes": content.notes(),
    }
    names = ", ".join(folder.title for folder, _ in folders)
    return document(
        "page.html.jinja",
        styles=("page.css",),
        scripts=SCRIPTS,
        allowed="img-src data:",
        title=f"{names}: trajectories and results",
        name=names,
        home=home,
        blocks="".join([json_block("index", index), *content.blocks]),
    )


class _Content:
    """Trajectories and pictures, as they are put into the page."""

    def __init__(self, picture_bytes: int, text_bytes: int, files: int) -> None:
        self.entries: list[Entry] = []
        self.files: list[dict[str, Any]] = []
        self.label = ""
        self._texts, self._picture_budget = Budget(text_bytes, files), Budget(picture_bytes, files)
        self._pictures = Pictures(self._picture_budget)
        self._packed: list[str] = []
        self._without = self._beyond = 0
        self._spellers: dict[int, Speller] = {}
        self._ids: set[str] = set()

    def speller(self, decode: Decode) -> Speller:
        """One for each tokenizer: what an id says is asked once."""
        return self._spellers.setdefault(id(decode), Speller(decode))

    def add(self, folder: int, file: RecordFile, speller: Speller, trained: Trained) -> None:
        """Every line of a file: an entry, and the whole while there is room."""
        self._texts.open_file()
        self._picture_budget.open_file()
        name = self._unique(f"{self.label}{file.name}")
        broken = listed = 0
        for line, record in read_records(file.path):
            if record is None:
                broken += 1
                continue
            if len(self.entries) >= ENTRIES:
                self._beyond += 1
                continue
            block = None
            if self._texts.spent:
                self._without += 1
            else:
                text = packed(whole(record, file.path.parent, file.kind, speller, self._pictures, trained))
                if self._texts.take(len(text)):
                    block = len(self._packed)
                    self._packed.append(text)
                else:
                    self._without += 1
            self.entries.append(entry(record, f"{name}.{line}", len(self.files), line, block))
            listed += 1
        label = f"step {file.step}" if file.step is not None else file.name.replace("_", " ")
        self.files.append(
            {
                "id": name,
                "folder": folder,
                "name": file.name,
                "label": label,
                "kind": file.kind,
                "step": file.step,
                "shown": file.shown,
                "listed": listed,
                "broken": broken,
            }
        )

    def _unique(self, name: str) -> str:
        while name in self._ids:
            name += "+"
        self._ids.add(name)
        return name

    @property
    def blocks(self) -> list[str]:
        texts = [block(f"t{i}", text, "text/plain") for i, text in enumerate(self._packed)]
        return texts + [block(f"p{i}", uri, "text/plain") for i, uri in enumerate(self._pictures.uris)]

    def notes(self) -> list[str]:
        """What is not in the page, in words."""
        found = [
            f"{file['shown']}: {_lines(file['broken'])} skipped, which are no trajectories"
            for file in self.files
            if file["broken"]
        ]
        if self._without:
            found.append(
                f"{_episodes(self._without)} in the table only: their tokens were left out to keep this page small"
            )
        if self._beyond:
            found.append(f"{_episodes(self._beyond)} beyond the first {ENTRIES:,} left out")
        if missing := len(self._pictures.left_out):
            found.append(
                f"{missing:,} {'picture was' if missing == 1 else 'pictures were'} left out to keep this page small"
            )
        return found


def _lines(number: int) -> str:
    return f"{number:,} {'line was' if number == 1 else 'lines were'}"


def _episodes(number: int) -> str:
    return f"{number:,} {'trajectory is' if number == 1 else 'trajectories are'}"
