"""The runs and evaluations that lie in a folder, by the names of their addresses, and whether their files changed.

Somebody else writes here, at any time: what is gone, half-made or out of place is left out or told, and never followed
out of the folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from urllib.parse import quote, unquote_to_bytes

from ..errors import ConfigError
from .folders import kind_of

FILES = (
    "config.yaml",
    "metrics.jsonl",
    "report.json",
    "seconds.json",
    "cold_start.json",
    "settings.json",
    "results.json",
)
RECORDS = ("evaluations", "rollouts", "episodes")
# (name, bytes, time of the last change in nanoseconds, number on its disk) of each file.
Marks = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True)
class Place:
    """A run's or an evaluation's folder inside another. `name`: NAME, or OUTER/NAME one folder further down."""

    name: str
    path: Path

    @property
    def address(self) -> str:
        """The path of its page: /NAME/, percent-encoded."""
        return f"/{quote(os.fsencode(self.name))}/"


def places(root: Path) -> dict[str, Place]:
    """Those that are there now, by name; none where there is no such folder, or where it cannot be read."""
    found: dict[str, Place] = {}
    for path in _folders(root, root):
        inner = [] if _holds_records(path) else _folders(path, root)
        for each in inner or [path]:
            if _holds_records(each):
                name = each.relative_to(root).as_posix()
                found[name] = Place(name, each)
    return found


def name_of(address: str) -> str:
    """The name that an address asks for: any text at all, to be looked up among `places` and used for nothing else."""
    if len(address) < 3 or (address[0], address[-1]) != ("/", "/"):
        return ""
    parts = [os.fsdecode(unquote_to_bytes(part)) for part in address[1:-1].split("/")]
    return "/".join(parts) if all("/" not in part for part in parts) else ""


def marks(place: Place, root: Path, records: tuple[str, ...] = RECORDS) -> Marks:
    """What changes whenever one of the files does that a page is made of.

    Args:
        records: The folders of trajectories that count.

    Raises:
        ConfigError: a file is none (a device, a pipe), or a link leads out of `root`.
        OSError: the folder cannot be read.
    """
    paths = [place.path / name for name in FILES]
    for name in records:
        _refuse_elsewhere(place.path / name, root)
        _refuse_elsewhere(place.path / name / "images", root)
        paths += sorted((place.path / name).glob("*.jsonl"))
    found = []
    for path in paths:
        _refuse_elsewhere(path, root)
        try:
            now = path.stat()
        except FileNotFoundError:
            continue
        if not S_ISREG(now.st_mode):
            raise ConfigError(f"{path.relative_to(root)} is no file")
        found.append((str(path.relative_to(place.path)), now.st_size, now.st_mtime_ns, now.st_ino))
    return tuple(found)


def _holds_records(path: Path) -> bool:
    try:
        return kind_of(path) is not None
    except OSError:  # it may not be looked into: its line says so
        return True


def _folders(path: Path, root: Path) -> list[Path]:
    """The folders in a folder, but for hidden ones and for links that lead out of `root`."""
    return sorted(_inside(path, root))


def _inside(path: Path, root: Path) -> Iterator[Path]:
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                linked = entry.is_symlink() and _leaves(Path(entry.path), root)
                if not entry.name.startswith(".") and not linked and entry.is_dir():
                    yield path / entry.name
    except OSError:
        return


def _refuse_elsewhere(path: Path, root: Path) -> None:
    if path.is_symlink() and _leaves(path, root):
        raise ConfigError(f"{path.relative_to(root)} is a link that leads out of this folder, and is not followed")


def _leaves(path: Path, root: Path) -> bool:
    try:
        return not path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # a circle of links
        return True
