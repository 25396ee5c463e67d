"""The generated README and its pictures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from envs import CATALOGUE
from envs.__main__ import main
from envs.commands import baselines, catalogue, sheet


def test_the_committed_readme_and_pictures_are_up_to_date() -> None:
    assert catalogue.problems() == []


def test_the_committed_pictures_are_small_and_show_something() -> None:
    sizes = 0
    for env_id in CATALOGUE:
        path = catalogue.picture_of(env_id)
        sizes += path.stat().st_size
        with Image.open(path) as picture:
            assert picture.mode == "P"
            assert len(np.unique(np.asarray(picture))) > 1
    assert sizes < catalogue.MAX_BYTES


def test_every_procedural_environment_has_baselines_that_leave_room_for_skill() -> None:
    figures = baselines.read()
    for env_id, entry in CATALOGUE.items():
        if entry.sample is None:
            scores = figures[env_id]["scores"]
            assert scores["oracle"]["value"] == 1.0
            assert all(scores[name]["high"] < 0.7 for name in ("constant", "random", "blind")), env_id


def test_what_is_out_of_date_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(catalogue, "README", tmp_path / "README.md")
    monkeypatch.setattr(catalogue, "PICTURES", tmp_path / "catalogue")
    (tmp_path / "catalogue").mkdir()
    (tmp_path / "catalogue" / "nobody-v0.png").touch()
    assert main(["catalogue", "--check"]) == 1
    told = capsys.readouterr().out
    assert "README.md is not what the cards and baselines.json give" in told
    assert "counting-v0.png is missing" in told
    assert "nobody-v0.png belongs to no environment" in told


def test_the_readme_has_a_row_a_section_and_a_picture_for_every_environment() -> None:
    text = catalogue.text()
    for env_id in CATALOGUE:
        name = env_id.split("/")[1]
        assert f"\n## {name}\n" in text
        assert f"| [{name}](#{name.lower()})" in text
        assert f"(catalogue/{name.lower()}.png)" in text


def test_a_sheet_shows_pictures_with_questions_in_few_colours() -> None:
    drawn = sheet.draw("RLLaVA/Counting-v0", {"layout": "grid", "cells": 2, "cell_px": 14, "objects": [2, 4]})
    assert drawn.mode == "P"
    assert drawn.width == sheet.TILES * (sheet.TILE + sheet.MARGIN) + sheet.MARGIN
    colours = np.asarray(drawn.convert("RGB")).reshape(-1, 3)
    assert 4 < len(np.unique(colours, axis=0)) <= sheet.COLOURS


def test_the_question_is_found_in_a_prompt() -> None:
    assert sheet.question_of("How many\nare there? Output the thinking.") == "How many are there?"
    assert sheet.question_of("Find x. Think.") == "Find x. Think."
    assert sheet.question_of("# Role\n\nLong.\n<query> Who\nis it? </query>") == "Who is it?"
    assert sheet.question_of("What is the total?\n\nThink first.") == "What is the total?"
