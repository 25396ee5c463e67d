"""Episodes with tools, in which the expert acts, are played again: programs run and passages are found once more."""

from pathlib import Path
from typing import Any

import gymnasium
import pytest

import envs  # noqa: F401  (registers the environments)
from agent.model.load import load_processor
from agent.records import read_trajectories, write_trajectories
from agent.replay.episodes import EpisodesAgain, replay_episodes
from agent.rollout.engine import Request
from agent.rollout.environments import EnvironmentPool, EnvironmentSpec
from agent.rollout.episode import Budget, EpisodeSpec
from agent.rollout.episodes import DriverOptions, EpisodeDriver
from agent.rollout.render import Renderer
from agent.rollout.scripted import ScriptedEngine
from agent.types import Trajectory
from tests.agent.run_fixtures import tiny_folder

BUDGET = Budget(1.0, 600, 4000, 4)
SPECS = [EpisodeSpec(task, 10 + task, 20 + task) for task in range(3)]
CODING = {"sandbox": "local", "style": "tiny", "program": "short", "problems": [1, 1], "instructions": "short"}
SEARCH = {"style": "tiny", "entities": 30, "hops": [1, 1], "top_k": 1, "instructions": "short", "max_turns": 3}
ENVIRONMENTS = {
    "programs, prompts rebuilt": EnvironmentSpec("RLLaVA/Coding-v0", {**CODING, "context": "restart"}),
    "programs": EnvironmentSpec("RLLaVA/Coding-v0", CODING),
    "search": EnvironmentSpec("RLLaVA/Search-v0", SEARCH),
}


def renderer() -> Renderer:
    return Renderer(load_processor(tiny_folder()))


def expert_plays(folder: Path, environment: EnvironmentSpec) -> Path:
    """Record what the environment's expert does; returns the file."""
    own = renderer()
    env = gymnasium.make(environment.id, disable_env_checker=True, **environment.kwargs)
    scripts = []
    for spec in SPECS:
        env.reset(seed=spec.seed, options={"task": spec.task})
        scripts.append(iter(env.unwrapped.solve()))  # type: ignore[attr-defined]
    env.close()

    def script(request: Request) -> tuple[list[int], list[float]]:
        tokens = list(own.demonstration(next(scripts[request.episode]), 0).token_ids)
        return tokens, [-0.25] * len(tokens)

    driver = EpisodeDriver(ScriptedEngine(script), own, EnvironmentPool(environment), DriverOptions(4, 2))
    played: list[Trajectory] = driver.run(SPECS, BUDGET)
    driver.close()
    assert all(t.outcome.end == "terminated" and t.outcome.score > 0.9 for t in played)  # type: ignore[operator]
    return write_trajectories(folder, "expert", played, own.pixels, own.processor.decode)


def again(path: Path, environment: EnvironmentSpec) -> EpisodesAgain:
    return replay_episodes(environment, BUDGET, renderer(), SPECS, list(read_trajectories(path)), DriverOptions(4, 2))


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_tools_answer_as_they_did(tmp_path: Path, environment: EnvironmentSpec) -> None:
    path = expert_plays(tmp_path, environment)
    found = again(path, environment)
    assert found.differences == [] and found.broken == []
    recorded = [trajectory for trajectory, _ in read_trajectories(path)]
    assert found.played == len(SPECS) and all(len(list(t.actions)) > 1 for t in recorded)
    assert found.tokens == sum(len(row) for t in recorded for row in t.rows)
    assert found.pictures == sum(len(row.images) for t in recorded for row in t.rows)
    if "context" in environment.kwargs:
        assert all(len(t.rows) > 1 for t in recorded)


@pytest.mark.parametrize(
    ("name", "change", "turn", "what"),
    [
        ("programs", {"problems": [0, 0]}, 0, "prompt, picture 0, sha256"),
        ("programs", {"sandbox": "none"}, 2, "observation, number of pictures"),
        ("search", {"world_seed": 5}, 0, "prompt, picture 0, sha256"),
        ("search", {"search": "none"}, 1, "observation, token"),
    ],
)
def test_another_world_or_tool_is_named_where_it_first_shows(
    tmp_path: Path, name: str, change: dict[str, Any], turn: int, what: str
) -> None:
    environment = ENVIRONMENTS[name]
    path = expert_plays(tmp_path, environment)
    found = again(path, EnvironmentSpec(environment.id, {**environment.kwargs, **change}))
    first = found.differences[0]
    assert (first.trajectory, first.turn, first.what[: len(what)]) == (0, turn, what)
