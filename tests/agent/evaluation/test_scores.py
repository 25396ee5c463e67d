"""From transcripts to numbers, against values worked out by hand."""

import math
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.evaluation.scores import by_tag, ends, mean_of, metrics_of, pass_at_k, passes, score, task_scores


def record(accuracy: float | None, end: str = "terminated", **more: Any) -> dict[str, Any]:
    failed = end == "failed"
    outcome = {"end": end, "score": None if failed else 0.25, "reason": more.pop("reason", "")}
    metrics = {} if accuracy is None else {"accuracy": accuracy}
    return {"outcome": outcome, "metrics": metrics, "tags": more.pop("tags", {}), "dropped": "", **more}


def numbered(*records: dict[str, Any]) -> dict[tuple[int, int], dict[str, Any]]:
    return {(index, 0): found for index, found in enumerate(records)}


def test_a_score_is_the_metric_0_without_it_and_the_return_where_there_is_no_metric() -> None:
    assert score(record(0.75), "accuracy") == 0.75
    assert score(record(None, "truncated"), "accuracy") == 0.0
    assert score(record(0.75), None) == 0.25


def test_what_the_infrastructure_broke_or_was_dropped_has_no_score() -> None:
    assert score(record(1.0, "failed"), "accuracy") is None
    assert score({**record(1.0), "dropped": "no siblings"}, "accuracy") is None


def test_a_tasks_score_is_the_mean_of_its_samples_and_a_task_counts_once() -> None:
    records = {(0, 0): record(1.0), (0, 1): record(0.0), (1, 0): record(1.0), (1, 1): record(1.0, "failed")}
    scores = task_scores(records, "accuracy", 3)
    assert scores == [0.5, 1.0, None]
    mean = mean_of(scores, 3)
    assert (mean.value, mean.tasks, mean.episodes) == (0.75, 2, 3)
    assert mean.low in (0.5, 0.75) and mean.high == 1.0


def test_a_mean_of_nothing_is_no_number() -> None:
    assert math.isnan(mean_of([None, None], 0).value)


@pytest.mark.parametrize(
    ("samples", "right", "k", "chance"),
    [
        (2, 1, 1, 1 / 2),
        (4, 1, 2, 1 / 2),  # of the 6 pairs, 3 hold the right one
        (4, 2, 2, 5 / 6),  # one pair of wrong ones
        (5, 2, 3, 9 / 10),  # one triple of wrong ones, of 10
        (4, 0, 4, 0.0),
        (4, 1, 4, 1.0),
    ],
)
def test_pass_at_k_of_small_numbers(samples: int, right: int, k: int, chance: float) -> None:
    assert pass_at_k([(samples, right)], k) == pytest.approx([chance])


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(drawn: tuple[int, int, int]) -> None:
    n, right, k = drawn
    subsets = list(combinations(range(n), k))
    share = sum(min(subset) < right for subset in subsets) / len(subsets)
    assert pass_at_k([(n, right)], k) == pytest.approx([share])


def test_pass_at_k_of_fewer_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="needs at least 3 samples of every task, got 2"):
        pass_at_k([(4, 1), (2, 1)], 3)


def test_passes_leave_out_a_task_that_lacks_a_sample() -> None:
    records = {(0, 0): record(1.0), (0, 1): record(0.0), (1, 0): record(1.0), (1, 1): record(1.0, "failed")}
    found = passes(records, "accuracy", 2, 2)
    assert {k: (mean.value, mean.tasks) for k, mean in found.items()} == {1: (0.5, 1), 2: (1.0, 1)}


def test_almost_right_does_not_pass() -> None:
    records = {(0, 0): record(0.999), (0, 1): record(0.5)}
    assert passes(records, "accuracy", 1, 2)[2].value == 0.0


def test_samples_are_told_for_powers_of_two_and_for_all() -> None:
    records = {(0, k): record(1.0) for k in range(6)}
    assert list(passes(records, "accuracy", 1, 6)) == [1, 2, 4, 6]


def test_means_by_tag_are_in_order_and_a_tag_that_splits_nothing_is_left_out() -> None:
    tags = [{"objects": n, "kind": "all", "position": i} for i, n in enumerate([10, 9, 10] * 10)]
    records = numbered(*(record(float(tag["objects"] == 9), tags=tag) for tag in tags))
    found = by_tag(records, "accuracy", 30)
    assert {value: (mean.value, mean.tasks) for value, mean in found.pop("objects").items()} == {
        "9": (1.0, 10),
        "10": (0.0, 20),
    }
    assert not found  # one kind only; 30 positions


def test_how_episodes_ended_is_counted() -> None:
    records = numbered(record(1.0), record(None, "truncated", reason="turns"), record(1.0), record(1.0, "failed"))
    assert ends(records) == {"failed": 1, "terminated": 2, "truncated: turns": 1}


def test_metrics_are_those_of_any_episode() -> None:
    assert metrics_of(numbered(record(None), {**record(1.0), "metrics": {"b": 1, "a": 0}})) == ["b", "a"]
