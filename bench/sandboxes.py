"""How fast hardened containers run programs, beside the other ways into a container, and what ten thousand calls leave.

    python bench/sandboxes.py [--quick] [--out FOLDER]

Everything in one run, on one container each, in rounds that take turns, so that a busy machine slows all ways alike:

print         `print(1)` through a lane's socket; `docker exec` of a fresh Python in a warm container; `docker run --rm`
picture       turn and brighten a 640 x 480 JPEG with OpenCV; `exec` starts Python and imports what the lane has loaded
variables     a lease that keeps variables: one more is added, call after call
lease, reset  taking a lane that is free, and giving it back until the next program may start
10,000 calls  containers, open files, memory and dead processes, before and after

Needs a Docker Engine and the image (`python -m sandbox build-image`). Writes bench/sandboxes.json and
bench/sandboxes.md. --quick measures briefly and writes nothing.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
from made_on import commit, machine
from PIL import Image
from rich.progress import track

from sandbox.contract import MIB, Limits
from sandbox.docker_engine import LABEL
from sandbox.docker_lane import Walls
from sandbox.docker_pool import DockerSandbox

HERE = Path(__file__).parent
CALLERS = 4
LIMITS = Limits(
    wall_seconds=20,
    cpu_seconds=20,
    memory_bytes=512 * MIB,
    processes=16,
    output_bytes=MIB,
    file_bytes=16 * MIB,
    files=4,
    files_bytes=16 * MIB,
)
PRINT = "print(1)"
PICTURE = """
import cv2
picture = cv2.imread({source!r})
turned = cv2.rotate(cv2.convertScaleAbs(picture, alpha=1.2, beta=10), cv2.ROTATE_90_CLOCKWISE)
cv2.imwrite({target!r}, turned)
print(turned.shape)
"""


def photograph() -> bytes:
    """A JPEG of 640 x 480 with as much in it as a photograph has."""
    noise = Image.effect_noise((640, 480), 60).resize((640, 480), Image.Resampling.BICUBIC)
    tones = Image.merge(
        "RGB", [noise, noise.rotate(90).resize((640, 480)), Image.linear_gradient("L").resize((640, 480))]
    )
    written = io.BytesIO()
    tones.save(written, "JPEG", quality=85)
    return written.getvalue()


def per_second(call: Callable[[], Any], count: int, callers: int = 1) -> float:
    start = time.monotonic()
    with ThreadPoolExecutor(callers) as pool:
        for ended in [pool.submit(call) for _ in range(count * callers)]:
            ended.result()
    return count * callers / (time.monotonic() - start)


def take_turns(
    calls: dict[str, tuple[Callable[[], Any], int]], rounds: int, what: str, callers: int = 1
) -> dict[str, dict[str, float]]:
    """Each call's rate a second: the median of rounds, and the extremes."""
    rates: dict[str, list[float]] = {name: [] for name in calls}
    for _ in track(range(rounds), description=what):
        for name, (call, count) in calls.items():
            rates[name].append(per_second(call, count, callers))
    return {n: {"median": statistics.median(r), "least": min(r), "most": max(r)} for n, r in rates.items()}


def expect(result: Any, text: str) -> None:
    if not result.ok or result.stdout.strip() != text:
        raise SystemExit(f"expected {text!r}; got {result}")


