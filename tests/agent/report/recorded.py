"""Small runs on disk for the tests of the page, written the way that a run writes them."""

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agent.model.processor import ProcessedImage
from agent.records import write_trajectories
from agent.report.page import render_page
from agent.types import ImageSpan, Outcome, Row, SampledWith, Segment, Trajectory

IMAGE = 256  # one past the bytes: the placeholder of a picture
VOID = {"meta", "img", "input", "br", "source", "rect"}


def decode(ids: Sequence[int]) -> str:
    """A tokenizer whose tokens are bytes."""
    return b"".join(b"<image>" if i == IMAGE else bytes([i]) for i in ids).decode("utf-8", "replace")


def encode(text: str) -> tuple[int, ...]:
    return tuple(text.encode("utf-8", "surrogatepass"))


def prompt(text: str = "How many?", pictures: Sequence[str] = (), **options: Any) -> Segment:
    spans = tuple(ImageSpan(4 * i, 4, (1, 2, 2), name) for i, name in enumerate(pictures))
    return Segment("prompt", (IMAGE,) * 4 * len(pictures) + encode(text), options.get("turn", 0), spans)


def action(text: str = "<answer>3</answer>", turn: int = 0, logprob: float = -0.5) -> Segment:
    ids = encode(text)
    sampled = SampledWith(1.0, (IMAGE,), 64, 17, 5, "stop")
    return Segment("action", ids, turn, logprobs=(logprob,) * len(ids), sampling=sampled, reward=0.25)


def observation(text: str, turn: int) -> Segment:
    return Segment("observation", encode(text), turn)


def trajectory(
    *segments: Segment,
    task: int | None = 0,
    score: float | None = 1.0,
    reason: str = "",
    tags: dict[str, object] | None = None,
) -> Trajectory:
    end = "failed" if score is None else "truncated" if reason else "terminated"
    row = Row(segments or (prompt(), action()))
    return Trajectory("Some/Env-v0", task, 7, (row,), Outcome(end, score, reason), {"accuracy": 1.0}, {}, tags or {})


def write(
    run: Path, name: str, trajectories: Sequence[Trajectory], side: int = 8, advantages: Sequence[float] | None = None
) -> None:
    """Write `RUN/NAME.jsonl`; each picture is noise that belongs to its name."""

    def pixels(name: str) -> ProcessedImage:
        noise = np.random.default_rng(list(name.encode())).integers(0, 256, (side, side, 3), dtype=np.uint8)
        return ProcessedImage(torch.zeros(4, 1), (1, 2, 2), 4, name, noise)

    folder, _, stem = name.rpartition("/")
    extra = None if advantages is None else [{"advantage": advantage} for advantage in advantages]
    write_trajectories(run / folder, stem, trajectories, pixels, decode, extra)


def page(run: Path, report: dict[str, Any] | None = None, metrics: Sequence[dict[str, Any]] = ()) -> str:
    return render_page(run, metrics, report or {}, decode)


class Elements(HTMLParser):
    """What a browser would see: `tags` opened, all attributes, all text, and tags that were never closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text += data
