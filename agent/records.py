"""Trajectories on disk: JSON lines beside PNG files named by content hash. What is written can be read back exactly.

(Tags can be anything; of these, what JSON has no form for becomes its text, and a tuple a list.)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .model.processor import ProcessedImage
from .types import ImageSpan, Outcome, Row, SampledWith, Segment, Trajectory


def write_trajectories(
    folder: Path,
    name: str,
    trajectories: Iterable[Trajectory],
    pixels: Callable[[str], ProcessedImage],
    text: Callable[[tuple[int, ...]], str],
    extra: Iterable[dict[str, Any]] | None = None,
) -> Path:
    """Write `folder/NAME.jsonl` and the pictures under `folder/images/`; returns the file.

    Args:
        pixels: The picture with a given hash.
        text: What token ids say, kept beside them for the reader's sake; tokens remain the truth.
        extra: More fields for each trajectory, such as its advantage.
    """
    path = folder / f"{name}.jsonl"
    partial = path.with_suffix(".partial")
    trajectories = list(trajectories)
    folder.mkdir(parents=True, exist_ok=True)
    with partial.open("w") as file:
        for trajectory, fields in zip(trajectories, extra or ({} for _ in trajectories), strict=True):
            file.write(line({**record_of(trajectory, text), **fields}))
            write_pictures(folder, {span.sha256: pixels(span.sha256).original for span in spans(trajectory)})
    partial.replace(path)
    return path


def record_of(trajectory: Trajectory, text: Callable[[tuple[int, ...]], str]) -> dict[str, Any]:
    """A trajectory as plain data, with what its tokens say."""
    record = asdict(trajectory)
    for row, row_record in zip(trajectory.rows, record["rows"], strict=True):
        for segment, segment_record in zip(row.segments, row_record["segments"], strict=True):
            segment_record["text"] = text(segment.token_ids)
    return record


def line(record: Mapping[str, Any]) -> str:
    """A record as its line of a file."""
    return json.dumps(record, default=_plain) + "\n"


def spans(trajectory: Trajectory) -> Iterator[ImageSpan]:
    """Every place of a picture in a trajectory."""
    return (span for row in trajectory.rows for span in row.images)


def write_pictures(folder: Path, pictures: Mapping[str, np.ndarray]) -> None:
    """Pictures by their hash, under `folder/images/`; one that is there already is not written again."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for sha256, picture in pictures.items():
        _write_picture(folder / "images" / f"{sha256}.png", picture)


def read_trajectories(path: Path) -> Iterator[tuple[Trajectory, dict[str, Any]]]:
    """Trajectories of a file in order, each with its whole record (texts and extra fields included)."""
    with path.open() as file:
        for line in file:
            record = json.loads(line)
            yield _trajectory(record), record


def as_read(trajectory: Trajectory) -> Trajectory:
    """A trajectory as it will be read back."""
    return _trajectory(json.loads(json.dumps(asdict(trajectory), default=_plain)))


def _write_picture(path: Path, array: np.ndarray) -> None:
    if not path.exists():
        partial = path.with_suffix(".partial")
        Image.fromarray(array).save(partial, format="PNG")
        partial.replace(path)


def _plain(value: object) -> object:
    """Environments put NumPy numbers into their tags; anything else that JSON has no form for is named by its text."""
    return value.item() if isinstance(value, np.generic) else str(value)


def _trajectory(record: dict[str, Any]) -> Trajectory:
    return Trajectory(
        record["env_id"],
        record["task"],
        record["seed"],
        tuple(Row(tuple(_segment(segment) for segment in row["segments"])) for row in record["rows"]),
        Outcome(**record["outcome"]),
        record["rewards"],
        record["metrics"],
        record["tags"],
        record.get("dropped", ""),
    )


def _segment(record: dict[str, Any]) -> Segment:
    sampling = record["sampling"]
    return Segment(
        record["kind"],
        tuple(record["token_ids"]),
        record["turn"],
        tuple(ImageSpan(s["start"], s["length"], tuple(s["grid"]), s["sha256"]) for s in record["images"]),
        None if record["logprobs"] is None else tuple(record["logprobs"]),
        None if sampling is None else SampledWith(**{**sampling, "banned_ids": tuple(sampling["banned_ids"])}),
        record["reward"],
    )
