"""Evaluation as a user runs it: five checkpoints on five tasks, a break, a server with faults, a real chat server.

    python bench/evaluation.py [--runs FOLDER] [--vllm .venv-vllm/bin/python] [--parts tasks break faults server]

The five checkpoints are those of `make demo` and `make demo TASK=...`, in FOLDER/demo and FOLDER/demo-TASK. Writes
bench/evaluation.md and .json, and the table between the marks in the project's README.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from made_on import ROOT, commit, machine
from rich.console import Console

sys.path.insert(0, str(ROOT))

HERE = Path(__file__).parent
README = ROOT / "README.md"
BEGIN, END = "<!-- the five checkpoints -->", "<!-- until here: python bench/evaluation.py -->"
NAMES = {"demo": "counting", **{f"demo-{task}": task for task in ("geometry", "grounding", "search", "coding")}}
PARTS = ("tasks", "break", "faults", "server")
console = Console()


def evaluate(*options: str) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "agent", "eval", *options]


def ran(*options: str) -> float:
    """Run it to its end; seconds."""
    started = time.perf_counter()
    subprocess.run(evaluate(*options), cwd=ROOT, check=True)
    return time.perf_counter() - started


def read(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "results.json").read_text()))


def cell(row: dict[str, Any]) -> str:
    return f"{100 * row['value']:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"


# The five checkpoints.


def tasks(runs: Path, scratch: Path) -> dict[str, Any]:
    """All five, each where it was trained, greedy and sampled, with its tool taken away, beside the baselines."""
    there = [str(runs / name) for name in NAMES if (runs / name / "report.json").exists()]
    if len(there) < len(NAMES):
        raise SystemExit(
            f"{runs} has {len(there)} of the 5 finished runs; make demo, and make demo TASK=... for the others"
        )
    output = scratch / "tasks"
    options = ["--temperature", "[0, 1.0]", "--output", str(output)]
    seconds = ran("--model", ",".join(there), *options)
    shown = f"python -m agent eval --model {','.join(f'runs/{name}' for name in NAMES)} --temperature '[0, 1.0]'"
    return {"seconds": seconds, "command": shown, **read(output)}


def table(found: dict[str, Any]) -> str:
    """Markdown: a line a task."""
    lines = [
        "| task | measure | greedy | sampled | tool taken away | p | constant | blind | random | oracle |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for task in dict.fromkeys(row["benchmark"] for row in found["rows"]):
        rows = [row for row in found["rows"] if row["benchmark"] == task]
        own = [row for row in rows if row["decoding"] != "none"]
        greedy = next(row for row in own if row["decoding"] == "greedy" and not row["variant"])
        sampled = next(row for row in own if row["decoding"] == "sampled")
        without = next((row for row in own if row["variant"]), None)
        p = next((c["p_value"] for c in found["comparisons"] if c["benchmark"] == task), None)
        base = {row["name"]: cell(row) for row in rows if row["decoding"] == "none"}
        cells = [task.removeprefix("demo-").replace("demo", "counting"), greedy["metric"], cell(greedy), cell(sampled)]
        cells += [cell(without) if without else "no tool", f"{p:.1g}" if p is not None else ""]
        cells += [base.get(name, "") for name in ("constant", "blind", "random", "oracle")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


# Killed at half, and started again.


def broken_off(runs: Path, scratch: Path) -> dict[str, Any]:
    """An evaluation that is killed when half of its episodes have ended, and the same command again."""
    command = ["--model", str(runs / "demo"), "--baselines", "[]", "--rollout.concurrency", "8"]
    ran(*command, "--output", str(scratch / "whole"))
    cut = scratch / "cut"
    process = subprocess.Popen(evaluate(*command, "--output", str(cut)), cwd=ROOT, stdout=subprocess.DEVNULL)
    while process.poll() is None and ended(cut) < 256:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = lines_of(cut)
    ran(*command, "--output", str(cut))
    after = lines_of(cut)
    return {
        "episodes": len(lines_of(scratch / "whole")),
        "when killed": len(before),
        "kept as they were": sum(line in after for line in before),
        "lines at the end": len(after),
        "same results": read(cut)["rows"] == read(scratch / "whole")["rows"],
        "same transcripts": sorted(after) == sorted(lines_of(scratch / "whole")),
    }


def lines_of(folder: Path) -> list[bytes]:
    return [
        line
        for path in sorted((folder / "episodes").glob("*.jsonl"))
        for line in path.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n")
    ]


def ended(folder: Path) -> int:
    return len(lines_of(folder)) if (folder / "episodes").is_dir() else 0


# A server that fails a tenth of its requests.


def faults(runs: Path, scratch: Path) -> dict[str, Any]:
    """1,000 episodes, 64 at once, asked of a server that is well and of one that fails a tenth of all requests."""
    from agent.chat.fake import FakeChatServer, Faults, served

    def said(messages: list[dict[str, Any]]) -> str:
        pictures = [part["image_url"]["url"] for part in messages[0]["content"] if part["type"] == "image_url"]
        return f"<answer>{sum(map(ord, pictures[0])) % 7}</answer>"

    found: dict[str, Any] = {}
    for name, ill in (("well", Faults()), ("ill", Faults(error=0.04, busy=0.02, cut=0.02, broken=0.02))):
        with served(FakeChatServer(said, faults=ill, delay=0.25)) as server:
            output = scratch / name
            options = ["--env", "counting", "--episodes", "1000", "--baselines", "[]", "--server.concurrency", "64"]
            seconds = ran("--model", server.url, *options, "--output", str(output))
            rows = [{**row, "name": ""} for row in read(output)["rows"]]
            found[name] = {
                "requests": len(server.bodies),
                "answered": server.answered,
                "most in flight": server.most_in_flight,
                "seconds": round(seconds, 1),
                "episodes": rows[0]["episodes"],
                "accuracy": rows[0]["value"],
            }
    found["same results"] = found["well"]["accuracy"] == found["ill"]["accuracy"]
    return found


# A real chat server.


def server(runs: Path, scratch: Path, vllm: Path) -> dict[str, Any]:
    """The checkpoints of counting and search, served by vLLM's chat interface on this CPU, against the local engine."""
    if not vllm.exists():
        raise SystemExit(f"{vllm} is not there: .ci/vllm makes it, or give --vllm, or leave the part out by --parts")
    found = {}
    for name, env in (("demo", "counting"), ("demo-search", "search")):
        checkpoint = max((runs / name / "checkpoints").iterdir(), key=lambda path: int(path.name.removeprefix("step_")))
        options = ["--env", env, "--episodes", "128", "--baselines", "[]", "--no_tool", "false"]
        ran("--model", str(checkpoint), *options, "--output", str(scratch / f"{name}-local"))
        with chat_server(vllm, checkpoint) as url:
            ran("--model", url, *options, "--output", str(scratch / f"{name}-served"))
        local, asked = (said_in(scratch / f"{name}-{how}") for how in ("local", "served"))
        found[env] = {
            "episodes": len(local),
            "the same in every turn": sum(asked.get(task) == turns for task, turns in local.items()),
            "local": read(scratch / f"{name}-local")["rows"][0]["value"],
            "served": read(scratch / f"{name}-served")["rows"][0]["value"],
        }
    return found


