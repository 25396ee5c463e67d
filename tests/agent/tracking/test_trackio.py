"""trackio, for real and local: what was logged is read back from its database."""

import json
import sqlite3
from pathlib import Path

from PIL import Image

from agent.tracking.samples import as_code
from tests.agent.tracking.needed import needs_trackio
from tests.agent.tracking.shown import HOSTILE, REPORT, sample, trackio_rows

pytestmark = needs_trackio


def test_everything_is_in_the_database() -> None:
    from trackio.utils import MEDIA_DIR, TRACKIO_DIR

    from agent.tracking.trackio import Trackio

    tracker = Trackio("whole", "one-1234", {"run": {"seed": 5}})
    tracker.log(7, {"reward": 0.5, "kl/k1": float("nan")})
    tracker.trajectories(7, [sample(HOSTILE, pictures=2)])
    tracker.report(REPORT)
    tracker.close()
    (_, scalars), (_, samples), (step, results) = trackio_rows("whole", "one-1234")
    assert scalars["reward"] == 0.5
    ((row),) = samples["samples"]["_value"]
    assert (row["task"], row["reward"], row["advantage"]) == (3, 0.5, -0.25)
    assert row["trajectory"] == as_code(HOSTILE)
    with Image.open(Path(MEDIA_DIR) / row["images"][1]["file_path"]) as picture:
        assert picture.size == (9, 6) and picture.convert("RGB").getpixel((0, 0)) == (80, 80, 80)
    assert step == 7 and results["test/after/greedy/accuracy"] == 0.75
    with sqlite3.connect(TRACKIO_DIR / "whole.db") as base:
        ((config,),) = base.execute("select config from configs").fetchall()
    assert json.loads(config)["run"] == {"seed": 5}


def test_a_continued_run_is_the_same_run() -> None:
    from trackio.utils import TRACKIO_DIR

    from agent.tracking.trackio import Trackio

    for step in (1, 2):
        tracker = Trackio("continued", "one-5678", {})
        tracker.log(step, {"reward": step / 10})
        tracker.close()
    assert [(step, row["reward"]) for step, row in trackio_rows("continued", "one-5678")] == [(1, 0.1), (2, 0.2)]
    with sqlite3.connect(TRACKIO_DIR / "continued.db") as base:
        assert base.execute("select count(distinct run_id) from metrics").fetchone() == (1,)
