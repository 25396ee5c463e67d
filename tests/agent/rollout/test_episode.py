"""One episode: which tokens a row holds, how it ends, whose fault it was."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collect import budget
from agent.config import Config, EnvironmentConfig, RolloutConfig
from agent.errors import EnvironmentFault, ObservationError
from agent.model.load import VLM
from agent.rollout.conversation import Message
from agent.rollout.engine import Request
from agent.rollout.environments import EnvironmentPool
from agent.rollout.episode import Budget, Episode, EpisodeSpec
from agent.rollout.episodes import DriverOptions, EpisodeDriver
from agent.rollout.render import Renderer
from agent.rollout.scripted import ScriptedEngine
from agent.seeds import derive_seed
from agent.types import Row, Trajectory
from tests.agent.rollout.families import processor_of

PoolOf = Callable[..., EnvironmentPool]
Picture = Callable[..., np.ndarray]
ROOMY = Budget(temperature=1.0, max_turn_tokens=8, max_row_tokens=4000, max_turns=20)
SPEC = EpisodeSpec(task=3, seed=11, sampling_seed=5)


def shown(text: str, *images: Any) -> dict[str, Any]:
    return {"text": text, "images": images}


def first(text: str = "Begin", *images: Any, **info: Any) -> tuple[Any, ...]:
    return shown(text, *images), info


def next_(text: str = "Go on", *images: Any, reward: Any = 0.0, **info: Any) -> tuple[Any, ...]:
    return shown(text, *images), reward, False, False, info


def last(reward: Any = 1.0, **info: Any) -> tuple[Any, ...]:
    return shown(""), reward, True, False, info


def play(
    renderer: Renderer,
    pool: EnvironmentPool,
    answers: Sequence[Sequence[int]] = (),
    budget: Budget = ROOMY,
    spec: EpisodeSpec = SPEC,
) -> tuple[Trajectory, ScriptedEngine]:
    """One episode in which the engine gives `answers`, then end tokens."""
    stop = renderer.processor.stop_ids[0]
    left = list(answers)

    def script(request: Request) -> tuple[list[int], list[float]]:
        tokens = list(left.pop(0)) if left else [stop]
        return tokens, [-0.5 - k for k in range(len(tokens))]

    engine = ScriptedEngine(script)
    (trajectory,) = EpisodeDriver(engine, renderer, pool, DriverOptions(threads=1)).run([spec], budget)
    return trajectory, engine


TURN = st.tuples(
    st.lists(st.integers(0, 383), min_size=1, max_size=10),  # what is sampled, end tokens and padding ids among it
    st.booleans(),  # whether it ends by itself
    st.text(max_size=6) | st.sampled_from(["<|im_end|>", "<|image_pad|>"]),
    st.lists(st.tuples(st.integers(1, 70), st.integers(1, 70)), max_size=2),
    st.booleans(),  # whether the environment rebuilds its prompt
    st.floats(-2, 2),
)


def test_tokens_of_many_turns(load_family: Callable[[str], VLM], pool_of: PoolOf) -> None:
    """Every law of a row at once, on episodes of any shape."""
    renderers = {name: Renderer(load_family(name).processor) for name in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")}

    @given(st.sampled_from(sorted(renderers)), st.lists(TURN, min_size=1, max_size=5))
    def check(family: str, turns: list[Any]) -> None:
        renderer = renderers[family]
        processor = renderer.processor
        stop = processor.stop_ids[0]
        forbidden = {stop, *processor.banned_ids}
        answers = [[t for t in tokens if t not in forbidden][:7] + [stop] * ends for tokens, ends, *_ in turns]
        answers = [answer or [stop] for answer in answers]
        script: list[Any] = [first("Begin", np.zeros((30, 40, 3), dtype=np.uint8))]
        for k, (_, _, text, sizes, restart, reward) in enumerate(turns):
            images = [np.full((h, w, 3), k, dtype=np.uint8) for h, w in sizes]
            script.append(next_(text, *images, reward=reward, **({"context": "restart"} if restart else {})))
        script[-1] = last(turns[-1][-1])
        trajectory, engine = play(renderer, pool_of(lambda seed, task: script), answers)

        # Nothing is encoded again: what the engine returned stands in the rows, token for token.
        assert [list(action.token_ids) for action in trajectory.actions] == answers
        assert [action.logprobs for action in trajectory.actions] == [
            tuple(-0.5 - k for k in range(len(answer))) for answer in answers
        ]
        # Rewards stand at the turns they were paid for, and the score is their sum.
        assert [action.reward for action in trajectory.actions] == [turn[-1] for turn in turns]
        assert trajectory.outcome.score == pytest.approx(sum(turn[-1] for turn in turns))
        # A new row begins exactly where the environment rebuilds its prompt.
        assert len(trajectory.rows) == 1 + sum(restart for *_, restart, _ in turns[:-1])
        assert [action.turn for action in trajectory.actions] == list(range(len(turns)))

        # What the sampler was given at each turn, with what it sampled, begins what it is given at the next.
        asked = iter(engine.requests)
        for row in trajectory.rows:
            actions = list(row.actions)
            requests = [next(asked) for _ in actions]
            for (before, after), action in zip(pairwise(requests), actions, strict=False):
                held = before.token_ids + action.token_ids
                assert after.token_ids[: len(held)] == held
                assert after.images[: len(before.images)] == before.images
            whole = requests[-1].token_ids + actions[-1].token_ids
            assert row.collapsed == whole
            # The mask is true at what was sampled; placeholders are as many as features; a turn that was cut is
            # ended by a token that nobody is trained on.
            assert [t for t, m in zip(row.token_ids, row.action_mask, strict=True) if m] == [
                t for action in actions for t in action.token_ids
            ]
            assert row.token_ids.count(processor.image_token_id) == sum(p.tokens for p in renderer.pictures(row))
            for action, observation in zip(row.segments[1::2], row.segments[2::2], strict=False):
                assert (action.token_ids + observation.token_ids).count(stop) == 2

    check()


def test_ids_that_the_tokenizer_would_not_have_chosen_are_kept(one_renderer: Renderer, pool_of: PoolOf) -> None:
    processor = one_renderer.processor
    letters = [token for letter in "circles" for token in processor.encode(letter)]
    assert letters != processor.encode("circles")
    broken = processor.encode("é")[:1]  # half a character: its text is not even its bytes
    answers = [[*letters, *processor.stop_ids], [*broken, *processor.stop_ids]]
    pool = pool_of(lambda seed, task: [first(), next_(), last()])
    trajectory, _ = play(one_renderer, pool, answers)
    assert [list(action.token_ids) for action in trajectory.actions] == answers
    assert pool.sample.actions == ["circles", "\ufffd"]


def test_an_action_says_what_it_was_sampled_with(one_renderer: Renderer, pool_of: PoolOf) -> None:
    processor = one_renderer.processor
    answers = [processor.encode("How many")[:2], [5, *processor.stop_ids]]
    budget = Budget(0.7, 2, 4000, 9)
    trajectory, engine = play(one_renderer, pool_of(lambda s, t: [first(), next_(), last()]), answers, budget)
    for turn, (action, request) in enumerate(zip(trajectory.actions, engine.requests, strict=True)):
        sampled = action.sampling
        assert sampled is not None
        assert sampled.seed == request.sampling.seed == derive_seed(5, turn)
        assert sampled.temperature == request.sampling.temperature == 0.7
        assert sampled.banned_ids == request.sampling.banned_ids == processor.banned_ids
        assert sampled.max_tokens == request.sampling.max_tokens == 2
    assert [a.sampling.stop_reason for a in trajectory.actions if a.sampling] == ["length", "stop"]


def test_a_turn_cut_by_the_limit_is_given_to_the_environment_and_closed_untrained(
    one_renderer: Renderer, pool_of: PoolOf
) -> None:
    stop = one_renderer.processor.stop_ids[0]
    pool = pool_of(lambda s, t: [first(), next_(), last()])
    long = one_renderer.processor.encode("a b c d e f g h i j k l m n o p")
    trajectory, _ = play(one_renderer, pool, [long])
    (row,) = trajectory.rows
    action, observation = row.segments[1], row.segments[2]
    assert list(action.token_ids) == long[: ROOMY.max_turn_tokens]
    assert pool.sample.actions[0] == one_renderer.processor.decode(long[: ROOMY.max_turn_tokens])
    assert observation.token_ids[0] == stop
    assert not row.action_mask[len(row.segments[0].token_ids) + len(action.token_ids)]


def test_a_restart_begins_a_row_and_keeps_counting_turns(
    one_renderer: Renderer, pool_of: PoolOf, picture: Picture
) -> None:
    script = [first("One", picture(30, 30)), next_("Two", context="restart", reward=0.25), next_("Three"), last(0.5)]
    trajectory, _ = play(one_renderer, pool_of(lambda s, t: script))
    assert [[(s.kind, s.turn) for s in row.segments] for row in trajectory.rows] == [
        [("prompt", 0), ("action", 0)],
        [("prompt", 1), ("action", 1), ("observation", 2), ("action", 2)],
    ]
    assert trajectory.rows[1].segments[0] == one_renderer.prompt("Two", [], 1)
    assert not trajectory.rows[1].images
    assert [action.reward for action in trajectory.actions] == [0.25, 0.0, 0.5]
    assert trajectory.outcome.score == 0.75


def test_the_world_is_reset_to_its_task_and_seed(one_renderer: Renderer, pool_of: PoolOf) -> None:
    asked = []

    def script(seed: int | None, task: int | None) -> list[Any]:
        asked.append((seed, task))
        return [first(), last()]

    for spec in (SPEC, EpisodeSpec(None, 8, 1)):
        trajectory, _ = play(one_renderer, pool_of(script), spec=spec)
        assert (trajectory.env_id, trajectory.task, trajectory.seed) == ("Test/Scripted-v0", spec.task, spec.seed)
    assert asked == [(11, 3), (8, None)]


def test_what_the_environment_measured_last_is_kept(one_renderer: Renderer, pool_of: PoolOf) -> None:
    told = {"rewards": {"format": np.float32(0.5)}, "metrics": {"accuracy": 1}, "tags": {"kind": "colour"}}
    script = [first(tags={"kind": "old"}), next_(metrics={"accuracy": 0.0}), last(**told)]
    trajectory, _ = play(one_renderer, pool_of(lambda s, t: script))
    assert (trajectory.rewards, trajectory.metrics) == ({"format": 0.5}, {"accuracy": 1.0})
    assert trajectory.tags == {"kind": "colour"}


# How an episode ends.


def test_an_answer_terminates(one_renderer: Renderer, pool_of: PoolOf) -> None:
    trajectory, _ = play(one_renderer, pool_of(lambda s, t: [first(), last(0.75)]))
    assert (trajectory.outcome.end, trajectory.outcome.score, trajectory.outcome.reason) == ("terminated", 0.75, "")


def test_the_environments_truncation_is_one_and_its_reason_is_told(one_renderer: Renderer, pool_of: PoolOf) -> None:
    cut = (shown(""), 0.25, False, True, {"truncated": "time"})
    trajectory, _ = play(one_renderer, pool_of(lambda s, t: [first(), cut]))
    assert (trajectory.outcome.end, trajectory.outcome.score, trajectory.outcome.reason) == ("truncated", 0.25, "time")


def test_what_is_both_terminated_and_truncated_is_terminated(one_renderer: Renderer, pool_of: PoolOf) -> None:
    both = (shown(""), 0.25, True, True, {})
    assert play(one_renderer, pool_of(lambda s, t: [first(), both]))[0].outcome.end == "terminated"


def test_an_environment_that_never_ends_is_truncated_after_the_turns_of_the_budget(
    one_renderer: Renderer, pool_of: PoolOf
) -> None:
    pool = pool_of(lambda s, t: [first(), *[next_(reward=0.5)] * 50])
    trajectory, _ = play(one_renderer, pool, budget=Budget(1.0, 8, 4000, 3))
    assert (trajectory.outcome.end, trajectory.outcome.reason, trajectory.outcome.score) == ("truncated", "turns", 1.5)
    assert len(list(trajectory.actions)) == 3
    assert trajectory.rows[-1].segments[-1].kind == "action"


def test_an_image_that_does_not_fit_truncates_and_is_never_cut(
    one_renderer: Renderer, pool_of: PoolOf, picture: Picture
) -> None:
    script = [first("One", picture(56, 56)), next_("Two", picture(112, 112)), last()]
    full, _ = play(one_renderer, pool_of(lambda s, t: script))
    needed = len(full.rows[0]) - 1 + 8  # the last request, and a whole turn after it
    fits, _ = play(one_renderer, pool_of(lambda s, t: script), budget=Budget(1.0, 8, needed, 20))
    assert fits.outcome.end == "terminated" and len(fits.rows[0].images) == 2
    cut, _ = play(one_renderer, pool_of(lambda s, t: script), budget=Budget(1.0, 8, needed - 1, 20))
    assert (cut.outcome.end, cut.outcome.reason, cut.outcome.score) == ("truncated", "context", 0.0)
    assert [segment.kind for segment in cut.rows[0].segments] == ["prompt", "action"]
    assert cut.rows[0].segments[0] == full.rows[0].segments[0]


def test_no_row_ever_exceeds_its_budget(one_renderer: Renderer, pool_of: PoolOf, picture: Picture) -> None:
    script = [first(), *[next_("More", picture(56, 84))] * 30]
    for most in range(60, 130, 7):
        trajectory, _ = play(one_renderer, pool_of(lambda s, t: script), budget=Budget(1.0, 8, most, 50))
        assert all(len(row) <= most for row in trajectory.rows)
        assert trajectory.outcome.reason == "context"
        for row in trajectory.rows:
            tokens = row.token_ids.count(one_renderer.processor.image_token_id)
            assert tokens == sum(p.tokens for p in one_renderer.pictures(row))


def test_a_prompt_that_does_not_fit_leaves_a_trajectory_without_rows(one_renderer: Renderer, pool_of: PoolOf) -> None:
    pool = pool_of(lambda s, t: [first()])
    trajectory, engine = play(one_renderer, pool, budget=Budget(1.0, 8, 20, 20))
    assert (trajectory.rows, trajectory.outcome.reason, engine.requests) == ((), "context", [])


# Whose fault it was.


class ContainerLost(Exception):
    infrastructure_failure = True


@pytest.mark.parametrize("turn", [0, 1, 2])
def test_a_failure_of_the_infrastructure_ends_the_episode_without_a_score(
    one_renderer: Renderer, pool_of: PoolOf, turn: int
) -> None:
    script = [*[first(), next_(reward=1.0)][:turn], ContainerLost("gone")]
    trajectory, _ = play(one_renderer, pool_of(lambda s, t: script))
    assert (trajectory.outcome.end, trajectory.outcome.score) == ("failed", None)
    assert trajectory.outcome.reason == "ContainerLost: gone"
    assert not trajectory.valid
    # What was sampled is kept for whoever looks; the turn that failed was paid nothing, which is not 0.
    assert [action.reward for action in trajectory.actions] == [[], [None], [1.0, None]][turn]


WHERE = r"Test/Scripted-v0 \(task 3, seed 11, turn {}\): "


@pytest.mark.parametrize("turn", [0, 1])
def test_an_authors_exception_stops_the_run_and_names_the_place(
    one_renderer: Renderer, pool_of: PoolOf, turn: int
) -> None:
    script = [*[first(), next_()][: turn + 1], ZeroDivisionError("by zero")]
    with pytest.raises(EnvironmentFault, match=WHERE.format(turn) + r"step\(\) raised ZeroDivisionError: by zero"):
        play(one_renderer, pool_of(lambda s, t: script))


def test_an_exception_in_reset_stops_the_run_and_names_the_place(one_renderer: Renderer, pool_of: PoolOf) -> None:
    with pytest.raises(EnvironmentFault, match=WHERE.format(0) + r"reset\(\) raised KeyError: 'scene'"):
        play(one_renderer, pool_of(lambda s, t: [KeyError("scene")]))


@pytest.mark.parametrize("reward", [float("nan"), float("inf"), -float("inf"), None, "1", [1.0], np.zeros(1), 1j])
def test_a_reward_that_is_no_finite_number_stops_the_run(one_renderer: Renderer, pool_of: PoolOf, reward: Any) -> None:
    script = [first(), next_(), last(reward, rewards={"format": 0.5})]
    with pytest.raises(ObservationError, match=WHERE.format(1) + r"the reward must be a finite number.*format"):
        play(one_renderer, pool_of(lambda s, t: script))


@pytest.mark.parametrize("reward", [np.float32(0.5), np.float64(0.5), 0.5])
def test_any_finite_real_number_is_a_reward(one_renderer: Renderer, pool_of: PoolOf, reward: Any) -> None:
    trajectory, _ = play(one_renderer, pool_of(lambda s, t: [first(), last(reward)]))
    assert trajectory.outcome.score == 0.5
    assert [type(action.reward) for action in trajectory.actions] == [float]


@pytest.mark.parametrize("name", ["rewards", "metrics"])
@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": None}, {"a": "1"}, 0.5])
def test_measures_that_are_no_finite_numbers_stop_the_run(
    one_renderer: Renderer, pool_of: PoolOf, name: str, value: Any
) -> None:
    with pytest.raises(ObservationError, match=rf'Scripted-v0 .*info\["{name}"\] must be a dict of finite numbers'):
        play(one_renderer, pool_of(lambda s, t: [first(), last(**{name: value})]))


@pytest.mark.parametrize(
    ("observation", "words"),
    [
        ("text", "an observation must be"),
        ({"text": "a"}, "an observation must be"),
        ({"text": 5, "images": ()}, "must be a str, got int"),
        ({"text": "a", "images": {}}, "must be a tuple of arrays, got dict"),
        ({"text": "a", "images": (np.zeros((5, 5)),)}, "uint8 array of shape"),
        ({"text": "a", "images": (None,)}, "uint8 array of shape"),
        ({"text": "a", "images": (np.zeros((1, 999, 3), dtype=np.uint8),)}, "aspect ratio"),
    ],
)
@pytest.mark.parametrize("context", [{}, {"context": "restart"}])
def test_a_wrong_observation_stops_the_run_and_names_the_place(
    one_renderer: Renderer, pool_of: PoolOf, observation: Any, words: str, context: dict[str, str]
) -> None:
    with pytest.raises(ObservationError, match=WHERE.format(0) + ".*" + words):
        play(one_renderer, pool_of(lambda s, t: [(observation, context)]))
    with pytest.raises(ObservationError, match=WHERE.format(2) + ".*" + words):
        play(one_renderer, pool_of(lambda s, t: [first(), next_(), (observation, 0.0, False, False, context)]))


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (None, r"reset\(\) must return 2 values, got None"),
        ((shown("a"),), r"reset\(\) must return 2 values"),
        ([shown("a"), {}], r"reset\(\) must return 2 values"),
        ((shown("a"), None), r"reset\(\) must return info as a dict, got None"),
    ],
)
def test_a_reset_of_another_form_stops_the_run(
    one_renderer: Renderer, pool_of: PoolOf, returned: Any, words: str
) -> None:
    with pytest.raises(ObservationError, match=WHERE.format(0) + words):
        play(one_renderer, pool_of(lambda s, t: [returned]))


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ((shown("a"), 0.0, True, {}), r"step\(\) must return 5 values"),
        ((shown("a"), 0.0, True, False, []), r"step\(\) must return info as a dict"),
        ((shown("a"), 0.0, None, False, {}), r"terminated and truncated as bools, got \(None, False\)"),
        ((shown("a"), 0.0, False, 1, {}), r"terminated and truncated as bools, got \(False, 1\)"),
    ],
)
def test_a_step_of_another_form_stops_the_run(
    one_renderer: Renderer, pool_of: PoolOf, returned: Any, words: str
) -> None:
    with pytest.raises(ObservationError, match=WHERE.format(0) + ".*" + words):
        play(one_renderer, pool_of(lambda s, t: [first(), returned]))


@pytest.fixture
def forgetful(tmp_path: Path) -> Renderer:
    """Of a family whose template drops earlier thoughts."""
    return Renderer(processor_of(tmp_path, "thinking"))


def test_where_history_is_rewritten_each_turn_is_a_row_of_the_same_trajectory(
    forgetful: Renderer, pool_of: PoolOf, picture: Picture
) -> None:
    encode, (stop,) = forgetful.processor.encode, forgetful.processor.stop_ids
    images = [picture(30, 30, k) for k in range(2)]
    script = [first("One", images[0]), next_("Two", images[1], reward=0.25), next_("Three"), last(0.5)]
    trajectory, engine = play(
        forgetful, pool_of(lambda s, t: script), [[*encode("a</think>"), *encode("b"), stop], [*encode("cut")]]
    )
    assert [[(s.kind, s.turn) for s in row.segments] for row in trajectory.rows] == [
        [("prompt", turn), ("action", turn)] for turn in range(3)
    ]
    one, two = Message("user", "One", (images[0],)), Message("user", "Two", (images[1],))
    said = [one, Message("assistant", "a</think>b"), two, Message("assistant", "cut"), Message("user", "Three")]
    assert [row.segments[0] for row in trajectory.rows] == [
        forgetful.conversation(said[: 2 * turn + 1], turn) for turn in range(3)
    ]
    # What the engine was asked is the row's prompt; what it sampled stands there as sampled, also where it was cut.
    assert [request.token_ids for request in engine.requests] == [
        Row(row.segments[:1]).collapsed for row in trajectory.rows
    ]
    assert [len(request.images) for request in engine.requests] == [1, 2, 2]
    assert [action.reward for action in trajectory.actions] == [0.25, 0.0, 0.5]
    assert trajectory.outcome.score == 0.75
    assert trajectory.rows[1].segments[1].token_ids == tuple(encode("cut"))


def test_a_restart_forgets_the_history_that_would_be_rewritten(forgetful: Renderer, pool_of: PoolOf) -> None:
    script = [first("One"), next_("Two", context="restart"), next_("Three"), last()]
    trajectory, _ = play(forgetful, pool_of(lambda s, t: script))
    said = [Message("user", "Two"), Message("assistant", ""), Message("user", "Three")]
    assert [row.segments[0] for row in trajectory.rows[1:]] == [
        forgetful.prompt("Two", [], 1),
        forgetful.conversation(said, 2),
    ]


def test_a_rewritten_history_that_does_not_fit_ends_the_episode(forgetful: Renderer, pool_of: PoolOf) -> None:
    script = [first("One"), next_("Two " * 50), last()]
    roomy, _ = play(forgetful, pool_of(lambda s, t: script))
    needed = len(roomy.rows[1].segments[0].token_ids) + ROOMY.max_turn_tokens
    for room, ends in [(needed, ("terminated", "")), (needed - 1, ("truncated", "context"))]:
        trajectory, _ = play(forgetful, pool_of(lambda s, t: script), budget=replace(ROOMY, max_row_tokens=room))
        assert (trajectory.outcome.end, trajectory.outcome.reason) == ends
        assert len(trajectory.rows) == (1 if ends[1] else 2)


# Budgets of turn, row and episode.


@pytest.mark.parametrize("words", [1, 10, 20, 30, 40, 60, 200])
def test_what_a_tool_returns_never_shortens_a_turn(one_renderer: Renderer, pool_of: PoolOf, words: int) -> None:
    script = [first(), *[next_("word " * words)] * 30]
    trajectory, engine = play(one_renderer, pool_of(lambda s, t: script), budget=Budget(1.0, 8, 120, 5))
    assert {request.sampling.max_tokens for request in engine.requests} == {8}
    assert {action.sampling.max_tokens for action in trajectory.actions if action.sampling} == {8}
    assert all(len(request.token_ids) + 8 <= 120 for request in engine.requests)
    assert trajectory.outcome.end == "truncated"
    assert trajectory.outcome.reason == ("turns" if len(engine.requests) == 5 else "context")
    assert (len(engine.requests) == 5) == (words == 1)


def four(renderer: Renderer) -> list[list[int]]:
    """Answers of four tokens and an end token each."""
    return [[65, 66, 67, 68, renderer.processor.stop_ids[0]] for _ in range(9)]


def test_the_last_turn_is_given_what_the_episode_has_left_and_says_so(one_renderer: Renderer, pool_of: PoolOf) -> None:
    pool = pool_of(lambda s, t: [first(), *[next_(reward=0.25)] * 9])
    trajectory, engine = play(one_renderer, pool, four(one_renderer), Budget(1.0, 8, 4000, 20, 13))
    assert [request.sampling.max_tokens for request in engine.requests] == [8, 8, 3]
    sampled = [action.sampling for action in trajectory.actions]
    assert [(s.max_tokens, s.stop_reason) for s in sampled if s] == [(8, "stop"), (8, "stop"), (3, "length")]
    assert trajectory.action_count == 13
    # The environment saw and paid the turn that was cut; then there was nothing left.
    assert [action.reward for action in trajectory.actions] == [0.25] * 3
    assert (trajectory.outcome.end, trajectory.outcome.reason) == ("truncated", "tokens")


def test_an_answer_given_with_the_last_token_terminates(one_renderer: Renderer, pool_of: PoolOf) -> None:
    pool = pool_of(lambda s, t: [first(), next_(), last()])
    trajectory, _ = play(one_renderer, pool, four(one_renderer), Budget(1.0, 8, 4000, 20, 10))
    assert (trajectory.outcome.end, trajectory.action_count) == ("terminated", 10)


def test_an_episode_that_runs_out_of_turns_and_tokens_at_once_ran_out_of_turns(
    one_renderer: Renderer, pool_of: PoolOf
) -> None:
    pool = pool_of(lambda s, t: [first(), *[next_()] * 9])
    trajectory, _ = play(one_renderer, pool, four(one_renderer), Budget(1.0, 8, 4000, 2, 10))
    assert trajectory.outcome.reason == "turns"


def test_a_row_needs_room_for_what_the_turn_may_still_have(one_renderer: Renderer, pool_of: PoolOf) -> None:
    def reason(most: int, episode: int) -> tuple[str, int]:
        pool = pool_of(lambda s, t: [first(), next_(), last()])
        trajectory, _ = play(one_renderer, pool, four(one_renderer), Budget(1.0, 8, most, 20, episode))
        return trajectory.outcome.reason, trajectory.action_count

    whole, _ = play(one_renderer, pool_of(lambda s, t: [first(), next_(), last()]), four(one_renderer))
    before = len(whole.rows[0]) - 5  # the second request's tokens
    assert reason(before + 8, 0) == ("", 10)
    assert reason(before + 7, 0) == ("context", 5)
    assert reason(before + 3, 8) == ("", 8)  # only three tokens are left anyway
    assert reason(before + 2, 8) == ("context", 5)


def test_a_recipes_sizes_are_the_budget_of_its_episodes() -> None:
    sizes = RolloutConfig(max_turn_tokens=7, max_row_tokens=99, max_turns=3, max_episode_tokens=15)
    config = Config(EnvironmentConfig("Test/Scripted-v0"), rollout=sizes)
    assert budget(config, 0.5) == Budget(0.5, 7, 99, 3, 15)
    assert sizes.episode_tokens == 15
    assert replace(sizes, max_episode_tokens=0).episode_tokens == replace(sizes, max_episode_tokens=50).episode_tokens
    assert replace(sizes, max_episode_tokens=0).episode_tokens == 21


def test_pictures_are_processed_where_the_environment_answers(
    one_renderer: Renderer, pool_of: PoolOf, picture: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = [({"text": "look", "images": (picture(40, 50, 77),)}, {})]
    episode = Episode(
        0, EpisodeSpec(None, 0, 0), pool_of(lambda seed, task: script), one_renderer, Budget(1.0, 8, 512, 4)
    )
    episode.open()
    answer = episode.reset()
    monkeypatch.setattr(one_renderer.processor, "image_processor", None)  # the thread that computes asks it no more
    episode.receive(answer)
    assert len(episode.request().images) == 1
