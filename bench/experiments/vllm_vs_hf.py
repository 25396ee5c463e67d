"""Rollouts of the same model and tasks by vLLM and by transformers, on this machine's CPU."""

from __future__ import annotations

import os
import statistics
from pathlib import Path
from typing import Any

from step_time import OPTIONS

from .finding import Finding, Given, MissingError
from .measure import ROOT, measured

SEEDS, STEPS = (0,), 7  # rounds of rollouts; the first is not counted
ENGINES = {
    "transformers": {"engine.rollout": "transformers"},
    "vllm": {"engine.rollout": "vllm", "engine.vllm.cache_gib": "1", "engine.vllm.max_sequences": "128"},
}
LENGTHS = {"turns of 10 tokens": "10", "turns of 100 tokens": "100"}
# Turns end at their limit: a model without training says its end token seldom, and lengths are then equal.
MODEL = OPTIONS | {"rollout.deterministic": "false", "rollout.max_row_tokens": "512"}


def interpreter() -> str:
    """Python of the environment that has vLLM."""
    venv = Path(os.environ.get("VLLM_VENV", ROOT / ".venv-vllm"))
    if not (venv / ".set-up").exists():
        raise MissingError(
            f"vLLM is not here: {venv} has no finished environment. vLLM pins versions that the project does not, so "
            "it has an environment of its own: `.ci/vllm --collect-only -q` makes .venv-vllm (3.8 GB, some minutes); "
            "VLLM_VENV names another place, for both."
        )
    return str(venv / "bin" / "python")


def find(given: Given) -> Finding:
    python = interpreter()
    found: dict[str, dict[str, Any]] = {}
    for length, tokens in LENGTHS.items():
        for engine, options in ENGINES.items():
            run = MODEL | options | {"rollout.max_turn_tokens": tokens, "run.seed": str(given.seeds[0])}
            found.setdefault(length, {})[engine] = measured(python, "rollouts", given.steps, "counting", run)
    rows = []
    for length, engines in found.items():
        for engine, of in engines.items():
            rows.append(
                [
                    length,
                    engine,
                    *(
                        f"{speed(of, what):,.0f} ({lowest:,.0f} to {highest:,.0f})"
                        for what, lowest, highest in spans(of)
                    ),
                    f"{computing(of):,.0f}",
                    f"{of['resident'] - of['before']:,.0f}",
                    f"{of['peak'] - of['resident']:,.0f}",
                    f"{of['peak']:,.0f}",
                ]
            )
    fastest = {
        length: computing(engines["vllm"]) / computing(engines["transformers"]) for length, engines in found.items()
    }
    ratios = ", ".join(f"{ratio:.2f} with {length}" for length, ratio in fastest.items())
    held = sum(found[next(iter(found))]["vllm"]["held"].values()) / 2**20
    versions = found[next(iter(found))]["vllm"]["versions"]
    return Finding(
        "vLLM against transformers: rollouts on a CPU",
        "Counting at 224 x 224 pixels, 16 tasks x 8 siblings a round, the tiny model with random weights, one thread; "
        f"medians of {given.steps - 1} rounds with the least and the most, both engines in the environment that has "
        "vLLM. The machine did other work too, so tokens are also counted for each second of computing, all threads "
        "together. Memory in MiB: what making model, trainer and engine added, libraries included; what rollouts added "
        "at most; and the whole process at its peak.",
        ("turns", "engine", "tokens/s", "episodes/s", "tokens/s of computing", "made", "during rollouts", "process"),
        rows,
        [
            f"vLLM's tokens over those of transformers, a second of computing: {ratios}. On a CPU vLLM is here to be "
            "tested; nothing here says how fast it is on a GPU. The transformers engine shares the trainer's weights "
            f"and lets its cache go after each round; vLLM says that it holds {held:,.0f} MiB, a copy of the weights "
            "and a key-value cache of a fixed size (1 GiB here, `engine.vllm.cache_gib`)."
        ],
        [
            "for engine in vllm transformers; do",
            "  python -m agent train paper/counting --model.path Qwen2-VL-2B-Instruct --engine.rollout $engine \\",
            "    --optimizer.steps 20 --evaluation.test_episodes 0 --run.name $engine",
            "done  # seconds/rollout, episode_tokens and memory/* are in each metrics.jsonl",
        ],
        found,
        versions,
    )


def speed(measured_run: dict[str, Any], what: str) -> float:
    """Median a second over the rounds but the first."""
    return statistics.median(speeds(measured_run, what))


def computing(measured_run: dict[str, Any]) -> float:
    """Median of the tokens for each second of computing."""
    return statistics.median(each["tokens"] / each["cpu"] for each in measured_run["rounds"][1:])


def speeds(measured_run: dict[str, Any], what: str) -> list[float]:
    return [each[what] / each["seconds"] for each in measured_run["rounds"][1:]]


def spans(measured_run: dict[str, Any]) -> list[tuple[str, float, float]]:
    return [(what, min(s), max(s)) for what in ("tokens", "episodes") for s in [speeds(measured_run, what)]]


def plot(data: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    width = 0.38
    for place, engine in enumerate(ENGINES):
        at = [index + (place - 0.5) * width for index in range(len(data))]
        middle = [speed(of[engine], "tokens") for of in data.values()]
        spread = [
            [abs(edge(speeds(of[engine], "tokens")) - m) for of, m in zip(data.values(), middle, strict=True)]
            for edge in (min, max)
        ]
        left.bar(at, middle, width, yerr=spread, capsize=3, label=engine)
        right.bar(at, [of[engine]["peak"] for of in data.values()], width, label=engine)
    for axes, label in ((left, "tokens a second"), (right, "process at its peak, MiB")):
        axes.set_xticks(range(len(data)), list(data))
        axes.set_ylabel(label)
        axes.grid(alpha=0.3, axis="y")
    left.legend(frameon=False, title="median, least and most")
    figure.suptitle("Rollouts of a tiny model on a CPU")
    figure.savefig(path, dpi=120)
