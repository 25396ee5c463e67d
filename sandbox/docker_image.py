"""The image that lanes are made of: built from this package's own files and named after their content.

An image whose name is not that of the files installed here is another one, so that a stale image is never used.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .docker_engine import LABEL, REPOSITORY, connect, failures
from .errors import RequestError, Unavailable

HERE = Path(__file__).resolve().parent
RECIPE = HERE.parent / "images" / "sandbox"
DEFAULT_BASE = "python:3.11-slim-bookworm"
_RECIPE_LABEL = f"{LABEL}.recipe"


def worker_files() -> list[Path]:
    """The files of this package that run in a container, as the Dockerfile copies them."""
    return [HERE / "__init__.py", HERE / "frames.py", *sorted(HERE.glob("worker*.py"))]


def tag() -> str:
    """The name of the image that belongs to the files installed here."""
    return f"{REPOSITORY}:{_digest(worker_files())}"


def recipe() -> str | None:
    """What identifies the Dockerfile and its requirements; None where they are not (an installed wheel)."""
    files = [RECIPE / "Dockerfile", RECIPE / "requirements.txt"]
    return _digest(files) if all(file.is_file() for file in files) else None


def find(client: Any) -> str:
    """The image's name, if the engine has it.

    Raises:
        Unavailable: it has not, or it was built from another Dockerfile; the message says how to build it.
    """
    name = tag()
    how = "build it in the repository: python -m sandbox build-image"
    try:
        labels = client.images.get(name).labels
    except failures() as error:
        raise Unavailable(
            f'sandbox="docker" needs the image {name}, and the engine has none: {how} ({error})'
        ) from None
    if recipe() not in (None, labels.get(_RECIPE_LABEL)):
        raise Unavailable(f"the image {name} was built from another images/sandbox/Dockerfile than the one here: {how}")
    return name


def build(*, base: str = DEFAULT_BASE, wheels: Path | None = None, say: Callable[[str], None] = print) -> str:
    """Build the image for the files here, and return its name.

    base: any image with Python 3.11 or newer and its venv module. wheels: a folder with the wheels of
    requirements.txt, where no package index can be reached.

    Raises:
        Unavailable: there is no engine; or the Dockerfile is not here.
        RequestError: a folder without wheels; or the build failed, with its last words.
    """
    found = recipe()
    if found is None:
        raise Unavailable(f"{RECIPE} is not here: an image is built in the repository, not from an installed package")
    client = connect(seconds=1800)
    name = tag()
    try:
        with io.BytesIO() as context:
            _pack(context, wheels)
            context.seek(0)
            lines = client.api.build(
                fileobj=context,
                custom_context=True,
                dockerfile="images/sandbox/Dockerfile",
                buildargs={"BASE_IMAGE": base},
                tag=name,
                labels={_RECIPE_LABEL: found, LABEL: "image"},
                rm=True,
                forcerm=True,
                decode=True,
            )
            _follow(lines, say)
    except failures() as error:
        raise Unavailable(f"the engine could not build the image: {error}") from None
    return name


def _digest(files: list[Path]) -> str:
    total = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        total.update(f"{file.name} {len(content)}\n".encode() + content)
    return total.hexdigest()[:16]


def _pack(context: io.BytesIO, wheels: Path | None) -> None:
    """What `docker build` would be sent of the repository, and nothing else of it."""
    files = {f"images/sandbox/{name}": RECIPE / name for name in ("Dockerfile", "requirements.txt")}
    files |= {f"sandbox/{file.name}": file for file in worker_files()}
    if wheels is not None:
        found = sorted(wheels.glob("*.whl"))
        if not found:
            raise RequestError(f"there is no wheel in {wheels}: fetch those of {RECIPE / 'requirements.txt'} into it")
        files |= {f"images/sandbox/wheels/{file.name}": file for file in found}
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, file in files.items():
            entry = archive.gettarinfo(file, name)
            entry.uid = entry.gid = 0
            entry.mtime, entry.mode = 0, 0o644
            with open(file, "rb") as content:
                archive.addfile(entry, content)


def _follow(lines: Iterator[dict[str, Any]], say: Callable[[str], None]) -> None:
    for line in lines:
        if "error" in line:
            raise RequestError(f"the image could not be built: {str(line['error']).strip()[-800:]}")
        if text := str(line.get("stream", "")).strip():
            say(text)