def against_other_ways(box: DockerSandbox, rounds: int, callers: int) -> dict[str, dict[str, float]]:
    """`print(1)` and the picture: through the lane, by exec in a warm container, by a container a call."""
    client = docker.from_env()
    jpeg = photograph()
    options = Walls().options() | {"auto_remove": False, "detach": False}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.jpg").write_bytes(jpeg)
        os.chmod(folder, 0o755)
        warm = client.containers.run(
            box.image,
            ["-c", "import time; time.sleep(86400)"],
            entrypoint="/opt/sandbox/bin/python",
            volumes={folder: {"bind": "/data", "mode": "ro"}},
            **(options | {"detach": True}),
        )
        python = ["/opt/sandbox/bin/python", "-c"]

        def by_exec(code: str) -> None:
            code_, output = warm.exec_run([*python, code])
            if code_:
                raise SystemExit(f"exec failed: {output!r}")

        def by_run() -> None:
            client.containers.run(box.image, ["-c", PRINT], entrypoint=python[0], **(options | {"remove": True}))

        def lane_picture() -> None:
            result = box.exec(PICTURE.format(source="a.jpg", target="b.jpg"), {"a.jpg": jpeg}, LIMITS)
            expect(result, "(640, 480, 3)")
            Image.open(io.BytesIO(result.files["b.jpg"])).load()

        elsewhere = PICTURE.format(source="/data/a.jpg", target="/tmp/b.jpg")
        try:
            found = take_turns(
                {
                    "print, lane": (lambda: expect(box.exec(PRINT, {}, LIMITS), "1"), 40),
                    "print, exec": (lambda: by_exec(PRINT), 4),
                    "print, run": (by_run, 2),
                },
                rounds,
                f"print(1), callers: {callers}",
                callers,
            )
            found |= take_turns(
                {"picture, lane": (lane_picture, 20), "picture, exec": (lambda: by_exec(elsewhere), 3)},
                rounds,
                f"picture, callers: {callers}",
                callers,
            )
        finally:
            warm.remove(force=True)
    return found


def leases(box: DockerSandbox, count: int) -> dict[str, dict[str, float]]:
    """Milliseconds to take a free lane, to run a first program in it, and to give it back until it may be taken."""
    times: dict[str, list[float]] = {"lease": [], "first program": [], "reset": []}
    for _ in track(range(count), description="leases"):
        marks = [time.perf_counter()]
        session = box.lease("files")
        marks.append(time.perf_counter())
        expect(session.exec("open('left', 'w').write('x' * 100000); print(1)", {}, LIMITS, outputs=()), "1")
        marks.append(time.perf_counter())
        session.close()
        marks.append(time.perf_counter())
        for name, start, end in zip(times, marks, marks[1:], strict=False):
            times[name].append(1000 * (end - start))
    return {
        n: {"median": statistics.median(t), "least": min(t), "most": max(t), "p95": statistics.quantiles(t, n=20)[-1]}
        for n, t in times.items()
    }


def variables(box: DockerSandbox, rounds: int, count: int) -> dict[str, float]:
    """Calls a second in one lease that keeps variables."""
    with box.lease("variables") as session:
        session.exec("n = 0", {}, LIMITS, outputs=())
        rates = take_turns({"v": (lambda: session.exec("n += 1", {}, LIMITS, outputs=()), count)}, rounds, "variables")[
            "v"
        ]
        expect(session.exec("print(n)", {}, LIMITS, outputs=()), str(rounds * count))
    return rates


def census(box: DockerSandbox) -> dict[str, int]:
    """What there is of what could grow."""
    client = docker.from_env()
    containers = client.containers.list(all=True, filters={"label": f"{LABEL}.pool={box.pool_id}"})
    pids = [int(row[1]) for c in containers for row in c.top()["Processes"]]
    states = [Path(f"/proc/{p}/stat").read_text().rpartition(")")[2].split()[0] for p in pids]
    usage = sum(c.stats(stream=False)["memory_stats"].get("usage", 0) for c in containers)
    client.close()  # its connections are nobody's growth
    return {
        "containers": len(containers),
        "processes in them": len(pids),
        "dead processes in them": states.count("Z"),
        "open files in them": sum(len(os.listdir(f"/proc/{p}/fd")) for p in pids),
        "memory of them, MiB": round(usage / MIB),
        "open files here": len(os.listdir("/proc/self/fd")),
        "memory here, MiB": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // MIB,
        "threads here": len(os.listdir("/proc/self/task")),
    }


def endurance(box: DockerSandbox, calls: int) -> dict[str, Any]:
    """Many calls, some of which fail, write files or start processes; what there is before and after."""
    programs = [
        (PRINT, "ok"),
        ("raise SystemExit(3)", "error"),
        ("open('a.bin', 'wb').write(bytes(100000))", "ok"),
        ("import subprocess; subprocess.Popen(['sleep', '60'], start_new_session=True)", "ok"),
    ]
    for code, _ in programs * 25:
        box.exec(code, {}, LIMITS)
    before, wrong, start = census(box), 0, time.monotonic()
    for k in track(range(calls), description="many calls"):
        code, status = programs[k % len(programs)]
        wrong += box.exec(code, {}, LIMITS).status != status
    seconds = time.monotonic() - start
    return {"calls": calls, "unexpected results": wrong, "per_second": calls / seconds} | {
        "before": before,
        "after": census(box),
        "stats": box.stats(),
    }


