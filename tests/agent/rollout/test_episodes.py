"""Many episodes at once: order, threads, what is left behind."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agent.errors import EnvironmentFault, ObservationError
from agent.model.load import VLM
from agent.rollout.engine import Completion, Request
from agent.rollout.environments import EnvironmentPool, EnvironmentSpec
from agent.rollout.episode import Budget, EpisodeSpec
from agent.rollout.episodes import DriverOptions, EpisodeDriver
from agent.rollout.hf import TransformersEngine
from agent.rollout.render import Renderer
from agent.rollout.scripted import ScriptedEngine
from agent.types import Trajectory
from tests.agent.conftest import ScriptedEnvironment

PoolOf = Callable[..., EnvironmentPool]
BUDGET = Budget(temperature=1.0, max_turn_tokens=6, max_row_tokens=2000, max_turns=10)
BOTH = pytest.mark.parametrize("deterministic", [True, False], ids=["rounds", "overlapped"])


def world(seed: int | None, task: int | None, delay: Callable[[int], float] = lambda turn: 0.0) -> list[Any]:
    """Task i takes 1 + i % 4 turns, with a picture in every other; odd ones rebuild their prompt after the first."""
    assert task is not None

    def turn(k: int) -> Any:
        def answer(action: str) -> Any:
            time.sleep(delay(k))
            image = (np.full((30 + 10 * k, 40, 3), 20 * task + k, dtype=np.uint8),) if k % 2 == 0 else ()
            observation = {"text": f"Turn {k} of {task}", "images": image}
            info = {"tags": {"said": action}} | ({"context": "restart"} if task % 2 and k == 1 else {})
            return (observation, info) if k == 0 else (observation, 0.5, k > task % 4, False, info)

        return answer

    return [turn(k) for k in range(task % 4 + 2)]


def specs(count: int) -> list[EpisodeSpec]:
    return [EpisodeSpec(task, 100 + task, 1000 + task) for task in range(count)]


def dice(request: Request) -> tuple[list[int], list[float]]:
    """Tokens that depend on the request alone, of one to six tokens."""
    rng = np.random.default_rng([request.sampling.seed % 2**32, len(request.token_ids)])
    tokens = rng.integers(0, 256, size=rng.integers(0, 6)).tolist()
    return [*tokens, *request.sampling.stop_ids], [-1.0] * (len(tokens) + 1)


def scripted() -> ScriptedEngine:
    return ScriptedEngine(dice, delay=lambda request: 1 + request.episode % 3)


@BOTH
@pytest.mark.parametrize("concurrency", [1, 3, 100])
def test_results_come_in_the_order_in_which_episodes_were_given(
    one_renderer: Renderer, pool_of: PoolOf, deterministic: bool, concurrency: int
) -> None:
    driver = EpisodeDriver(scripted(), one_renderer, pool_of(world), DriverOptions(concurrency, 2, deterministic))
    told: list[Trajectory] = []
    trajectories = driver.run(specs(9), BUDGET, told.append)
    assert [t.task for t in trajectories] == list(range(9))
    assert [t.outcome.score for t in trajectories] == [0.5 * (1 + task % 4) for task in range(9)]
    assert [len(t.rows) for t in trajectories] == [1 + (task % 2) for task in range(9)]
    assert sorted(t.task or 0 for t in told) == list(range(9))


def test_both_modes_give_the_same_trajectories_with_an_engine_whose_answers_depend_on_requests_alone(
    one_renderer: Renderer, pool_of: PoolOf
) -> None:
    runs = [
        EpisodeDriver(scripted(), one_renderer, pool_of(world), DriverOptions(concurrency, 3, deterministic)).run(
            specs(9), BUDGET
        )
        for deterministic in (True, False)
        for concurrency in (2, 9)
    ]
    assert all(run == runs[0] for run in runs)


def test_rounds_are_the_same_bit_for_bit_however_fast_environments_are(
    one_vlm: VLM, one_renderer: Renderer, pool_of: PoolOf
) -> None:
    def run(delay: Callable[[int], float], threads: int) -> list[Trajectory]:
        engine = TransformersEngine(one_vlm.model, one_vlm.processor.image_token_id, one_vlm.processor.merge)
        pool = pool_of(lambda seed, task: world(seed, task, lambda k: delay(100 * (task or 0) + k)))
        return EpisodeDriver(engine, one_renderer, pool, DriverOptions(4, threads)).run(specs(6), BUDGET)

    fast = run(lambda n: 0.0, 1)
    assert run(lambda n: n * 7919 % 5 * 0.004, 4) == fast
    assert run(lambda n: n * 104729 % 7 * 0.003, 3) == fast


@pytest.mark.parametrize("concurrency", [4, 9])
def test_rounds_submit_turns_in_the_order_of_episodes_whatever_order_they_finished_in(
    one_renderer: Renderer, pool_of: PoolOf, concurrency: int
) -> None:
    def asked(delay: Callable[[Request], int]) -> list[tuple[int, ...]]:
        engine = ScriptedEngine(dice, delay)
        EpisodeDriver(engine, one_renderer, pool_of(world), DriverOptions(concurrency, 2)).run(specs(9), BUDGET)
        return [(request.episode, *request.token_ids) for request in engine.requests]

    in_order = asked(lambda request: 1)
    assert asked(lambda request: 20 - request.episode) == in_order
    assert asked(lambda request: 1 + request.episode * 5 % 7) == in_order


def test_a_turn_joins_while_others_still_generate(one_renderer: Renderer, pool_of: PoolOf) -> None:
    # Episode 0 has four turns; episode 1 generates until all of them have joined, or somebody's patience ends.
    joined: list[tuple[int, int]] = []
    patience = iter(range(2000))

    class Watched(ScriptedEngine):
        def submit(self, request: Request) -> None:
            joined.append((request.episode, len(self._waiting)))
            super().submit(request)

        def poll(self, timeout: float) -> list[Completion]:
            time.sleep(0.001)
            if 1 not in [episode for episode, _ in joined]:
                return []  # its environment is still at its reset
            if len(joined) == 5 or next(patience, None) is None:
                self._waiting = [(1, request) for _, request in self._waiting]
            return super().poll(timeout)

    engine = Watched(dice, delay=lambda request: 10**9 if request.episode == 1 else 1)
    driver = EpisodeDriver(engine, one_renderer, pool_of(world), DriverOptions(9, 2, deterministic=False))
    driver.run([EpisodeSpec(3, 0, 0), EpisodeSpec(0, 0, 1)], BUDGET)
    assert [busy for episode, busy in joined if episode == 0][1:] == [1, 1, 1]


@BOTH
def test_no_more_environments_are_made_than_episodes_are_open(one_renderer: Renderer, deterministic: bool) -> None:
    made: list[ScriptedEnvironment] = []

    def make(spec: EnvironmentSpec) -> ScriptedEnvironment:
        made.append(ScriptedEnvironment(world))
        return made[-1]

    pool = EnvironmentPool(EnvironmentSpec("Test/Scripted-v0"), make)
    EpisodeDriver(scripted(), one_renderer, pool, DriverOptions(3, 2, deterministic)).run(specs(12), BUDGET)
    assert len(made) <= 3
    pool.close()
    assert all(env.closed for env in made)


def test_in_rounds_an_episode_that_ends_makes_room_for_the_next(one_renderer: Renderer, pool_of: PoolOf) -> None:
    engine = scripted()
    long, *short = (EpisodeSpec(task, 0, task) for task in (3, 0, 4, 8, 12))  # four turns, and one each
    EpisodeDriver(engine, one_renderer, pool_of(world), DriverOptions(2)).run([long, *short], BUDGET)
    assert [request.episode for request in engine.requests] == [0, 1, 0, 2, 0, 3, 0, 4]


@BOTH
def test_tools_of_all_open_episodes_run_at_once_unless_told_otherwise(
    one_renderer: Renderer, pool_of: PoolOf, deterministic: bool
) -> None:
    together = threading.Barrier(40)

    def script(seed: int | None, task: int | None) -> list[Any]:
        def tool(action: str) -> Any:
            together.wait(timeout=30)
            return {"text": "", "images": ()}, 1.0, True, False, {}

        return [({"text": "Use it", "images": ()}, {}), tool]

    options = DriverOptions(deterministic=deterministic)
    trajectories = EpisodeDriver(scripted(), one_renderer, pool_of(script), options).run(specs(40), BUDGET)
    assert [t.outcome.score for t in trajectories] == [1.0] * 40


def test_nothing_is_polled_while_only_environments_are_at_work(one_renderer: Renderer, pool_of: PoolOf) -> None:
    polls = []

    class Counted(ScriptedEngine):
        def poll(self, timeout: float) -> list[Completion]:
            polls.append(len(self._waiting))
            return super().poll(timeout)

    pool = pool_of(lambda seed, task: world(seed, task, lambda turn: 0.03))
    EpisodeDriver(Counted(dice), one_renderer, pool, DriverOptions(9, deterministic=False)).run(specs(3), BUDGET)
    assert polls and min(polls) > 0


def test_both_modes_sample_the_same_tokens_from_a_model(one_vlm: VLM, one_renderer: Renderer, pool_of: PoolOf) -> None:
    def run(deterministic: bool) -> list[Trajectory]:
        engine = TransformersEngine(one_vlm.model, one_vlm.processor.image_token_id, one_vlm.processor.merge)
        pool = pool_of(lambda seed, task: world(seed, task, lambda k: ((task or 0) + k) * 7919 % 5 * 0.01))
        return EpisodeDriver(engine, one_renderer, pool, DriverOptions(5, 9, deterministic)).run(specs(9), BUDGET)

    for ours, theirs in zip(run(False), run(True), strict=True):
        assert [row.token_ids for row in ours.rows] == [row.token_ids for row in theirs.rows]
        for mine, other in zip(ours.actions, theirs.actions, strict=True):
            assert mine.sampling == other.sampling
            np.testing.assert_allclose(mine.logprobs or (), other.logprobs or (), atol=1e-4)


@BOTH
def test_an_episodes_cache_is_released_as_soon_as_it_is_over(
    one_renderer: Renderer, pool_of: PoolOf, deterministic: bool
) -> None:
    engine = scripted()
    driver = EpisodeDriver(engine, one_renderer, pool_of(world), DriverOptions(9, 2, deterministic))
    left: list[int] = []
    driver.run(specs(9), BUDGET, lambda trajectory: left.append(len(engine.released)))
    assert left == list(range(1, 10))
    assert Counter(engine.released) == Counter(range(9))


@BOTH
def test_episodes_of_later_runs_have_ids_of_their_own(
    one_renderer: Renderer, pool_of: PoolOf, deterministic: bool
) -> None:
    engine = scripted()
    driver = EpisodeDriver(engine, one_renderer, pool_of(world), DriverOptions(9, 2, deterministic))
    driver.run(specs(3), BUDGET)
    driver.run(specs(3), BUDGET)
    assert sorted(engine.released) == list(range(6))


@BOTH
@pytest.mark.parametrize(("fault", "kind"), [(ValueError("mine"), EnvironmentFault), ("nothing", ObservationError)])
def test_an_authors_fault_stops_every_episode_and_leaves_nothing_behind(
    one_renderer: Renderer, deterministic: bool, fault: Any, kind: type[Exception]
) -> None:
    made: list[ScriptedEnvironment] = []

    def make(spec: EnvironmentSpec) -> ScriptedEnvironment:
        made.append(ScriptedEnvironment(lambda seed, task: [*world(seed, task)[: 2 if task == 3 else 9], fault]))
        return made[-1]

    pool = EnvironmentPool(EnvironmentSpec("Test/Scripted-v0"), make)
    engine = ScriptedEngine(dice, delay=lambda request: 1 if request.episode == 3 else 50)
    driver = EpisodeDriver(engine, one_renderer, pool, DriverOptions(9, 2, deterministic))
    with pytest.raises(kind, match="task 3, seed 103, turn 1"):
        driver.run(specs(6), BUDGET)
    assert engine._waiting == []
    assert set(engine.released) == set(range(6))
    pool.close()
    assert len(made) >= 6 and all(env.closed for env in made)


@BOTH
def test_a_failure_of_the_infrastructure_touches_its_own_episode_only(
    one_renderer: Renderer, pool_of: PoolOf, deterministic: bool
) -> None:
    lost = RuntimeError("container lost")
    lost.infrastructure_failure = True  # type: ignore[attr-defined]

    def script(seed: int | None, task: int | None) -> list[Any]:
        return [world(seed, task)[0], lost] if task == 2 else world(seed, task)

    def run(script: Callable[..., Any]) -> list[Trajectory]:
        options = DriverOptions(9, 2, deterministic)
        return EpisodeDriver(scripted(), one_renderer, pool_of(script), options).run(specs(5), BUDGET)

    spoiled, whole = run(script), run(world)
    assert [t.valid for t in spoiled] == [True, True, False, True, True]
    assert spoiled[:2] + spoiled[3:] == whole[:2] + whole[3:]


@BOTH
def test_no_episodes_give_no_trajectories(one_renderer: Renderer, pool_of: PoolOf, deterministic: bool) -> None:
    options = DriverOptions(9, 2, deterministic)
    assert EpisodeDriver(scripted(), one_renderer, pool_of(world), options).run([], BUDGET) == []


def counting(resets: list[int | None]) -> Callable[..., list[Any]]:
    def script(seed: int | None, task: int | None) -> list[Any]:
        resets.append(task)
        return world(seed, task)

    return script


@BOTH
@pytest.mark.parametrize("concurrency", [3, 100])
def test_what_was_begun_is_played_as_if_it_were_not_and_is_reset_once(
    one_renderer: Renderer, pool_of: PoolOf, deterministic: bool, concurrency: int
) -> None:
    resets: list[int | None] = []
    options = DriverOptions(concurrency, 2, deterministic)
    driver = EpisodeDriver(scripted(), one_renderer, pool_of(counting(resets)), options)
    driver.begin(specs(9), BUDGET)
    while len(resets) < min(concurrency, 9):
        time.sleep(0.001)  # nobody runs anything: the environments are reset all the same
    begun = driver.run(specs(9), BUDGET)
    assert sorted(task or 0 for task in resets) == list(range(9))
    assert begun == EpisodeDriver(scripted(), one_renderer, pool_of(world), options).run(specs(9), BUDGET)


@pytest.mark.parametrize("other", [(specs(3), BUDGET), (specs(9), replace(BUDGET, temperature=0.5))])
def test_other_episodes_than_were_begun_begin_anew(one_renderer: Renderer, other: tuple[Any, Budget]) -> None:
    made: list[ScriptedEnvironment] = []

    def make(spec: EnvironmentSpec) -> ScriptedEnvironment:
        made.append(ScriptedEnvironment(world))
        return made[-1]

    pool = EnvironmentPool(EnvironmentSpec("Test/Scripted-v0"), make)
    driver = EpisodeDriver(scripted(), one_renderer, pool, DriverOptions(9, 2))
    driver.begin(specs(9), BUDGET)
    assert [t.task for t in driver.run(*other)] == list(range(len(other[0])))
    assert len(made) == 9  # those that had been opened were given back
    driver.begin(specs(9), BUDGET)
    driver.close()
    assert all(env.closed for env in made)


@BOTH
def test_what_went_wrong_with_what_was_begun_is_told_by_the_run(
    one_renderer: Renderer, pool_of: PoolOf, deterministic: bool
) -> None:
    driver = EpisodeDriver(
        scripted(), one_renderer, pool_of(lambda seed, task: [ValueError("mine")]), DriverOptions(9, 2, deterministic)
    )
    driver.begin(specs(2), BUDGET)
    with pytest.raises(EnvironmentFault, match="mine"):
        driver.run(specs(2), BUDGET)


def test_an_environment_that_cannot_be_made_ahead_is_told_by_the_run(one_renderer: Renderer) -> None:
    made = iter(range(2))

    def make(spec: EnvironmentSpec) -> ScriptedEnvironment:
        if next(made, None) is None:
            raise OSError("no more")
        return ScriptedEnvironment(world)

    pool = EnvironmentPool(EnvironmentSpec("Test/Scripted-v0"), make)
    driver = EpisodeDriver(scripted(), one_renderer, pool, DriverOptions(9, 2))
    driver.begin(specs(3), BUDGET)
    with pytest.raises(OSError, match="no more"):
        driver.run(specs(3), BUDGET)
    assert len(driver.run(specs(2), BUDGET)) == 2  # both that there are were given back
