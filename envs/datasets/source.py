"""Where a data set is read from: a hub name, or a folder or a file in the published format.

    FOLDER      as fetched from the hub (`data/train-00000-of-00021.parquet`, ...), one file a part (`train.jsonl`), or
                what `datasets.save_to_disk` wrote
    FILE        `.parquet`, `.jsonl` or `.json`: the part that its name says
    OWNER/NAME  a data set of the hub, or of the local cache of the hub, through `datasets`

A part is what the publisher calls a split ("train", "val", "testA"). Nothing is ever fetched but what is asked for by
name, and nothing is written but the hub's own cache.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ..core.errors import DatasetError
from .rows import Rows
from .tables import ArrowRows, JsonRows, ParquetRows, library

# Where a part may lie in a folder, the first pattern with a match wins.
PLACES = (
    "data/{part}-*.parquet",
    "{part}-*.parquet",
    "{part}/*.parquet",
    "data/{part}.parquet",
    "{part}.parquet",
    "{part}.jsonl",
    "{part}.json",
    "data/{part}.jsonl",
    "data/{part}.json",
)
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.parquet$")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """A data set as its publisher gives it out.

    title: its name, for messages. hub: OWNER/NAME. parts: the publisher's splits and their rows (None: not known).
    places: for each part the patterns of its files in a folder, the first with a match wins; `PLACES` by default.
    config: the hub's configuration for each part, where there are several.
    fetch: one or more sentences that say what to fetch and where to put it.
    loose: the hub holds plain files that `datasets` cannot read; those matching these patterns are fetched as they are.
    """

    title: str
    hub: str
    parts: Mapping[str, int | None]
    fetch: str = ""
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    config: str | None = None
    loose: tuple[str, ...] = ()

    def patterns(self, part: str) -> tuple[str, ...]:
        """Where this part may lie in a folder."""
        return self.places.get(part) or tuple(place.format(part=part) for place in PLACES)

    def how(self, hub: str | None = None) -> str:
        """What to fetch and where to put it."""
        name = hub or self.hub
        return (
            f"To have {self.title}: `hf download {name} --repo-type dataset --local-dir FOLDER`, then pass "
            f"data=FOLDER; or pass data={name!r} on a machine that reaches the hub. {self.fetch}".strip()
        )


@dataclass(frozen=True)
class Source:
    """Found data: files with their sizes and times (so that a changed file is read again), or a hub name.

    base: the folder that was given, or that of the file: no picture's path leads out of it.
    """

    published: str
    part: str
    base: Path | None = None
    files: tuple[tuple[Path, int, int], ...] = ()
    saved: Path | None = None
    hub: str | None = None
    config: str | None = None
    how: str = ""


def locate(data: str | None, published: Published, part: str) -> Source:
    """Find a part of a data set. Reads nothing yet, but fetches loose files from the hub.

    Raises:
        DatasetError: it is not there; says what was looked for, what to fetch and where to put it.
        MissingExtraError: a hub name, and `datasets` is not installed.
    """
    name = published.hub if data is None else data
    path = Path(name).expanduser()
    if data is not None and path.is_dir():
        return _in_folder(path, published, part)
    if data is not None and path.is_file():
        return _one_file(path, published, part)
    if not _HUB_NAME.fullmatch(name):
        raise DatasetError(f"{published.title}: {name!r} is no folder, no file and no hub name. {published.how()}")
    if published.loose:
        return _in_folder(_fetched(name, published), published, part)
    return Source(published.title, part, hub=name, config=published.config, how=published.how(name))


def open_rows(
    source: Source, text: tuple[str, ...], pictures: tuple[str, ...] = (), pictures_in: Path | None = None
) -> Rows:
    """The rows of a found part: the fields `text` are read now, the fields `pictures` when they are asked for.

    pictures_in: what relative paths of pictures start from; by default the folder of the table.

    Raises:
        DatasetError: the data cannot be read, or the hub not be reached; the message says what to do.
        MissingExtraError: the library that reads this form is not installed.
    """
    wanted, heavy = frozenset(text + pictures), frozenset(pictures)
    if source.hub is not None:
        datasets = library("datasets")
        table = _asked(lambda: datasets.load_dataset(source.hub, source.config, split=source.part), source)
        return ArrowRows(table, f"{source.hub} ({source.part})", wanted, heavy)
    if source.saved is not None:
        datasets = library("datasets")
        table = _asked(lambda: datasets.load_from_disk(str(source.saved)), source)
        return ArrowRows(table, str(source.saved), wanted, heavy)
    paths = [path for path, _, _ in source.files]
    rows = ParquetRows(paths, wanted, heavy) if paths[0].suffix == ".parquet" else JsonRows(paths[0], wanted)
    rows.folder = paths[0].parent if pictures_in is None else pictures_in
    rows.root = _root(source.base or paths[0].parent)
    return rows


def note_size(published: Published, part: str, rows: int) -> None:
    """Log, for information, that a part has not as many rows as the published one."""
    known = published.parts.get(part)
    if known is not None and rows != known:
        _log.info("%s, %s: %d rows; the published set has %d", published.title, part, rows, known)


def _in_folder(folder: Path, published: Published, part: str) -> Source:
    for pattern in published.patterns(part):
        # Sorted by name: shards are numbered, and their order is the published order.
        found = sorted(path for path in folder.glob(pattern) if path.is_file())
        if found:
            _complete(found)
            return _stamped(found, folder, published, part)
    for saved in (folder / part, folder):
        alone = saved != folder or len(published.parts) == 1
        if not published.loose and alone and (saved / "state.json").is_file():
            return Source(published.title, part, saved=saved, how=published.how())
    looked = ", ".join(published.patterns(part))
    raise DatasetError(
        f"{published.title}: the folder {folder} has no part {part!r}; looked for {looked}. {published.how()}"
    )


def _one_file(path: Path, published: Published, part: str) -> Source:
    if path.suffix not in (".parquet", ".jsonl", ".json"):
        raise DatasetError(f"{path}: expected a name that ends in .parquet, .jsonl or .json; got {path.name!r}")
    says = [
        p
        for p in published.parts
        if any(
            fnmatch(path.name, pattern.rsplit("/", 1)[-1]) for pattern in published.patterns(p) if "/*" not in pattern
        )
    ]
    if says and part not in says:
        raise DatasetError(
            f"{path}: by its name this file holds {' or '.join(map(repr, says))} of {published.title}, and {part!r} is "
            f"asked for. Pass its folder, or the file of {part!r}"
        )
    if not says and len(published.parts) > 1:
        raise DatasetError(
            f"{path}: its name does not tell which part of {published.title} it holds. Name it "
            f"{part}{path.suffix}, or pass a folder with one of {', '.join(published.patterns(part))}"
        )
    return _stamped([path], path.parent, published, part)


def _stamped(paths: list[Path], base: Path, published: Published, part: str) -> Source:
    stats = [(path, path.stat()) for path in paths]
    files = tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
    return Source(published.title, part, base, files=files, how=published.how())


def _complete(paths: list[Path]) -> None:
    """A missing shard would give every later item another number, so it is an error."""
    numbered = [match for path in paths if (match := _SHARD.search(path.name))]
    if numbered and len(numbered) == len(paths):
        total, here = int(numbered[0][2]), {int(match[1]) for match in numbered}
        missing = sorted(set(range(total)) - here)
        if missing:
            raise DatasetError(
                f"{paths[0].parent}: {len(missing)} of {total} shards of {paths[0].name.split('-')[0]!r} are missing, "
                f"the first is number {missing[0]:05d}. Fetch them all, or pass one file as data to use it alone"
            )


def _fetched(name: str, published: Published) -> Path:
    hub = library("huggingface_hub")
    source = Source(published.title, "", hub=name, how=published.how(name))
    found = _asked(
        lambda: hub.snapshot_download(name, repo_type="dataset", allow_patterns=list(published.loose)), source
    )
    return Path(found)


def _asked(ask: Callable[[], Any], source: Source) -> Any:
    """Ask a library for data. Whatever it raises means: not there, or not readable."""
    try:
        return ask()
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:300]
        what = source.hub or str(source.saved)
        raise DatasetError(
            f"{source.published}: {what!r} could not be read ({type(error).__name__}: {reason}). {source.how}"
        ) from None


def _root(folder: Path) -> Path:
    """What no picture path may leave: the folder, or the hub's cache of this data set, whose files are links."""
    for parent in (folder, *folder.parents):
        if parent.name == "snapshots" and (parent.parent / "blobs").is_dir():
            return parent.parent
    return folder
