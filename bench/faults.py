"""Faults on purpose: one tool call in five fails at the infrastructure, and the run goes on.

    python bench/faults.py [--steps 30] [--share 0.2] [--cold 0] [--prompts 0] [--out FOLDER]

The recipes `coding` and `search`, after a cold start with whole tools, are trained with tools that fail. Coding
asks an HTTP service in front of local lanes, Search an index in memory. From the record of every step the advantages
are computed again with the failed and dropped episodes taken away before; they must be those that were learned from.
Writes bench/faults.md and .json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from made_on import commit, machine
from rich.console import Console

from agent.algorithm import resolve
from agent.cli import read_config
from agent.config import ColdStartConfig, Config
from agent.credit import episodes_of, estimate
from agent.failures import action_kind
from agent.records import read_trajectories
from agent.roles.reward import scores_and_validity
from agent.run import run
from envs.search import world_passages
from sandbox.faults import Faults, share
from sandbox.flaky import FlakySandbox
from sandbox.local import LocalSandbox
from sandbox.search import Index, build_index, shared
from sandbox.search.flaky import FlakySearch
from sandbox.service.app import make_app
from sandbox.service.background import serving

HERE = Path(__file__).parent
SPARED = 100  # calls at the beginning, in which environments are made


@contextmanager
def coding_tool(config: Config, part: float, folder: Path) -> Iterator[tuple[dict[str, Any], Faults]]:
    sandbox = FlakySandbox(LocalSandbox(), share(part, 1))
    with serving(make_app(sandbox, token=None)) as url:
        yield {"sandbox": url}, sandbox.faults


@contextmanager
def search_tool(config: Config, part: float, folder: Path) -> Iterator[tuple[dict[str, Any], Faults]]:
    folder = folder.resolve()
    build_index(folder, world_passages("tiny", config.env.kwargs["entities"]))
    fails = share(part, 1)
    search = FlakySearch(Index.open(folder), lambda call: call >= SPARED and fails(call))
    shared(f"index:{folder}", lambda: search)
    yield {"search": f"index:{folder}"}, search.faults


TOOLS = {"coding": coding_tool, "search": search_tool}


def cold(name: str, steps: int, prompts: int, folder: Path) -> tuple[Config, Path]:
    """The recipe without tests, and its weights after a cold start of so many steps."""
    config = read_config("train", [name])
    config = replace(
        config,
        rollout=replace(config.rollout, prompts_per_step=prompts or config.rollout.prompts_per_step),
        evaluation=replace(config.evaluation, validate_every=0, test_episodes=0),
        run=replace(config.run, folder=str(folder), name=f"{name}-cold", record_every=1),
    )
    start = replace(config.cold_start, max_steps=steps or config.cold_start.max_steps, stop_at=1.0)
    run(replace(config, cold_start=start, optimizer=replace(config.optimizer, steps=0)), Console(quiet=True))
    return config, folder / f"{name}-cold" / "checkpoints" / "step_0"


def train(config: Config, weights: Path, name: str, part: float, steps: int, folder: Path) -> dict[str, Any]:
    """A run whose tool fails for this part of its calls: what its record shows."""
    title = f"{name}-faults"
    with TOOLS[name](config, part, folder / f"{name}-index") as (kwargs, faults):
        config = replace(
            config,
            env=replace(config.env, train={**config.env.train, **kwargs}),
            model=replace(config.model, path=str(weights)),
            cold_start=ColdStartConfig(),
            optimizer=replace(config.optimizer, steps=steps),
            run=replace(config.run, name=title),
        )
        started = time.perf_counter()
        run(config, Console(quiet=True))
        seconds = time.perf_counter() - started
    lines = [json.loads(line) for line in (folder / title / "metrics.jsonl").read_text().splitlines()]
    return {
        "seconds": seconds,
        "calls": faults.calls,
        "calls_failed": faults.failed,
        "pauses": sum(line["failed/pauses"] for line in lines),
        "groups_dropped": sum(line["failed/groups"] for line in lines),
        "rewards": [line["reward"] for line in lines],
        "steps": len(lines),
        **of_record(config, folder / title / "rollouts", steps),
    }


def of_record(config: Config, folder: Path, steps: int) -> dict[str, Any]:
    """Episodes by what became of them, and how far any advantage is from what it is without the failed ones."""
    algorithm, size = resolve(config), config.rollout.group_size
    found: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    after: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    largest = 0.0
    for step in range(1, steps + 1):
        read = list(read_trajectories(folder / f"step_{step:06d}.jsonl"))
        kept = [i for i, (t, _) in enumerate(read) if t.valid]
        left = [read[i][0] for i in kept]
        scores, valid = scores_and_validity(left)
        groups = torch.tensor([i // size for i in kept])
        expected = estimate(algorithm, episodes_of(left, groups, scores, valid)).advantages[:, 0].tolist()
        for i, advantage in zip(kept, expected, strict=True):
            largest = max(largest, abs(read[i][1]["advantage"] - advantage))
        for t, record in read:
            failed = t.outcome.end == "failed"
            texts = [s["text"] for row in record["rows"] for s in row["segments"] if s["kind"] == "action"]
            kinds = ["reset", *map(action_kind, texts)]
            taken.update(kinds)
            found["episodes"] += 1
            found["dropped"] += bool(t.dropped)
            if failed:
                after[kinds[-1]] += 1
                causes[t.outcome.reason.partition(":")[0]] += 1
                found["failed"] += 1
                found["failed_with_score"] += t.outcome.score is not None
            found["left_out_with_advantage"] += not t.valid and record["advantage"] != 0.0
    rates = {kind: {"failed": count, "taken": taken[kind]} for kind, count in after.most_common()}
    return {**found, "largest_difference": largest, "after": rates, "causes": dict(causes)}


def table(found: dict[str, Any]) -> str:
    names, faulty = list(found["runs"]), list(found["runs"].values())

    def row(title: str, cells: list[str]) -> str:
        return f"| {title} | " + " | ".join(cells) + " |"

    def ends(rewards: list[float]) -> str:
        told = [
            f"{statistics.mean(of):.2f} ({statistics.stdev(of) / len(of) ** 0.5:.2f})"
            for of in (rewards[:5], rewards[-5:])
        ]
        return " to ".join(told)

    def rates(run: dict[str, Any]) -> str:
        return ", ".join(
            f"{kind} {of['failed']} of {of['taken']} ({of['failed'] / of['taken']:.1%})"
            for kind, of in run["after"].items()
        )

    lines = [
        "# Faults on purpose",
        "",
        f"`python bench/faults.py --steps {found['steps']} --share {found['share']:g} --cold {found['cold']} "
        f"--prompts {found['prompts']}` at commit {found['commit']} on {found['machine']}: the recipes after "
        f"their cold start, {found['share']:.0%} of whose tool calls in training fail at the infrastructure. Search "
        "also searches when an episode begins.",
        "",
        row("", names),
        "|---|" + "---|" * len(names),
        row("steps", [f"{r['steps']}" for r in faulty]),
        row(
            "tool calls, failed",
            [f"{r['calls']:,}, {r['calls_failed']:,} ({r['calls_failed'] / r['calls']:.1%})" for r in faulty],
        ),
        row(
            "episodes, failed",
            [f"{r['episodes']:,}, {r['failed']:,} ({r['failed'] / r['episodes']:.1%})" for r in faulty],
        ),
        row("causes", [", ".join(f"{name} {count}" for name, count in r["causes"].items()) for r in faulty]),
        row("failed, by action", [rates(r) for r in faulty]),
        row(
            "groups dropped, and valid episodes in them", [f"{r['groups_dropped']:.0f}, {r['dropped']}" for r in faulty]
        ),
        row("failed episodes with a score", [str(r["failed_with_score"]) for r in faulty]),
        row("failed or dropped episodes with an advantage", [str(r["left_out_with_advantage"]) for r in faulty]),
        row("largest difference of an advantage", [f"{r['largest_difference']:.1g}" for r in faulty]),
        row("pauses", [f"{r['pauses']:.0f}" for r in faulty]),
        row("reward, mean of the first and the last 5 steps (standard error)", [ends(r["rewards"]) for r in faulty]),
        row("seconds", [f"{r['seconds']:.0f}" for r in faulty]),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--cold", type=int, default=0, help="supervised steps before; 0: the recipe's")
    parser.add_argument("--prompts", type=int, default=0, help="tasks a step; 0: the recipe's")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {
        "commit": commit(),
        "machine": machine(),
        "steps": given.steps,
        "share": given.share,
        "cold": given.cold,
        "prompts": given.prompts,
        "runs": {},
    }
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in TOOLS:
            config, weights = cold(name, given.cold, given.prompts, folder)
            found["runs"][name] = train(config, weights, name, given.share, given.steps, folder)
            print(json.dumps(found["runs"][name]), flush=True)
    text = table(found)
    print(text)
    (given.out / "faults.md").write_text(text)
    (given.out / "faults.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
