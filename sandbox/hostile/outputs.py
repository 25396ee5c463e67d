"""Traps among the files that a program leaves to be collected."""

from __future__ import annotations

import posixpath
from dataclasses import replace

from ..contract import MIB
from .attack import CONTRACT, LIMITS, Attack, Seen, complaint, hands_out_only

_OUTSIDE = ("root:", "daemon:", "PATH=", "HOME=", "nameserver", "#!", "\x7fELF")


def _plain_names(seen: Seen) -> str:
    """Every name that was handed out lies below the folder, however it is joined to another."""
    for name in seen.attack.files:
        parts = name.split("/")
        if posixpath.normpath(name) != name or name.startswith("/") or ".." in parts or "\0" in name:
            return f"a name that leads elsewhere: {name!r:.200}"
        try:
            name.encode()
        except UnicodeEncodeError:
            return f"a name that is not UTF-8: {name!r:.200}"
    return complaint(seen.attack)


def _within(seen: Seen) -> str:
    """No more files and bytes than were allowed."""
    files, total = len(seen.attack.files), sum(map(len, seen.attack.files.values()))
    if files > LIMITS.files or total > LIMITS.files_bytes:
        return f"{files} files of {total} bytes were handed out; allowed: {LIMITS.files} of {LIMITS.files_bytes}"
    return complaint(seen.attack)


def _nothing_from_outside(seen: Seen) -> str:
    """What was handed out is the program's own."""
    for name, content in seen.attack.files.items():
        if any(mark.encode() in content for mark in _OUTSIDE):
            return f"{name!r} holds what is not the program's: {content[:100]!r}"
    return complaint(seen.attack)


