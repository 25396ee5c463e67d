"""The token-level process as data."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.types import ImageSpan, Outcome, Row, SampledWith, Segment, Trajectory, TrajectoryGroup

IMAGE = 9  # the placeholder's id in these tests; other tokens are below it
SAMPLED = SampledWith(1.0, (3,), 8, 5, 0, "stop")


@st.composite
def observed(draw: st.DrawFn, kind: str, turn: int) -> Segment:
    """A prompt or an observation with up to three images."""
    ids: list[int] = []
    spans = []
    for k in range(draw(st.integers(0, 3))):
        ids += draw(st.lists(st.integers(0, 8), min_size=1, max_size=4))
        rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        spans.append(ImageSpan(len(ids), rows * columns, (1, rows, columns), f"{kind}{turn}{k}"))
        ids += [IMAGE] * (rows * columns)
    ids += draw(st.lists(st.integers(0, 8), min_size=1, max_size=4))
    return Segment(kind, tuple(ids), turn, tuple(spans))  # type: ignore[arg-type]


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    """A row as it grows: after the prompt, after each action and each observation."""
    grown = [Row((draw(observed("prompt", 0)),))]
    for turn in range(draw(st.integers(0, 4))):
        tokens = tuple(draw(st.lists(st.integers(0, 8), min_size=1, max_size=5)))
        grown.append(grown[-1].append(Segment("action", tokens, turn, (), (-1.0,) * len(tokens), SAMPLED, 0.5)))
        grown.append(grown[-1].append(draw(observed("observation", turn + 1))))
    return grown


@given(rows())
def test_the_tokens_of_a_turn_are_a_prefix_of_those_of_the_next(grown: list[Row]) -> None:
    for before, after in pairwise(grown):
        assert after.token_ids[: len(before)] == before.token_ids
        assert after.collapsed[: len(before.collapsed)] == before.collapsed
        assert after.images[: len(before.images)] == before.images


@given(rows())
def test_the_action_mask_is_true_at_the_tokens_of_actions_and_nowhere_else(grown: list[Row]) -> None:
    row, position = grown[-1], 0
    assert len(row.action_mask) == len(row) == len(row.token_ids)
    for segment in row.segments:
        for token in segment.token_ids:
            assert row.token_ids[position] == token
            assert row.action_mask[position] == (segment.kind == "action")
            position += 1


@given(rows())
def test_spans_of_a_row_lie_exactly_on_its_placeholders(grown: list[Row]) -> None:
    row = grown[-1]
    covered = [i for span in row.images for i in range(span.start, span.start + span.length)]
    assert covered == [i for i, token in enumerate(row.token_ids) if token == IMAGE]


@given(rows())
def test_the_collapsed_view_has_one_placeholder_an_image_and_every_other_token(grown: list[Row]) -> None:
    row = grown[-1]
    assert row.collapsed.count(IMAGE) == len(row.images)
    assert [t for t in row.collapsed if t != IMAGE] == [t for t in row.token_ids if t != IMAGE]


@given(rows())
def test_actions_of_a_row_hold_every_token_under_its_mask(grown: list[Row]) -> None:
    row = grown[-1]
    said = [token for action in row.actions for token in action.token_ids]
    assert said == [token for token, trained in zip(row.token_ids, row.action_mask, strict=True) if trained]


@pytest.mark.parametrize("kinds", ["a", "o", "pp", "po", "paa", "paoo", "pap"])
def test_segments_alternate_after_one_prompt(kinds: str) -> None:
    names = {"p": "prompt", "a": "action", "o": "observation"}
    with pytest.raises(ValueError, match="prompt"):
        Row(tuple(Segment(names[k], (1,), 0) for k in kinds))  # type: ignore[arg-type]


def test_turns_never_go_back() -> None:
    with pytest.raises(ValueError, match="turn 0 cannot follow turn 1"):
        Row((Segment("prompt", (1,), 1), Segment("action", (2,), 0)))


def test_a_row_cannot_be_empty() -> None:
    with pytest.raises(ValueError, match="begins with a prompt"):
        Row(())


@pytest.mark.parametrize("field", [{"logprobs": (-1.0,)}, {"sampling": SAMPLED}, {"reward": 1.0}])
@pytest.mark.parametrize("kind", ["prompt", "observation"])
def test_only_actions_are_sampled_and_rewarded(kind: str, field: dict) -> None:
    with pytest.raises(ValueError, match="only actions"):
        Segment(kind, (1,), 0, **field)  # type: ignore[arg-type]


def test_an_action_holds_no_image() -> None:
    with pytest.raises(ValueError, match="cannot hold images"):
        Segment("action", (9,), 0, (ImageSpan(0, 1, (1, 1, 1), "x"),))


def test_every_token_of_an_action_has_a_log_probability() -> None:
    with pytest.raises(ValueError, match="1 log-probabilities for 2 tokens"):
        Segment("action", (1, 2), 0, (), (-1.0,), SAMPLED)


@pytest.mark.parametrize("spans", [[(0, 2), (1, 1)], [(2, 1), (0, 1)], [(2, 2)]], ids=["overlap", "order", "beyond"])
def test_spans_are_in_order_inside_their_segment(spans: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="image span"):
        Segment("prompt", (9, 9, 9), 0, tuple(ImageSpan(s, n, (1, 1, n), "x") for s, n in spans))


@pytest.mark.parametrize(("start", "length"), [(-1, 1), (0, 0)])
def test_a_span_is_not_empty(start: int, length: int) -> None:
    with pytest.raises(ValueError, match="start >= 0 and length >= 1"):
        ImageSpan(start, length, (1, 1, 1), "x")


@pytest.mark.parametrize(("end", "score"), [("failed", 0.0), ("terminated", None), ("truncated", None)])
def test_only_a_failed_episode_has_no_score(end: str, score: float | None) -> None:
    with pytest.raises(ValueError, match="failed episode has no score"):
        Outcome(end, score)  # type: ignore[arg-type]


def test_siblings_share_environment_task_and_seed() -> None:
    def trajectory(task: int, seed: int) -> Trajectory:
        return Trajectory("E-v0", task, seed, (), Outcome("terminated", 0.0))

    TrajectoryGroup((trajectory(1, 2), trajectory(1, 2)))
    for other in (trajectory(0, 2), trajectory(1, 3)):
        with pytest.raises(ValueError, match="siblings share"):
            TrajectoryGroup((trajectory(1, 2), other))
