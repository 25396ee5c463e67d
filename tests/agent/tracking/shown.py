"""What tests of trackers send, and how what was kept is read back."""

import json
import sqlite3
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from agent.tracking.samples import Sample

# What an environment or a policy might write to get out of a page.
HOSTILE = (
    "# heading\n```\n<script>alert(1)</script>\r    x\r\n\n[a](javascript:b) ![i](http://x/y.png)\n"
    "<img src=x onerror=alert(1)>\u2028</code></pre><b>\x0b\x0c\x85&lt;i&gt; ]]> \x1b[31m\u202e | **s**"
)
REPORT: dict[str, Any] = {
    "seconds": 12.5,
    "rows": [
        {
            "name": name,
            "env_id": "Some/Env-v0",
            "decoding": decoding,
            "metric": "accuracy",
            "value": value,
            "low": value - 0.1,
            "high": value + 0.1,
            "episodes": 8,
            "seed": 0,
        }
        for name, decoding, value in (("blind", "none", 0.125), ("before", "greedy", 0.25), ("after", "greedy", 0.75))
    ],
    "paired_differences": [{"decoding": "greedy", "value": 0.5, "low": 0.25, "high": 0.75}],
}


def sample(text: str = "[prompt]\nHow many?", pictures: int = 1) -> Sample:
    images = tuple(np.full((6, 9, 3), 40 * i, np.uint8) for i in range(1, pictures + 1))
    return Sample(3, 7, text, images, 0.5, -0.25, "terminated")


def wandb_history(folder: Path) -> list[dict[str, Any]]:
    """What was logged, call by call, from the files that an offline run keeps, oldest run first."""
    return [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in _wandb_records(folder)
        if record.WhichOneof("record_type") == "history"
    ]


def wandb_summary(folder: Path) -> dict[str, Any]:
    updates = [r.summary.update for r in _wandb_records(folder) if r.WhichOneof("record_type") == "summary"]
    return {"/".join(u.nested_key) or u.key: json.loads(u.value_json) for found in updates for u in found}


def wandb_runs(folder: Path) -> list[Any]:
    """The run of each file: run_id, project, display_name, config."""
    return [r.run for r in _wandb_records(folder) if r.WhichOneof("record_type") == "run"]


def trackio_rows(project: str, run: str) -> list[tuple[int, dict[str, Any]]]:
    """(step, metrics) of every call, in order."""
    from trackio.utils import TRACKIO_DIR

    with sqlite3.connect(TRACKIO_DIR / f"{project}.db") as base:
        found = base.execute("select step, metrics from metrics where run_name = ? order by id", (run,)).fetchall()
    return [(step, json.loads(metrics)) for step, metrics in found]


def _wandb_records(folder: Path) -> Iterator[Any]:
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        until = time.monotonic() + 20
        # Its service writes the end of a file when the run has already been told that it is finished.
        while not any(r.WhichOneof("record_type") == "exit" for r in _records(path)) and time.monotonic() < until:
            time.sleep(0.05)
        yield from _records(path)


def _records(path: Path) -> Iterator[Any]:
    """The records of one of wandb's files: after a header of 7 bytes, the log format of LevelDB."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, parts = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        if (left := 32768 - position % 32768) < 7:  # the end of a block holds no header
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record
