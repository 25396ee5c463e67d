"""What is played: an environment with its arguments and limits, from an id, a recipe, a run or a suite."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gymnasium
import yaml

from ..cli import read_config
from ..config import Config, EnvironmentConfig, RolloutConfig
from ..config_model import ModelConfig
from ..errors import ConfigError
from ..model.boxes import with_boxes
from ..recipes import packaged
from ..rollout.environments import EnvironmentSpec, import_modules, make_environment
from ..suites import read as read_suite
from .options import EvaluateConfig, listed

DEFAULT_EPISODES = 512
NO_TOOL = "no tool"


@dataclass(frozen=True)
class Benchmark:
    """An environment as it is evaluated on.

    Attributes:
        name: How it is called in tables, the same for every split.
        split: The part of its tasks that is played.
        spec: Id and arguments, the split's among them.
        sizes: How episodes are played.
        variants: Other ways to play it, such as without tools: arguments over those of `spec`, by name.
        measures: Metrics that are shown beside the primary one.
        episodes: Tasks, the first ones; 0: all.
        whole: 0 episodes means all tasks, however many.
    """

    name: str
    split: str
    spec: EnvironmentSpec
    sizes: RolloutConfig
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    measures: tuple[str, ...] = ()
    episodes: int = 0
    whole: bool = False

    def played(self, variant: str) -> EnvironmentSpec:
        """What is made for a variant, or for none ("")."""
        return (
            self.spec if not variant else EnvironmentSpec(self.spec.id, {**self.spec.kwargs, **self.variants[variant]})
        )

    def tasks(self, count: int | None) -> int:
        """How many tasks are played of a split that numbers `count` (None: it does not number them).

        Raises:
            ConfigError: more are asked for than there are.
        """
        if not self.episodes:
            return DEFAULT_EPISODES if count is None else count if self.whole else min(count, DEFAULT_EPISODES)
        if count is not None and self.episodes > count:
            raise ConfigError(
                f"{self.spec.id}: {self.episodes} evaluation episodes were asked for, the split has {count} tasks; "
                "lower --episodes, or leave it out"
            )
        return self.episodes


def of_environments(options: EvaluateConfig) -> list[Benchmark]:
    """What `--env` names: Gymnasium ids and recipes, in every split.

    Raises:
        ConfigError: neither an id nor a recipe, or arguments that do not go with it.
    """
    import_modules(options.modules)
    found = []
    for name in listed(options.env):
        if name in packaged() or Path(name).suffix in (".yaml", ".yml"):
            config = read_config("eval --env", [name])
            import_modules(config.modules)
            found += list(of_recipe(Path(name).stem, config, options))
        else:
            found += list(_splits(name, EnvironmentConfig(name), RolloutConfig(), {}, options))
    return found


def of_suites(options: EvaluateConfig) -> list[Benchmark]:
    """What `--suite` names; without `--split` in the splits that each benchmark says.

    Raises:
        ConfigError: no such suite, or it says something that no environment takes.
    """
    found: list[Benchmark] = []
    for suite in listed(options.suite):
        modules, benchmarks = read_suite(suite)
        import_modules([*options.modules, *modules])
        for told in benchmarks:
            env = EnvironmentConfig(told["env"], dict(told.get("kwargs") or {}))
            given = told.get("rollout") or {}
            if unknown := sorted(set(given) - _SIZES):
                raise ConfigError(f"--suite {suite}: {told['name']}: rollout has no {', '.join(unknown)}")
            for split in listed(options.split) or tuple(told.get("splits") or ("test",)):
                measures = tuple(told.get("measures") or ())
                variants, sizes = told.get("variants") or {}, RolloutConfig(**given)
                found += [benchmark_of(told["name"], env, split, sizes, variants, options, measures, whole=True)]
    known = [benchmark.name for benchmark in found]
    if isinstance(options.data, dict) and (unknown := sorted(set(options.data) - set(known))):
        raise ConfigError(f"--data: there is no benchmark {unknown[0]!r}; there are {', '.join(dict.fromkeys(known))}")
    return found


def of_run(folder: Path, options: EvaluateConfig) -> list[Benchmark]:
    """The environment that a run was trained in, as the run tests it.

    Raises:
        ConfigError: the folder is no run's.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        raise ConfigError(
            f"--model: {folder} is no run's folder (it has no config.yaml), so nobody knows what it was trained in; "
            "say where to play: --env ID, or --suite NAME"
        )
    try:
        recorded = yaml.safe_load(path.read_text(encoding="utf-8"))["config"]
        env = EnvironmentConfig(**recorded["env"])
        sizes = RolloutConfig(**{key: value for key, value in recorded["rollout"].items() if key in _SIZES})
        modules = [str(name) for name in recorded.get("modules") or ()]
        evaluation = recorded.get("evaluation") or {}
        variants, measures = evaluation.get("variants") or {}, tuple(evaluation.get("measures") or ())
        name = str((recorded.get("run") or {}).get("name") or folder.name)
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"--model: {path} cannot be read ({error!r}); say where to play: --env ID") from error
    import_modules([*options.modules, *modules])
    return list(_splits(name, env, sizes, variants, options, measures))


