"""The whole of compose.yaml: how fast it is there, what it reports, and what dying containers change.

    python bench/compose.py [--every 20] [--parts build calm trouble trainers full] [--out bench]

build     images from a warm cache of packages, without cached layers
calm      the README's quick start, undisturbed: until the first trained step, until the report
trouble   the same while an executor is killed every 20 s and the search service once
trainers  two trainers as on two hosts (compose.trainers.yaml)
full      PROFILE=full: all five tasks from nothing; half an hour, only if asked for

Needs Docker Compose; BASE_IMAGE and wheels as for building (CONTRIBUTING.md). Writes compose.json and compose.md; parts
that are not run keep the figures that they had.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from compose_stack import Stack, Trouble, quick_start
from made_on import commit, machine

HERE = Path(__file__).parent
RUNS = ("counting", "search", "coding")
ALL = ("counting", "geometry", "grounding", "search", "coding")
TRAINERS = ("-f", "compose.yaml", "-f", "compose.trainers.yaml")


def build() -> dict[str, Any]:
    """Seconds for all images, and what they take."""
    stack = Stack()
    began = time.monotonic()
    stack.compose("build", "--no-cache", seconds=3000)
    seconds = time.monotonic() - began
    sizes = {}
    for name in ("agent", "executor", "search"):
        size = stack.run(["docker", "image", "inspect", "-f", "{{.Size}}", f"rllava-gym/{name}"]).stdout
        sizes[name] = int(size)
    base = stack.run(["docker", "image", "inspect", "-f", "{{.Size}}", os.environ.get("BASE_IMAGE", "")]).stdout
    return {"seconds": seconds, "bytes": sizes, "base_bytes": int(base or 0)}


def up(every: float | None, log: Path, profile: str = "") -> dict[str, Any]:
    """One run of the quick start's first line. every: seconds between two deaths of executors. profile: Of
    `PROFILE`."""
    stack = Stack({"PROFILE": profile} if profile else None)
    stack.compose("down", "-v", "--timeout", "5")
    began = time.monotonic()
    process = stack.start(quick_start()[0], log)
    try:
        stack.first_step("counting", 300)
        first = time.monotonic() - began
        if every is None:
            status, trouble = stack.wait_for("agent", 5400 if profile else 1800), None
        else:
            with Trouble(stack, every) as trouble:
                status = stack.wait_for("agent", 1800)
        seconds = time.monotonic() - began
        return {
            "status": status,
            "first_step_seconds": first,
            "seconds": seconds,
            "executors_killed": trouble.executors if trouble else 0,
            "searches_killed": trouble.searches if trouble else 0,
            "runs": {run: told(stack, run) for run in (ALL if profile == "full" else RUNS)},
        }
    finally:
        process.terminate()
        process.wait(120)
        stack.compose("down", "-v", "--timeout", "5")


def told(stack: Stack, run: str) -> dict[str, Any]:
    """What a run's report and metrics say, and what its recorded episodes say of failures."""
    report = json.loads(stack.file(f"{run}/report.json"))
    lines = [json.loads(line) for line in stack.file(f"{run}/metrics.jsonl").splitlines()]
    after = next(row for row in report["rows"] if row["name"] == "after" and row["decoding"] == "greedy")
    (gain,) = [each for each in report["paired_differences"] if each["decoding"] == "greedy"]
    listed = stack.run(["docker", "compose", "exec", "-T", "view", "sh", "-c", f"cat runs/{run}/rollouts/*.jsonl"])
    episodes = [json.loads(line)["outcome"] for line in listed.stdout.splitlines()]
    return {
        "seconds": report["seconds"],
        "after": [after["value"], after["low"], after["high"]],
        "episodes": after["episodes"],
        "gain": [gain["value"], gain["low"], gain["high"]],
        "steps": len(lines),
        "failed": [line["failed"] for line in lines],
        "recorded": len(episodes),
        "recorded_failed": sum(episode["end"] == "failed" for episode in episodes),
        "failed_with_score": sum(episode["end"] == "failed" and episode["score"] is not None for episode in episodes),
    }


