"""Transcripts on disk."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.config import RolloutConfig
from agent.errors import RunDirectoryError
from agent.evaluation.benchmark import Benchmark
from agent.evaluation.folder import EvaluationFolder
from agent.evaluation.sitting import Sitting, slug, unique
from agent.model.picture_hash import image_sha256
from agent.rollout.environments import EnvironmentSpec

PICTURE = np.full((2, 3, 3), 5, np.uint8)


def sitting(**changed: Any) -> Sitting:
    benchmark = Benchmark("bench", "test", EnvironmentSpec("E-v0", {"a": 1}), RolloutConfig(), episodes=3)
    given = {"subject": "me", "fingerprint": {"weights": "x"}, "benchmark": benchmark, "variant": ""}
    return Sitting(**{**given, "temperature": 0.0, "samples": 1, "seed": 0, **changed})


def record(end: str = "terminated", text: str = "") -> dict[str, Any]:
    score = None if end == "failed" else 1.0
    return {"outcome": {"end": end, "score": score, "reason": ""}, "metrics": {}, "tags": {}, "rows": [], "text": text}


def test_an_ended_episode_is_there_at_once_with_its_pictures(tmp_path: Path) -> None:
    folder = EvaluationFolder(tmp_path)
    episodes = folder.open(sitting())
    wanted = sitting().episodes(3)
    episodes.keep(wanted[1], record(), {image_sha256(PICTURE): PICTURE})
    (line,) = (tmp_path / "episodes" / "me_bench_test_t0.jsonl").read_text().splitlines()
    assert {key: json.loads(line)[key] for key in ("policy", "benchmark", "split", "index", "sample", "decoding")} == {
        "policy": "me",
        "benchmark": "bench",
        "split": "test",
        "index": 1,
        "sample": 0,
        "decoding": "greedy",
    }
    assert (tmp_path / "episodes" / "images" / f"{image_sha256(PICTURE)}.png").is_file()
    assert [one.index for one in episodes.missing(wanted)] == [0, 2]


def test_what_failed_or_is_half_written_is_missing_when_the_folder_is_opened_again(tmp_path: Path) -> None:
    folder = EvaluationFolder(tmp_path)
    episodes, wanted = folder.open(sitting()), sitting().episodes(3)
    for one, end in zip(wanted, ("terminated", "failed", "truncated"), strict=True):
        episodes.keep(one, record(end), {})
    episodes.close()
    path = tmp_path / "episodes" / "me_bench_test_t0.jsonl"
    path.write_bytes(path.read_bytes()[:-1])  # even the line's end alone may be missing
    again = folder.open(sitting())
    assert [one.index for one in again.missing(wanted)] == [1, 2]
    assert len(path.read_bytes().splitlines()) == 1


def test_text_that_is_no_unicode_is_kept(tmp_path: Path) -> None:
    episodes = EvaluationFolder(tmp_path).open(sitting())
    episodes.keep(sitting().episodes(3)[0], record(text="\ud800 \u2028 \x00"), {})
    (line,) = (tmp_path / "episodes" / "me_bench_test_t0.jsonl").read_bytes().splitlines()
    assert json.loads(line)["text"] == "\ud800 \u2028 \x00"


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"seed": 1}, "seed was 0, is 1"), ({"fingerprint": {"weights": "y"}}, "fingerprint was {'weights': 'x'}")],
)
def test_episodes_of_other_settings_are_not_continued(tmp_path: Path, changed: dict[str, Any], named: str) -> None:
    folder = EvaluationFolder(tmp_path)
    folder.open(sitting())
    with pytest.raises(RunDirectoryError, match=named):
        folder.open(sitting(**changed))


def test_more_samples_and_more_concurrency_are_no_other_settings(tmp_path: Path) -> None:
    folder = EvaluationFolder(tmp_path)
    assert folder.open(sitting(temperature=1.0)).records == folder.open(sitting(temperature=1.0, samples=4)).records


def test_one_folder_has_one_writer(tmp_path: Path) -> None:
    folder = EvaluationFolder(tmp_path)
    with pytest.raises(RunDirectoryError, match="written by another process"):
        EvaluationFolder(tmp_path)
    folder.close()
    EvaluationFolder(tmp_path).close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="choose another --output"):
        EvaluationFolder(tmp_path / "file" / "inside")


def test_names_of_files_are_plain_and_long_ones_differ() -> None:
    assert slug("counting_test_t0") == "counting_test_t0"
    assert "/" not in slug("../../etc/passwd") and not slug("../x").startswith(".")
    long = [slug("x" * 300 + end) for end in "ab"]
    assert max(map(len, long)) <= 100 and long[0] != long[1]


def test_names_that_are_the_same_are_numbered() -> None:
    assert unique(["a", "b", "a", "a (2)", "a"]) == ["a", "b", "a (2)", "a (2) (2)", "a (3)"]


def test_dice_of_the_first_sample_do_not_depend_on_how_many_there_are() -> None:
    one, four = sitting(temperature=1.0).episodes(3), sitting(temperature=1.0, samples=4).episodes(3)
    assert four[:3] == one
    assert len({wanted.spec.sampling_seed for wanted in four}) == 12
    assert len({wanted.spec.seed for wanted in four}) == 3  # siblings see the same world
