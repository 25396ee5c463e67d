"""An index that is kept as its corpus is: built where there is none, and anew where the corpus is another."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from .corpus import read_corpus
from .errors import CorpusError, IndexFolderError
from .folder import MANIFEST, check_files, read_manifest
from .index import build_index
from .progress import rows, told

HASHED = 1 << 28  # bytes: as much as is read in a fraction of a second


def fingerprint(corpus: str | os.PathLike[str]) -> str:
    """What tells a corpus from another. A small file's content: times may be set to one and the same when an image is
    built, and a copy has another time than what it is a copy of. Of a large one, which would be read for a minute at
    every start, size and time of the last change: at worst it is indexed once more, or must be touched.

    Raises:
        CorpusError: there is no such file, or it cannot be read.
    """
    try:
        with open(corpus, "rb") as file:
            found = os.fstat(file.fileno())
            if found.st_size > HASHED:
                return f"bytes {found.st_size}, mtime_ns {found.st_mtime_ns}"
            return f"sha256 {hashlib.file_digest(file, 'sha256').hexdigest()}"
    except (FileNotFoundError, IsADirectoryError):
        raise CorpusError(
            f"there is no corpus {str(corpus)!r}; expected a file of passages in JSON or JSON lines"
        ) from None
    except OSError as error:
        raise CorpusError(f"the corpus {str(corpus)!r} cannot be read: {error.strerror}") from None


def keep_index(folder: str, corpus: str, say: Callable[[str], None]) -> None:
    """See to it that `folder` holds a whole index of `corpus`. An older or damaged one of ours is replaced, when the
    new one is written; whoever is killed before leaves it as it was.

    say: is told what is done, and why.

    Raises:
        IndexFolderError: there is something in the folder that is no index of ours; it is left as it is.
        SearchArgumentError, CorpusError, SearchUnavailableError: see `build_index`.
    """
    known, target = fingerprint(corpus), Path(folder)
    why = _why_build(target, known)
    if not why:
        return
    say(f"{why}: building an index of {corpus}")
    manifest = build_index(target, told(read_corpus(corpus), rows(Path(corpus))), known, instead=True)
    say(f"{manifest.count:,} passages in {folder}")


def _why_build(target: Path, known: str) -> str:
    """Why an index must be built in this folder; empty if the right one is there."""
    if not os.path.lexists(target):
        return f"there is no {target}"
    if not target.is_dir():
        raise IndexFolderError(f"{str(target)!r} is no folder: name one that is an index, or does not exist yet")
    held = {entry.name for entry in target.iterdir() if not entry.name.endswith(".lock")}
    if not held:
        return f"{target} is empty"
    foreign = held - _own(target)
    if foreign:
        raise IndexFolderError(
            f"{str(target)!r} holds {min(foreign)!r}, which is of no index: it is left as it is. Name a folder that is "
            "an index, is empty, or does not exist yet"
        )
    try:
        manifest = read_manifest(target)
        check_files(target, manifest, verify=True)
    except IndexFolderError as error:
        return str(error).partition(";")[0]
    return "" if manifest.corpus == known else f"{target} is the index of another corpus, or of an earlier state of it"


def _own(target: Path) -> set[str]:
    """The names of the files of an index in this folder, whatever its version; none where its manifest says nothing."""
    try:
        files = json.loads((target / MANIFEST).read_bytes())["files"]
        return {MANIFEST, *files} if isinstance(files, dict) else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()