def trainers() -> dict[str, Any]:
    """Two trainers against one sandbox and one search service; their statuses and what the runs gained."""
    stack = Stack({"RLLAVA_SANDBOX_TOKEN": secrets.token_hex(16)})
    began = time.monotonic()
    ended = stack.run(["docker", "compose", *TRAINERS, "up", "-d", "trainer-0", "trainer-1"], 1800)
    assert ended.returncode == 0, ended.stderr[-3000:]
    statuses = {}
    for name in ("trainer-0", "trainer-1"):
        ids = stack.run(["docker", "compose", *TRAINERS, "ps", "-aq", name]).stdout.split()
        statuses[name] = int(stack.run(["docker", "wait", *ids], 1800).stdout)
    seconds = time.monotonic() - began
    try:
        reports = {}
        for run in ("trainers-search", "trainers-coding"):
            copied = stack.run(
                [
                    "docker",
                    "compose",
                    *TRAINERS,
                    "run",
                    "--rm",
                    "-T",
                    "--no-deps",
                    "--entrypoint",
                    "cat",
                    "agent",
                    f"runs/{run}/report.json",
                ]
            )
            (gain,) = [each for each in json.loads(copied.stdout)["paired_differences"] if each["decoding"] == "greedy"]
            reports[run] = [gain["value"], gain["low"], gain["high"]]
        return {"statuses": statuses, "seconds": seconds, "gains": reports}
    finally:
        stack.run(["docker", "compose", *TRAINERS, "down", "-v", "--timeout", "5"])


def percent(values: list[float]) -> str:
    value, low, high = (100 * each for each in values)
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


def page(found: dict[str, Any]) -> str:
    """The Markdown page of what was found."""
    lines = [
        "# The run in containers",
        "",
        f"`make verify-compose`, {found['machine']}, commit {found['commit']}.",
        "",
    ]
    if "build" in found:
        lines += [*built(found["build"]), ""]
    if rows := [(name, found[name]) for name in ("calm", "trouble", "full") if name in found]:
        lines += [*table(rows), ""]
        if "full" in found:
            lines += ["full: `PROFILE=full`, all five tasks from nothing, each with a cold start of its own;"]
            lines += [f"{found['full'].get('note') or 'measured with the others'}.", ""]
        lines += [*runs(rows), ""]
    if "trainers" in found:
        lines += [*two(found["trainers"]), ""]
    return "\n".join(lines)


def built(found: dict[str, Any]) -> list[str]:
    sizes = ", ".join(f"{name} {size / 1e6:,.0f} MB" for name, size in found["bytes"].items())
    return [
        f"Images: {found['seconds']:.0f} s from a warm cache of packages, no layer reused. Sizes: {sizes};",
        f"the base image's {found['base_bytes'] / 1e6:,.0f} MB are in each.",
    ]


def table(rows: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [
        "| | to the first trained step | to the report | exit status | executors killed | search killed |",
        "|---|---|---|---|---|---|",
        *(
            f"| {name} | {run['first_step_seconds']:.0f} s | {run['seconds']:.0f} s | {run['status']} | "
            f"{run['executors_killed']} | {run['searches_killed']} |"
            for name, run in rows
        ),
    ]


def runs(rows: list[tuple[str, dict[str, Any]]]) -> list[str]:
    lines = [
        "Greedy, in percent with 95% intervals. Dropped: the share of training episodes that the infrastructure broke,",
        "mean over the steps. Scored: recorded episodes that it broke and that have a score nevertheless.",
        "",
        "| | run | after | gain on the same tasks | test tasks | steps | dropped | scored |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, whole in rows:
        for run, of in whole["runs"].items():
            dropped = f"{100 * sum(of['failed']) / len(of['failed']):.2f}%"
            scored = f"{of['failed_with_score']} of {of['recorded']}"
            cells = [name, run, percent(of["after"]), percent(of["gain"]), of["episodes"], of["steps"], dropped, scored]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def two(found: dict[str, Any]) -> list[str]:
    gains = ", ".join(f"{run.removeprefix('trainers-')} {percent(gain)}" for run, gain in found["gains"].items())
    statuses = ", ".join(map(str, found["statuses"].values()))
    return [
        "Two trainers (FSDP2 over gloo, a container each) against one sandbox service and one search service:",
        f"{found['seconds']:.0f} s, exit statuses {statuses}; gained, greedy: {gains}.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=float, default=20.0, help="seconds between two deaths of executors")
    parser.add_argument("--parts", nargs="+", default=["build", "calm", "trouble", "trainers"])
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    kept = given.out / "compose.json"
    found = json.loads(kept.read_text()) if kept.exists() else {}
    found |= {"machine": machine(), "commit": commit()}
    for part in given.parts:
        print(f"{part} ...", flush=True)
        log = Path(f"/tmp/compose-{part}.log")
        if part == "build":
            found[part] = build()
        elif part == "trainers":
            found[part] = trainers()
        else:
            profile = "full" if part == "full" else ""
            found[part] = up(given.every if part == "trouble" else None, log, profile)
        print(json.dumps(found[part], indent=1), flush=True)
        kept.write_text(json.dumps(found, indent=1) + "\n")
        (given.out / "compose.md").write_text(page(found))


if __name__ == "__main__":
    main()
