"""Processes that mean to live on after the call."""

from __future__ import annotations

from .attack import CONTRACT, Attack, ends_as

# Looks for processes under this user that are neither this one nor above it, and for signs of life.
_LOOK = """
time.sleep(0.3)
above, pid = {os.getpid()}, os.getppid()
while pid > 1:
    above.add(pid)
    try:
        pid = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
    except OSError:
        break
for pid in others():
    try:
        mine = os.stat(f"/proc/{pid}").st_uid == os.getuid()
        line = open(f"/proc/{pid}/cmdline", "rb").read()
        state = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0]
    except OSError:
        continue
    if b"leftover" in line or (MINE and mine and pid not in above and pid != 1):
        got("a process of the program before", (pid, state, line[:100]))
"""
ANYBODY = "MINE = False\n" + _LOOK  # where others may share the user, only what calls itself a leftover counts

_NAMED = """
def live(*more):
    os.execv(sys.executable, ["leftover", "-S", "-c", "import time, signal\\n"
        "for n in range(1, 65):\\n  try: signal.signal(n, signal.SIG_IGN)\\n  except (OSError, ValueError): pass\\n"
        "while True: time.sleep(0.05)"])
"""


def _daemon(name: str, tries: str, code: str, needs: str = CONTRACT) -> Attack:
    return Attack(f"daemons.{name}", tries, _NAMED + code, needs=needs, follow_up=ANYBODY)


ATTACKS = (
    _daemon("child", "a child in the background", "if os.fork() == 0:\n    live()\ntime.sleep(0.2)"),
    _daemon("twice-forked", "a process of its own session, whose parents are dead", "background(live, 0.2)"),
    _daemon(
        "signals-ignored",
        "one that ignores and blocks every signal",
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nbackground(live, 0.2)",
    ),
    _daemon(
        "many-generations",
        "one that is forked anew all the time, so that no list of processes has it",
        """
def run():
    for n in range(1, 65):
        try:
            signal.signal(n, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    libc.prctl(15, b"leftover", 0, 0, 0)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if os.fork():
            os._exit(0)
        os.setsid()
background(run, 0.3)
""",
    ),
    _daemon(
        "many-at-once",
        "several that raise each other from the dead",
        """
def run():
    while True:
        try:
            if os.fork() == 0:
                os.setsid()
            else:
                os.waitpid(-1, os.WNOHANG)
        except OSError:
            pass
background(run, 0.3)
""",
        needs="processes",
    ),
    _daemon(
        "renamed",
        "one that takes the name and the arguments of something harmless",
        """
def run():
    libc.prctl(15, b"kworker/0:1", 0, 0, 0)
    os.execv(sys.executable, ["[kworker/0:1]", "-S", "-c", "import time  # leftover\\nwhile True: time.sleep(0.05)"])
background(run, 0.2)
""",
    ),
    _daemon(
        "own-orphans",
        "one that takes in orphans itself, so that none of them becomes the supervisor's",
        """
def run():
    libc.prctl(36, 1, 0, 0, 0)
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                live()
            os._exit(0)
    while True:
        time.sleep(0.05)
background(run, 0.2)
""",
    ),
    _daemon(
        "sibling",
        "a child that is made the supervisor's own instead of the program's",
        """
try:
    pid = syscall("clone", 0x8000 | signal.SIGCHLD, 0, 0, 0, 0)
except OSError as error:
    say("refused:", error)
else:
    if pid == 0:
        os.setsid()
        live()
time.sleep(0.2)
""",
    ),
    _daemon(
        "stopped",
        "one that is stopped, and so answers no signal but one",
        """
def run():
    os.kill(os.getpid(), signal.SIGSTOP)
    live()
background(run, 0.2)
""",
    ),
    _daemon(
        "unparented",
        "one that clears the signal which the death of its parent would send",
        "def run():\n    libc.prctl(1, 0, 0, 0, 0)\n    live()\nlibc.prctl(1, 0, 0, 0, 0)\nbackground(run, 0.2)",
    ),
    _daemon(
        "waiting-in-the-kernel",
        "ones that sleep in the kernel: a lock, a pipe, a stopped vfork",
        """
import fcntl
def lock():
    with open("lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with open("lock", "w") as again:
            fcntl.flock(again, fcntl.LOCK_EX)
os.mkfifo("pipe")
background(lock)
background(lambda: os.open("pipe", os.O_RDONLY), 0.2)
""",
    ),
    Attack(
        "daemons.server",
        "one that serves the next program over loopback and an abstract socket",
        """
def serve():
    servers = []
    for family, address in ((socket.AF_INET, ("127.0.0.1", 45454)), (socket.AF_UNIX, "\\0leftover-server")):
        try:
            s = socket.socket(family)
            s.bind(address)
            s.listen()
            servers.append(s)
        except OSError:
            pass
    while True:
        time.sleep(0.05)
background(serve, 0.2)
""",
        needs=CONTRACT,
        follow_up="""
for family, address in ((socket.AF_INET, ("127.0.0.1", 45454)), (socket.AF_UNIX, "\\0leftover-server")):
    def reach():
        with socket.socket(family) as s:
            s.settimeout(2)
            s.connect(address)
    attempt(f"reach the server left at {address}", reach, errno.ECONNREFUSED, errno.ENOENT, *NO_NETWORK)
""",
    ),
    Attack(
        "daemons.killer",
        "one that kills whatever program comes next",
        """
def hunt():
    time.sleep(0.5)
    while True:
        for pid in others():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
background(hunt, 0.1)
""",
        held=ends_as("ok"),
        follow_up="time.sleep(1.0)",
    ),
    Attack(
        "daemons.holder",
        "one that sits in the folder with its files open and mapped",
        """
import mmap
file = open("leftover-held", "w+b")
file.truncate(1 << 20)
area = mmap.mmap(file.fileno(), 1 << 20)
os.mkdir("deep")
os.chdir("deep")
background(lambda: [time.sleep(0.05) for _ in iter(int, 1)], 0.2)
""",
        needs=CONTRACT,
        follow_up=ANYBODY,
    ),
)
