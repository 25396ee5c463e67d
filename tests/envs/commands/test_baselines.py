"""Baselines: oracle, constant, random and blind over test tasks."""

import json
from pathlib import Path
from typing import Any

import pytest

from envs.__main__ import main
from envs.commands import baselines

TINY = {"layout": "grid", "cells": 2, "cell_px": 14, "objects": [2, 4]}


def test_the_expert_is_right_and_guesses_are_as_good_as_chance() -> None:
    found = baselines.measure("RLLaVA/Counting-v0", TINY, 100)
    assert (found["split"], found["episodes"], found["metric"]) == ("test", 100, "accuracy")
    assert found["scores"]["oracle"] == {"value": 1.0, "low": 1.0, "high": 1.0, "reward": 1.0}
    for name in ("constant", "random", "blind"):
        # Answers 0, 1 and 2 are equally frequent: a third, with a standard error of 0.047.
        assert found["scores"][name]["value"] == pytest.approx(1 / 3, abs=0.16)
        assert found["scores"][name]["low"] <= found["scores"][name]["value"] <= found["scores"][name]["high"]


def test_the_same_episodes_give_the_same_figures() -> None:
    assert baselines.measure("RLLaVA/Counting-v0", TINY, 20) == baselines.measure("RLLaVA/Counting-v0", TINY, 20)


def test_figures_are_printed_and_written_beside_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other: dict[str, Any] = {"RLLaVA/Other-v0": {"scores": {}}}
    (tmp_path / "baselines.json").write_text(json.dumps(other))
    monkeypatch.setattr(baselines, "FILE", tmp_path / "baselines.json")
    arguments = [
        "baselines",
        "RLLaVA/Counting-v0",
        "--episodes",
        "8",
        "--kwargs",
        json.dumps(TINY),
        "--write",
        "--json",
    ]
    assert main(arguments) == 0
    printed = json.loads(capsys.readouterr().out)["RLLaVA/Counting-v0"]
    written = baselines.read()
    assert list(written) == ["RLLaVA/Counting-v0", "RLLaVA/Other-v0"]
    assert written["RLLaVA/Counting-v0"]["kwargs"] == printed["kwargs"] == TINY
    assert main([*arguments[:-2]]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "oracle" in told and "100.0 (100.0 to" in told


def test_a_local_folder_is_written_without_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "FILE", tmp_path / "baselines.json")
    baselines.write({"RLLaVA/X-v0": {"kwargs": {"data": str(tmp_path), "cells": 2}, "scores": {"oracle": None}}})
    assert baselines.read()["RLLaVA/X-v0"]["kwargs"] == {"data": tmp_path.name, "cells": 2}


def test_published_data_must_be_named() -> None:
    with pytest.raises(SystemExit, match="RLLaVA/SuperCLEVR-v0 plays published data: say where they are"):
        main(["baselines", "RLLaVA/SuperCLEVR-v0"])
    with pytest.raises(SystemExit, match="--episodes must be a whole number, at least 1; got 0"):
        main(["baselines", "RLLaVA/Counting-v0", "--episodes", "0"])
