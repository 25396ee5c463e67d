"""The command line."""

import json
from pathlib import Path

import pytest
from PIL import Image

from envs.__main__ import main, shadowing

TINY = '{"layout": "grid", "cells": 2, "cell_px": 14, "objects": [2, 4]}'


def test_list_names_every_environment(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert "RLLaVA/Counting-v0" in capsys.readouterr().out


def test_check_prints_the_sum_and_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "RLLaVA/Counting-v0", "--kwargs", TINY]) == 0
    assert "14 passed, 0 failed" in capsys.readouterr().out


def test_check_fails_with_status_one_where_a_law_is_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envs.core.conformance.GARBAGE", {"short": "<answer>"})  # megabytes take their time
    monkeypatch.setattr("envs.counting.Counting.solve", lambda self: ["<answer>-1</answer>"])
    assert main(["check", "RLLaVA/Counting-v0", "--kwargs", TINY, "--json"]) == 1
    laws = {law["law"]: law["status"] for law in json.loads(capsys.readouterr().out)[0]["laws"]}
    assert laws["gold answer"] == "failed"
    assert laws["nothing"] == "passed"


def test_an_unknown_id_suggests_the_nearest() -> None:
    with pytest.raises(SystemExit, match="Did you mean RLLaVA/Counting-v0"):
        main(["check", "RLLaVA/Cuonting-v0"])


def test_keyword_arguments_that_are_no_json_object_are_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["check", "RLLaVA/Counting-v0", "--kwargs", "[1]"])
    assert stop.value.code == 2
    assert "JSON object" in capsys.readouterr().err


def test_a_bad_keyword_argument_ends_with_its_message() -> None:
    with pytest.raises(SystemExit, match="cells must be a whole number"):
        main(["play", "RLLaVA/Counting-v0", "--kwargs", '{"cells": 0}'])


def test_a_person_who_types_the_gold_number_wins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: "")
    main(["play", "RLLaVA/Counting-v0", "--seed", "5", "--out", str(tmp_path)])
    gold = capsys.readouterr().out.rsplit("<answer>", 1)[1].split("<")[0]
    monkeypatch.setattr("builtins.input", lambda prompt: gold)
    assert main(["play", "RLLaVA/Counting-v0", "--seed", "5", "--out", str(tmp_path)]) == 0
    assert "reward 1 " in capsys.readouterr().out
    with Image.open(tmp_path / "turn0_0.png") as picture:
        assert picture.size == (224, 224)


@pytest.mark.parametrize("interruption", [EOFError, KeyboardInterrupt])
def test_an_interruption_ends_the_game_quietly(
    interruption: type[BaseException],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(prompt: str) -> str:
        raise interruption

    monkeypatch.setattr("builtins.input", interrupt)
    assert main(["play", "RLLaVA/Counting-v0", "--out", str(tmp_path)]) == 0
    assert "stopped" in capsys.readouterr().out


def test_a_module_that_shadows_a_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    impostor = tmp_path / "first" / "shadowed_package.py"
    impostor.parent.mkdir()
    impostor.touch()
    ours = tmp_path / "second" / "shadowed_package"
    ours.mkdir(parents=True)
    (ours / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(ours.parent))
    assert shadowing(ours.parent, ["shadowed_package"]) == []
    monkeypatch.syspath_prepend(str(impostor.parent))
    (sentence,) = shadowing(ours.parent, ["shadowed_package"])
    assert str(impostor) in sentence
