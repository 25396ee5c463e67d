"""Would a test notice? Mutants of agent/objective, and which of them the tests let pass.

    python bench/mutation.py [--jobs 2] [--only PATTERN]

Runs mutmut (settings in pyproject.toml) in a copy of the tracked files. Survivors are listed with their change; those
that bench/mutation_explained.json has a reason for are counted apart. Writes bench/mutation.md and mutation.json.
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

from learning import machine

HERE = Path(__file__).parent
KILLED = ("killed", "timeout", "suspicious", "segfault", "caught by type check")


def copied(folder: Path) -> None:
    """The tracked files, as they are in the working tree."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=HERE.parent, capture_output=True, text=True, check=True)
    for name in filter(None, names.stdout.split("\0")):
        if name.startswith(("agent/", "tests/")) or name in ("pyproject.toml", "README.md"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((HERE.parent / name).read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="*", default=[], help="names of mutants, such as 'agent.objective.kl*'")
    given = parser.parse_args()
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    explained = json.loads((HERE / "mutation_explained.json").read_text())
    mutmut = str(Path(sys.executable).parent / "mutmut")
    with tempfile.TemporaryDirectory() as scratch:
        copied(Path(scratch))
        environment = {**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
        command = [mutmut, "run", "--max-children", str(given.jobs), *given.only]
        subprocess.run(command, cwd=scratch, env=environment, check=True)

        def told(*arguments: str) -> str:
            done = subprocess.run([mutmut, *arguments], cwd=scratch, env=environment, capture_output=True, text=True)
            return done.stdout

        found = dict(
            line.strip().rsplit(": ", 1) for line in told("results", "--all", "true").splitlines() if ": " in line
        )
        survivors = {
            name: told("show", name).split("@@", 2)[-1].strip() for name, end in found.items() if end not in KILLED
        }
    counts = Counter(found.values())
    total = sum(n for end, n in counts.items() if end != "not checked")
    killed = sum(counts[end] for end in KILLED)
    reasons = {name: explained[diff] for name, diff in survivors.items() if diff in explained}
    lines = [
        "# Mutants of agent/objective",
        "",
        f"`make verify-mutation` at commit {asked.stdout.strip()} on {machine()}: {killed} of {total} mutants killed "
        f"({100 * killed / max(1, total):.1f}%); {len(reasons)} survivors change nothing that a test could see "
        f"(reasons below), {len(survivors) - len(reasons)} are left.",
        "",
        ", ".join(f"{end}: {number}" for end, number in counts.most_common()),
        "",
    ]
    for name, diff in survivors.items():
        lines += [f"- `{name}` ({found[name]}): {reasons.get(name, 'not explained')}", "", "```diff", diff, "```", ""]
    text = "\n".join(lines)
    print(text)
    if not given.only:
        (HERE / "mutation.md").write_text(text)
        (HERE / "mutation.json").write_text(json.dumps({"counts": counts, "survivors": survivors}, indent=1) + "\n")


if __name__ == "__main__":
    main()
