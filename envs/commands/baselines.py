"""python -m envs baselines [ID ...]: what the expert, a constant, a random and a blind answer score."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping
from itertools import repeat
from pathlib import Path
from typing import Any

import gymnasium
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Table

from .. import CATALOGUE
from ..core.conformance import BASELINES
from ..core.errors import ArgumentError
from ..core.tasks import generator
from ..scoring.tally import bootstrap
from .samples import prepared
from .terminal import add_kwargs, known, out

FILE = Path(__file__).resolve().parent.parent / "baselines.json"
EPISODES = 512
ROWS = ("oracle", *BASELINES)


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "baselines",
        help="what the expert, a constant, a random and a blind answer score",
        description="Play test tasks with solve() (oracle) and with each baseline(name), and print the mean of the "
        "primary metric with a 95%% bootstrap interval. A baseline says the same in every turn of an episode.",
    )
    command.add_argument("ids", nargs="*", metavar="ID", help="by default every procedural environment")
    command.add_argument("--episodes", type=int, default=EPISODES, help=f"test tasks from the first on ({EPISODES})")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument("--write", action="store_true", help=f"put the figures into {FILE.name}, which cards show")
    add_kwargs(command)
    return command


def run(given: argparse.Namespace) -> int:
    """Play, print and perhaps write; the exit status."""
    if given.episodes < 1:
        raise ArgumentError(f"--episodes must be a whole number, at least 1; got {given.episodes}")
    ids = given.ids or [env_id for env_id, entry in CATALOGUE.items() if entry.sample is None]
    results: dict[str, dict[str, Any]] = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for env_id in ids:
            entry = CATALOGUE.get(known(env_id).removeprefix("envs:"))
            if entry is not None and entry.sample is not None and "data" not in given.kwargs:
                raise ArgumentError(
                    f"{env_id} plays published data: say where they are, "
                    "--kwargs '{\"data\": FOLDER}' (or a file or a hub name)"
                )
            bar = progress.add_task(env_id, total=None)

            def told(done: int, total: int, bar: TaskID = bar) -> None:
                progress.update(bar, completed=done, total=total)

            with prepared(env_id, given.kwargs) as made:
                results[env_id] = measure(env_id, made.kwargs, given.episodes, told)
    if given.json:
        print(json.dumps(results, indent=2))
    else:
        show(results)
    if given.write:
        write(results)
    return 0


def measure(
    env_id: str,
    kwargs: Mapping[str, Any],
    episodes: int = EPISODES,
    on_episode: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Play the first tasks of the test split with the expert and with every baseline.

    Returns plain data: `split`, `episodes`, `kwargs`, `metric`, and `scores`: for each of oracle, constant, random and
    blind `value`, `low`, `high` of the primary metric and the mean `reward`, or None where it is not provided.
    """
    env = gymnasium.make(env_id, disable_env_checker=True, **{"split": "test", **kwargs})
    base: Any = env.unwrapped
    try:
        count = min(episodes, base.num_tasks(base.split))
        provided = {name: hasattr(base, "solve" if name == "oracle" else "baseline") for name in ROWS}
        total, done = count * sum(provided.values()), 0
        scores: dict[str, dict[str, float] | None] = {}
        for name in ROWS:
            if not provided[name]:
                scores[name] = None
                continue
            values, rewards = [], []
            for task in range(count):
                env.reset(options={"task": task})
                said = base.solve() if name == "oracle" else repeat(base.baseline(name, generator(env_id, name, task)))
                reward = 0.0
                info: dict[str, Any] = {}
                for action in said:
                    _, gained, terminated, truncated, info = env.step(action)
                    reward += float(gained)
                    if terminated or truncated:
                        break
                values.append(float(info["metrics"][base.primary_metric]))
                rewards.append(reward)
                done += 1
                on_episode(done, total)
            low, high = bootstrap(values)
            scores[name] = {
                "value": math.fsum(values) / count,
                "low": low,
                "high": high,
                "reward": math.fsum(rewards) / count,
            }
        return {
            "split": base.split,
            "episodes": count,
            "kwargs": dict(kwargs),
            "metric": base.primary_metric,
            "scores": scores,
        }
    finally:
        env.close()


def read() -> dict[str, dict[str, Any]]:
    """The figures that cards show: id -> what `measure` returns."""
    return dict(json.loads(FILE.read_text("utf-8"))) if FILE.is_file() else {}


def write(results: Mapping[str, Mapping[str, Any]]) -> None:
    """Put figures into the file, the others kept, in the catalogue's order. A local folder loses its path."""
    merged = read()
    for env_id, found in results.items():
        kwargs = dict(found["kwargs"])
        if "data" in kwargs and Path(kwargs["data"]).exists():
            kwargs["data"] = Path(kwargs["data"]).name
        scores = {
            name: None if score is None else {key: round(value, 4) for key, value in score.items()}
            for name, score in found["scores"].items()
        }
        merged[env_id.removeprefix("envs:")] = {**found, "kwargs": kwargs, "scores": scores}
    order = {env_id: k for k, env_id in enumerate(CATALOGUE)}
    ordered = dict(sorted(merged.items(), key=lambda item: order.get(item[0], len(order))))
    FILE.write_text(json.dumps(ordered, indent=2) + "\n", "utf-8")


def percent(score: Mapping[str, float] | None) -> str:
    """One figure for a table, in percent: "16.6 (13.5 to 19.9)"."""
    if score is None:
        return "not provided"
    return f"{100 * score['value']:.1f} ({100 * score['low']:.1f} to {100 * score['high']:.1f})"


def show(results: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the figures in percent."""
    table = Table("id", "metric", "who", "percent")
    for env_id, found in results.items():
        heads = [(escape(env_id), found["metric"]), ("", f"{found['episodes']} tasks")]
        for k, name in enumerate(ROWS):
            table.add_row(*(heads[k] if k < 2 else ("", "")), name, percent(found["scores"][name]))
        table.add_section()
    out.print(table)