ATTACKS = (
    Attack(
        "outputs.symbolic-links",
        "links to files of the machine, in the place of results",
        """
goals = ["/etc/passwd", "/etc/shadow", "/proc/self/environ", "/proc/1/environ", "/proc/self/mem", "/etc/hostname",
         "../../../../etc/passwd", "/proc/self/root/etc/passwd", "/proc/self/cwd/honest", "honest"]
for n, goal in enumerate(goals):
    os.symlink(goal, f"link-{n}.png")
open("honest", "w").write("1")
""",
        held=hands_out_only("honest"),
        needs=CONTRACT,
    ),
    Attack(
        "outputs.linked-folders",
        "links to folders of the machine",
        """
for n, goal in enumerate(["/", "/etc", "/proc/self", "/proc/self/root/etc", "..", ".", "/dev", "/proc/self/fd"]):
    os.symlink(goal, f"folder-{n}")
os.mkdir("real")
os.symlink("/etc", "real/etc")
open("honest", "w").write("1")
""",
        held=hands_out_only("honest"),
        needs=CONTRACT,
    ),
    Attack(
        "outputs.hard-links",
        "other names for files of the machine",
        """
for n, goal in enumerate(["/etc/passwd", "/etc/hostname", sys.executable, os.__file__, "/proc/self/environ"]):
    try:
        os.link(goal, f"hard-{n}")
        say("linked", goal)
    except OSError as error:
        say("refused:", error)
open("a", "w").write("1")
os.link("a", "b")
open("honest", "w").write("1")
""",
        held=hands_out_only("honest"),
        needs=CONTRACT,
    ),
    Attack(
        "outputs.pipes",
        "pipes, sockets and endless files that whoever reads them waits for",
        """
os.mkfifo("pipe.png")
try:
    socket.socket(socket.AF_UNIX).bind("socket.png")
except OSError as error:
    say("refused:", error)
for n, goal in enumerate(["/dev/zero", "/dev/random", "/dev/stdin", "/proc/self/fd/0", "/dev/tty", "/dev/full"]):
    os.symlink(goal, f"endless-{n}.png")
open("honest", "w").write("1")
""",
        held=hands_out_only("honest"),
        needs=CONTRACT,
    ),
    Attack(
        "outputs.names",
        "names with line breaks, bytes that are no text, and every other surprise",
        """
names = [b"line\\nbreak", b"\\xff\\xfe", b"a" * 255, b"..png", b"...", b"-rf", b"c:\\\\con", b"..\\\\x", b"\\x1b[2J",
         b" ", b"\\xc3\\x28", "\\u202egnp.exe".encode(), b"*", b"%2e%2e%2f", b"$(reboot)", b"nul", b"\\xed\\xa0\\x80"]
for name in names[:16]:
    os.makedirs(b"d-" + name[:200], exist_ok=True)
    open(b"d-" + name[:200] + b"/" + name, "w").write("x")
    open(name, "w").write("x")
""",
        held=_plain_names,
        needs=CONTRACT,
    ),
    Attack(
        "outputs.swapped",
        "a process that keeps swapping a result for a link while it is collected",
        """
def swap():
    while True:
        for action in (lambda: os.symlink("/etc/passwd", "t"), lambda: os.rename("t", "result.png"),
                       lambda: open("f", "w").write("mine"), lambda: os.rename("f", "result.png"),
                       lambda: os.symlink("/etc", "t2"), lambda: os.rename("t2", "folder"), lambda: os.unlink("folder"),
                       lambda: os.mkdir("folder"), lambda: open("folder/passwd", "w").write("mine")):
            try:
                action()
            except OSError:
                pass
for _ in range(3):
    background(swap)
time.sleep(0.3)
""",
        held=_nothing_from_outside,
        needs=CONTRACT,
    ),
    Attack(
        "outputs.folder-replaced",
        "its own folder deleted, and a link to another in its place",
        """
here = os.getcwd()
for action in (lambda: os.rename(here, here + "-gone"), lambda: os.rmdir(here), lambda: os.symlink("/etc", here),
               lambda: os.chmod(here, 0)):
    try:
        action()
        say("done")
    except OSError as error:
        say("refused:", error)
""",
        held=_nothing_from_outside,
        needs=CONTRACT,
        files={"target.json": b"{}"},
    ),
    Attack(
        "outputs.input-replaced",
        "the file that was given replaced by a link",
        """
os.unlink("target.json")
os.symlink("/etc/passwd", "target.json")
""",
        held=hands_out_only(),
        needs=CONTRACT,
    ),
    Attack(
        "outputs.huge",
        "more and larger results than anybody asked for",
        """
for n in range(60):
    fd = os.open(f"huge-{n:02}", os.O_WRONLY | os.O_CREAT)
    os.truncate(fd, 31 << 20)
    os.close(fd)
""",
        held=_within,
        needs=CONTRACT,
    ),
    Attack(
        "outputs.many",
        "thousands of results",
        "for n in range(4200):\n    open(f'result-{n}.png', 'w').write('x')",
        held=_within,
        needs=CONTRACT,
        limits=replace(LIMITS, wall_seconds=30.0),
    ),
    Attack(
        "outputs.deep-names",
        "results whose path is longer than the kernel takes",
        """
top = os.getcwd()
for n in range(25):
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
    open("result.png", "w").write("x")
""",
        held=_within,
        needs=CONTRACT,
    ),
    Attack(
        "outputs.growing",
        "a result that a process goes on writing while it is read",
        """
def grow():
    with open("growing.png", "ab", buffering=0) as file:
        while True:
            file.write(bytes(1000))
            if file.tell() > 20 << 20:
                file.truncate(0)
background(grow, 0.2)
""",
        held=_within,
        needs=CONTRACT,
    ),
    Attack(
        "outputs.modes",
        "results that nobody may read, and some that would run as somebody else",
        """
for n, mode in enumerate((0, 0o6777, 0o1000, 0o111, 0o4755)):
    open(f"mode-{n}", "w").write("x")
    os.chmod(f"mode-{n}", mode)
os.mkdir("shut")
open("shut/inside", "w").write("x")
os.chmod("shut", 0o300)
""",
        held=_within,
        needs=CONTRACT,
        limits=replace(LIMITS, files_bytes=4 * MIB),
    ),
)
