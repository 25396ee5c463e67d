"""Broken episodes: how they are counted, what they take with them, and the pause when there are too many."""

import json
import math
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import gymnasium
import pytest

from agent.collect import collect
from agent.config import Config, FailuresConfig
from agent.errors import ConfigError, OutageError
from agent.failures import LONELY, Tally, action_kind, check, tally, wait_out, without_lonely
from agent.records import read_trajectories
from agent.run import run
from agent.train import validate
from agent.types import Outcome, Row, Segment, Trajectory, TrajectoryGroup
from tests.agent.run_fixtures import BrokenSandboxError, Hooks, quiet, small_config, weights
from tests.agent.test_run import finish, timeless
from tests.agent.test_train import prepared

DONE = Outcome("terminated", 1.0)
STEP = 12  # environment steps of a step: 2 groups of 3 episodes of 2 turns


def played(*actions: str, outcome: Outcome = DONE) -> Trajectory:
    """An episode with these actions, a token a character; none: it broke at its beginning."""
    if not actions:
        return Trajectory("X", 0, 0, (), outcome)
    row = Row((Segment("prompt", (1,), 0),))
    for turn, action in enumerate(actions):
        row = row.append(Segment("action", tuple(map(ord, action)), turn))
        if turn + 1 < len(actions):
            row = row.append(Segment("observation", (2,), turn + 1))
    return Trajectory("X", 0, 0, (row,), outcome)


def text(ids: Sequence[int]) -> str:
    return "".join(map(chr, ids))


def lost(why: str = "Lost: gone") -> Outcome:
    return Outcome("failed", None, why)


@pytest.fixture(autouse=True)
def no_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("agent.run.write_report", lambda *_: None)
    Hooks.set(None)
    yield
    Hooks.set(None)


# Counting.


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("<think>a</think><search>red tower</search>", "search"),
        ("<think>a</think>\n<Code>print(1 < 2)</Code>", "code"),
        ("<think>a</think><code>cut off", "code"),
        ("<tool_call>{}</tool_call>", "tool_call"),
        ("four", "text"),
        ("", "text"),
        ("<" + "x" * 99 + ">", "text"),
        ("1 < 2 > 0", "text"),
    ],
)
def test_an_action_is_named_by_its_last_tag(action: str, kind: str) -> None:
    assert action_kind(action) == kind


def test_failures_are_counted_by_cause_and_by_the_action_before_them() -> None:
    found = tally(
        [
            played("<a>x</a>", "<b>x</b>", outcome=lost()),
            played("<a>x</a>", "<a>x</a>", "<b>x</b>"),
            played("<a>x</a>", outcome=lost("QueueTimeout: no lane: busy")),
            played(outcome=lost()),
            played("y"),
        ],
        text,
    )
    assert found == Tally(5, {"Lost": 2, "QueueTimeout": 1}, {"b": 1 / 2, "a": 1 / 4, "reset": 1 / 5}, "Lost: gone")
    assert found.metrics == {
        "failed": 3 / 5,
        "failed/cause/Lost": 2.0,
        "failed/cause/QueueTimeout": 1.0,
        "failed/after/b": 1 / 2,
        "failed/after/a": 1 / 4,
        "failed/after/reset": 1 / 5,
    }


def test_without_a_failure_no_action_is_read_and_no_share_is_above_nothing() -> None:
    def unread(ids: Sequence[int]) -> str:
        raise AssertionError("decoding every action of every step costs time")

    assert tally([played("<a>x</a>")], unread).metrics == {"failed": 0.0}
    assert tally([], unread).metrics == {"failed": 0.0}


# Groups.


@pytest.mark.parametrize(
    ("outcomes", "valid"),
    [
        ([DONE, DONE, lost()], [True, True, False]),
        ([lost(), DONE, lost()], [False, False, False]),
        ([DONE, lost()], [False, False]),
        ([lost(), lost()], [False, False]),
        ([DONE], [True]),
        ([lost()], [False]),
    ],
)
def test_a_group_stands_with_two_or_falls(outcomes: list[Outcome], valid: list[bool]) -> None:
    group = TrajectoryGroup(tuple(played("x", outcome=outcome) for outcome in outcomes))
    left = without_lonely(group)
    assert [t.valid for t in left.trajectories] == valid
    assert [t.outcome for t in left.trajectories] == outcomes
    assert {t.dropped for t in left.trajectories if t.outcome == DONE and not t.valid} <= {LONELY}


