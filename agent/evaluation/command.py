"""`python -m agent eval`: play what is missing, keep every transcript, and tell the results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isnan
from typing import Any

from rich.console import Console

from ..chat import ChatServer
from ..errors import OutageError, outages_told
from ..evaluate import primary_metric, task_count
from ..progress import Progress
from ..rollout.environments import EnvironmentPool
from .baselines import provides
from .benchmark import Benchmark
from .collected import Collected, results_of
from .folder import EvaluationFolder
from .options import EvaluateConfig, check_options
from .plan import Plan, make_plan
from .players import BaselinePlayer, ChatPlayer, CheckpointPlayer, Player
from .results import markdown, show
from .sitting import Sitting
from .subject import Subject

LOST = 0.5  # share of a sitting's episodes that the infrastructure may break before the results mean nothing


def evaluate(options: EvaluateConfig, console: Console) -> int:
    """Run the command; returns the exit status.

    Raises:
        AgentError: its message says what to do.
    """
    check_options(options)
    plan = make_plan(options)
    folder = EvaluationFolder(plan.folder)
    progress = Progress(console)
    try:
        collected = list(_play(plan, folder, progress))
        results = results_of(collected, options)
        folder.write("results.json", json.dumps(_finite(results), indent=1) + "\n")
        folder.write("results.md", markdown(results))
    except KeyboardInterrupt:
        progress.stop()
        console.print(f"stopped; what was played is in {folder.path}, and the same command goes on from there")
        return 130
    finally:
        progress.stop()
        folder.close()
    show(console, results)
    console.print(f"{folder.path}: results.json, results.md, and every transcript in episodes/", soft_wrap=True)
    console.print(f"a page to look at them: python -m agent view {folder.path}", soft_wrap=True)
    lost = next((one for one in collected if one.failed > LOST * max(1, len(one.records))), None)
    if lost is not None:
        raise OutageError(
            f"the infrastructure broke {lost.failed} of {len(lost.records)} episodes of {lost.sitting.subject} at "
            f"{lost.sitting.benchmark.name}; once it works, the same command plays them again"
        )
    return 0


def _play(plan: Plan, folder: EvaluationFolder, progress: Progress) -> Iterator[Collected]:
    for subject, benchmarks in (*plan.baselines, *plan.parts):
        player: Player | None = None
        try:
            for sitting in plan.sittings(subject, benchmarks):
                with _pool(sitting) as pool:
                    if subject.kind == "baseline" and not provides(pool, subject.where):
                        continue
                    count = task_count(pool)
                    wanted = sitting.episodes(count)
                    episodes = folder.open(sitting)
                    try:
                        missing = episodes.missing(wanted)
                        _begin(progress, sitting, len(wanted), len(missing))
                        if missing:
                            player = player or _player(subject, benchmarks, plan.options)

                            def keep(one: Any, record: Any, pictures: Any, episodes: Any = episodes) -> None:
                                episodes.keep(one, record, pictures)
                                progress.advance()

                            player.play(sitting, pool, missing, keep)
                    finally:
                        episodes.close()
                    keys = {(one.index, one.sample) for one in wanted}
                    records = {key: record for key, record in episodes.records.items() if key in keys}
                    tasks = len({one.index for one in wanted})
                    yield Collected.of(sitting, records, tasks, primary_metric(pool), pool.sample)
        finally:
            if player is not None:
                player.close()


def _player(subject: Subject, benchmarks: Sequence[Benchmark], options: EvaluateConfig) -> Player:
    if subject.kind == "checkpoint":
        return CheckpointPlayer(subject, benchmarks, options)
    if subject.kind == "chat":
        return ChatPlayer(ChatServer(subject.where, options.server), options.server.concurrency)
    return BaselinePlayer(subject.where, max(benchmark.sizes.threads for benchmark in benchmarks))


@contextmanager
def _pool(sitting: Sitting) -> Iterator[EnvironmentPool]:
    pool = EnvironmentPool(sitting.benchmark.played(sitting.variant))
    try:
        with outages_told(f"{sitting.benchmark.name} cannot be played"):
            yield pool
    finally:
        pool.close()


def _begin(progress: Progress, sitting: Sitting, wanted: int, missing: int) -> None:
    parts = (sitting.subject, sitting.benchmark.name, sitting.benchmark.split, sitting.variant, sitting.decoding)
    told = ", ".join(part for part in parts if part and part != "none")
    if missing < wanted:
        told += f" ({wanted - missing} of {wanted} are there)"
    progress.phase(told, wanted, wanted - missing)


def _finite(value: Any) -> Any:
    """JSON has no word for what is not a number."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and isnan(value) else value
