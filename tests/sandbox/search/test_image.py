"""What images/search promises and a reader of its Dockerfile can check without an engine."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "images" / "search"


def test_every_version_is_pinned_to_the_one_that_is_tested() -> None:
    tested = (ROOT / "constraints.txt").read_text().lower().splitlines()
    for line in (FOLDER / "requirements.txt").read_text().lower().splitlines():
        if not line.startswith("#"):
            assert re.fullmatch(r"[\w-]+==[\w.]+", line), line
            assert line in tested, f"{line} is not what constraints.txt says"


def test_the_base_can_be_chosen_and_the_user_is_not_root() -> None:
    dockerfile = (FOLDER / "Dockerfile").read_text()
    assert "ARG BASE_IMAGE=" in dockerfile and "FROM ${BASE_IMAGE}" in dockerfile
    (user,) = re.findall(r"^USER (\d+):\d+$", dockerfile, re.MULTILINE)
    assert int(user) > 0
    assert "HEALTHCHECK" in dockerfile and "curl" not in dockerfile


def test_what_is_copied_is_all_that_the_service_imports() -> None:
    # The image holds sandbox/search, and of the package around it the files that the Dockerfile names.
    copied = re.findall(r"sandbox/(\w+)\.py", (FOLDER / "Dockerfile").read_text())
    wanted = {"__init__"}
    for file in (ROOT / "sandbox" / "search").glob("*.py"):
        wanted.update(re.findall(r"^\s*from \.\.(\w+) import", file.read_text(), re.MULTILINE))
        assert not re.search(r"^\s*from \.\. ", file.read_text(), re.MULTILINE), file
    assert sorted(copied) == sorted(wanted)
