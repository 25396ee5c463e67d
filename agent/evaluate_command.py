"""`python -m agent eval`: a checkpoint on an environment, beside the environment's own baselines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from .cli import read_options
from .config import EnvironmentConfig, RolloutConfig
from .config_engine import EngineConfig
from .config_model import ModelConfig
from .errors import CheckpointError, ConfigError


@dataclass(frozen=True)
class EvaluateConfig:
    """Evaluate a checkpoint.

    Args:
        model: A Hugging Face checkpoint folder, or a run's folder (its newest checkpoint is taken).
        env: The environment; `env.test` are the arguments over `env.kwargs`.
        modules: Modules to import first, because they register environments.
        episodes: Episodes; the first tasks of the split.
        temperature: 0 decodes greedily.
        seed: Root of every random draw.
        baselines: The environment's baselines to show beside the checkpoint.
        rollout: How episodes are played.
        engine: Who generates. Generation servers may keep their weights, which must then be those of `model`.
        device: "auto", "cpu", "cuda".
        dtype: Of the weights; "auto" is bfloat16 on a GPU that has it and float32 elsewhere.
        output: Folder for results.json and the transcripts; empty: only the table is shown.
    """

    model: str
    env: EnvironmentConfig
    modules: list[str] = field(default_factory=lambda: ["envs"])
    episodes: int = 512
    temperature: float = 0.0
    seed: int = 0
    baselines: list[str] = field(default_factory=lambda: ["constant", "random", "blind", "oracle"])
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    output: str = ""


def evaluate_command(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    options = read_options("eval", arguments, EvaluateConfig, "Evaluate a checkpoint on an environment.")
    if options.episodes < 1:
        raise ConfigError(f"--episodes: must be at least 1, got {options.episodes}")
    if options.temperature < 0:
        raise ConfigError(f"--temperature: must be 0 (greedy) or above, got {options.temperature}")
    if not Path(options.model).is_dir():
        raise CheckpointError(f"--model: {options.model}: no such folder; give a checkpoint's folder or a run's")

    from rich.console import Console

    from .collect import budget
    from .config import Config
    from .engine.checkpoint import latest_checkpoint
    from .engine.memory import Phase
    from .evaluate import evaluate_baseline, evaluate_policy, primary_metric, scores_of, summarise
    from .parts import build
    from .progress import Progress
    from .records import write_trajectories
    from .report import results_table

    console = Console()
    folder = (latest_checkpoint(Path(options.model) / "checkpoints") or Path(options.model)).resolve()
    config = Config(
        env=options.env,
        modules=options.modules,
        model=ModelConfig(path=str(folder), device=options.device, dtype=options.dtype),  # type: ignore[arg-type]
        rollout=options.rollout,
        engine=options.engine,
    )
    parts = build(config, Path(), None, trains=False)
    progress = Progress(console)
    try:
        parts.memory.enter(Phase.ROLLOUT)
        driver = parts.driver("test")
        metric = primary_metric(driver.pool)
        progress.phase("evaluation", options.episodes)
        trajectories = evaluate_policy(
            driver,
            options.episodes,
            budget(config, options.temperature),
            options.seed,
            lambda _: progress.advance(),
        )
        decoding = "sampled" if options.temperature else "greedy"
        rows = []
        for name in options.baselines:
            scores = evaluate_baseline(driver.pool, name, options.episodes, options.seed)
            if scores is not None:
                rows.append(summarise(name, options.env.id, "none", metric, scores, options.seed))
        own = scores_of(trajectories, metric)
        rows.append(summarise(folder.name, options.env.id, decoding, metric, own, options.seed))
        if options.output:
            output = Path(options.output)
            write_trajectories(output, "transcripts", trajectories, parts.renderer.pixels, parts.vlm.processor.decode)
            results = {"env": asdict(parts.config.env), "rows": [asdict(row) for row in rows]}
            (output / "results.json").write_text(json.dumps(results, indent=1, default=str))
    finally:
        progress.stop()
        parts.close()
    console.print(results_table([asdict(row) for row in rows]))
    return 0
