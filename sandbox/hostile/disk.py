"""Filling what the next program needs: bytes, inodes, shared memory, names."""

from __future__ import annotations

from dataclasses import replace

from ..contract import MIB
from .attack import LIMITS, Attack, ends_as
from .prelude import UNCLEAR

_ANY = ends_as("ok", "error", "oom", "signal", "output_limit", "timeout")
_LONG = replace(LIMITS, wall_seconds=20.0, cpu_seconds=20)
FULL = "errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM, errno.EMFILE"

ATTACKS = (
    Attack(
        "disk.bytes",
        "write until every writable place is full",
        f"""
total, most, block = 0, 8 << 30, bytes(1 << 20)
for place in ["."] + writable():
    try:
        for n in range(1000):
            with open(os.path.join(place, f"fill-{{n}}"), "wb", buffering=0) as file:
                for _ in range(30):
                    total += file.write(block)
                    if total > most:
                        got("nothing stops it", total)
                        raise SystemExit
    except OSError as error:
        say("refused:", place, total >> 20, "MiB", error)
        if error.errno not in NO and error.errno not in ({FULL}):
            say("{UNCLEAR}", error)
""",
        held=_ANY,
        needs="disk",
        limits=_LONG,
        follow_up="open('one', 'wb').write(bytes(1 << 20))",
    ),
    Attack(
        "disk.inodes",
        "make files until none can be made",
        f"""
total, most = 0, 1_000_000
for place in ["."] + writable():
    base = os.open(place, os.O_RDONLY)
    try:
        while True:
            os.close(os.open(f"leftover-{{total}}", os.O_WRONLY | os.O_CREAT, dir_fd=base))
            total += 1
            if total >= most:
                got("nothing stops it", total)
                raise SystemExit
    except OSError as error:
        say("refused:", place, total, error)
        if error.errno not in NO and error.errno not in ({FULL}):
            say("{UNCLEAR}", error)
""",
        held=_ANY,
        needs="disk",
        limits=_LONG,
        follow_up="for n in range(100): open(f'file-{n}', 'w').close()",
    ),
    Attack(
        "disk.shared-memory",
        "fill /dev/shm and files that live in memory only",
        """
total, block = 0, bytes(1 << 20)
def fill(fd):
    global total
    for _ in range(30):
        total += os.write(fd, block)
    if total > 8 << 30:
        got("nothing stops it", total)
        raise SystemExit
try:
    for n in range(300):
        fill(os.open(f"/dev/shm/leftover-{n}", os.O_WRONLY | os.O_CREAT))
except OSError as error:
    say("refused:", total >> 20, "MiB", error)
held = []
try:
    for n in range(300):
        held.append(os.memfd_create(f"leftover-{n}"))
        fill(held[-1])
except OSError as error:
    say("refused:", total >> 20, "MiB", error)
""",
        held=_ANY,
        needs="disk",
        limits=_LONG,
        follow_up="""
if os.path.isdir("/dev/shm"):
    for name in os.listdir("/dev/shm"):
        got("left in shared memory", name)
x = bytearray(64 << 20)
""",
    ),
    Attack(
        "disk.sparse",
        "claim more bytes than there are",
        """
for n in range(500):
    fd = os.open(f"sparse-{n}", os.O_WRONLY | os.O_CREAT)
    os.truncate(fd, 30 << 20)
    os.close(fd)
fd = os.open("huge", os.O_WRONLY | os.O_CREAT)
attempt("a file of 4 TiB", lambda: os.truncate(fd, 4 << 40), errno.EFBIG, errno.ENOSPC)
""",
        held=ends_as("ok", "output_limit"),
        needs="contract",
    ),
    Attack(
        "disk.deep",
        "a folder in a folder, thousands of times, too deep for any path",
        """
for n in range(1500):
    try:
        os.mkdir("leftover-deeper")
        os.chdir("leftover-deeper")
    except OSError as error:
        say("refused:", n, error)
        break
open("bottom", "w").write("x")
""",
        needs="contract",
    ),
    Attack(
        "disk.locked-deep",
        "folders in folders that nobody may enter",
        """
opened = []
for n in range(40):
    for k in range(5):
        os.mkdir(f"shut-{k}")
        open(f"shut-{k}/inside", "w").write("x")
        os.chmod(f"shut-{k}/inside", 0)
        os.chmod(f"shut-{k}", 0)
    os.mkdir("on")
    os.chdir("on")
    opened.append(os.open(".", os.O_RDONLY))
for fd in opened:
    os.fchmod(fd, 0)
""",
        needs="contract",
    ),
    Attack(
        "disk.links",
        "one file under thousands of names, and thousands of dangling and circular links",
        """
open("one", "w").write("x")
for n in range(2000):
    try:
        os.link("one", f"name-{n}")
        os.symlink(f"loop-{n + 1}", f"loop-{n}")
    except OSError as error:
        say("refused:", n, error)
        break
os.symlink(".", "self")
os.symlink("..", "up")
""",
        needs="contract",
    ),
    Attack(
        "disk.attributes",
        "hide bytes in extended attributes, which no size counts",
        """
total = 0
for n in range(4000):
    try:
        os.close(os.open(f"file-{n}", os.O_WRONLY | os.O_CREAT))
        for k in range(16):
            os.setxattr(f"file-{n}", f"user.a{k}", bytes(60000))
            total += 60000
    except OSError as error:
        say("refused:", n, total >> 20, "MiB", error)
        break
    if total > 3 << 30:
        got("nothing stops it", total)
        break
""",
        held=_ANY,
        needs="disk",
        limits=_LONG,
    ),
    Attack(
        "disk.wide",
        "a folder of folders with the longest names",
        """
try:
    for n in range(600):
        os.makedirs(("w" * 240 + str(n) + "/") * 3)
except OSError as error:
    say("refused:", n, error)
""",
        held=ends_as("ok", "timeout"),
        needs="contract",
        limits=replace(LIMITS, files_bytes=4 * MIB),
    ),
    Attack(
        "disk.renewed",
        "a process that goes on filling the folder while it is being emptied",
        """
def fill():
    n = 0
    while True:
        n += 1
        try:
            os.makedirs(f"again-{n % 50}/more/and-more", exist_ok=True)
            open(f"again-{n % 50}/more/file-{n % 500}", "w").write("x" * 1000)
            os.chmod(f"again-{n % 50}/more", 0 if n % 7 == 0 else 0o700)
        except OSError:
            pass
for _ in range(3):
    background(fill)
time.sleep(0.3)
""",
        needs="contract",
    ),
)