def report(found: dict[str, Any]) -> str:
    """The figures as a page."""
    many = found["endurance"]

    def row(name: str, rates: dict[str, Any], key: str, ratio: str = "", demand: str = "") -> str:
        r = rates[key]
        return f"| {name} | {r['median']:,.1f} | {r['least']:,.1f} to {r['most']:,.1f} | {ratio} | {demand} |"

    def ways(rates: dict[str, Any]) -> list[str]:
        def times(of: str, than: str) -> str:
            return f"{rates[of]['median'] / rates[than]['median']:.1f} times"

        return [
            "| way | calls a second | range | the lane is faster | demanded |",
            "|---|---|---|---|---|",
            row("`print(1)`: a lane of the pool", rates, "print, lane"),
            row("`exec` in a warm container", rates, "print, exec", times("print, lane", "print, exec"), "8 times"),
            row("`run --rm`, hardened alike", rates, "print, run", times("print, lane", "print, run"), "30 times"),
            row("640 x 480 picture: a lane, picture in and out", rates, "picture, lane"),
            row("`exec`, with its imports", rates, "picture, exec", times("picture, lane", "picture, exec"), "8 times"),
        ]

    lines = [
        "# Sandboxes: speed",
        "",
        f"`make verify-sandboxes` at commit {found['commit']} on {found['machine']}. Medians of {found['rounds']} "
        "rounds in which all ways take turns, with the least and the most.",
        "",
        f"{CALLERS} callers at a time; {CALLERS} lanes, and one warm container for `exec`, which more do not speed up:",
        "",
        *ways(found["together"]),
        "",
        "One caller, one container:",
        "",
        *ways(found["alone"]),
        row("a lease that keeps variables", found["alone"], "variables", "", "1,000"),
        "",
        "| milliseconds | median | 95th percentile | most | demanded |",
        "|---|---|---|---|---|",
    ]
    for name, demand in (("lease", "1"), ("first program", ""), ("reset", "20")):
        r = found["leases"][name]
        lines.append(f"| {name} | {r['median']:.2f} | {r['p95']:.2f} | {r['most']:.2f} | {demand} |")
    lines += [
        "",
        f"{many['calls']:,} calls ({many['per_second']:,.0f} a second; a quarter each prints, fails, writes a file, "
        f"and leaves a process behind), {many['unexpected results']} with an unexpected result; lanes replaced: "
        f"{many['stats']['replaced']}, lost: {many['stats']['lost']}.",
        "",
        "| what could grow | before | after |",
        "|---|---|---|",
        *(f"| {name} | {value} | {many['after'][name]} |" for name, value in many["before"].items()),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="measure briefly and write nothing")
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    rounds, calls = (2, 200) if options.quick else (9, 10_000)
    with DockerSandbox(lanes=1) as box:
        expect(box.exec(PRINT, {}, LIMITS), "1")
        alone = against_other_ways(box, rounds, 1)
        alone["variables"] = variables(box, rounds, 300)
        times = leases(box, 20 * rounds)
        many = endurance(box, calls)
        isolation = dict(box.isolation())
    with DockerSandbox(lanes=CALLERS) as box:
        while box.stats()["free"] < CALLERS:
            expect(box.exec(PRINT, {}, LIMITS), "1")
        together = against_other_ways(box, rounds, CALLERS)
    found = {
        "commit": commit(),
        "machine": machine(f"Docker {docker.from_env().version()['Version']}"),
        "rounds": rounds,
        "leases": times,
    }
    found |= {"alone": alone, "together": together}
    found |= {"endurance": many, "isolation": isolation}
    text = report(found)
    print(text)
    if not options.quick:
        (options.out / "sandboxes.json").write_text(json.dumps(found, indent=1) + "\n")
        (options.out / "sandboxes.md").write_text(text)


if __name__ == "__main__":
    main()
