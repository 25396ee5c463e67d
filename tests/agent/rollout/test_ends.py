"""How episodes ended, in numbers."""

from agent.rollout.ends import ends
from agent.types import Outcome, Row, SampledWith, Segment, Trajectory


def episode(outcome: Outcome, *stops: str | None) -> Trajectory:
    """One action for each of `stops`; None: nobody sampled it."""
    segments = [Segment("prompt", (1,), 0)]
    for turn, stop in enumerate(stops):
        sampling = None if stop is None else SampledWith(1.0, (), 1, 0, 0, stop)  # type: ignore[arg-type]
        segments += [Segment("action", (2,), turn, (), sampling and (-1.0,), sampling, 0.0)]
        segments += [Segment("observation", (3,), turn + 1)]
    return Trajectory("Test-v0", None, 0, (Row(tuple(segments)),), outcome)


def test_every_end_is_a_share_of_all_episodes_and_every_cut_turn_one_of_all_sampled_turns() -> None:
    told = ends(
        [
            episode(Outcome("terminated", 1.0), "stop", "length", "stop"),
            episode(Outcome("terminated", 0.0), None),
            episode(Outcome("truncated", 0.0, "context"), "stop"),
            episode(Outcome("truncated", 0.0, "turns"), "length"),
            episode(Outcome("truncated", 0.0, "turns")),
            episode(Outcome("truncated", 0.0, "tokens")),
            episode(Outcome("truncated", 0.0, "time"), "stop"),
            episode(Outcome("failed", None, "ContainerLost: gone"), "stop"),
        ]
    )
    assert told == {
        "end/terminated": 2 / 8,
        "end/truncated": 5 / 8,
        "end/truncated/context": 1 / 8,
        "end/truncated/time": 1 / 8,
        "end/truncated/tokens": 1 / 8,
        "end/truncated/turns": 2 / 8,
        "end/failed": 1 / 8,
        "stop/length": 2 / 7,
        "turns": 8 / 8,
    }


def test_a_reason_in_many_words_makes_no_metric_of_its_own() -> None:
    told = ends(
        [episode(Outcome("truncated", 0.0, reason)) for reason in ("the clock struck 12", "", "x" * 40, "ok-1")]
    )
    assert {name: share for name, share in told.items() if name.startswith("end/truncated/")} == {
        "end/truncated/ok-1": 0.25,
        "end/truncated/other": 0.75,
    }


def test_no_episodes_are_no_division_by_zero() -> None:
    assert set(ends([]).values()) == {0.0}
