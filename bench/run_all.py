"""Every figure of the project's speed, from one command.

    python bench/run_all.py [--only NAME ...] [--rounds N] [--quick] [--fresh-sandboxes] [--out FOLDER]

Whole steps, updates and rollouts beside TRL, transformers and our own loop with sharing turned off; curves over sizes;
and the figures of the other benches, taken over from their files. NAME is a row, or `agreement`, `steps`, `updates`,
`rollouts`, `curves` or `borrowed`. One thread, every way in a process of its own. Writes results.json, README.md and
curves/ into bench/; rows that are not measured stay as they are. --quick measures briefly, and writes into runs/bench
unless --out says where.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from made_on import ROOT, commit, machine
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(ROOT)]  # agent, where it is not installed

from steps import curves as curves_  # noqa: E402
from steps.borrowed import borrowed  # noqa: E402
from steps.figures import Part, parts  # noqa: E402
from steps.page import page  # noqa: E402
from steps.rounds import Effort  # noqa: E402
from steps.rows import Results, Row, read  # noqa: E402

KINDS = ("agreement", "steps", "updates", "rollouts", "curves", "borrowed")
LIBRARIES = ("torch", "transformers", "trl")


def main() -> int:
    options = _options()
    # Before anything is written:
    made_at, made_on = commit(), machine(*(f"{name} {version(name)}" for name in LIBRARIES), *_gpu(options.device))
    out = options.out or (ROOT / "runs" / "bench" if options.quick else HERE)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "results.json"
    results = replace(read(path if path.exists() else HERE / "results.json"), machine=made_on, commit=made_at)
    console = Console(stderr=True)
    here, cpu = parts(options.device), options.device == "cpu"
    wanted = ["curves"] if cpu and (not options.only or "curves" in options.only) else []
    chosen = [part for part in here if not options.only or part.answers(options.only)]
    steps = wanted or any(part.kind == "steps" for part in chosen)
    if cpu and steps and not any(part.name == "agreement" for part in chosen):
        chosen.insert(0, here[0])  # nothing is compared with TRL before both are seen to do the same
    failed = 0
    with (
        tempfile.TemporaryDirectory() as models,
        Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        ) as progress,
    ):
        task = progress.add_task("figures", total=len(chosen) + len(wanted))

        def tell(name: str) -> Effort:
            def told(what: str) -> None:
                progress.update(task, description=f"{name}, {what}")
                if not console.is_terminal:
                    console.print(f"{time.strftime('%H:%M:%S')} {name}, {what}", highlight=False, soft_wrap=True)

            return Effort(options.rounds, options.quick, options.device, models, told)

        for part in chosen:
            rows = _measured(part, tell(part.name), console)
            failed += rows is None
            if rows is None and part.name == "agreement":
                return 1
            results = results.with_rows(replace(row, commit=made_at, machine=made_on) for row in rows or ())
            _write(results, out)  # what was measured is kept, whatever comes next
            progress.advance(task)
        if wanted:

            def keep(points: curves_.Points) -> None:
                nonlocal results
                results = replace(results, curves={"commit": made_at, "machine": made_on, "points": points})
                _write(results, out)

            curves_.curves(tell("curves"), keep)
            progress.advance(task)
    if options.fresh_sandboxes:
        _sandboxes(console)
    if not options.only or "borrowed" in options.only or any(n.startswith("sandbox") for n in options.only):
        results = results.with_rows(borrowed(HERE))
    print(_write(results, out), end="")
    return int(failed > 0)


def _measured(part: Part, effort: Effort, console: Console) -> list[Row] | None:
    """The part's rows, or None where something is wrong, which is told: the other parts go on."""
    try:
        return part.measure(effort)
    except (RuntimeError, ValueError) as error:
        console.print(f"{part.name} was not measured: {error}", highlight=False, soft_wrap=True, markup=False)
        return None


def _write(results: Results, out: Path) -> str:
    """The figures, the curves and the page, which it returns."""
    results.write(out / "results.json")
    pictures = []
    if results.curves:
        pictures = [f"curves/{name}" for name in curves_.draw(results.curves["points"], out / "curves")]
    told = page(results, pictures)
    (out / "README.md").write_text(told)
    return told


def _sandboxes(console: Console) -> None:
    """Measure sandboxes again, where a Docker Engine answers; otherwise the committed figures stay."""
    reachable = shutil.which("docker") and not subprocess.run(["docker", "version"], capture_output=True).returncode
    if not reachable:
        console.print("no Docker Engine answers: the committed figures of sandboxes stay")
        return
    subprocess.run([sys.executable, str(HERE / "sandboxes.py")], check=True)


def _gpu(device: str) -> list[str]:
    """Its name, for the line that says on what machine figures were made.

    Raises:
        SystemExit: there is none.
    """
    if device != "cuda":
        return []
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("--device cuda: torch finds no GPU here; leave it out for the figures of the processor")
    return [torch.cuda.get_device_name(0)]


def _options() -> argparse.Namespace:
    every = [*parts(), *parts("cuda")]
    names = [*KINDS, *(name for part in every for name in (part.name, *part.rows))]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"of {', '.join(dict.fromkeys(names))}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--fresh-sandboxes", action="store_true", help="measure those too, if Docker is reachable")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    unknown = [name for name in options.only or () if name not in names and not name.startswith("sandbox")]
    if unknown:
        parser.error(f"--only: there is no {', '.join(unknown)}; there are {', '.join(dict.fromkeys(names))}")
    if options.rounds < 1:
        parser.error(f"--rounds: expected at least 1, got {options.rounds}")
    return options


if __name__ == "__main__":
    sys.exit(main())
