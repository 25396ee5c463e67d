"""Never coming to an end, at every level at which that can be done."""

from __future__ import annotations

from dataclasses import replace

from ..contract import MIB
from .attack import CONTRACT, LIMITS, Attack, Seen, ends_as

SHORT = replace(LIMITS, wall_seconds=1.5, memory_bytes=512 * MIB)

_PROGRAMS = {
    "python": ("a loop in Python", "while True:\n    pass"),
    "caught": (
        "a loop that catches everything that could end it",
        "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass",
    ),
    "c": ("a loop in C that asks Python nothing", "sum(range(10**13))"),
    "regex": ("a regular expression that backtracks for ever", "import re\nre.match('(a+)+$', 'a' * 60 + 'b')"),
    "power": ("a number too large to be worked out", "x = pow(7, 10**9)"),
    "numpy": ("a loop in NumPy", "import numpy\na = numpy.ones((600, 600))\nwhile True:\n    a = a @ a % 7"),
    "sleep": ("sleeping", "time.sleep(10**6)"),
    "ignored": (
        "sleeping with every signal ignored or blocked",
        "for n in range(1, 65):\n    try:\n        signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError):\n        pass\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True:\n    time.sleep(1000)",
    ),
    "streams-closed": (
        "sleeping with every descriptor closed",
        "os.closerange(0, 65536)\ntime.sleep(10**6)",
    ),
    "threads": (
        "threads that are waited for",
        "import threading\ndef loop():\n    while True:\n        pass\n"
        "for _ in range(8):\n    threading.Thread(target=loop).start()",
    ),
    "at-exit": ("a loop at the end", "import atexit\natexit.register(lambda: time.sleep(10**6))\nraise SystemExit(0)"),
    "destructor": (
        "a loop when an object is deleted",
        "class A:\n    def __del__(self):\n        while True:\n            pass\na = A()\ndel a",
    ),
    "child": ("waiting for a child that does not end", "import subprocess\nsubprocess.run(['sleep', '100000'])"),
    "stopped": ("stopped, so that it does not even sleep", "os.kill(os.getpid(), signal.SIGSTOP)\ntime.sleep(10**6)"),
    "stop-and-go": (
        "a child that stops and continues its parent all the time",
        "parent = os.getpid()\nif os.fork() == 0:\n    while True:\n        os.kill(parent, signal.SIGSTOP)\n"
        "        os.kill(parent, signal.SIGCONT)\nwhile True:\n    pass",
    ),
    "busy-kernel": (
        "a loop of system calls",
        "fd = os.open('/dev/zero', os.O_RDONLY)\nwhile True:\n    os.pread(fd, 1 << 20, 0)",
    ),
}


def _its_own_fault(seen: Seen) -> str:
    return ends_as("timeout")(seen)


ATTACKS = (
    *(
        Attack(f"loops.{name}", tries, code, held=ends_as("timeout"), needs=CONTRACT, limits=SHORT)
        for name, (tries, code) in _PROGRAMS.items()
    ),
    Attack(
        "loops.crash",
        "a recursion that overruns the stack",
        "sys.setrecursionlimit(10**8)\ndef f(x):\n    return sorted([x], key=f)\nf(1)",
        held=ends_as("signal", "error", "oom", "timeout"),
        needs=CONTRACT,
    ),
    Attack(
        "loops.starved-by-itself",
        "lower its own priority and compete with itself, to have its time-out taken for the machine's fault",
        """
os.setpriority(os.PRIO_PROCESS, 0, 19)
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
try:
    open("/proc/self/autogroup", "w").write("19")
except OSError:
    pass
for _ in range(12):
    if os.fork() == 0:
        break
while True:
    pass
""",
        held=_its_own_fault,
        needs=CONTRACT,
        limits=SHORT,
    ),
    Attack(
        "loops.starved-by-siblings",
        "have children at full priority compete with a parent that only wants a little",
        """
for _ in range(14):
    if os.fork() == 0:
        os.setsid()
        while True:
            pass
os.setpriority(os.PRIO_PROCESS, 0, 10)
while True:
    pass
""",
        held=_its_own_fault,
        needs=CONTRACT,
        limits=SHORT,
    ),
    Attack(
        "loops.one-processor",
        "bind all of itself to one processor and wait there for itself",
        """
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
for _ in range(14):
    if os.fork() == 0:
        break
while True:
    pass
""",
        held=_its_own_fault,
        needs=CONTRACT,
        limits=SHORT,
    ),
)
