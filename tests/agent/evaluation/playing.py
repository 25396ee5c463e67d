"""What tests of the evaluation command share: the command on a small environment, and a reader of what it wrote."""

import json
from pathlib import Path
from typing import Any

from agent.__main__ import main
from tests.agent.run_fixtures import tiny_folder

ENV = "Test/Parity-v0"


def evaluate(model: Path | str | None = None, *options: str, env: str = ENV) -> int:
    """The command's exit status; `model` None is the tiny one."""
    where = ["--env", env, "--modules", "[tests.agent.run_fixtures]"] if env else []
    sizes = ["--rollout.max_turn_tokens", "4", "--rollout.max_turns", "2", "--device", "cpu"]
    defaults = [] if "--episodes" in options else ["--episodes", "3"]
    return main(["eval", "--model", str(model or tiny_folder()), *where, *sizes, *defaults, *options])


def results(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "results.json").read_text()))


def rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    """By policy, with the variant and what is not greedy behind it."""
    rows = {}
    for row in results(folder)["rows"]:
        more = [row["variant"]] * bool(row["variant"]) + ["sampled"] * (row["decoding"] == "sampled")
        rows[", ".join([row["name"], *more])] = row
    return rows


def transcripts(folder: Path, beginning: str) -> list[dict[str, Any]]:
    """In the order of tasks; in their file they are in that of their ends."""
    (path,) = (folder / "episodes").glob(f"{beginning}*.jsonl")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return sorted(records, key=lambda record: (record["index"], record["sample"]))
