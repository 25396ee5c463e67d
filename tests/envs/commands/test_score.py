"""`python -m envs score` as a command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from envs.__main__ import main

ROWS = [{"pred_answer": "Paris", "gt": ["Paris", "City of Paris"]}, {"pred_answer": None, "gt": "Rome"}]


def test_a_table_shows_scores_baseline_and_published_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envs.commands.score.out.width", 160, raising=False)
    (tmp_path / "p.json").write_text(json.dumps(ROWS))
    assert main(["score", "bamboogle", str(tmp_path / "p.json"), "--partial"]) == 0
    told = capsys.readouterr().out
    assert "50.0" in told and "2 rows, 1 unanswered" in told
    assert "to all" in told and "60.2" in told  # a constant answer, and Visual-ARFT 7B


def test_json_holds_the_same_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.json").write_text(json.dumps(ROWS))
    assert main(["score", "bamboogle", str(tmp_path / "p.json"), "--protocol", "faithful", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["suite"], found["protocol"], found["rows"]) == ("bamboogle", "faithful", 2)
    assert found["groups"][0]["metrics"] == {"f1": 0.5, "exact_match": 0.5}


def test_a_malformed_file_ends_with_its_message_and_status_one(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('[{"pred_answer": 3, "gt": "x"}]')
    done = subprocess.run(
        [sys.executable, "-m", "envs", "score", "mat-search", str(tmp_path / "p.json"), "--partial"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "p.json, row 1, field 'pred_answer': expected a text, or null" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_suite_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["score", "imagenet", "p.json"])
    assert stop.value.code == 2
    assert "bamboogle" in capsys.readouterr().err


def test_scoring_loads_no_torch(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps(ROWS))
    code = (
        "import sys; from envs.__main__ import main; "
        f"main(['score', 'bamboogle', {str(tmp_path / 'p.json')!r}, '--partial', '--json']); "
        "print([m for m in ('torch', 'transformers', 'agent', 'gymnasium.envs.mujoco') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
