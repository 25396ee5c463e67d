"""An index's folder: written aside and renamed when whole, and known again by its manifest."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from .errors import IndexFolderError, SearchArgumentError

VERSION = 2  # of the folder's layout and of the analyser: an index of another version is refused
MANIFEST = "manifest.json"
_LOCK = "building.lock"  # held by the process that builds; one that nobody holds was left by a process that died


@dataclass(frozen=True)
class StoredFile:
    """bytes: the file's size. sha256: of its content, 64 hexadecimal digits."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an index holds. content: SHA-256 over the passages in their order, 64 hexadecimal digits. files: name to
    size and hash of each file beside the manifest; none for an index in memory. corpus: what `kept.fingerprint` said of
    the file that the passages are from; empty if it is not known."""

    version: int
    engine: str
    count: int
    fields: tuple[str, ...]
    content: str
    files: Mapping[str, StoredFile] = field(default_factory=dict, compare=False)
    corpus: str = field(default="", compare=False)


def again(folder: str | os.PathLike[str]) -> str:
    """How an index in `folder` is built again, as the end of a message."""
    name = os.fspath(folder)
    return f"delete the folder and build it again: python -m sandbox search build CORPUS {name}"


@contextmanager
def building(target: Path, instead: bool = False) -> Iterator[Path]:
    """A folder beside `target` to write into. When the block ends it is on the disk and becomes `target`, all at once;
    when the block fails it is deleted. What killed processes left behind is deleted first.

    instead: a `target` that exists is deleted at the end; between the two there is for a moment none.

    Raises:
        SearchArgumentError: `target` exists, also if another process has just made it; or it is a mounted disk.
    """
    taken = SearchArgumentError(f"{str(target)!r} exists already; delete it or name another folder for the index")
    if target.exists() and not instead:
        raise taken
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        with (aside / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            aside.chmod(0o755)
            yield aside
            for file in aside.iterdir():
                file.chmod(0o644)  # tantivy keeps one of its lists to its own user
                _to_disk(file)
            (aside / _LOCK).unlink()
            _to_disk(aside)
            try:
                if instead:
                    _put_away(target)
                aside.rename(target)
            except OSError as error:
                if error.errno == errno.EBUSY:
                    raise SearchArgumentError(
                        f"{str(target)!r} is a mounted disk, which nothing can be put in place of: mount it at "
                        f"{str(target.parent)!r}, or name a folder in it"
                    ) from None
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise taken from None
                raise
            _to_disk(target.parent)
        _sweep(target)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write `manifest` into a folder, with the sizes and hashes of the files that are there."""
    names = sorted(file.name for file in folder.iterdir() if not file.name.endswith(".lock"))
    files = {name: StoredFile((folder / name).stat().st_size, _sha256(folder / name)) for name in names}
    whole = replace(manifest, files=files)
    (folder / MANIFEST).write_text(json.dumps(asdict(whole), indent=2) + "\n", encoding="utf-8")
    return whole


def read_manifest(folder: Path) -> Manifest:
    """The manifest in `folder`.

    Raises:
        IndexFolderError: no folder, no manifest (also where building was cut off), another version, a malformed one.
    """
    build = f'build one: python -m sandbox search build CORPUS {folder}, and name it "index:{folder}"'
    if not folder.is_dir():
        raise IndexFolderError(f"there is no folder {str(folder)!r}; {build}")
    try:
        values = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise IndexFolderError(f"{str(folder)!r} holds no index: there is no {MANIFEST} in it; {build}") from None
    except ValueError as error:
        raise IndexFolderError(f"{str(folder / MANIFEST)!r} is not JSON: {error}; {again(folder)}") from None
    version = values.get("version") if isinstance(values, dict) else None
    if version != VERSION:
        raise IndexFolderError(
            f"{str(folder)!r} holds an index of version {version!r}, and this program reads {VERSION}; {again(folder)}"
        )
    try:
        files = {name: StoredFile(**stored) for name, stored in values["files"].items()}
        return Manifest(**(values | {"fields": tuple(values["fields"]), "files": files}))
    except (TypeError, KeyError, AttributeError) as error:
        raise IndexFolderError(f"{str(folder / MANIFEST)!r} is malformed ({error}); {again(folder)}") from None


def check_files(folder: Path, manifest: Manifest, verify: bool) -> None:
    """Hold the files of a folder to its manifest: names and sizes, and with `verify` every byte.

    Raises:
        IndexFolderError: a file is missing or another than was written.
    """
    for name, stored in manifest.files.items():
        file = folder / name
        wrong = ""
        if not file.is_file():
            wrong = "is missing"
        elif file.stat().st_size != stored.bytes:
            wrong = f"has {file.stat().st_size} bytes instead of {stored.bytes}"
        elif verify and _sha256(file) != stored.sha256:
            wrong = "is not what was written"
        if wrong:
            raise IndexFolderError(f"{str(folder)!r} holds a damaged index: {name} {wrong}; {again(folder)}")


def _put_away(target: Path) -> None:
    """Rename a folder to what `_sweep` takes for the remains of a build, now or, if we are killed, another time."""
    if target.exists():
        (target / _LOCK).touch()
        target.rename(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))


def _sweep(target: Path) -> None:
    """Delete what builds of `target` left that did not live to do so. Those that go on hold their lock."""
    for aside in [entry for entry in target.parent.iterdir() if entry.name.startswith(f".{target.name}.")]:
        with suppress(OSError), (aside / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(aside, ignore_errors=True)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
