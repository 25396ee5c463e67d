"""What the kernel keeps for processes after they are gone."""

from __future__ import annotations

from .attack import Attack

_KEY = 0x5A17

ATTACKS = (
    Attack(
        "ipc.shared-memory",
        "leave a System V shared memory segment",
        f"""
try:
    segment = syscall("shmget", {_KEY}, 1 << 20, 0o1666)
    say("made", segment)
except OSError as error:
    say("refused:", error)
""",
        follow_up=f"""
attempt("find the segment", lambda: syscall("shmget", {_KEY}, 0, 0), errno.ENOENT)
for line in open("/proc/sysvipc/shm").readlines()[1:]:
    got("a segment", line)
""",
    ),
    Attack(
        "ipc.semaphores",
        "leave System V semaphores",
        f"""
try:
    for n in range(200):
        syscall("semget", {_KEY} + n, 16, 0o1666)
    say("made")
except OSError as error:
    say("refused:", error)
""",
        follow_up=f"""
attempt("find the semaphores", lambda: syscall("semget", {_KEY}, 0, 0), errno.ENOENT)
for line in open("/proc/sysvipc/sem").readlines()[1:]:
    got("a set of semaphores", line)
""",
    ),
    Attack(
        "ipc.messages",
        "leave a System V message queue",
        f"""
try:
    queue = syscall("msgget", {_KEY}, 0o1666)
    say("made", queue)
except OSError as error:
    say("refused:", error)
""",
        follow_up=f"""
attempt("find the queue", lambda: syscall("msgget", {_KEY}, 0), errno.ENOENT)
for line in open("/proc/sysvipc/msg").readlines()[1:]:
    got("a queue", line)
""",
    ),
    Attack(
        "ipc.posix-queues",
        "leave a POSIX message queue",
        """
for n in range(3):
    try:
        say("made", syscall("mq_open", b"leftover%d" % n, 0o102, 0o666, 0))
    except OSError as error:
        say("refused:", error)
""",
        follow_up="""
attempt("open the queue", lambda: syscall("mq_open", b"leftover0", 0, 0, 0), errno.ENOENT)
for name in os.listdir("/dev/mqueue") if os.path.isdir("/dev/mqueue") else []:
    got("a queue", name)
""",
    ),
    Attack(
        "ipc.posix-memory",
        "leave POSIX shared memory and named semaphores",
        """
for name in ("leftover-memory", "sem.leftover"):
    try:
        open("/dev/shm/" + name, "w").write("from the program before")
        say("made", name)
    except OSError as error:
        say("refused:", error)
try:
    from multiprocessing.shared_memory import SharedMemory
    kept = SharedMemory("leftover-shared", create=True, size=4096)
    kept.buf[:4] = b"here"
    os._exit(0) if os.fork() == 0 else None
except (OSError, ImportError) as error:
    say("refused:", error)
""",
        follow_up="""
if os.path.isdir("/dev/shm"):
    for name in os.listdir("/dev/shm"):
        got("in shared memory", name)
""",
    ),
    Attack(
        "ipc.keys",
        "leave a key with the kernel",
        """
def add(ring):
    return syscall("add_key", b"user\\0", b"leftover\\0", b"from before", 11, ring)
for name, ring in (("user", -4), ("session", -3), ("user session", -5), ("process", -2)):
    attempt(f"a key in the {name} ring", lambda: add(ring))
attempt("ask for a key", lambda: syscall("request_key", b"user\\0", b"leftover\\0", 0, -4), errno.ENOKEY)
attempt("name the user's ring", lambda: syscall("keyctl", 0, -4, 1, 0, 0))
attempt("leave the session's ring", lambda: syscall("keyctl", 1, 0, 0, 0, 0))
""",
    ),
)
