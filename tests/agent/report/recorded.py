"""Small runs on disk for the tests of the page, written as a run writes them; and what a page of them holds."""

import json
import re
import zlib
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agent.model.processor import ProcessedImage
from agent.records import write_trajectories
from agent.report.folders import read_folder, read_run
from agent.report.page import render_page
from agent.report.tokens import Decode
from agent.types import ImageSpan, Outcome, Row, SampledWith, Segment, Trajectory

IMAGE = 256  # one past the bytes: the placeholder of a picture
BLOCK = re.compile(r'<script type="([^"]*)" id="([^"]*)">(.*?)</script>', re.DOTALL)


def decode(ids: Sequence[int]) -> str:
    """A tokenizer whose tokens are bytes."""
    return b"".join(b"<image>" if i == IMAGE else bytes([i]) for i in ids).decode("utf-8", "replace")


def encode(text: str) -> tuple[int, ...]:
    return tuple(text.encode("utf-8", "surrogatepass"))


def prompt(text: str = "How many?", pictures: Sequence[str] = (), **options: Any) -> Segment:
    spans = tuple(ImageSpan(4 * i, 4, (1, 2, 2), name) for i, name in enumerate(pictures))
    return Segment("prompt", (IMAGE,) * 4 * len(pictures) + encode(text), options.get("turn", 0), spans)


def action(text: str = "<answer>3</answer>", turn: int = 0, logprob: float = -0.5, stop: str = "stop") -> Segment:
    ids = encode(text)
    sampled = SampledWith(1.0, (IMAGE,), 64, 17, 5, stop)  # type: ignore[arg-type]
    return Segment("action", ids, turn, logprobs=(logprob,) * len(ids), sampling=sampled, reward=0.25)


def observation(text: str, turn: int) -> Segment:
    return Segment("observation", encode(text), turn)


def trajectory(
    *segments: Segment,
    task: int | None = 0,
    score: float | None = 1.0,
    reason: str = "",
    tags: dict[str, object] | None = None,
    seed: int = 7,
) -> Trajectory:
    end = "failed" if score is None else "truncated" if reason else "terminated"
    row = Row(segments or (prompt(), action()))
    return Trajectory("Some/Env-v0", task, seed, (row,), Outcome(end, score, reason), {"accuracy": 1.0}, {}, tags or {})


def write(
    run: Path,
    name: str,
    trajectories: Sequence[Trajectory],
    side: int = 8,
    advantages: Sequence[float] | None = None,
    extra: Sequence[dict[str, Any]] | None = None,
) -> None:
    """Write `RUN/NAME.jsonl`; each picture is noise that belongs to its name."""

    def pixels(name: str) -> ProcessedImage:
        noise = np.random.default_rng(list(name.encode())).integers(0, 256, (side, side, 3), dtype=np.uint8)
        return ProcessedImage(torch.zeros(4, 1), (1, 2, 2), 4, name, noise)

    folder, _, stem = name.rpartition("/")
    if advantages is not None:
        extra = [{"advantage": advantage} for advantage in advantages]
    write_trajectories(run / folder, stem, trajectories, pixels, decode, extra)


def record(**changes: Any) -> dict[str, Any]:
    """A record as it stands in a file, of one prompt and one action "ab"; `changes` replace its fields."""
    sampling = {
        "temperature": 1.0,
        "banned_ids": [1],
        "max_tokens": 9,
        "seed": 3,
        "weight_version": 2,
        "stop_reason": "stop",
    }
    asked = {
        "kind": "prompt",
        "token_ids": [63],
        "turn": 0,
        "images": [],
        "logprobs": None,
        "sampling": None,
        "reward": None,
    }
    did = {
        **asked,
        "kind": "action",
        "token_ids": [97, 98],
        "logprobs": [-0.5, -1.5],
        "sampling": sampling,
        "reward": 1.0,
    }
    return {
        "env_id": "Some/Env-v0",
        "task": 4,
        "seed": 2**60,
        "rows": [{"segments": [{**asked, "text": "?"}, {**did, "text": "ab"}]}],
        "outcome": {"end": "terminated", "score": 1.0, "reason": ""},
        "rewards": {},
        "metrics": {},
        "tags": {},
        "dropped": "",
        **changes,
    }


def write_lines(path: Path, *lines: Any) -> Path:
    """Write records, or texts as they are, one a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def page(
    run: Path,
    report: dict[str, Any] | None = None,
    metrics: Sequence[dict[str, Any]] = (),
    spoken: Decode | None = decode,
    **budgets: int,
) -> str:
    """The page of a run with this report and these metrics."""
    folder = replace(read_run(run, report or {}), metrics=tuple(metrics))
    return render_page([(folder, spoken)], **budgets)


def page_of(*folders: Path, spoken: Decode | None = decode) -> str:
    return render_page([(read_folder(folder), spoken) for folder in folders])


class Held:
    """What a page holds: its `index`, `entries` (as mappings), `wholes` (unpacked) and `pictures`."""

    def __init__(self, html: str) -> None:
        self.blocks = {name: text for _, name, text in BLOCK.findall(html)}
        self.index = json.loads(self.blocks["index"])
        self.entries = [dict(zip(self.index["columns"], row, strict=True)) for row in self.index["rows"]]
        self.wholes = [
            json.loads(zlib.decompress(b64decode(text))) for name, text in self.blocks.items() if name[0] == "t"
        ]
        self.pictures = [text for name, text in self.blocks.items() if name[0] == "p"]
        self.overview = self.index["folders"][0]
