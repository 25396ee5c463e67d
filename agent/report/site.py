"""A folder of runs as a site: the table at /, each run's page at /NAME/, made when somebody asks for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from time import time

from .document import document
from .folders import kind_of, read_folder
from .gallery import Row, broken_row, render_gallery, row_of
from .listing import Marks, Place, marks, name_of, places
from .page import render_page
from .serve import Answer, moved
from .tokenizer import find_decoder
from .tokens import Decode, visible

PAUSE = 10.0  # seconds between two pages of a run that changes all the time
KEPT = 4  # pages; a large one takes some 30 MB, and a tokenizer with it as much again


@dataclass(frozen=True)
class _Page:
    """A page, what it was made of and when; and the tokenizer of the settings that it was found by."""

    files: Marks
    made: float
    body: bytes
    settings: Marks = ()
    decode: Decode | None = None


class Site:
    """Answers for a folder of runs, from any thread; nothing is written into the folder.

    Args:
        root: The folder; it may be made later.
        tensorboard: The address of TensorBoard, for a link.
        clock: Seconds since 1970.
    """

    def __init__(self, root: Path, tensorboard: str = "", clock: Callable[[], float] = time) -> None:
        self._root, self._tensorboard, self._clock = root, tensorboard, clock
        self._rows: dict[str, tuple[Marks, Row]] = {}
        self._pages: OrderedDict[str, _Page] = OrderedDict()
        self._listing, self._rendering = Lock(), Lock()

    def answer(self, path: str) -> Answer | None:
        """What stands at a path, such as "/NAME/"; None where nothing does."""
        if path == "/":
            return Answer(self._gallery().encode("utf-8", "replace"))
        folder, _, last = path.rpartition("/")
        found = places(self._root)
        if last in ("", "report.html") and (place := found.get(name_of(f"{folder}/"))):
            return Answer(self._page(place))
        if place := found.get(name_of(f"{path}/")):
            return moved(place.address)
        return None

    def _gallery(self) -> str:
        with self._listing:
            found = places(self._root)
            rows = [self._row(place) for place in found.values()]
            self._rows = {name: kept for name, kept in self._rows.items() if name in found}
        return render_gallery(self._root, rows, self._clock(), self._tensorboard, self._note())

    def _row(self, place: Place) -> Row:
        try:
            files = marks(place, self._root, ("episodes",))
            kept = self._rows.get(place.name)
            if kept is None or kept[0] != files:
                kept = self._rows[place.name] = files, row_of(place, files)
        except Exception as error:  # whatever is wrong with one run is no reason not to show the others
            return broken_row(place, _told(error))
        return kept[1]

    def _note(self) -> str:
        """What there is to say of the folder itself."""
        try:
            next(self._root.iterdir(), None)
            itself = kind_of(self._root) is not None
        except FileNotFoundError:
            return "There is no such folder yet. Its runs appear here as soon as it is there."
        except OSError as error:
            return f"This folder cannot be read: {error.strerror}."
        return "This folder is itself a run's by now: start `view` again to see its page." if itself else ""

    def _page(self, place: Place) -> bytes:
        with self._rendering:
            kept = self._pages.get(place.name)
            try:
                files = marks(place, self._root)
                if kept is None or (kept.files != files and self._clock() - kept.made >= PAUSE):
                    kept = self._made(place, files, kept)
            except Exception as error:
                return _trouble(place, _told(error))
            self._pages[place.name] = kept
            self._pages.move_to_end(place.name)
            while len(self._pages) > KEPT:
                self._pages.popitem(last=False)
            return kept.body

    def _made(self, place: Place, files: Marks, kept: _Page | None) -> _Page:
        folder = read_folder(place.path)
        settings = tuple(mark for mark in files if mark[0] in ("config.yaml", "settings.json"))
        decode = kept.decode if kept is not None and kept.settings == settings else None
        if decode is None and folder.files:
            decode, reason = find_decoder(folder)
            folder = replace(folder, notes=(*folder.notes, *([reason] if reason else [])))
        page = render_page([(folder, decode)], home="/")
        return _Page(files, self._clock(), page.encode("utf-8", "replace"), settings, decode)


def _trouble(place: Place, reason: str) -> bytes:
    """A page in place of the one that could not be made."""
    return document(
        "trouble.html.jinja", styles=("page.css",), scripts=(), name=visible(place.name, 80), reason=reason
    ).encode("utf-8", "replace")


def _told(error: Exception) -> str:
    return visible(error if str(error) else type(error).__name__, 300)
