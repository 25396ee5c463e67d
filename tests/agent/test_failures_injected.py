"""Faults on purpose: one tool call in five fails at the infrastructure, and what is left is learned as if nothing else
had been played."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("tantivy")
pytest.importorskip("cv2")
pytest.importorskip("uvicorn")

from agent.algorithm import FAMILIES
from agent.collect import Collected, collect
from agent.config import Config
from agent.credit import episodes_of, estimate
from agent.lesson import Lesson, prepare, rewards_of
from agent.parts import Parts, build
from agent.progress import Progress
from agent.records import read_trajectories
from agent.rollout.engine import Request
from agent.rollout.scripted import ScriptedEngine
from agent.seeds import generator
from agent.train import learn, learner_of
from agent.types import Trajectory
from envs.search import world_passages
from sandbox.faults import Faults, share
from sandbox.flaky import FlakySandbox
from sandbox.local import LocalSandbox
from sandbox.search import Index, build_index, shared
from sandbox.search.flaky import FlakySearch
from sandbox.service.app import make_app
from sandbox.service.background import serving
from tests.agent.run_fixtures import BrokenSandboxError, Hooks, quiet, small_config
from tests.agent.test_train import copied, prepared, trained
from tests.agent.test_train import moved as weights_moved

STEPS = 3
CAUSES = ("Lost", "SearchUnavailableError", "OutageError")
TURNS = {
    "Coding": ["<think>a</think><problem>dark</problem>", "<think>b</think><code>print(1)</code>", "mend it", "4"],
    "Search": ["<think>a</think><search>red square</search>", "look for it", "<search>green</search>", "1812"],
}


@pytest.fixture
def tools(tmp_path: Path) -> Iterator[dict[str, tuple[dict[str, Any], Faults]]]:
    """Arguments of both environments, and what fails behind them: a service that loses a program in five, and an index
    of which a search in five fails (but not at once, so that the run can begin)."""
    folder, flaky = (tmp_path / "index").resolve(), FlakySandbox(LocalSandbox(lanes=2), share(0.2, 1))
    build_index(folder, world_passages("tiny"))
    fails = share(0.2, 2)
    search = FlakySearch(Index.open(folder), lambda call: call >= 10 and fails(call))
    assert shared(f"index:{folder}", lambda: search) is search
    short = {"style": "tiny", "instructions": "short"}
    with serving(make_app(flaky, token=None)) as url:
        yield {
            "Coding": ({**short, "program": "short", "sandbox": url, "max_turns": 6}, flaky.faults),
            "Search": ({**short, "hops": (1, 1), "search": f"index:{folder}", "max_turns": 6}, search.faults),
        }


def scripted(parts: Parts, turns: list[str]) -> ScriptedEngine:
    """A policy that takes these turns by chance, the more often the last ones the longer an episode lasts, and then
    answers in one of two forms."""
    tokenizer, stop = parts.vlm.processor.tokenizer, parts.vlm.processor.stop_ids[0]
    taken: Counter[int] = Counter()

    def script(request: Request) -> tuple[list[int], list[float]]:
        taken[request.episode] += 1
        dice = generator(request.sampling.seed)
        over = taken[request.episode] > dice.integers(2, 5)
        answer = ["<think>c</think><answer>4 0 7</answer>", "<answer>1812</answer>"][int(dice.integers(2))]
        tokens = [*tokenizer.encode(answer if over else turns[int(dice.integers(len(turns)))]), stop]
        return tokens, [-1.0] * len(tokens)

    return ScriptedEngine(script)


def made(folder: Path, name: str, kwargs: dict[str, Any], **areas: dict[str, Any]) -> tuple[Config, Parts]:
    """The parts of a run whose policy is scripted."""
    config = small_config(
        folder,
        env={"id": f"RLLaVA/{name}-v0", "kwargs": kwargs},
        rollout={
            "prompts_per_step": 3,
            "group_size": 4,
            "max_turn_tokens": 80,
            "max_row_tokens": 1200,
            "max_turns": 6,
            "threads": 1,
        },
        optimizer={"steps": STEPS},
        evaluation={"validate_every": 0},
        check={"max_gap": 1e9},  # a script does not know its probabilities
        **areas,
    )
    config = replace(config, modules=["envs"])
    parts = build(config, folder, None)
    parts.rollout_engine = scripted(parts, TURNS[name])
    return config, parts


@pytest.mark.parametrize("name", ["Coding", "Search"])
def test_with_a_fifth_of_all_tool_calls_failing_a_run_finishes_and_learns_from_the_rest_alone(
    name: str, tools: dict[str, tuple[dict[str, Any], Faults]], tmp_path: Path
) -> None:
    kwargs, faults = tools[name]
    config, parts = made(tmp_path, name, kwargs)
    metrics, _, ended = trained(config, parts)
    assert not isinstance(ended, Exception) and len(metrics) == STEPS
    broken = valid = 0
    for step, line in enumerate(metrics, 1):
        read = list(read_trajectories(tmp_path / "run" / "rollouts" / f"step_{step:06d}.jsonl"))
        groups = torch.arange(3).repeat_interleave(4)
        kept = [i for i, (t, _) in enumerate(read) if t.valid]
        left = [read[i][0] for i in kept]
        rewards = rewards_of(config, parts, left, groups[kept], step - 1)
        expected = estimate(parts.algorithm, episodes_of(left, groups[kept], rewards.scores, rewards.valid))
        for i, advantage in zip(kept, expected.advantages[:, 0].tolist(), strict=True):
            assert read[i][1]["advantage"] == pytest.approx(advantage, abs=1e-6)
        for t, record in read:
            if t.outcome.end == "failed":
                assert t.outcome.score is None and record["advantage"] == 0.0
                broken += 1
            elif t.valid:
                assert [u.valid for u, _ in read if u.seed == t.seed].count(True) > 1
                valid += 1
        assert line["failed"] == sum(t.outcome.end == "failed" for t, _ in read) / 12
        assert line["reward"] == pytest.approx(sum(t.outcome.score or 0.0 for t in left) / len(left), abs=1e-6)
        assert line["taught"] <= len(left)
    assert broken >= 3 and valid >= 12
    assert broken == sum(line.get(f"failed/cause/{cause}", 0) for line in metrics for cause in CAUSES)
    assert 0.1 < faults.failed / faults.calls < 0.3
    # A policy can only ask the tool: whatever else it does, nothing fails. (Resetting Search searches as well.)
    after = {name.rpartition("/")[2] for line in metrics for name in line if name.startswith("failed/after/")}
    assert after == ({"code"} if name == "Coding" else {"search", "reset"})


def test_which_episodes_fail_depends_on_the_calls_alone(
    tools: dict[str, tuple[dict[str, Any], Faults]], tmp_path: Path
) -> None:
    kwargs, faults = tools["Coding"]
    found = []
    for name in ("one", "two"):
        faults.calls = 0
        config, parts = made(tmp_path / name, "Coding", kwargs)
        found.append([t.outcome for t in collect(config, parts, 0).trajectories])
    assert found[0] == found[1] and {outcome.end for outcome in found[0]} >= {"failed", "terminated"}


def without_failed(collected: Collected) -> Collected:
    kept = [i for i, t in enumerate(collected.trajectories) if t.valid]
    greedy = collected.greedy_scores
    return replace(
        collected,
        trajectories=[collected.trajectories[i] for i in kept],
        siblings=collected.siblings[kept],
        greedy_scores=None if greedy is None else greedy[kept],
    )


def lesson_of(config: Config, parts: Parts, collected: Collected) -> Lesson:
    found: list[Trajectory] = collected.trajectories
    rewards = rewards_of(config, parts, found, collected.siblings, 0)
    learner = learner_of(config, parts)
    return prepare(learner, parts, found, collected.siblings, rewards, collected.greedy_scores, parts.kl_coef)


def break_some(count: int) -> None:
    """Of 16 episodes the second, and three of the third group's four."""
    if count in (2, 9, 10, 12):
        raise BrokenSandboxError("gone")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_weights_after_a_step_are_those_of_a_step_without_the_failed_episodes(family: str, tmp_path: Path) -> None:
    moved: list[dict[str, torch.Tensor]] = []
    ways: list[Callable[[Collected], Collected]] = [lambda collected: collected, without_failed]
    for place, way in enumerate(ways):
        rollout = {"prompts_per_step": 4, "group_size": 4, "threads": 1}
        config, parts = prepared(tmp_path / str(place), rollout=rollout, algorithm={"family": family})
        before = copied(parts)
        Hooks.set(break_some)
        collected = collect(config, parts, 0)
        Hooks.set(None)
        groups = [collected.trajectories[i : i + 4] for i in range(0, 16, 4)]
        assert {len([t for t in group if t.outcome.end != "failed"]) for group in groups} >= {1, 3}
        lesson = lesson_of(config, parts, way(collected))
        progress = Progress(quiet()[0])
        learn(config, parts, learner_of(config, parts), lesson, 0, progress)
        progress.stop()
        assert weights_moved(parts, before)
        moved.append(copied(parts))
    for name, tensor in moved[0].items():
        torch.testing.assert_close(tensor, moved[1][name], rtol=0.0, atol=1e-6)
