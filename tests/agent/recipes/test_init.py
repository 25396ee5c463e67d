"""Finding recipes, and the packaged ones."""

from pathlib import Path

import pytest

from agent.cli import read_config
from agent.errors import ConfigError
from agent.recipes import find, packaged


def test_a_packaged_recipe_is_found_by_its_name() -> None:
    assert find("counting") == packaged()["counting"]
    assert find("counting").is_file()


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'countin' is not a packaged recipe; did you mean 'counting'\?"):
        find("countin")


def test_a_name_that_is_near_to_nothing_is_answered_with_all() -> None:
    with pytest.raises(ConfigError) as raised:
        find("zzzzzz")
    assert all(name in str(raised.value) for name in packaged())
    assert ".yaml" in str(raised.value)


def test_a_published_run_is_found_by_its_folder_and_name() -> None:
    assert find("paper/counting").parts[-2:] == ("paper", "counting.yaml")
    assert find("paper/counting") != find("counting")
    with pytest.raises(ConfigError, match=r"did you mean 'paper/mat_search'\?"):
        find("paper/matsearch")


@pytest.mark.parametrize("suffix", [".yaml", ".yml"])
def test_a_file_is_found_by_its_path(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"own{suffix}"
    path.write_text("env: {id: X-v0}\n")
    assert find(str(path)) == path


@pytest.mark.parametrize("name", ["nowhere.yaml", "folder.yaml"])
def test_a_path_that_is_no_file_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ConfigError, match=rf"{name}: no such recipe file"):
        find(str(tmp_path / name))


@pytest.mark.parametrize("name", sorted(packaged()))
def test_a_packaged_recipe_says_in_its_first_line_what_it_is(name: str) -> None:
    first = packaged()[name].read_text().splitlines()[0]
    assert first.startswith("# ") and len(first) > 20


@pytest.mark.parametrize("name", sorted(packaged()))
def test_a_packaged_recipe_runs_under_its_own_name(name: str) -> None:
    assert read_config("train", [name]).run.name == name.replace("/", "_")
