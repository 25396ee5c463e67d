"""Attacks within a lease, in which processes and files of one program live on to the next one of the same episode.

A program may spoil its own episode as it likes. It may not have it forgotten: whatever it does, the next program comes
to a result, and everybody else finds everything as it was.
"""

from __future__ import annotations

from dataclasses import replace

from .attack import CONTRACT, LIMITS, Attack, Seen, ends_as, passed_through

SHORT = replace(LIMITS, wall_seconds=2.0)
_ANY = ends_as("ok", "error", "oom", "signal", "timeout", "output_limit")
_OUTSIDE = (b"root:", b"daemon:", b"PATH=", b"nameserver")


def _own_files(seen: Seen) -> str:
    for name, content in seen.attack.files.items():
        if any(mark in content for mark in _OUTSIDE):
            return f"{name!r} holds what is not the program's: {content[:100]!r}"
    return passed_through(seen.attack)


def _its_own_fault(seen: Seen) -> str:
    return ends_as("timeout")(seen)


ATTACKS = (
    Attack(
        "leases.forged-reports",
        "go on telling the supervisor how later programs ended",
        """
if os.fork() == 0:
    while True:
        for fd in range(3, 20):
            for blob in (b"F" * 200, b"D" + bytes(12), b"D" + b"\\xff" * 12, b"S" + bytes(8), b"M" * 50, bytes(3000)):
                try:
                    os.set_blocking(fd, False)
                    os.write(fd, blob)
                except OSError:
                    pass
time.sleep(0.1)
""",
        held=_ANY,
        needs=CONTRACT,
        lease="variables",
        then="say('next')",
        limits=SHORT,
    ),
    Attack(
        "leases.closed-pipes",
        "close what the supervisor speaks to it through",
        "os.closerange(0, 4096)",
        held=_ANY,
        needs=CONTRACT,
        lease="variables",
        then="say('next')",
        limits=SHORT,
    ),
    Attack(
        "leases.swapped-pipes",
        "read its orders from a file without end, and report into another",
        """
zero, null = os.open("/dev/zero", os.O_RDONLY), os.open("/dev/null", os.O_WRONLY)
for fd in range(3, 20):
    try:
        os.dup2(zero if os.get_inheritable(fd) or fd % 2 == 0 else null, fd)
    except OSError:
        pass
""",
        held=_ANY,
        needs=CONTRACT,
        lease="variables",
        then="say('next')",
        limits=SHORT,
    ),
    Attack(
        "leases.stopped-later",
        "have the process of the next program stopped before it begins",
        """
parent = os.getpid()
if os.fork() == 0:
    while True:
        time.sleep(0.05)
        os.kill(parent, signal.SIGSTOP)
""",
        held=_ANY,
        needs=CONTRACT,
        lease="variables",
        then="time.sleep(0.5)",
        limits=SHORT,
    ),
    Attack(
        "leases.starved-by-the-past",
        "leave children that take the processor from the next program, to have its time-out taken for the machine's",
        """
for _ in range(12):
    if os.fork() == 0:
        os.setsid()
        while True:
            pass
""",
        held=_its_own_fault,
        needs="processes",
        lease="variables",
        then="while True:\n    pass",
        limits=SHORT,
    ),
    Attack(
        "leases.daemon",
        "leave a process to the next program where only files may live on",
        "libc.prctl(15, b'leftover', 0, 0, 0)\nbackground(lambda: [time.sleep(0.05) for _ in iter(int, 1)], 0.2)",
        needs=CONTRACT,
        lease="files",
        then="""
for pid in others():
    try:
        if open(f"/proc/{pid}/comm").read().startswith("leftover"):
            got("a process of the program before", pid)
    except OSError:
        pass
""",
    ),
    Attack(
        "leases.shut-folder",
        "put links, folders and pipes where the next program's files belong, and shut the folder",
        """
os.unlink("target.json")
os.mkdir("target.json")
os.symlink("/etc/passwd", "target.json/link")
os.chmod("target.json", 0)
os.mkfifo("pipe")
os.chmod(".", 0)
""",
        held=_ANY,
        needs=CONTRACT,
        lease="files",
        then="say(open('target.json').read(1))",
    ),
    Attack(
        "leases.link-for-input",
        "have the next program's files written through a link",
        """
os.unlink("target.json")
os.symlink("/tmp/leftover-through-link", "target.json")
""",
        held=_ANY,
        needs=CONTRACT,
        lease="files",
        then="""
if os.path.lexists("/tmp/leftover-through-link"):
    got("written through a link")
say(os.path.islink("target.json"))
""",
    ),
    Attack(
        "leases.file-leases",
        "hold leases and locks on its files, which whoever opens them waits for",
        """
import fcntl
open("result.png", "w").write("x")
for name in ("result.png", "target.json"):
    fd = os.open(name, os.O_RDWR)
    for action in (lambda: fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK), lambda: fcntl.flock(fd, fcntl.LOCK_EX),
                   lambda: fcntl.lockf(fd, fcntl.LOCK_EX)):
        try:
            action()
        except OSError as error:
            print("refused:", error)
signal.signal(signal.SIGIO, signal.SIG_IGN)
""",
        held=_ANY,
        needs=CONTRACT,
        lease="variables",
        then="say('next')",
        limits=SHORT,
    ),
    Attack(
        "leases.swapped",
        "swap results for links while they are collected, by a process that may live on",
        """
if os.fork() == 0:
    os.setsid()
    while True:
        for action in (lambda: os.symlink("/etc/passwd", "t"), lambda: os.rename("t", "result.png"),
                       lambda: open("f", "w").write("mine"), lambda: os.rename("f", "result.png"),
                       lambda: os.symlink("/proc/self/environ", "t3"), lambda: os.rename("t3", "other.png"),
                       lambda: os.mkfifo("p"), lambda: os.rename("p", "other.png"),
                       lambda: os.symlink("/etc", "t2"), lambda: os.rename("t2", "folder"), lambda: os.unlink("folder"),
                       lambda: os.mkdir("folder"), lambda: open("folder/passwd", "w").write("mine")):
            try:
                action()
            except OSError:
                pass
""",
        held=_own_files,
        needs=CONTRACT,
        lease="variables",
        then="time.sleep(0.3)",
        limits=SHORT,
    ),
    Attack(
        "leases.full",
        "leave no room for the next program's files",
        """
try:
    for n in range(2000):
        with open(f"fill-{n}", "wb", buffering=0) as file:
            for _ in range(30):
                file.write(bytes(1 << 20))
except OSError as error:
    say("refused:", error)
""",
        held=_ANY,
        needs="disk",
        lease="files",
        then="say('next')",
    ),
)
