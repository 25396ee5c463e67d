"""What is left when a trainer is killed, and what a call becomes when its container or the engine goes away.

    python bench/chaos.py [--kills 20] [--restart COMMAND] [--out FOLDER]

kills     a trainer with busy lanes is killed with SIGKILL; how long until none of its containers is left (45 s allowed)
faults    in the middle of calls a container is killed, paused, or runs out of memory, its disk is filled, a client of
          its socket stops in the middle of a message, the engine is killed and started again; every call must end, with
          its own result or with an exception that says that the sandbox failed, and a call afterwards must work
--restart a command that starts the engine; without it the engine is left alone

Needs a Docker Engine and the image (`python -m sandbox build-image`). Writes bench/chaos.json and bench/chaos.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import docker
from made_on import commit
from rich.progress import track

from sandbox.contract import MIB, ExecResult, Limits
from sandbox.docker_engine import LABEL
from sandbox.docker_lane import SOCKET, Walls
from sandbox.docker_pool import DockerSandbox
from sandbox.errors import InfrastructureError

HERE = Path(__file__).parent
ALLOWED_SECONDS = 45.0
LIMITS = Limits(
    wall_seconds=10,
    cpu_seconds=10,
    memory_bytes=256 * MIB,
    processes=16,
    output_bytes=MIB,
    file_bytes=128 * MIB,
    files=4,
    files_bytes=16 * MIB,
)
SLOW = "import time\nfor k in range(30):\n    time.sleep(0.1)\nprint('done')"
TRAINER = """
import threading
from sandbox.contract import Limits
from sandbox.docker_pool import DockerSandbox
limits, box = Limits({limits}), DockerSandbox(lanes=3)
def work():
    while True:
        box.exec("import time; time.sleep(0.2); print(1)", {{}}, limits)
box.exec("print(1)", {{}}, limits)
for _ in range(6):
    threading.Thread(target=work, daemon=True).start()
print(box.pool_id, flush=True)
threading.Event().wait()
"""


def left(pool_id: str) -> int:
    """Containers of a pool, running or not."""
    with closing(docker.from_env()) as client:
        found = client.containers.list(all=True, filters={"label": f"{LABEL}.pool={pool_id}"}, ignore_removed=True)
    return len(found)


def kill_a_trainer(rng: random.Random) -> float:
    """Seconds from the kill until none of its containers is left."""
    program = TRAINER.format(limits=", ".join(f"{name}={value!r}" for name, value in vars(LIMITS).items()))
    trainer = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(HERE.parent)},
    )
    assert trainer.stdout is not None
    pool_id = trainer.stdout.readline().strip()
    if not pool_id:
        raise SystemExit("the trainer did not start")
    time.sleep(rng.uniform(0, 2))  # while lanes start, or are all busy
    if not left(pool_id):
        raise SystemExit("the trainer has no container: nothing would be shown")
    trainer.send_signal(signal.SIGKILL)
    trainer.wait()
    killed = time.monotonic()
    while left(pool_id):
        if time.monotonic() - killed > 3 * ALLOWED_SECONDS:
            break
        time.sleep(0.25)
    return time.monotonic() - killed


def outcome(box: DockerSandbox, code: str) -> str:
    """What became of one call, in a word or two."""
    try:
        result: ExecResult = box.exec(code, {}, LIMITS)
    except InfrastructureError as error:
        return type(error).__name__
    return result.status


def during(box: DockerSandbox, code: str, fault: Callable[[], None], callers: int = 1) -> dict[str, Any]:
    """Calls that run while something happens to them: what became of them, and how long it took."""
    outcomes: list[str] = []
    threads = [threading.Thread(target=lambda: outcomes.append(outcome(box, code))) for _ in range(callers)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    time.sleep(1.0)
    fault()
    for thread in threads:
        thread.join(180)
    hung = sum(thread.is_alive() for thread in threads)
    return {"calls": dict(Counter(outcomes)), "hung": hung, "seconds": round(time.monotonic() - start, 1)}


def lanes_of(box: DockerSandbox) -> list[Any]:
    with closing(docker.from_env()) as client:
        return client.containers.list(filters={"label": f"{LABEL}.pool={box.pool_id}"}, ignore_removed=True)


def stall_a_client(box: DockerSandbox) -> None:
    """Begin a message on every lane's socket and say no more; the connections stay open."""
    for container in lanes_of(box):
        folder = next(m["Source"] for m in container.attrs["Mounts"] if m["Destination"] == "/run/lane")
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(Path(folder) / SOCKET))
        client.sendall(b"RLG1\x00\x00")
        _kept.append(client)


