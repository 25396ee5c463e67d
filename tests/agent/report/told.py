"""A run with everything that the page can show: tools, pictures, siblings, gaps, failures, curves, results."""

import json
from math import exp, sin
from pathlib import Path

from agent.types import Outcome, Segment, Trajectory
from tests.agent.report.recorded import action, observation, prompt, trajectory, write, write_lines

ROW = {"env_id": "Some/Env-v0", "metric": "accuracy", "episodes": 64, "seed": 0}
RESULTS = [
    {**ROW, "name": "blind", "decoding": "none", "value": 0.125, "low": 0.05, "high": 0.2},
    {**ROW, "name": "oracle", "decoding": "none", "value": 1.0, "low": 1.0, "high": 1.0},
    {**ROW, "name": "before", "decoding": "greedy", "value": 0.25, "low": 0.125, "high": 0.375},
    {**ROW, "name": "after", "decoding": "greedy", "value": 0.75, "low": 0.625, "high": 0.875},
]
REPORT = {
    "seconds": 100.0,
    "phases": {"training": 90.0, "test": 10.0},
    "steps": 50,
    "rows": RESULTS,
    "paired_differences": [{"decoding": "greedy", "value": 0.5, "low": 0.25, "high": 0.75}],
}
CONFIG = """config:
  run: {name: told, seed: 3}
  env: {id: Some/Env-v0}
  algorithm: {family: grpo}
  rollout: {prompts_per_step: 2, group_size: 3}
versions: {torch: 2.13.0}
"""


def searching(sibling: int, score: float | None, task: int = 5) -> Trajectory:
    """Two turns: a search, and an answer."""
    segments: list[Segment] = [
        prompt("Which river runs through the town in the picture?", ["c" * 64]),
        action(f"<think>I look it up, way {sibling}.</think><search>town river</search>", 0, -0.1 - sibling),
        observation("The town lies on the Loire.", 1),
        action("<answer>Loire</answer>" if score else "<answer>Rhine</answer>", 1, -1.2, "stop" if score else "length"),
    ]
    return trajectory(*segments, task=task, score=score, reason="" if score else "too long", tags={"kind": "search"})


def write_told(run: Path, steps: tuple[int, ...] = (1, 25)) -> Path:
    """Write the run; returns its folder."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "config.yaml").write_text(CONFIG)
    (run / "report.json").write_text(json.dumps(REPORT))
    write_lines(
        run / "metrics.jsonl",
        *(
            {
                "step": step,
                "reward": 0.5 + 0.3 * sin(step / 9),
                "loss": 0.01 * sin(step),
                "entropy": exp(-step / 30),
                "gap/largest": 1e-6 * step,
                "failed": 0.0,
                "seconds/rollout": 1.5,
                "custom/thing": step,
                **({"validation": 0.5} if step % 10 == 0 else {}),
            }
            for step in range(1, 51)
        ),
    )
    for name, score in (("before", 0.0), ("after", 1.0)):
        write(
            run,
            f"evaluations/{name}_greedy",
            [trajectory(prompt(pictures=["a" * 64]), action(), task=i, score=score) for i in range(3)],
        )
    for step in steps:
        siblings = [searching(0, 1.0), searching(1, 0.0), searching(2, 0.5)]
        broken = Trajectory("Other/Env-v0", 9, 8, siblings[0].rows, Outcome("failed", None, "the container is gone"))
        gaps = [1e-7, -2e-4, 0.5]
        extra = []
        for i, each in enumerate(siblings):
            own = [value for segment in each.actions for value in segment.logprobs or ()]
            trainer = [value - gaps[n % 3] for n, value in enumerate(own)]
            extra.append({"advantages": [(1.0, -1.0, 0.1)[i]] * (len(own) - 1) + [2.0], "trainer_logprobs": trainer})
        write(run, f"rollouts/step_{step:06d}", [*siblings, broken], side=40, extra=[*extra, {"advantage": 0.0}])
    return run
