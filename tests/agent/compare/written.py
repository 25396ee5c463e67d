"""Runs on disk for the tests of comparisons, written the way that a run writes them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from agent.config import Config, EnvironmentConfig
from agent.evaluate import paired_difference, summarise

Scores = Sequence[float | None]


def write_run(
    folder: Path,
    name: str,
    seed: int = 0,
    validations: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
    before: Scores = (0.0, 0.0, 1.0, 0.0),
    after: Scores | None = (1.0, 0.0, 1.0, 1.0),
    metric: str | None = "accuracy",
    env_id: str = "Some/Env-v0",
    lines: dict[str, float] | None = None,
    **areas: dict[str, Any],
) -> Path:
    """A run of ten steps for each validation. after: None leaves it unfinished. areas: options that differ from the
    defaults, as in optimizer={"lr": 0.1}. lines: more in each line of metrics.jsonl."""
    steps = 10 * len(validations)
    config = Config(EnvironmentConfig(env_id))
    changes = {"run": {"name": name, "seed": seed}, "optimizer": {"steps": 40}}
    for area, options in {**changes, **{a: {**changes.get(a, {}), **o} for a, o in areas.items()}}.items():
        config = replace(config, **{area: replace(getattr(config, area), **options)})
    run = folder / name
    (run / "evaluations").mkdir(parents=True)
    (run / "config.yaml").write_text(yaml.safe_dump({"config": json.loads(json.dumps(asdict(config))), "versions": {}}))
    with (run / "metrics.jsonl").open("w") as file:
        for step in range(1, steps + 1):
            line = {"step": step, "reward": step / 40, "seconds/step": 2.0 + seed, "memory/peak_mib": 100.0 + step}
            if step % 10 == 0:
                line["validation"] = validations[step // 10 - 1]
            file.write(json.dumps(line | (lines or {})) + "\n")
    (run / "evaluations" / "before.json").write_text(json.dumps({"greedy": before}))
    if after is not None:
        (run / "evaluations" / "after.json").write_text(json.dumps({"greedy": after}))
        rows = [
            asdict(summarise(told, env_id, decoding, metric, scores, seed))
            for told, decoding, scores in (
                ("blind", "none", [0.0, 0.5]),
                ("before", "greedy", before),
                ("after", "greedy", after),
            )
        ]
        value, low, high = paired_difference(before, after)
        differences = [{"decoding": "greedy", "value": value, "low": low, "high": high}]
        report = {"seconds": 90.0, "rows": rows, "paired_differences": differences, "steps": steps}
        (run / "report.json").write_text(json.dumps(report))
    return run
