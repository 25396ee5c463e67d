"""An environment in one file outside this repository, and a recipe beside it: the promise of the first page.

The longer test runs the command as a user does, kills it without warning, and continues it.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest
import yaml

from agent.__main__ import main
from tests.agent.run_fixtures import disk_of_one_mib, weights

REPOSITORY = Path(__file__).parents[2]

# Only what is required: two spaces, reset(seed) and step.
ENVIRONMENT = '''
"""Say letters of the first half of the alphabet."""
import os, signal
import gymnasium
import numpy as np
from gymnasium import spaces

STEPS = 0

class {name}(gymnasium.Env):
    metadata = {{"render_modes": []}}
    observation_space = spaces.Dict(
        {{"text": spaces.Text(100), "images": spaces.Sequence(spaces.Box(0, 255, (28, 28, 3), np.uint8))}}
    )
    action_space = spaces.Text(10000)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return {{"text": "early letters?", "images": (self.np_random.integers(0, 256, (28, 28, 3), np.uint8),)}}, {{}}

    def step(self, action):
        global STEPS
        STEPS += 1
        if str(STEPS) == os.environ.get("KILLED_AT_STEP"):
            os.kill(os.getpid(), signal.SIGKILL)
        reward = sum(c.lower() < "n" for c in action) / max(1, len(action))
        return {{"text": "", "images": ()}}, reward, True, False, {{}}

{solve}
gymnasium.register("{namespace}/Letters-v0", {name})
'''

SOLVE = """
    def solve(self):
        return ["abc"]
"""


def recipe(namespace: str, module: str, **areas: object) -> dict[str, object]:
    return {
        "env": {"id": f"{namespace}/Letters-v0"},
        "modules": [module],
        "model": {
            "path": "tiny",
            "device": "cpu",
            "tiny": {"hidden": 32, "feed_forward": 64, "layers": 1, "vision_layers": 1, "vocabulary": 300},
        },
        "rollout": {"prompts_per_step": 2, "group_size": 3, "max_turn_tokens": 4, "max_row_tokens": 64, "threads": 1},
        "optimizer": {"steps": 3, "lr": 0.003},
        "evaluation": {"validate_every": 0, "test_episodes": 4, "sampled": False},
        "run": {"name": "letters", "save_every": 1},
    } | areas


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    registered = set(gymnasium.registry)
    yield
    for new in set(gymnasium.registry) - registered:
        del gymnasium.registry[new]


def written(folder: Path, module: str, namespace: str, solve: str = "", **areas: object) -> Path:
    folder.mkdir(exist_ok=True)
    text = ENVIRONMENT.format(name="Letters", namespace=namespace, solve=solve)
    (folder / f"{module}.py").write_text(text)
    (folder / "own.yaml").write_text(yaml.safe_dump(recipe(namespace, module, **areas)))
    return folder / "own.yaml"


def timeless(folder: Path) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if not name.startswith(("seconds/", "memory/"))} for line in lines
    ]


def test_killed_without_warning_and_continued_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """kill -9 in the middle of step 3 (4 episodes of the test, then 6 a step), then the same command again, in another
    process; and once more in another folder without any disturbance."""
    folder = tmp_path / "project"
    written(folder, "killed_letters", "Killed")
    monkeypatch.chdir(folder)
    environment = os.environ | {"KILLED_AT_STEP": str(4 + 6 + 6 + 3), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "agent", "train", "own.yaml"]
    killed = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    run = folder / "runs" / "letters"
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"step_0", "step_1", "step_2"}
    assert not (run / "report.json").exists()
    assert main(["train", "own.yaml"]) == 0
    assert "after step 2" in capsys.readouterr().out
    assert main(["train", "own.yaml", "--run.folder", "elsewhere"]) == 0
    other = folder / "elsewhere" / "letters"
    assert weights(run, 3) == weights(other, 3)
    assert weights(run, 3) != weights(run, 0)
    assert timeless(run) == timeless(other)
    assert (run / "rollouts" / "step_000001.jsonl").read_bytes() == (
        other / "rollouts" / "step_000001.jsonl"
    ).read_bytes()


def test_an_environment_with_only_the_required_parts_trains_and_is_reported_by_its_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The module stands beside the recipe, and the command is given from elsewhere."""
    path = written(tmp_path / "project", "bare_letters", "Bare")
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(path), "--optimizer.steps", "2"]) == 0
    report = json.loads((tmp_path / "runs" / "letters" / "report.json").read_text())
    assert {row["metric"] for row in report["rows"]} == {"return"}
    assert {row["name"] for row in report["rows"]} == {"before", "after"}
    assert "after" in capsys.readouterr().out
    assert (tmp_path / "runs" / "letters" / "report.html").exists()


def test_with_an_expert_and_without_splits_it_can_be_demonstrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cold = {"sources": [{"demonstrator": "solve"}], "max_steps": 2, "batch_size": 2, "stop_at": 1.0}
    written(tmp_path, "expert_letters", "Expert", SOLVE, cold_start=cold)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("agent.run.write_report", lambda *_: None)
    assert main(["train", "own.yaml", "--optimizer.steps", "1"]) == 0
    report = json.loads((tmp_path / "runs" / "letters" / "report.json").read_text())
    assert {row["name"]: row["value"] for row in report["rows"]}["oracle"] == 1.0


@pytest.mark.parametrize("damage", ["import nothing_of_that_name", "raise RuntimeError('half done')", "def ("])
def test_a_module_that_cannot_be_imported_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    module = f"damaged_{abs(hash(damage))}"
    written(tmp_path, module, "Damaged")
    (tmp_path / f"{module}.py").write_text(damage)
    monkeypatch.chdir(tmp_path)
    assert main(["train", "own.yaml"]) == 1
    assert f"modules: '{module}' cannot be imported" in capsys.readouterr().err


def test_interrupted_by_the_keyboard_the_status_is_130_and_a_checkpoint_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, "interrupted_letters", "Interrupted")
    source = tmp_path / "interrupted_letters.py"
    source.write_text(source.read_text().replace("signal.SIGKILL", "signal.SIGINT"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KILLED_AT_STEP", "7")
    assert main(["train", "own.yaml"]) == 130
    assert "saved after step 1" in capsys.readouterr().out
    assert (tmp_path / "runs" / "letters" / "checkpoints" / "step_1").is_dir()
    monkeypatch.delenv("KILLED_AT_STEP")


def test_a_disk_that_is_full_from_the_start_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path / "project", "full_letters", "Full")
    monkeypatch.chdir(tmp_path / "project")
    (tmp_path / "disk").mkdir()
    with disk_of_one_mib(tmp_path / "disk"):
        (tmp_path / "disk" / "filler").write_bytes(b"x" * 900_000)
        assert main(["train", "own.yaml", "--run.folder", str(tmp_path / "disk")]) == 1
        error = capsys.readouterr().err
        assert "No space left" in error or "os error 28" in error or "unexpected pos" in error
        assert "Traceback" not in error
        assert not list((tmp_path / "disk").rglob("step_*"))