def said_in(folder: Path) -> dict[int, list[str]]:
    """What was said in each turn, by task, without the end token."""
    (path,) = (folder / "episodes").glob("*.jsonl")
    turns = {}
    for record in map(json.loads, path.read_text().splitlines()):
        actions = [s["text"] for row in record["rows"] for s in row["segments"] if s["kind"] == "action"]
        turns[record["index"]] = [text.removesuffix("<|im_end|>") for text in actions]
    return turns


@contextmanager
def chat_server(python: Path, checkpoint: Path) -> Iterator[str]:
    """vLLM's server for this checkpoint."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start = ROOT / "tests" / "agent" / "rollout" / "remote" / "start_vllm_server.py"
    command = [str(python), str(start), str(checkpoint), str(port), "--generation-config", "vllm"]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise SystemExit(f"the server ended with {process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(60)


# The page.


def write(found: dict[str, Any]) -> None:
    (HERE / "evaluation.json").write_text(json.dumps(found, indent=1) + "\n")
    lines = [f"# Evaluation\n\nMade by `make verify-evaluation` on {found['machine']}, commit {found['commit']}.\n"]
    if "tasks" in found:
        lines += [
            f"Five checkpoints on five tasks, `{found['tasks']['command']}`, {found['tasks']['seconds']:.0f} s:\n"
        ]
        lines += [table(found["tasks"])]
    titles = {
        "break": "Killed with -9 at half of its episodes, and the same command again",
        "faults": "1,000 episodes, 64 at once, of a chat server: well, and failing a tenth of its requests",
        "server": "Greedy answers of a real chat server (vLLM on this CPU) and of the local engine",
    }
    for part, title in titles.items():
        if part in found:
            lines += [f"## {title}\n", *_listed(found[part]), ""]
    (HERE / "evaluation.md").write_text("\n".join(lines).rstrip() + "\n")
    text = README.read_text()
    if "tasks" in found and BEGIN in text:
        head, rest = text.split(BEGIN)
        README.write_text(f"{head}{BEGIN}\n{table(found['tasks'])}{END}{rest.split(END)[1]}")


def _listed(found: dict[str, Any]) -> list[str]:
    """Nested figures as a list."""
    lines = []
    for name, value in found.items():
        if isinstance(value, dict):
            told = ", ".join(
                f"{key}: {inner:.4g}" if isinstance(inner, float) else f"{key}: {inner}" for key, inner in value.items()
            )
            lines.append(f"- {name}: {told}")
        else:
            lines.append(f"- {name}: {value}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--vllm", type=Path, default=ROOT / ".venv-vllm" / "bin" / "python")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    given = parser.parse_args(arguments)
    import torch

    path = HERE / "evaluation.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    found |= {"machine": machine(f"torch {torch.__version__}"), "commit": commit()}
    scratch = Path(tempfile.mkdtemp(prefix="evaluation_"))
    try:
        for part in given.parts:
            console.rule(part)
            if part == "server":
                found[part] = server(given.runs.resolve(), scratch, given.vllm.absolute())
            else:
                play = {"tasks": tasks, "break": broken_off, "faults": faults}[part]
                found[part] = play(given.runs.resolve(), scratch)
            write(found)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    console.print((HERE / "evaluation.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
