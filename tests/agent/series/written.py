"""Runs' folders as a training command leaves them, written by hand."""

import json
from pathlib import Path
from typing import Any

ROW = {"env_id": "RLLaVA/Counting-v0", "metric": "accuracy", "episodes": 8, "seed": 0}


def report(low: float = 0.3, **more: Any) -> dict[str, Any]:
    """A report whose greedy gain has this lower end; `more` replaces parts of it."""
    rows = [
        {**ROW, "name": name, "decoding": decoding, "value": value, "low": value - 0.1, "high": value + 0.1}
        for name, decoding, value in (
            ("random", "none", 0.12),
            ("before", "greedy", 0.4),
            ("before", "sampled", 0.31),
            ("after", "greedy", 0.85),
            ("after", "sampled", 0.77),
        )
    ]
    differences = [
        {"decoding": "greedy", "value": 0.45, "low": low, "high": 0.6},
        {"decoding": "sampled", "value": 0.46, "low": 0.41, "high": 0.51},
    ]
    return {"seconds": 61.5, "rows": rows, "paired_differences": differences} | more


def write_run(folder: Path, content: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(content if isinstance(content, str) else json.dumps(content))
    (folder / "report.html").write_text("<html>")
    return folder