_kept: list[socket.socket] = []
FILL = """
try:
    for k in range(10000):
        with open(f"f{k}", "wb") as file:
            file.write(bytes(1 << 20))
except OSError as error:
    print(error.errno)
"""
SWELL = """
import time
kept = []
for k in range(1000):
    kept.append(bytearray(8 << 20))
    time.sleep(0.005)
"""

# Which ends are right. A program whose lane was lost may have run again on another, once, and then ends well.
FAULTS: dict[str, tuple[str, set[str]]] = {
    "container killed": (SLOW, {"ok", "Lost"}),
    "container paused": (SLOW, {"ok", "Lost", "Stalled"}),
    "program takes all memory": (SWELL, {"oom"}),
    "program fills the disk": (FILL, {"ok"}),
    "a client stops in mid-message": (SLOW, {"ok"}),
    "engine killed and started": (SLOW, {"ok", "Lost", "QueueTimeout"}),
}


def cause(name: str, box: DockerSandbox, restart: str | None) -> None:
    """Let it happen."""
    if name == "container killed":
        for container in lanes_of(box):
            container.kill()
    elif name == "container paused":
        for container in lanes_of(box):
            container.pause()
    elif name == "a client stops in mid-message":
        stall_a_client(box)
    elif name == "engine killed and started":
        subprocess.run(["pkill", "-KILL", "-x", "dockerd"], check=True)
        time.sleep(2)
        subprocess.run(restart or "false", shell=True, check=True, stdout=subprocess.DEVNULL)


def try_fault(name: str, restart: str | None) -> dict[str, Any]:
    """One fault, and whether the sandbox works afterwards and leaves nothing."""
    code, right = FAULTS[name]
    with DockerSandbox(lanes=2, walls=Walls(silence=5.0)) as box:
        while box.stats()["free"] < 2:  # each may still be starting
            if outcome(box, "print(1)") != "ok":
                raise SystemExit("the sandbox does not work to begin with")
            time.sleep(0.2)
        found = during(box, code, lambda: cause(name, box, restart), callers=2)
        since = time.monotonic()
        while (after := outcome(box, "print(1)")) != "ok" and time.monotonic() - since < 120:
            time.sleep(1)
        found |= {"afterwards": after, "works again after, s": round(time.monotonic() - since, 1)}
        pool_id = box.pool_id
    while left(pool_id) and time.monotonic() - since < 240:
        time.sleep(0.5)
    found |= {"containers left": left(pool_id), "right ends": sorted(right)}
    found["held"] = (
        set(found["calls"]) <= right and not found["hung"] and after == "ok" and not found["containers left"]
    )
    return found


def report(found: dict[str, Any]) -> str:
    """The figures as a page."""
    kills = found["kills"]
    lines = [
        "# Sandboxes: chaos",
        "",
        f"`make verify-chaos` at commit {found['commit']}, Docker {found['docker']}.",
        "",
        f"A trainer with three busy lanes, killed with SIGKILL {len(kills)} times: after at most {max(kills):.1f} s "
        f"(median {statistics.median(kills):.1f} s) none of its containers was left; {ALLOWED_SECONDS:.0f} s allowed.",
        "",
        "| fault, during two calls | what the calls became | right | works again after | containers left | held |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in found["faults"].items():
        became = ", ".join(f"{count} {end}" for end, count in one["calls"].items()) + (", hung" if one["hung"] else "")
        again = f"{one['works again after, s']} s" if one["afterwards"] == "ok" else f"never: {one['afterwards']}"
        right = " or ".join(one["right ends"])
        lines.append(
            f"| {name} | {became} in {one['seconds']} s | {right} | {again} | {one['containers left']} | "
            f"{'yes' if one['held'] else 'NO'} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--restart", help="a command that starts the engine")
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    rng = random.Random(0)
    names = [name for name in FAULTS if options.restart or not name.startswith("engine")]
    faults = {name: try_fault(name, options.restart) for name in track(names, description="faults")}
    kills = [round(kill_a_trainer(rng), 1) for _ in track(range(options.kills), description="kills")]
    found = {"commit": commit(), "docker": docker.from_env().version()["Version"]}
    found |= {"kills": kills, "faults": faults}
    text = report(found)
    print(text)
    (options.out / "chaos.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.out / "chaos.md").write_text(text)
    if max(kills) > ALLOWED_SECONDS or not all(one["held"] for one in faults.values()):
        raise SystemExit("not all of it held")


if __name__ == "__main__":
    main()
