"""Taking all processes, threads and descriptors there are."""

from __future__ import annotations

from dataclasses import replace

from .attack import CONTRACT, LIMITS, Attack, ends_as

SHORT = replace(LIMITS, wall_seconds=3.0)
_ANY = ends_as("ok", "error", "oom", "signal", "timeout")

ATTACKS = (
    Attack(
        "processes.fork-bomb",
        "fork without end",
        "while True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
        held=_ANY,
        needs="processes",
        limits=SHORT,
    ),
    Attack(
        "processes.count",
        "more processes than are allowed",
        """
made = 0
try:
    for _ in range(500):
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        made += 1
except OSError as error:
    say("refused:", made, error)
if made > 15:
    got("processes", made)
""",
        needs="processes",
    ),
    Attack(
        "processes.shell-bomb",
        "a fork bomb of shells",
        "import subprocess\nsubprocess.run(['sh', '-c', ': & f() { f | f & }; f; while :; do f; done'])",
        held=_ANY,
        needs="processes",
        limits=SHORT,
    ),
    Attack(
        "processes.sessions",
        "processes that fork, leave their session and die, faster than anybody can list them",
        """
while True:
    try:
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
    except OSError:
        pass
""",
        held=_ANY,
        needs="processes",
        limits=SHORT,
    ),
    Attack(
        "processes.threads",
        "threads without end",
        """
import threading
threading.stack_size(65536)
made, refusals = 0, 0
while refusals < 1000:
    try:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        made += 1
    except (RuntimeError, MemoryError):
        refusals += 1
if made > 15:
    got("threads", made)
""",
        held=_ANY,
        needs="processes",
    ),
    Attack(
        "processes.zombies",
        "children that are dead and never asked for",
        """
made = 0
try:
    for _ in range(5000):
        if os.fork() == 0:
            os._exit(0)
        made += 1
except OSError as error:
    say("refused:", made, error)
if made > 15:
    got("zombies", made)
""",
        needs="processes",
    ),
    Attack(
        "processes.descriptors",
        "descriptors without end",
        """
kept = []
try:
    while len(kept) < 100000:
        kept.append(os.dup(0))
except OSError as error:
    say("refused:", len(kept), error)
if len(kept) > 5000:
    got("descriptors", len(kept))
""",
        needs=CONTRACT,
    ),
    Attack(
        "processes.watches",
        "timers, signals and watches of the kernel, counted for a user and not for a process",
        """
made = {}
def many(name, action):
    try:
        for made[name] in range(20000):
            action()
    except OSError as error:
        say("refused:", name, made[name], error)
watch = libc.inotify_init1(0)
if watch >= 0:
    def add():
        folder = f"w{made['watches']}"
        os.mkdir(folder)
        if libc.inotify_add_watch(watch, folder.encode(), 0x100) < 0:
            raise OSError(ctypes.get_errno() or errno.ENOSPC, "inotify_add_watch")
        os.rmdir(folder)
    many("watches", add)
timer = ctypes.c_int()
def arm():
    if libc.timer_create(1, None, ctypes.byref(timer)) != 0:
        raise OSError(ctypes.get_errno() or errno.EAGAIN, "timer_create")
many("timers", arm)
""",
        held=_ANY,
        limits=replace(LIMITS, wall_seconds=5.0),
    ),
    Attack(
        "processes.raised-limits",
        "raise its own limits again",
        """
import resource
names = [n for n in dir(resource) if n.startswith("RLIMIT_")]
for name in names:
    which = getattr(resource, name)
    soft, hard = resource.getrlimit(which)
    if hard == resource.RLIM_INFINITY:
        continue
    for wanted in (hard + 1, resource.RLIM_INFINITY):
        try:
            resource.setrlimit(which, (hard, wanted))
        except (ValueError, OSError) as error:
            say("refused:", name, wanted, error)
        else:
            got(f"raised {name} from {hard}", wanted)
for name in ("RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_CORE"):
    if resource.getrlimit(getattr(resource, name))[1] == resource.RLIM_INFINITY:
        got("no limit", name)
if resource.getrlimit(resource.RLIMIT_CORE)[1] != 0:
    got("core files", resource.getrlimit(resource.RLIMIT_CORE))
""",
        needs=CONTRACT,
    ),
)
