"""The image is named after what is in it."""

import io
import re
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox import docker_image
from sandbox.docker_image import build, find, recipe, tag, worker_files
from sandbox.errors import RequestError, Unavailable


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that an image is made of, elsewhere."""
    shutil.copytree(docker_image.RECIPE, tmp_path / "images" / "sandbox", ignore=shutil.ignore_patterns("wheels"))
    (tmp_path / "sandbox").mkdir()
    for file in worker_files():
        shutil.copy(file, tmp_path / "sandbox")
    monkeypatch.setattr(docker_image, "HERE", tmp_path / "sandbox")
    monkeypatch.setattr(docker_image, "RECIPE", tmp_path / "images" / "sandbox")
    return tmp_path


class Images:
    def __init__(self, name: str, labels: dict[str, str]) -> None:
        self.images, self._name, self._labels = self, name, labels

    def get(self, name: str) -> Any:
        if name != self._name:
            raise OSError("no such image")
        return SimpleNamespace(labels=self._labels)


def test_a_change_of_the_worker_is_another_image(copy: Path) -> None:
    before = tag()
    with open(copy / "sandbox" / "worker_run.py", "a") as file:
        file.write("#")
    assert tag() != before
    with pytest.raises(Unavailable, match="build-image"):
        find(Images(before, {}))


def test_a_change_of_the_dockerfile_makes_the_image_stale(copy: Path) -> None:
    label = {"rllava-gym.sandbox.recipe": str(recipe())}
    assert find(Images(tag(), label)) == tag()
    with open(copy / "images" / "sandbox" / "Dockerfile", "a") as file:
        file.write("#")
    with pytest.raises(Unavailable, match="another images/sandbox/Dockerfile"):
        find(Images(tag(), label))


def test_an_installed_package_takes_the_image_by_its_name(copy: Path) -> None:
    shutil.rmtree(copy / "images")
    assert find(Images(tag(), {"rllava-gym.sandbox.recipe": "any"})) == tag()
    with pytest.raises(Unavailable, match="in the repository"):
        build()


def test_what_is_sent_to_the_engine_is_what_the_dockerfile_copies() -> None:
    context = io.BytesIO()
    docker_image._pack(context, None)
    with tarfile.open(fileobj=io.BytesIO(context.getvalue())) as archive:
        names = set(archive.getnames())
    (copied,) = re.findall(r"^COPY (sandbox/.*) /opt", (docker_image.RECIPE / "Dockerfile").read_text(), re.MULTILINE)
    assert copied.split() == ["sandbox/__init__.py", "sandbox/frames.py", "sandbox/worker*.py"]
    assert {name for name in names if name.startswith("sandbox/")} == {f"sandbox/{f.name}" for f in worker_files()}
    assert {name for name in names if name.startswith("images/")} == {
        "images/sandbox/Dockerfile",
        "images/sandbox/requirements.txt",
    }


def test_the_worker_needs_no_file_that_is_not_copied() -> None:
    copied = {file.stem for file in worker_files()}
    for file in worker_files():
        wanted = re.findall(r"^\s*from \.(\w+) import", file.read_text(), re.MULTILINE)
        wanted += [
            name.strip()
            for names in re.findall(r"^\s*from \. import ([\w, ]+)", file.read_text(), re.MULTILINE)
            for name in names.split(",")
        ]
        assert set(wanted) <= copied, file.name


def test_libraries_are_the_versions_that_the_project_is_tested_with() -> None:
    pinned = set((docker_image.RECIPE.parent.parent / "constraints.txt").read_text().split("\n"))
    lines = (docker_image.RECIPE / "requirements.txt").read_text().split("\n")
    wanted = {line for line in lines if line and not line.startswith("#")}
    assert len(wanted) == 3 and wanted <= pinned


def test_a_folder_without_wheels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no wheel"):
        docker_image._pack(io.BytesIO(), tmp_path)
