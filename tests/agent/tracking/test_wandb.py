"""Weights & Biases, for real and offline: what was logged is read back from its files."""

import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.agent.tracking.needed import needs_wandb
from tests.agent.tracking.shown import HOSTILE, REPORT, sample, wandb_history, wandb_runs, wandb_summary

pytestmark = needs_wandb
WITHOUT_LOGIN = """
import sys
from pathlib import Path
from agent.tracking.wandb import WandB
told = []
tracker = WandB(Path(sys.argv[1]), "p", "one", "one-1", {}, told.append)
tracker.log(1, {"reward": 0.5})
tracker.close()
print(told[0])
"""


def test_everything_is_in_the_files_of_an_offline_run(tmp_path: Path) -> None:
    from agent.tracking.wandb import WandB

    tracker = WandB(tmp_path, "some project", "one", "one-1234", {"run": {"seed": 5}})
    tracker.log(7, {"reward": 0.5, "kl/k1": float("nan")})
    tracker.trajectories(7, [sample(HOSTILE, pictures=2), sample(pictures=1)])
    tracker.report(REPORT)
    tracker.close()
    (run,) = wandb_runs(tmp_path)
    assert (run.run_id, run.project, run.display_name) == ("one-1234", "some project", "one")
    assert {u.key: json.loads(u.value_json) for u in run.config.update}["run"] == {"seed": 5}
    scalars, samples, results = wandb_history(tmp_path)
    assert (scalars["step"], scalars["reward"]) == (7, 0.5) and scalars["kl/k1"] != scalars["kl/k1"]
    assert (samples["step"], samples["samples/nrows"], samples["pictures/count"]) == (7, 2, 3)
    (files,) = tmp_path.glob("wandb/offline-run-*/files")
    table = json.loads((files / samples["samples/path"]).read_text())
    assert table["columns"] == ["task", "seed", "reward", "advantage", "end", "trajectory", "image 1", "image 2"]
    assert table["data"][0][:6] == [3, 7, 0.5, -0.25, "terminated", HOSTILE]
    with Image.open(files / samples["pictures/filenames"][1]) as picture:
        assert picture.size == (9, 6) and picture.convert("RGB").getpixel((0, 0)) == (80, 80, 80)
    assert wandb_summary(tmp_path)["test/after/greedy/accuracy"] == 0.75
    assert json.loads((files / results["results/path"]).read_text())["data"][2][0] == "after"


def test_a_continued_run_is_the_same_run_and_may_go_back(tmp_path: Path) -> None:
    from agent.tracking.wandb import WandB

    for steps in ((1, 2, 3), (2,)):
        tracker = WandB(tmp_path, "p", "one", "one-5678", {})
        for step in steps:
            tracker.log(step, {"reward": step / 10})
        tracker.close()
    assert [run.run_id for run in wandb_runs(tmp_path)] == ["one-5678"] * 2
    assert [line["step"] for line in wandb_history(tmp_path)] == [1, 2, 3, 2]


def test_without_a_login_the_run_is_kept_offline_and_it_is_told(tmp_path: Path) -> None:
    home = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")} | {"HOME": str(tmp_path / "home")}
    command = [sys.executable, "-c", WITHOUT_LOGIN, str(tmp_path)]
    done = subprocess.run(command, env=home, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "`wandb sync` uploads it" in done.stdout and "no login" in done.stdout
    assert [line["reward"] for line in wandb_history(tmp_path)] == [0.5]
