"""The experiments of the paper, each on a model that a CPU trains in minutes, with the command for the published size.

    python bench/experiment.py NAME [--steps N] [--seeds 0 1 2] [--runs FOLDER] [--out FOLDER]

sanity            counting is learned, and not where the rewards are shuffled
grpo-vs-rloo      GRPO and RLOO from the same cold starts: episodes to a score, and the score at the end
vllm-vs-hf        rollouts by vLLM and by transformers: tokens and episodes a second, and memory
custom-estimator  PPO with a user's advantage estimator against PPO with the package's own
batch-sweep       memory and seconds of a step over the number of its tasks, and of a micro-batch's tokens

Writes NAME.md, NAME.json and NAME.png into bench/experiments. Training runs that are in FOLDER already are not
repeated.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

from made_on import commit, machine

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # agent, where it is not installed

from experiments.finding import Finding, Given, MissingError, page  # noqa: E402

NAMES = ("sanity", "grpo-vs-rloo", "vllm-vs-hf", "custom-estimator", "batch-sweep")


def module_of(name: str) -> ModuleType:
    """The file of an experiment: it has `SEEDS`, `STEPS`, `find` and `plot`."""
    return importlib.import_module(f"experiments.{name.replace('-', '_')}")


def write(name: str, finding: Finding, out: Path, made_at: str) -> str:
    """The page, the figures as data, and the picture; returns the page."""
    out.mkdir(parents=True, exist_ok=True)
    module_of(name).plot(finding.data, out / f"{name}.png")
    text = page(name, finding, made_at, machine(*finding.versions))
    (out / f"{name}.md").write_text(text)
    result = {"commit": made_at, "machine": machine(*finding.versions), "found": finding.data}
    (out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--steps", type=int, help="steps of each run; shorter ones show that it works")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"))
    parser.add_argument("--out", type=Path, default=HERE / "experiments")
    options = parser.parse_args()
    made_at = commit()  # before anything is written
    module = module_of(options.name)
    seeds, steps = options.seeds or list(module.SEEDS), options.steps or module.STEPS
    options.runs.mkdir(parents=True, exist_ok=True)
    try:
        finding = module.find(Given(options.runs.resolve(), seeds, steps))
    except MissingError as error:
        print(f"{options.name}: {error}", file=sys.stderr)
        return 1
    print(write(options.name, finding, options.out, made_at))
    return 0


if __name__ == "__main__":
    sys.exit(main())
