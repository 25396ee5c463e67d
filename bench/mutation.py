"""Would a test notice? Mutants of agent/objective, and which of them the tests let pass.

    python bench/mutation.py [--jobs 2] [--only PATTERN]
    python bench/mutation.py --report     # write the page again, from mutation.json and the reasons

Runs mutmut (settings in pyproject.toml) in a copy of the tracked files. Survivors are listed with their change; those
that bench/mutation_explained.json has a reason for, by their change, are counted apart. Writes bench/mutation.md and
mutation.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from made_on import commit, machine

HERE = Path(__file__).parent
KILLED = ("killed", "timeout", "suspicious", "segfault", "caught by type check")


def copied(folder: Path) -> None:
    """The tracked files, as they are in the working tree."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=HERE.parent, capture_output=True, text=True, check=True)
    for name in filter(None, names.stdout.split("\0")):
        if name.startswith(("agent/", "tests/")) or name in ("pyproject.toml", "README.md"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((HERE.parent / name).read_bytes())


def run(jobs: int, only: list[str]) -> dict[str, Any]:
    """What became of the mutants: counts, and the change of every survivor."""
    mutmut = str(Path(sys.executable).parent / "mutmut")
    with tempfile.TemporaryDirectory() as scratch:
        copied(Path(scratch))
        environment = {**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
        subprocess.run([mutmut, "run", "--max-children", str(jobs), *only], cwd=scratch, env=environment, check=True)

        def told(*arguments: str) -> str:
            done = subprocess.run([mutmut, *arguments], cwd=scratch, env=environment, capture_output=True, text=True)
            return done.stdout

        lines = [line.strip() for line in told("results", "--all", "true").splitlines() if ": " in line]
        found = dict(line.rsplit(": ", 1) for line in lines)
        survivors = {name: told("show", name) for name, end in found.items() if end not in (*KILLED, "not checked")}
    return {
        "commit": commit(),
        "machine": machine(),
        "counts": Counter(found.values()),
        "survivors": survivors,
    }


def change(diff: str) -> str:
    """The lines that a mutant differs in."""
    lines = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return "\n".join(f"{line[0]} {line[1:].strip()}" for line in lines)


def report(found: dict[str, Any]) -> str:
    """The figures as a page."""
    explained = json.loads((HERE / "mutation_explained.json").read_text())
    counts = found["counts"]
    total = sum(number for end, number in counts.items() if end != "not checked")
    killed = sum(counts.get(end, 0) for end in KILLED)
    changes = {name: change(diff) for name, diff in found["survivors"].items()}
    reasons = {name: explained[text] for name, text in changes.items() if text in explained}
    lines = [
        "# Mutants of agent/objective",
        "",
        f"`make verify-mutation` at commit {found['commit']} on {found['machine']}: {killed} of {total} mutants killed "
        f"({100 * killed / max(1, total):.1f}%). Of the {len(changes)} that were not, {len(reasons)} are explained.",
        "",
        ", ".join(f"{end}: {number}" for end, number in counts.items()),
    ]
    for reason in dict.fromkeys([*reasons.values(), ""]):
        these = {name: text for name, text in changes.items() if reasons.get(name, "") == reason}
        if these:
            lines += ["", f"## {reason or 'Not explained'}"]
        for name, text in these.items():
            lines += ["", f"`{name.removeprefix('agent.objective.')}`", "", "```diff", text, "```"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="*", default=[], help="names of mutants, such as 'agent.objective.kl*'")
    parser.add_argument("--report", action="store_true", help="run nothing")
    given = parser.parse_args()
    kept = HERE / "mutation.json"
    found = json.loads(kept.read_text()) if given.report else run(given.jobs, given.only)
    text = report(found)
    print(text)
    if not given.only:
        kept.write_text(json.dumps(found, indent=1) + "\n")
        (HERE / "mutation.md").write_text(text)


if __name__ == "__main__":
    main()
