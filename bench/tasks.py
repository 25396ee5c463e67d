"""The five tasks in one table, from what `bench/learning.py` has written of each.

    python bench/tasks.py [--check]

`make verify-tasks` runs that for every task first. Writes bench/learning/README.md and the table between the marks in
the project's README; --check only says whether they hold what they should.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from learning import TASKS, difference, value

HERE = Path(__file__).parent / "learning"
README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- the five tasks -->", "<!-- until here: python bench/tasks.py -->"


def interval(found: dict[str, Any]) -> str:
    return f"{100 * found['value']:.1f} ({100 * found['low']:.1f} to {100 * found['high']:.1f})"


def gain(report: dict[str, Any]) -> str:
    found = difference(report, "greedy")
    return f"{100 * found['value']:+.1f} ({100 * found['low']:+.1f} to {100 * found['high']:+.1f})"


def table() -> str:
    """Markdown: a line for each task and seed."""
    lines = [
        "| task | measure | seed | cold start | trained | gain | tool taken away | blind | oracle |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for task in TASKS:
        reports = json.loads((HERE / f"{task}.json").read_text())["reports"]
        for label, report in reports.items():
            if not label.startswith("seed "):
                continue
            without = [interval(row) for row in report["rows"] if row["name"].startswith("after, without")]
            cells = [task, value(report, "after", "greedy")["metric"], label.removeprefix("seed ")]
            cells += [interval(value(report, name, "greedy")) for name in ("before", "after")]
            cells += [gain(report), *(without or ["no tool"])]
            cells += [interval(value(report, "blind", "none")), f"{100 * value(report, 'oracle', 'none')['value']:.0f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    text = README.read_text()
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    made = f"{head}{BEGIN}\n{table()}{END}{tail}"
    if check:
        print("the table is up to date" if made == text else "README.md: run python bench/tasks.py")
        return int(made != text)
    README.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
