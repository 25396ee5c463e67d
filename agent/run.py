"""The whole of a training command: cold start, test, reinforcement learning, test, report; or the rest of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import Any

from rich.console import Console

from .beginning import environment_spec
from .coldstart import Demonstrator, cold_start
from .collect import budget
from .config import Config
from .config_engine import EngineConfig
from .elsewhere import check_elsewhere, episodes_elsewhere, play_elsewhere, rows_elsewhere
from .engine.memory import Phase
from .engine.ranks import join, others_explained, unseen
from .evaluate import (
    evaluate_policy,
    evaluation_tasks,
    paired_difference,
    primary_metric,
    summarise,
    task_scores,
)
from .evaluation.baselines import baseline_scores
from .interrupt import Interrupt
from .model.boxes import with_boxes
from .model.states import reason
from .parts import Parts, build
from .progress import Progress
from .records import write_trajectories
from .replay.record import shared_pictures
from .report import write_report
from .run_directory import RunDirectory
from .train import save, train, validate

BASELINES = ("constant", "random", "blind", "oracle")
SHOWN_TRANSCRIPTS = 24


@dataclass(frozen=True)
class Ended:
    """How a training command ended: `finished` with its report, or interrupted with a checkpoint."""

    finished: bool
    report: dict[str, Any] | None


def run(config: Config, console: Console, started: float | None = None) -> Ended:
    """Run or continue a recipe. `started`: the `perf_counter` from which the time of starting up is counted.

    Raises:
        AgentError: its message says what to do.
    """
    config = with_boxes(config)  # so that the run's config.yaml says which unit its boxes had
    ranks = join(config.engine.train)
    if not ranks.first:
        console = Console(quiet=True)
    directory = RunDirectory(config, ranks, lambda message: progress.warn(message))
    progress = Progress(console)
    try:
        if (report := directory.read_json("report.json")) is not None:
            console.print(f"{directory.path} is finished; delete the folder or give another --run.name to run again")
            return Ended(True, report)
        with Interrupt() as stop:
            return _run(config, directory, progress, stop, perf_counter() if started is None else started)
    finally:
        progress.stop()
        directory.close()


def _run(config: Config, directory: RunDirectory, progress: Progress, stop: Interrupt, started: float) -> Ended:
    clock = _Clock(directory)
    checkpoint = directory.latest
    continued = None if checkpoint is None else int(checkpoint.name.removeprefix("step_"))
    ranks = directory.ranks
    if checkpoint is None and config.engine.train == "fsdp2" and config.cold_start.sources:
        # The trainer of supervised steps is for one process: the first one makes them before anything is in shards.
        if ranks.first:
            _alone(config, directory, progress, stop, clock)
        if ranks.any(stop.requested):
            progress.warn("interrupted during the cold start, which begins again with the same command")
            return Ended(False, None)
        checkpoint, continued = directory.latest, 0
    parts = build(config, directory.path, checkpoint, ranks)
    clock.add("start-up", perf_counter() - started)
    if why := reason(parts.vlm.model):
        progress.warn(f"what siblings share is not computed in one packed row with this model: {why}")
    # A split that is too small is better told now than after the cold start.
    start = config.cold_start
    checked = start.check_episodes if start.sources and start.stop_at < 1.0 else 0
    evaluation_tasks(parts.driver("validation").pool, max(config.evaluation.validation_episodes, checked))
    for variant in ("", *config.evaluation.variants):
        evaluation_tasks(parts.driver("test", variant).pool, config.evaluation.test_episodes)
    check_elsewhere(config, parts)
    try:
        with parts.memory.explained(), others_explained(ranks):
            return _phases(config, parts, directory, progress, stop, clock, continued)
    finally:
        parts.close()


def _alone(config: Config, directory: RunDirectory, progress: Progress, stop: Interrupt, clock: _Clock) -> None:
    """The cold start by this process alone, and its checkpoint."""
    local = replace(config, engine=EngineConfig())
    parts = build(local, directory.path, None)
    try:
        with parts.memory.explained(), unseen(), clock.phase("cold start"):
            _cold_start(local, parts, directory, progress, stop)
        if not stop.requested:
            save(local, parts, directory, 0)
    finally:
        parts.close()


def _phases(
    config: Config,
    parts: Parts,
    directory: RunDirectory,
    progress: Progress,
    stop: Interrupt,
    clock: _Clock,
    continued: int | None,
) -> Ended:
    """From the cold start to the report, or from step `continued`."""
    first = continued or 0
    if continued is None:
        with clock.phase("cold start"):
            _cold_start(config, parts, directory, progress, stop)
        if stop.requested:
            progress.warn("interrupted during the cold start, which begins again with the same command")
            return Ended(False, None)
        save(config, parts, directory, 0)
    elif first:
        progress.console.print(f"continuing {directory.path} after step {first}")
    with clock.phase("test"):
        _test(config, parts, directory, "before", progress)
    progress.phase("training", config.optimizer.steps, first)
    with clock.phase("training"):
        finished = train(config, parts, directory, first, progress, stop)
    if finished.interrupted:
        progress.warn(f"interrupted; saved after step {finished.step}. The same command continues")
        return Ended(False, None)
    with clock.phase("test"):
        _test(config, parts, directory, "after", progress)
        baselines = _baselines(config, parts)
    report = _report(config, parts, directory, baselines, clock)
    if parts.ranks.first:
        write_report(directory, report, parts.vlm.processor.decode)
    directory.report(report)
    directory.write_json("report.json", report)  # last: its presence says that the run is finished
    return Ended(True, report)


def _cold_start(config: Config, parts: Parts, directory: RunDirectory, progress: Progress, stop: Interrupt) -> None:
    if not config.cold_start.sources:
        return
    progress.phase("cold start", config.cold_start.max_steps)
    parts.memory.enter(Phase.UPDATE)
    demonstrator = Demonstrator(environment_spec(config, "train"), config.cold_start, parts.renderer, config.run.seed)
    steps = cold_start(
        parts.vlm,
        demonstrator,
        config.cold_start,
        config.run.seed,
        lambda: _checked(config, parts),
        progress.step,
        lambda: stop.requested,
    )
    parts.begin_learning()
    directory.write_json("cold_start.json", {"steps": steps})


def _checked(config: Config, parts: Parts) -> float:
    """The validation of a cold start, by the weights as they are now."""
    parts.sync(0)
    score = validate(config, parts, config.cold_start.check_episodes)
    parts.memory.enter(Phase.UPDATE)
    return score


def _test(config: Config, parts: Parts, directory: RunDirectory, name: str, progress: Progress) -> None:
    """Test the policy as it is; what was tested before is not tested again."""
    episodes = config.evaluation.test_episodes
    if not episodes or directory.read_json(f"evaluations/{name}.json") is not None:
        return
    parts.memory.enter(Phase.ROLLOUT)
    driver = parts.driver("test")
    temperatures = {"greedy": 0.0} | ({"sampled": config.rollout.temperature} if config.evaluation.sampled else {})
    variants = list(config.evaluation.variants) if name == "after" else []
    progress.phase(f"test {name}", episodes * (len(temperatures) + len(variants)) + episodes_elsewhere(config))
    scores: dict[str, list[float | None]] = {}
    measures: dict[str, list[float | None]] = {}
    varied: dict[str, list[float | None]] = {}
    for decoding, temperature in temperatures.items():
        trajectories = evaluate_policy(
            driver, episodes, budget(config, temperature), config.run.seed, lambda _: progress.advance(), parts.ranks
        )
        scores[decoding] = task_scores(trajectories, primary_metric(driver.pool))
        if decoding == "greedy":
            measures = {metric: task_scores(trajectories, metric) for metric in config.evaluation.measures}
        shown = trajectories[:SHOWN_TRANSCRIPTS]
        pixels = shared_pictures(parts, shown)
        if parts.ranks.first:
            write_trajectories(
                directory.path / "evaluations", f"{name}_{decoding}", shown, pixels, parts.vlm.processor.decode
            )
        parts.renderer.forget()
    for variant in variants:
        altered, limits = parts.driver("test", variant), budget(config, 0.0)
        played = evaluate_policy(altered, episodes, limits, config.run.seed, lambda _: progress.advance(), parts.ranks)
        varied[variant] = task_scores(played, primary_metric(driver.pool))
        parts.renderer.forget()
    elsewhere = play_elsewhere(config, parts, progress.advance)
    more = {"measures": measures, "variants": varied, "elsewhere": elsewhere}
    directory.write_json(f"evaluations/{name}_more.json", more)
    directory.write_json(f"evaluations/{name}.json", scores)  # last: its presence says that the test is done


def _baselines(config: Config, parts: Parts) -> dict[str, list[float | None] | None]:
    episodes = config.evaluation.test_episodes
    pool = parts.driver("test").pool
    return {name: baseline_scores(pool, name, episodes, config.run.seed) for name in BASELINES if episodes}


def _report(
    config: Config,
    parts: Parts,
    directory: RunDirectory,
    baselines: dict[str, list[float | None] | None],
    clock: _Clock,
) -> dict[str, Any]:
    metric, seed = primary_metric(parts.driver("test").pool), config.run.seed
    evaluations = {name: directory.read_json(f"evaluations/{name}.json") or {} for name in ("before", "after")}
    rows = [
        asdict(summarise(name, config.env.id, "none", metric, scores, seed))
        for name, scores in baselines.items()
        if scores is not None
    ]
    differences = []
    for decoding in evaluations["after"]:
        rows += [
            asdict(summarise(name, config.env.id, decoding, metric, evaluations[name][decoding], seed))
            for name in ("before", "after")
        ]
        value, low, high = paired_difference(evaluations["before"][decoding], evaluations["after"][decoding])
        differences.append({"decoding": decoding, "value": value, "low": low, "high": high})
    more = {name: directory.read_json(f"evaluations/{name}_more.json") or {} for name in evaluations}
    rows += [
        asdict(summarise(f"after, {variant}", config.env.id, "greedy", metric, scores, seed))
        for variant, scores in more["after"].get("variants", {}).items()
    ]
    elsewhere = [more[name].get("elsewhere", {}) for name in ("before", "after")]
    rows += rows_elsewhere(config, parts, *elsewhere, BASELINES)
    measures = [
        asdict(summarise(name, config.env.id, "greedy", measure, scores, seed))
        for name, found in more.items()
        for measure, scores in found.get("measures", {}).items()
    ]
    report = {"seconds": round(sum(clock.seconds.values()), 1), "phases": clock.seconds, "rows": rows}
    if measures:
        report["measures"] = measures
    started = directory.read_json("cold_start.json") or {"steps": 0}
    report |= {"paired_differences": differences, "cold_start_steps": started["steps"], "steps": config.optimizer.steps}
    return report


class _Clock:
    """Seconds of each phase, summed over the processes that a run took."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory
        self.seconds: dict[str, float] = directory.read_json("seconds.json") or {}
        self._name, self._since = "", 0.0

    def phase(self, name: str) -> _Clock:
        self._name = name
        return self

    def __enter__(self) -> None:
        self._since = perf_counter()

    def __exit__(self, *_: object) -> None:
        self.add(self._name, perf_counter() - self._since)

    def add(self, name: str, seconds: float) -> None:
        self.seconds[name] = round(self.seconds.get(name, 0.0) + seconds, 2)
        self.directory.write_json("seconds.json", self.seconds)
