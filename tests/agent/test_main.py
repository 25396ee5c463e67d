"""`python -m agent`: exit statuses and messages, without a run."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.__main__ import main

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def same_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_without_a_command_the_usage_is_shown_as_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: python -m agent" in capsys.readouterr().err


def test_an_unknown_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian", "counting"]) == 2
    assert "train RECIPE" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_that_was_asked_for_is_no_mistake(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([flag]) == 0
    assert "usage: python -m agent" in capsys.readouterr().out


def test_the_packaged_recipes_are_listed_with_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    assert "counting " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train", "countin"], "did you mean 'counting'"),
        (["train", "nowhere.yaml"], "no such recipe file"),
        (["train", "counting", "--optimizer.stps", "3"], "did you mean --optimizer.steps"),
        (["eval", "--model", "nowhere", "--env", "X-v0"], "nowhere: no such folder"),
        (["eval", "--model", ".", "--env", "X-v0", "--episodes", "-1"], "--episodes: must be at least 1"),
        (["eval", "--model", ".", "--env", "X-v0", "--temperature", "-1"], "--temperature: must be 0"),
        (["eval", "--model", "oracle"], "say where it is to play"),
        (["eval", "--model", "oracle", "--env.id", "X-v0"], "--env takes ids and recipes"),
    ],
)
def test_an_explained_error_is_one_line_and_status_1(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error


def test_interrupted_before_anything_was_asked_is_status_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("agent.cli.read_config", interrupted)
    assert main(["train", "counting"]) == 130
    assert "last checkpoint is whole" in capsys.readouterr().err


def test_modules_beside_the_recipe_and_in_the_current_folder_are_found_but_hide_no_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "own.yaml").write_text("nonsense: 1\n")
    monkeypatch.chdir(tmp_path / "here")
    before = list(sys.path)
    assert main(["train", "../recipes/own.yaml"]) == 1
    assert sys.path == [*before, str(tmp_path / "here"), str(tmp_path / "recipes")]


def test_a_mistake_is_told_without_waiting_for_torch() -> None:
    """As a command, in a process of its own: its status, and nothing heavy imported."""
    program = (
        "import sys; from agent.__main__ import main; status = main(['train', 'counting', '--optimizer.stps', '3']); "
        "sys.exit(status if 'torch' not in sys.modules else 99)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "did you mean --optimizer.steps" in done.stderr


def test_another_package_named_agent_is_noticed(tmp_path: Path) -> None:
    """The entry point refuses to work with a package that is not ours."""
    program = "import agent, sys; agent.DISTRIBUTION = 'other'; from agent.__main__ import main; main(['recipes'])"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "shadowed by" in done.stderr
