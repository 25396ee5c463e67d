"""What `python -m agent eval` may be told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..chat import ChatOptions
from ..config import RolloutConfig
from ..config_engine import EngineConfig
from ..errors import ConfigError, at_least

BASELINES = ("constant", "random", "blind", "oracle")


@dataclass(frozen=True)
class LimitsConfig:
    """How episodes are played. What is not given is the recipe's, the run's or the suite's own.

    Args:
        max_turn_tokens: Tokens the policy may write in one turn (512).
        max_row_tokens: Tokens a context may hold, images and answers included (4096). Chat servers know their own.
        max_turns: Turns after which an episode is truncated, whatever its environment says (16).
        max_episode_tokens: Tokens the policy may write in a whole episode; 0: as many as its turns allow.
        concurrency: Episodes open at once (256). With a chat server --server.concurrency counts.
        threads: Environments stepped at once (256).
        deterministic: Admit turns in rounds, so that batches can be repeated; False: environments beside generation.
        observations: As what an environment's answer is shown: "user", or "tool", the model's own tool response.
    """

    max_turn_tokens: int | None = None
    max_row_tokens: int | None = None
    max_turns: int | None = None
    max_episode_tokens: int | None = None
    concurrency: int | None = None
    threads: int | None = None
    deterministic: bool | None = None
    observations: Literal["user", "tool"] | None = None

    def over(self, sizes: RolloutConfig) -> RolloutConfig:
        """These limits over others."""
        return replace(sizes, **{name: value for name, value in vars(self).items() if value is not None})


@dataclass(frozen=True)
class EvaluateConfig:
    """Evaluate checkpoints, chat servers or baselines.

    Args:
        model: Whom to evaluate, one or several with commas between: a Hugging Face checkpoint folder, a run's folder
            (its newest checkpoint), the URL of an OpenAI-compatible chat server (http://host:8000/v1), or "oracle",
            "constant", "random", "blind". All others are compared with the first, task by task.
        env: Where, one or several with commas between: a Gymnasium id, or a recipe (a packaged name or a file), which
            brings its arguments and limits. Empty: the environment that each run in `model` was trained in.
        suite: Named sets of benchmarks in place of `env`, with commas between: counting, geometry, grounding,
            mat-search, mat-coding, multihop, rllava; or a file of your own.
        split: One or several splits with commas between. Empty: "test", or what a suite says.
        episodes: Tasks of each split, the first ones. 0: all of a suite's; otherwise 512 or as many as there are.
        temperature: 0 decodes greedily. Several, such as [0, 1.0], are evaluated side by side.
        samples: Episodes of each task when sampling; with more than one, pass@k is told.
        seed: Root of every random draw.
        protocol: "strict", ours, or "faithful", the published evaluation with its faults, so that figures compare.
        kwargs: Arguments of the environments, over all others.
        data: Where published data lie: a folder, a file or a hub name, or a mapping from benchmark to those.
        search: The search tool of environments that take one, such as "index:DIR" or
            "serper:?cache=DIR&mode=replay-only".
        sandbox: The sandbox of environments that take one, such as "docker" or "local".
        no_tool: Play also with the tools taken away, where the environment or its recipe says how.
        baselines: The environment's baselines to show beside; those that it does not provide are left out.
        measures: What is shown beside the primary metric, by its name in info["metrics"]; results.json has all.
        modules: Modules to import first, because they register environments.
        rollout: How episodes are played.
        engine: Who generates for a checkpoint. Generation servers may keep weights, which must be those of `model`.
        server: How a chat server is asked.
        device: "auto", "cpu", "cuda".
        dtype: Of the weights; "auto" is bfloat16 on a GPU that has it and float32 elsewhere.
        output: Folder of results and transcripts, which a later call continues; empty: evaluations/NAME, NAME being
            made of who and where.
    """

    model: str
    env: str = ""
    suite: str = ""
    split: str = ""
    episodes: int = 0
    temperature: float | list[float] = 0.0
    samples: int = 1
    seed: int = 0
    protocol: Literal["strict", "faithful"] = "strict"
    kwargs: dict[str, Any] = field(default_factory=dict)
    data: str | dict[str, str] = ""
    search: str = ""
    sandbox: str = ""
    no_tool: bool = True
    baselines: list[str] = field(default_factory=lambda: list(BASELINES))
    measures: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=lambda: ["envs"])
    rollout: LimitsConfig = field(default_factory=LimitsConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    server: ChatOptions = field(default_factory=ChatOptions)
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    output: str = ""

    @property
    def temperatures(self) -> tuple[float, ...]:
        """One or several, none twice."""
        given = self.temperature if isinstance(self.temperature, list) else [self.temperature]
        return tuple(dict.fromkeys(map(float, given)))


def listed(text: str) -> tuple[str, ...]:
    """The parts of an option with commas between, none twice."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def check_options(options: EvaluateConfig) -> None:
    """Raises ConfigError for a value that nothing can be done with."""
    if options.episodes < 0:
        raise ConfigError(f"--episodes: must be at least 1, or 0 for all, got {options.episodes}")
    at_least(("--samples", options.samples, 1))
    for temperature in options.temperatures:
        if not 0 <= temperature < float("inf"):
            raise ConfigError(f"--temperature: must be 0 (greedy) or above, got {temperature}")
    if not options.temperatures:
        raise ConfigError("--temperature: give at least one, such as 0 or [0, 1.0]")
    if options.samples > 1 and not any(options.temperatures):
        raise ConfigError("--samples: greedy episodes are all the same; give a --temperature above 0 as well")
    if not listed(options.model):
        raise ConfigError("--model: name a checkpoint folder, a run's folder, a chat server's URL, or a baseline")
    if options.env and options.suite:
        raise ConfigError("--env and --suite both say where to play; give one of them")
    unknown = sorted(set(options.baselines) - set(BASELINES))
    if unknown:
        raise ConfigError(f"--baselines: {unknown[0]!r} is not one of {', '.join(BASELINES)}")