def test_a_dropped_trajectory_is_recorded_with_its_score_and_the_reason(tmp_path: Path) -> None:
    config = small_config(
        tmp_path, env={"train": {"fault": "sandbox"}}, optimizer={"steps": 4}, evaluation={"test_episodes": 0}
    )
    done = finish(config)
    seen = 0
    for step in range(1, 5):
        for trajectory, record in read_trajectories(done.folder / "rollouts" / f"step_{step:06d}.jsonl"):
            if record["dropped"]:
                assert (trajectory.dropped, trajectory.valid) == (LONELY, False)
                assert trajectory.outcome.score is not None and record["advantage"] == 0.0
                seen += 1
    assert seen


def test_what_an_episode_told_before_it_broke_is_in_no_mean(tmp_path: Path) -> None:
    """Its last turn paid nothing yet, and that is no result."""
    config = small_config(tmp_path, env={"train": {"fault": "sandbox"}}, rollout={"group_size": 6})
    done = finish(config)
    counted = 0
    for step, line in enumerate(timeless(done.folder), 1):
        read = [t for t, _ in read_trajectories(done.folder / "rollouts" / f"step_{step:06d}.jsonl")]
        told = [t.rewards["evenness"] for t in read if t.valid]
        counted += sum("evenness" in t.rewards for t in read if not t.valid)
        assert line["reward/evenness"] == pytest.approx(sum(told) / len(told))
    assert counted


def test_a_validation_of_which_nothing_is_left_is_no_score(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path, env={"validation": {"fault": "always sandbox"}})
    assert math.isnan(validate(config, parts, 3))


# The pause.


def outage(first: int, failures: int) -> None:
    """From environment step `first` on, calls fail until so many have."""
    left = [failures]

    def step(count: int) -> None:
        if count >= first and left[0]:
            left[0] -= 1
            raise BrokenSandboxError("the service is down")

    Hooks.set(step)


def patient(folder: Path, name: str = "run", **failures: float) -> Config:
    return small_config(
        folder,
        name,
        rollout={"threads": 1},
        evaluation={"test_episodes": 0, "validate_every": 0},
        run={"save_every": 100},
        failures={"max_share": 0.5, "retries": 3, "wait": 0.0, **failures},
    )


