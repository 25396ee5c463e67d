"""Trajectories on disk come back as they were."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from agent.model.load import VLM
from agent.model.processor import image_sha256
from agent.records import read_trajectories, write_trajectories
from agent.rollout.render import Renderer
from agent.types import ImageSpan, Outcome, Row, SampledWith, Segment, Trajectory

FLOATS = st.floats(allow_nan=False)
NAMES = st.text(max_size=5)
IDS = st.lists(st.integers(0, 2**20), min_size=1, max_size=5).map(tuple)
SAMPLINGS = st.builds(
    SampledWith,
    FLOATS,
    IDS,
    st.integers(1, 99),
    st.integers(0, 2**63 - 1),
    st.integers(0, 9),
    st.sampled_from(["stop", "length"]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def trajectories(draw: st.DrawFn) -> Trajectory:
    rows = []
    for _ in range(draw(st.integers(0, 2))):
        row = Row((Segment("prompt", draw(IDS), 0),))
        for turn in range(draw(st.integers(0, 3))):
            ids = draw(IDS)
            logprobs = draw(st.none() | st.lists(FLOATS, min_size=len(ids), max_size=len(ids)).map(tuple))
            sampling, reward = draw(st.none() | SAMPLINGS), draw(st.none() | FLOATS)
            row = row.append(Segment("action", ids, turn, (), logprobs, sampling, reward))
            row = row.append(Segment("observation", draw(IDS), turn + 1))
        rows.append(row)
    outcome = draw(
        st.builds(Outcome, st.sampled_from(["terminated", "truncated"]), FLOATS, NAMES)
        | st.builds(Outcome, st.just("failed"), st.none(), st.text())
    )
    numbers = st.dictionaries(NAMES, FLOATS, max_size=3)
    return Trajectory(
        draw(st.text(max_size=9)),
        draw(st.none() | st.integers(0, 2**40)),
        draw(st.integers(0, 2**63 - 1)),
        tuple(rows),
        outcome,
        draw(numbers),
        draw(numbers),
        draw(st.dictionaries(NAMES, JSON, max_size=3)),
    )


def text(ids: tuple[int, ...]) -> str:
    return " ".join(map(str, ids))


def nothing(sha256: str) -> Any:
    raise KeyError(sha256)


@settings(max_examples=60)
@given(st.lists(trajectories(), max_size=3))
def test_what_is_written_is_read_back_exactly(written: list[Trajectory]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_trajectories(Path(folder), "step", written, nothing, text)
        assert [trajectory for trajectory, _ in read_trajectories(path)] == written


@pytest.fixture
def seen(one_renderer: Renderer, picture: Callable[..., np.ndarray]) -> Trajectory:
    """Two pictures, one of them twice."""
    row = Row((one_renderer.prompt("How many?", [picture(30, 50, 1), picture(60, 40, 2)]),))
    row = row.append(one_renderer.demonstration("three", 0))
    row = row.append(one_renderer.observation("Sure?", [picture(30, 50, 1)], 1, True))
    return Trajectory("E-v0", 3, 4, (row,), Outcome("terminated", 1.0))


def test_pictures_are_png_files_named_by_the_hash_of_their_pixels(
    seen: Trajectory, one_renderer: Renderer, tmp_path: Path
) -> None:
    path = write_trajectories(tmp_path, "step", [seen, seen], one_renderer.pixels, one_renderer.processor.decode)
    assert [trajectory for trajectory, _ in read_trajectories(path)] == [seen, seen]
    files = sorted((tmp_path / "images").iterdir())
    assert [file.name for file in files] == sorted({f"{span.sha256}.png" for span in seen.rows[0].images})
    assert len(files) == 2
    for file in files:
        with Image.open(file) as image:
            assert image.format == "PNG"
            assert image_sha256(np.asarray(image)) == file.stem


def test_a_row_that_was_read_back_is_rendered_from_its_files_as_it_was(
    seen: Trajectory, one_vlm: VLM, one_renderer: Renderer, tmp_path: Path
) -> None:
    path = write_trajectories(tmp_path, "step", [seen], one_renderer.pixels, one_renderer.processor.decode)
    ((again, _),) = read_trajectories(path)
    for span in again.rows[0].images:
        with Image.open(tmp_path / "images" / f"{span.sha256}.png") as image:
            processed = one_vlm.processor.process(np.asarray(image))
        assert (processed.sha256, processed.tokens, processed.grid) == (span.sha256, span.length, span.grid)


def test_texts_stand_beside_the_tokens(seen: Trajectory, one_renderer: Renderer, tmp_path: Path) -> None:
    path = write_trajectories(tmp_path, "step", [seen], one_renderer.pixels, one_renderer.processor.decode)
    ((_, record),) = read_trajectories(path)
    segments = record["rows"][0]["segments"]
    assert segments[1]["text"] == "three<|im_end|>"
    assert [one_renderer.processor.decode(segment["token_ids"]) for segment in segments] == [
        s["text"] for s in segments
    ]


def test_extra_fields_are_kept_with_their_trajectory(seen: Trajectory, one_renderer: Renderer, tmp_path: Path) -> None:
    extra = [{"advantage": 0.5}, {"advantage": -0.5}]
    path = write_trajectories(tmp_path, "step", [seen, seen], one_renderer.pixels, text, extra)
    assert [record["advantage"] for _, record in read_trajectories(path)] == [0.5, -0.5]


def test_as_many_extra_fields_as_trajectories_are_asked_for(
    seen: Trajectory, one_renderer: Renderer, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="shorter"):
        write_trajectories(tmp_path, "step", [seen, seen], one_renderer.pixels, text, [{"advantage": 0.5}])
    assert not (tmp_path / "step.jsonl").exists()


def test_numbers_of_numpy_become_plain_ones_and_other_things_their_text(tmp_path: Path) -> None:
    tags = {"count": np.int64(3), "share": np.float32(0.5), "flag": np.bool_(True), "where": Path("a")}
    told = Trajectory("E-v0", None, 0, (), Outcome("terminated", 0.0), tags=tags)
    ((again, _),) = read_trajectories(write_trajectories(tmp_path, "step", [told], nothing, text))
    assert again.tags == {"count": 3, "share": 0.5, "flag": True, "where": "a"}


def test_a_file_holds_one_trajectory_a_line_in_plain_ascii(
    seen: Trajectory, one_renderer: Renderer, tmp_path: Path
) -> None:
    told = Trajectory("Zählen\n-v0", None, 0, (), Outcome("truncated", 0.0, "\u2028"))
    path = write_trajectories(tmp_path, "step", [told, seen], one_renderer.pixels, lambda ids: "數\n🙂")
    lines = path.read_bytes().decode("ascii").splitlines()
    assert [json.loads(line)["env_id"] for line in lines] == ["Zählen\n-v0", "E-v0"]


def test_a_failed_write_leaves_the_older_file(seen: Trajectory, one_renderer: Renderer, tmp_path: Path) -> None:
    path = write_trajectories(tmp_path, "step", [seen], one_renderer.pixels, text)
    before = path.read_bytes()
    unknown = Row((Segment("prompt", (1,), 0, (ImageSpan(0, 1, (1, 1, 1), "unknown"),)),))
    broken = Trajectory("E-v0", 3, 4, (unknown,), Outcome("terminated", 1.0))
    with pytest.raises(KeyError):
        write_trajectories(tmp_path, "step", [seen, broken], one_renderer.pixels, text)
    assert path.read_bytes() == before