def of_recipe(name: str, config: Config, options: EvaluateConfig) -> Iterator[Benchmark]:
    """A recipe's environment as its runs test it, in every split."""
    evaluation = config.evaluation
    return _splits(name, config.env, config.rollout, evaluation.variants, options, tuple(evaluation.measures))


def benchmark_of(
    name: str,
    env: EnvironmentConfig,
    split: str,
    sizes: RolloutConfig,
    variants: Mapping[str, Mapping[str, Any]],
    options: EvaluateConfig,
    measures: tuple[str, ...] = (),
    whole: bool = False,
) -> Benchmark:
    """One split, with what the options say of arguments and limits.

    Raises:
        ConfigError: the environment is unknown, or takes no such argument.
    """
    taken = arguments_of(env.id)
    own = {"train": env.train, "validation": env.validation, "test": env.test}.get(split, {"split": split})
    if own == {"split": split} and taken is not None and "split" not in taken:
        if split != "test":
            raise ConfigError(f"--split {split}: {env.id} has no splits; leave the option out")
        own = {}
    kwargs = {**env.kwargs, **own}
    tools = {"search": options.search, "sandbox": options.sandbox}
    kwargs |= {name: value for name, value in tools.items() if value and (taken is None or name in taken)}
    data = options.data.get(name) if isinstance(options.data, dict) else options.data
    if data:
        if taken is not None and "data" not in taken:
            raise ConfigError(f"--data: {env.id} makes its own tasks and reads no data; leave the option out")
        kwargs["data"] = data
    if options.protocol == "faithful":
        if taken is not None and "protocol" not in taken:
            raise ConfigError(f"--protocol faithful: {env.id} has no published protocol; use strict")
        kwargs["protocol"] = "faithful"
    kwargs |= options.kwargs
    if not variants and taken is not None and "tools" in taken and kwargs.get("tools", True):
        variants = {NO_TOOL: {"tools": False}}
    return Benchmark(
        name,
        split,
        EnvironmentSpec(env.id, kwargs),
        options.rollout.over(sizes),
        {key: dict(value) for key, value in variants.items()} if options.no_tool else {},
        tuple(dict.fromkeys((*measures, *options.measures))),
        options.episodes,
        whole,
    )


def arguments_of(env_id: str) -> frozenset[str] | None:
    """The names of an environment's keyword arguments; None where it takes any.

    Raises:
        ConfigError: it is not registered, or cannot be imported.
    """
    spec = _registered(env_id)
    creator = spec.entry_point
    if isinstance(creator, str):
        try:
            creator = gymnasium.envs.registration.load_env_creator(creator)
        except Exception as error:
            raise ConfigError(f"{env_id} cannot be imported: {type(error).__name__}: {error}") from error
    parameters = inspect.signature(creator).parameters.values() if callable(creator) else ()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return frozenset(parameter.name for parameter in parameters)


def with_model_boxes(benchmark: Benchmark, folder: Path | None) -> Benchmark:
    """`boxes: auto` as the model in this folder writes boxes.

    Raises:
        ConfigError: there is no folder (a chat server, a baseline), or its family's boxes are not known.
    """
    if benchmark.spec.kwargs.get("boxes") != "auto":
        return benchmark
    if folder is None:
        raise ConfigError(
            f"{benchmark.name}: boxes: auto is known for a checkpoint alone; for a chat server or a baseline write the "
            "unit out, such as --kwargs '{boxes: {kind: relative_1000, syntax: list}}'"
        )
    config = Config(
        EnvironmentConfig(benchmark.spec.id, dict(benchmark.spec.kwargs)), model=ModelConfig(path=str(folder))
    )
    return replace(benchmark, spec=EnvironmentSpec(benchmark.spec.id, with_boxes(config).env.kwargs))


def _splits(
    name: str,
    env: EnvironmentConfig,
    sizes: RolloutConfig,
    variants: Mapping[str, Mapping[str, Any]],
    options: EvaluateConfig,
    measures: tuple[str, ...] = (),
) -> Iterator[Benchmark]:
    for split in listed(options.split) or ("test",):
        yield benchmark_of(name, env, split, sizes, variants, options, measures)


def _registered(env_id: str) -> Any:
    name = env_id.partition(":")[2] or env_id
    if ":" in env_id:
        import_modules([env_id.partition(":")[0]])
    if name not in gymnasium.registry:
        make_environment(EnvironmentSpec(env_id))  # which says what is wrong, and names what is near
    return gymnasium.registry[name]


_SIZES = set(RolloutConfig.__dataclass_fields__)