def undisturbed(lines: list[dict]) -> list[dict]:
    return [{name: value for name, value in line.items() if name != "failed/pauses"} for line in lines]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without an outage."""
    Hooks.set(None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agent.run.write_report", lambda *_: None)
        return finish(patient(tmp_path_factory.mktemp("runs"))).folder


def test_an_outage_that_is_waited_out_leaves_no_trace(whole: Path, tmp_path: Path) -> None:
    outage(STEP + 1, 12)  # the second step is played twice in vain: each of its 6 episodes fails in its first turn
    done = finish(patient(tmp_path))
    assert weights(done.folder, 3) == weights(whole, 3)
    assert undisturbed(timeless(done.folder)) == undisturbed(timeless(whole))
    assert [line["failed/pauses"] for line in timeless(done.folder)] == [0.0, 2.0, 0.0]
    assert done.told.count("warning:") == 2
    told = "step 2: 6 of 6 episodes failed at the infrastructure (BrokenSandboxError 6; the first: "
    assert told in done.told and "the service is down" in done.told and "(2 of 3)" in done.told


def test_a_run_whose_service_stays_down_is_saved_says_so_and_can_be_continued(whole: Path, tmp_path: Path) -> None:
    config = patient(tmp_path)
    outage(STEP + 1, 10**6)
    with pytest.raises(OutageError) as caught:
        run(config, quiet()[0])
    message = str(caught.value)
    assert message.startswith("step 2: 6 of 6 episodes failed at the infrastructure (BrokenSandboxError 6; the first: ")
    for part in ("the service is down", "failures.max_share=0.5", "again 3 times", "continues with step 2"):
        assert part in message
    assert Hooks.steps == STEP + 4 * 6
    assert (tmp_path / "run" / "checkpoints" / "step_1").is_dir()
    assert [line["step"] for line in timeless(tmp_path / "run")] == [1]
    Hooks.set(None)
    again = finish(config)
    assert "after step 1" in again.told
    assert weights(again.folder, 3) == weights(whole, 3)
    assert timeless(again.folder) == timeless(whole)


def test_patience_may_change_when_a_run_continues(tmp_path: Path) -> None:
    outage(STEP + 1, 10**6)
    with pytest.raises(OutageError):
        run(patient(tmp_path, retries=0), quiet()[0])
    Hooks.set(None)
    finish(patient(tmp_path, retries=9, wait=1.0, max_share=1.0))


def test_a_share_that_is_allowed_is_learned_from(tmp_path: Path) -> None:
    outage(STEP + 1, 3)  # three of the six
    done = finish(patient(tmp_path))
    lines = timeless(done.folder)
    assert [(line["failed"], line["failed/pauses"]) for line in lines] == [(0.0, 0.0), (0.5, 0.0), (0.0, 0.0)]
    assert lines[1]["failed/groups"] == 1.0 and lines[1]["taught"] == 3.0
    outage(STEP + 1, 4)
    paused = finish(patient(tmp_path, "stricter"))
    assert [line["failed/pauses"] for line in timeless(paused.folder)] == [0.0, 1.0, 0.0]


def test_who_wants_to_stop_need_not_wait(whole: Path, tmp_path: Path) -> None:
    config = patient(tmp_path, wait=3600.0)
    fell = [0]

    def step(count: int) -> None:
        if count > STEP:
            fell[0] += 1
            if fell[0] == 6:
                os.kill(os.getpid(), signal.SIGINT)
            raise BrokenSandboxError("the service is down")

    Hooks.set(step)
    console, told = quiet()
    ended = run(config, console)
    assert not ended.finished and "saved after step 1" in told.getvalue()
    Hooks.set(None)
    assert weights(finish(config).folder, 3) == weights(whole, 3)


@pytest.mark.parametrize(("tries", "seconds"), [(1, 10), (2, 20), (4, 80)])
def test_each_pause_is_twice_the_one_before(tries: int, seconds: int) -> None:
    told: list[str] = []
    found = Tally(2, {"Lost": 2}, {}, "Lost: gone")
    wait_out(FailuresConfig(), found, tries, 7, told.append, lambda: True)
    assert told == [
        "step 7: 2 of 2 episodes failed at the infrastructure (Lost 2; the first: Lost: gone). Nothing is learned from "
        f"them; the step is played again in {seconds} s ({tries} of 4)"
    ]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"max_share": 1.5}, "failures.max_share"),
        ({"max_share": float("nan")}, "failures.max_share"),
        ({"retries": -1}, "failures.retries"),
        ({"wait": -1.0}, "failures.wait"),
        ({"wait": float("nan")}, "failures.wait"),
    ],
)
def test_a_limit_that_is_none_is_refused_by_name(options: dict[str, float], field: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=field):
        check(FailuresConfig(**options))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=field):
        prepared(tmp_path, failures=options)


# Environments that cannot even be made.


def test_an_environment_whose_service_is_down_when_it_is_made_fails_its_episode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, parts = prepared(tmp_path)
    collected = collect(config, parts, 0)
    pool = parts.driver("train").pool
    pool.close()
    made: list[int] = []
    make: Callable = pool._make

    def sometimes(spec: object) -> object:
        made.append(1)
        if len(made) in (2, 3):
            raise BrokenSandboxError("nobody answers")
        return make(spec)

    monkeypatch.setattr(pool, "_make", sometimes)
    again = collect(config, parts, 0)
    assert [t.valid for t in again.trajectories] == [False] * 3 + [True] * 3
    assert [t.outcome.end for t in again.trajectories] == ["terminated", "failed", "failed"] + ["terminated"] * 3
    assert again.metrics["failed/after/reset"] == 2 / 6
    assert again.trajectories[3:] == collected.trajectories[3:]


class Unmade(gymnasium.Env):  # type: ignore[type-arg]
    def __init__(self, **_: object) -> None:
        raise BrokenSandboxError("nobody answers")


gymnasium.register("Test/Unmade-v0", Unmade)


def test_a_service_that_is_down_at_the_start_is_told_and_not_raised_through(tmp_path: Path) -> None:
    with pytest.raises(OutageError, match="cannot be made: BrokenSandboxError: nobody answers"):
        prepared(tmp_path, env={"id": "Test/Unmade-v0"})


def test_metrics_can_be_read_by_anything_that_reads_json(whole: Path) -> None:
    for line in (whole / "metrics.jsonl").read_text().splitlines():
        found = json.loads(line)
        assert (found["failed"], found["failed/groups"], found["failed/pauses"]) == (0.0, 0.0, 0.0)
