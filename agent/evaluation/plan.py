"""From options to sittings: who plays where, how often, under which variants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from ..rollout.environments import EnvironmentSpec
from .benchmark import Benchmark, of_environments, of_run, of_suites, with_model_boxes
from .options import EvaluateConfig
from .sitting import Sitting, check_sizes, slug
from .subject import Subject, baseline, subjects


@dataclass(frozen=True)
class Plan:
    """Who plays at what: each subject with its benchmarks, in the order of `--model`; and the baselines' share."""

    parts: tuple[tuple[Subject, tuple[Benchmark, ...]], ...]
    baselines: tuple[tuple[Subject, tuple[Benchmark, ...]], ...]
    options: EvaluateConfig

    def sittings(self, subject: Subject, benchmarks: Sequence[Benchmark]) -> Iterator[Sitting]:
        """A subject's sittings; without tools it plays at the first temperature only."""
        options = self.options
        where = subject.where if subject.kind == "checkpoint" else ""
        for benchmark in benchmarks:
            if subject.kind == "baseline":
                yield Sitting(subject.name, {}, benchmark, "", None, 1, options.seed)
                continue
            for temperature in options.temperatures:
                samples = options.samples if temperature else 1
                yield Sitting(
                    subject.name, subject.fingerprint, benchmark, "", temperature, samples, options.seed, where
                )
            for variant in benchmark.variants:
                first = options.temperatures[0]
                yield Sitting(subject.name, subject.fingerprint, benchmark, variant, first, 1, options.seed, where)

    @property
    def folder(self) -> Path:
        """Where results go."""
        if self.options.output:
            return Path(self.options.output)
        names = [subject.name.partition("/")[0] for subject, _ in self.parts]
        played = dict.fromkeys(benchmark.name.removeprefix("RLLaVA/") for _, found in self.parts for benchmark in found)
        told = [self.options.suite] if self.options.suite else list(played)
        faithful = ["faithful"] if self.options.protocol == "faithful" else []
        return Path("evaluations") / slug("_".join([*dict.fromkeys(names), *told, *faithful]))


def make_plan(options: EvaluateConfig) -> Plan:
    """Everything that the options ask for.

    Raises:
        AgentError: something of it is not there, or does not go together.
    """
    found = subjects(options.model)
    everywhere = of_suites(options) if options.suite else of_environments(options) if options.env else None
    if (options.env or options.suite) and not everywhere:
        raise ConfigError("--env: name at least one environment or recipe")
    parts: list[tuple[Subject, tuple[Benchmark, ...]]] = []
    for subject in found:
        if everywhere is None and subject.kind != "checkpoint":
            raise ConfigError(f"--model {subject.where}: say where it is to play: --env ID[,ID...] or --suite NAME")
        benchmarks = everywhere if everywhere is not None else of_run(subject.run or Path(subject.where), options)
        folder = Path(subject.where) if subject.kind == "checkpoint" else None
        if folder is None:  # who has no boxes of its own writes as the first checkpoint does
            folder = next((Path(other.where) for other in found if other.kind == "checkpoint"), None)
        parts.append((subject, tuple(with_model_boxes(benchmark, folder) for benchmark in benchmarks)))
    for _, benchmarks in parts:
        for benchmark in benchmarks:
            check_sizes(benchmark)
    distinct: dict[tuple[str, str, str], Benchmark] = {}
    for _, benchmarks in parts:
        for benchmark in benchmarks:
            distinct.setdefault((benchmark.name, benchmark.split, _told(benchmark.spec)), benchmark)
    named = {subject.name for subject, _ in parts}
    beside = [baseline(name) for name in options.baselines if name not in named]
    return Plan(tuple(parts), tuple((subject, tuple(distinct.values())) for subject in beside), options)


def _told(spec: EnvironmentSpec) -> str:
    return repr((spec.id, sorted(map(repr, spec.kwargs.items()))))
