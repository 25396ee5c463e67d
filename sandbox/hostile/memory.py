"""Taking more memory than is allowed, in one process, in many, and where it is counted for nobody."""

from __future__ import annotations

from dataclasses import replace

from ..contract import MIB
from .attack import CONTRACT, HOSTILE, LIMITS, Attack, ends_as

LITTLE = replace(LIMITS, memory_bytes=128 * MIB, wall_seconds=10.0)
_STOPPED = ends_as("oom", "error", "signal", "timeout")
_ANY = ends_as("ok", "error", "oom", "signal", "timeout")
HELD = "got('it was given', total)\n"

ATTACKS = (
    Attack(
        "memory.bytes",
        "one large object",
        "x = bytearray(8 << 30)\ngot('it was given')",
        held=ends_as("oom", "error"),
        needs=CONTRACT,
        limits=LITTLE,
    ),
    Attack(
        "memory.growing",
        "many small objects, and every refusal caught",
        """
kept, refusals = [], 0
while refusals < 100:
    try:
        kept.append(bytearray(1 << 20))
        if len(kept) > 4096:
            got("it was given", len(kept))
            break
    except MemoryError:
        refusals += 1
""",
        held=_ANY,
        needs=CONTRACT,
        limits=LITTLE,
    ),
    Attack(
        "memory.mapped",
        "anonymous and shared mappings",
        """
import mmap
kept = []
for flags in (mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS,
              mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000):
    attempt(f"map 8 GiB, flags {flags:#x}", lambda: kept.append(mmap.mmap(-1, 8 << 30, flags=flags)), errno.ENOMEM,
            errno.EINVAL)
attempt("lock 8 GiB", lambda: libc.mlockall(7) and (_ for _ in ()).throw(OSError(ctypes.get_errno(), "mlockall")),
        errno.ENOMEM)
""",
        held=_ANY,
        needs=CONTRACT,
        limits=LITTLE,
    ),
    Attack(
        "memory.numpy",
        "an array that does not fit",
        "import numpy\nx = numpy.ones((1 << 30,), numpy.float64)\ngot('it was given')",
        held=ends_as("oom"),
        needs=CONTRACT,
        limits=LITTLE,
    ),
    Attack(
        "memory.compiler",
        "source text that takes gigabytes to compile",
        """
for text in ("(" * 100000, "-" * 3000000 + "1", "[" * 5000 + "]" * 5000, "x = " + "1 + " * 300000 + "1",
             "a" + ".b" * 200000, "lambda: " * 20000 + "1", "f(" * 30000 + ")" * 30000):
    try:
        compile(text, "x", "exec")
    except (MemoryError, SyntaxError, RecursionError, OverflowError, ValueError) as error:
        say("refused:", type(error).__name__)
""",
        held=_ANY,
        needs=CONTRACT,
        limits=LITTLE,
    ),
    Attack(
        "memory.unpacked",
        "a small archive that becomes gigabytes",
        """
import zlib
packer, block = zlib.compressobj(9), bytes(1 << 20)
small = b"".join(packer.compress(block) for _ in range(400)) + packer.flush()
x = zlib.decompress(small)
got("it was given", len(x))
""",
        held=_STOPPED,
        needs=CONTRACT,
        limits=LITTLE,
    ),
    Attack(
        "memory.many-processes",
        "many processes, each within its limit",
        """
for _ in range(15):
    try:
        if os.fork() == 0:
            break
    except OSError as error:
        say("refused:", error)
kept = []
try:
    while True:
        kept.append(bytearray(b"x") * (1 << 20))
except MemoryError:
    pass
time.sleep(3)
""",
        held=_ANY,
        limits=replace(LIMITS, memory_bytes=1024 * MIB),
        needs=HOSTILE,
    ),
    Attack(
        "memory.file-systems",
        "files in memory, which no limit of a process counts",
        """
kept, total = [], 0
try:
    while total < 16 << 30:
        fd = os.memfd_create("leftover")
        kept.append(fd)
        for _ in range(31):
            total += os.write(fd, bytes(1 << 20))
except OSError as error:
    say("refused:", total >> 20, "MiB", error)
else:
    got("it was given", total)
""",
        held=_ANY,
    ),
    Attack(
        "memory.file-systems-many",
        "files in memory, from many processes that are not ended by its running out",
        """
for _ in range(12):
    try:
        if os.fork() == 0:
            os.setsid()
            break
    except OSError as error:
        say("refused:", error)
for value in range(-1000, 1000, 50):
    try:
        os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), str(value).encode())
        break
    except OSError as error:
        say("refused:", error)
kept = []
while True:
    try:
        fd = os.memfd_create("leftover")
        kept.append(fd)
        for _ in range(31):
            os.write(fd, bytes(1 << 20))
    except OSError as error:
        time.sleep(0.1)
        if error.errno not in (errno.EMFILE, errno.ENOMEM):
            raise
""",
        held=_ANY,
        limits=replace(LIMITS, wall_seconds=5.0),
    ),
    Attack(
        "memory.kernel",
        "buffers of pipes and sockets, which the kernel keeps",
        """
import fcntl
kept, total = [], 0
try:
    while len(kept) < 100000:
        a, b = socket.socketpair()
        kept += [a, b]
        for end in (a, b):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 26)
            end.setblocking(False)
            try:
                while True:
                    total += end.send(bytes(1 << 16))
            except BlockingIOError:
                pass
except OSError as error:
    say("refused:", total >> 20, "MiB", error)
if total > 1 << 30:
    got("it was given", total)
""",
        held=_ANY,
    ),
    Attack(
        "memory.descriptors-in-flight",
        "descriptors hidden in messages to itself, which no limit of open files counts",
        """
import array
hidden = 0
try:
    for _ in range(100000):
        a, b = socket.socketpair()
        fds = array.array("i", [a.fileno(), b.fileno()] * 100)
        for _ in range(200):
            a.setblocking(False)
            a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
            hidden += 200
        a.close()
        b.close()
except (OSError, BlockingIOError) as error:
    say("refused:", hidden, error)
if hidden > 100000:
    got("hidden descriptors", hidden)
""",
        held=_ANY,
    ),
    Attack(
        "memory.page-tables",
        "a touch of every page of a vast sparse mapping",
        """
import mmap
fd = os.memfd_create("sparse")
os.ftruncate(fd, 30 << 20)
kept = []
try:
    while len(kept) < 60000:
        area = mmap.mmap(fd, 30 << 20, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
        area[::4096]
        kept.append(area)
except (OSError, MemoryError) as error:
    say("refused:", len(kept), error)
else:
    got("mappings", len(kept))
""",
        held=_ANY,
        needs=CONTRACT,
        limits=LITTLE,
    ),
)
