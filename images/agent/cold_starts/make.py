"""The cold starts that the agent's image ships: small checkpoints that a short training run goes on from.

    python images/agent/cold_starts/make.py [counting search coding] [--scratch FOLDER]

From the repository's root. Each is what its recipe has before reinforcement learning: `python -m agent train NAME
--optimizer.steps 0`, some minutes of supervised steps, whose checkpoint is stored here in Hugging Face's format with
weights in bfloat16: half the bytes of float32, in which they are trained further. README.md in each folder says how it
was made and what it scores. With --scratch, runs that are finished there are not run again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

HERE = Path("images") / "agent" / "cold_starts"
NAMES = ("counting", "search", "coding")


def train(name: str, scratch: Path) -> tuple[list[str], Path]:
    """The recipe without reinforcement learning: the command without the folders, and the run's folder."""
    command = ["-m", "agent", "train", name, "--optimizer.steps", "0", "--evaluation.variants", "{}"]
    subprocess.run([sys.executable, *command, "--run.folder", str(scratch), "--run.name", name], check=True)
    return command, scratch / name


def store(checkpoint: Path, folder: Path) -> None:
    """Copy a checkpoint without its trainer's state, and its weights as bfloat16."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in checkpoint.iterdir():
        if path.suffix in (".json", ".jinja") and path.name != "config.json":
            shutil.copyfile(path, folder / path.name)
    weights = {name: value.to(torch.bfloat16) for name, value in load_file(checkpoint / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(_in_bfloat16(config), indent=2) + "\n", encoding="utf-8")


def card(name: str, command: list[str], run: Path) -> str:
    """README.md of a cold start."""
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    rows = [row for row in [*report["rows"], *report.get("measures", ())] if row["name"] != "after"]
    table = [
        f"| {row['name']} | {row['decoding']} | {row['metric']} | {100 * row['value']:.1f} | {100 * row['low']:.1f} to "
        f"{100 * row['high']:.1f} | {row['episodes']} |"
        for row in rows
    ]
    lines = [
        f"# The cold start of `{name}`",
        "",
        "A tiny Qwen2.5-VL after supervised steps and before reinforcement learning, weights in bfloat16. Made by",
        f"`python images/agent/cold_starts/make.py {name}` at commit {_commit()}: the checkpoint after",
        f"{report['cold_start_steps']} supervised steps of `python {' '.join(command)}`. To train it further:",
        "",
        f"    python -m agent train {name} --model.path images/agent/cold_starts/{name} --cold_start.sources '[]'",
        "",
        f"On test tasks of {rows[0]['env_id']}, in percent with 95% intervals, in float32 before rounding; `before` is",
        "this checkpoint:",
        "",
        "| policy | decoding | measure | mean | 95% interval | episodes |",
        "|---|---|---|---|---|---|",
        *table,
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all of them if none is given")
    parser.add_argument("--scratch", type=Path, help="where the runs go; a temporary folder if not given")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no cold start is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.names or NAMES:
            command, run = train(name, options.scratch or Path(temporary))
            store(run / "checkpoints" / "step_0", HERE / name)
            (HERE / name / "README.md").write_text(card(name, command, run), encoding="utf-8")
            print(f"{HERE / name}: {sum(path.stat().st_size for path in (HERE / name).iterdir()) / 1e6:.2f} MB")


def _in_bfloat16(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json that says what its weights are now, in its parts too."""
    return {
        key: _in_bfloat16(value) if isinstance(value, dict) else "bfloat16" if key == "dtype" else value
        for key, value in config.items()
    }


def _commit() -> str:
    """The commit of the working tree, with "-dirty" if a file other than the cold starts differs."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--", ".", *(f":(exclude){HERE / name}" for name in NAMES))
    return git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")


if __name__ == "__main__":
    main()
