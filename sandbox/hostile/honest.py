"""The honest program between attacks: what it is given, does and finds must not change.

It works on a picture, and describes the place it runs in: limits, user, priority, clock, processes, and every file
outside its folder that it could have been left. Two descriptions of an unharmed sandbox are the same.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from ..contract import ExecResult, Sandbox
from .attack import LIMITS, whole

_CODE = """
import hashlib, random, resource, subprocess, threading
import cv2, numpy
from PIL import Image
nonce = open("nonce", "rb").read()
open("answer", "w").write(hashlib.sha256(nonce).hexdigest())
image = cv2.rotate(cv2.imread("picture.png"), cv2.ROTATE_90_CLOCKWISE)
cv2.imwrite("turned.png", image)
x = bytearray(64 << 20)
status = dict(line.rstrip().split(":", 1) for line in open("/proc/self/status"))
above, pid = {os.getpid()}, os.getppid()
while pid > 0:
    above.add(pid)
    try:
        pid = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
    except OSError:
        break
strangers = 0
for pid in others():
    try:
        strangers += pid not in above and os.stat(f"/proc/{pid}").st_uid == os.getuid()
    except OSError:
        pass
here = os.path.realpath(".")
left, room = [], 0
for line in open("/proc/self/mountinfo"):
    parts = line.split()
    place, kind = parts[4], parts[parts.index("-") + 1]
    if not parts[5].startswith("rw") or kind in ("proc", "sysfs", "cgroup", "cgroup2", "devpts") or place == "/":
        continue
    for top, folders, names in os.walk(place):
        folders[:] = [f for f in folders if os.path.join(top, f) != here]
        # Where many write, only one's own files and what calls itself a leftover are told from the others'.
        for name in folders + names:
            path = os.path.join(top, name)
            try:
                mine = os.lstat(path).st_uid == os.getuid()
            except OSError:
                mine = False
            if mine or "leftover" in name:
                left.append(path)
        if len(left) > 50:
            break
    if kind == "tmpfs":
        info = os.statvfs(place)
        room = max(room, info.f_blocks and round(10 * info.f_bavail / info.f_blocks))
def ipc(name):
    try:
        return len(open("/proc/sysvipc/" + name).readlines()) - 1
    except OSError:
        return -1
def lane():
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return "?"
print(json.dumps({
    "random": [random.random(), numpy.random.rand(), list({"a", "b", "c"})],
    "picture": hashlib.sha256(image.tobytes()).hexdigest(),
    "environment": sorted(k for k in os.environ), "home": os.environ["HOME"] == os.getcwd(),
    "folder": sorted(os.listdir(".")), "umask": os.umask(0o77), "path": [p for p in sys.path if p],
    "limits": {n: resource.getrlimit(getattr(resource, n)) for n in dir(resource)
               if n.startswith("RLIMIT_") and n not in ("RLIMIT_AS", "RLIMIT_NPROC")},
    "nice": os.getpriority(os.PRIO_PROCESS, 0), "class": os.sched_getscheduler(0),
    "processors": sorted(os.sched_getaffinity(0)), "host": os.uname().nodename,
    "oom": open("/proc/self/oom_score_adj").read().strip(),
    "status": {k: status[k].strip() for k in ("SigBlk", "SigIgn", "CapEff", "NoNewPrivs", "Seccomp", "Threads",
               "Groups") if k in status},
    "root": os.getuid() == 0, "threads": threading.active_count(), "descriptors": len(os.listdir("/proc/self/fd")),
    "ipc": {n: ipc(n) for n in ("shm", "sem", "msg")}, "left": sorted(left), "strangers": strangers, "room": room,
    "child": subprocess.run(["echo", "said"], capture_output=True).stdout.decode(), "clock": time.time(),
    "builtins": hashlib.sha256(repr(sorted(dir(__builtins__))).encode()).hexdigest(),
    "customized": [m for m in ("usercustomize", "sitecustomize") if m in sys.modules], "lane": lane(),
}))
"""

_LIMITS = replace(LIMITS, wall_seconds=20.0)
CLOCK = 3.0  # seconds by which two clocks may differ more than they did at first
SLOW_MS = 3000.0  # a wall time that is never called slow
SLOW_TIMES = 12.0
ROOM = 2  # tenths of a file system in memory


@dataclass(frozen=True)
class Honest:
    """What one honest call found: the place it ran in, how long it took, and in which lane it was."""

    found: Mapping[str, Any]
    clock: float
    wall_ms: float
    room: int
    lane: str


class DishonestError(Exception):
    """An honest call did not do what it was asked; says what came instead."""


def call(sandbox: Sandbox, shared_user: bool = False) -> Honest:
    """Run the honest program once. shared_user: others' processes and files are under the same user.

    Raises:
        DishonestError: it failed, or answered another question.
        SandboxError: the sandbox failed.
    """
    nonce = os.urandom(32)
    picture = _picture()
    result = sandbox.exec(whole(_CODE), {"nonce": nonce, "picture.png": picture}, _LIMITS)
    if result.status != "ok":
        raise DishonestError(f"it ended with {result.status}: {result.reason} {result.stderr[-300:]}")
    if set(result.files) != {"answer", "turned.png"}:
        raise DishonestError(f"its files are {sorted(result.files)!r:.300}")
    if result.files["answer"] != hashlib.sha256(nonce).hexdigest().encode():
        raise DishonestError("its answer belongs to another call")
    if result.stderr:
        raise DishonestError(f"it printed what it never prints: {result.stderr[:300]!r}")
    return _read(result, shared_user)


def _read(result: ExecResult, shared_user: bool) -> Honest:
    try:
        found = json.loads(result.stdout.splitlines()[0])
        clock, room, lane = float(found.pop("clock")), int(found.pop("room")), str(found.pop("lane"))
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DishonestError(f"its description cannot be read: {error}: {result.stdout[:200]!r}") from None
    if shared_user:
        del found["strangers"], found["left"]
    found["turned"] = hashlib.sha256(result.files["turned.png"]).hexdigest()
    return Honest(found, clock - time.time(), result.wall_ms, room, lane)


def difference(first: Honest, now: Honest) -> str:
    """What an honest call found changed since the first one; empty if nothing is."""
    for name in sorted(first.found.keys() | now.found.keys()):
        before, after = first.found.get(name), now.found.get(name)
        # A lane in another container has another name.
        if before != after and not (name == "host" and first.lane != now.lane):
            return f"{name} was {before!r:.200} and is {after!r:.200}"
    if abs(first.clock - now.clock) > CLOCK:
        return f"the clock moved by {now.clock - first.clock:+.1f} s"
    if now.room < first.room - ROOM:
        return f"{10 * now.room} % of its memory file system are free; it was {10 * first.room} %"
    return ""


def slower(first: Honest, now: Honest) -> str:
    """Whether it took so much longer than the first that something must be in its way. A busy machine is slow once."""
    if now.wall_ms > max(SLOW_MS, SLOW_TIMES * first.wall_ms):
        return f"it took {now.wall_ms:.0f} ms; the first took {first.wall_ms:.0f} ms"
    return ""


def _picture() -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((64, 48)).convert("RGB").save(buffer, format="PNG")
    return buffer.getvalue()
