"""Reading, stopping, slowing and changing the processes that watch over a program."""

from __future__ import annotations

from dataclasses import replace

from .attack import LIMITS, Attack, ends_as

_GONE = "errno.ENOENT, errno.ESRCH"

ATTACKS = (
    Attack(
        "supervisor.secrets",
        "read other processes' environment, memory map, arguments' owner, root and folder",
        f"""
for pid in others():
    for name in ("environ", "maps", "smaps", "auxv", "stack", "syscall", "io", "mem", "pagemap", "personality"):
        attempt(f"read {{name}} of {{pid}}", lambda: open(f"/proc/{{pid}}/{{name}}", "rb").read(1), {_GONE})
    for name in ("cwd", "root", "exe", "ns/net", "ns/user", "map_files"):
        attempt(f"follow {{name}} of {{pid}}", lambda: os.listdir(f"/proc/{{pid}}/{{name}}") if name == "map_files"
                else os.readlink(f"/proc/{{pid}}/{{name}}"), {_GONE})
""",
    ),
    Attack(
        "supervisor.memory",
        "read and write other processes' memory",
        f"""
class Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
buffer = ctypes.create_string_buffer(4096)
here, there = Piece(ctypes.addressof(buffer), 16), Piece(ctypes.addressof(buffer), 16)
def peek(pid):
    with open(f"/proc/{{pid}}/mem", "r+b", buffering=0) as memory:
        memory.seek(ctypes.addressof(buffer))
        return memory.read(16)
for pid in others():
    attempt(f"open the memory of {{pid}}", lambda: peek(pid), {_GONE}, errno.EIO)
    for name in ("process_vm_readv", "process_vm_writev"):
        attempt(f"{{name}} {{pid}}", lambda: syscall(name, pid, here, 1, there, 1, 0), errno.ESRCH)
""",
    ),
    Attack(
        "supervisor.ptrace",
        "trace other processes, the parent first",
        """
for pid in [os.getppid()] + others():
    for name, request in (("attach to", 16), ("seize", 0x4206)):
        attempt(f"{name} {pid}", lambda: syscall("ptrace", request, pid, 0, 0), errno.ESRCH)
attempt("be traced by the parent", lambda: syscall("ptrace", 0, 0, 0, 0))
attempt("compare with the parent", lambda: syscall("kcmp", os.getpid(), os.getppid(), 0, 0, 0))
""",
    ),
    Attack(
        "supervisor.signals",
        "stop and kill the processes that watch, in every way that there is",
        f"""
victims = [p for p in others() if p != os.getpid()]
info = ctypes.create_string_buffer(128)
struct.pack_into("=iii", info, 0, 19, 0, -1)
for pid in victims:
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL):
        attempt(f"signal {{number}} to {{pid}}", lambda: os.kill(pid, number), {_GONE})
    if os.getpgid(pid) > 1:  # to the group 1 would be to everybody, and is never refused
        attempt(f"signal the group of {{pid}}", lambda: os.killpg(os.getpgid(pid), signal.SIGSTOP), {_GONE})
    attempt(f"queue a signal to {{pid}}", lambda: syscall("rt_tgsigqueueinfo", pid, pid, 19, info), {_GONE})
    try:
        handle = os.pidfd_open(pid)
    except OSError as error:
        say("refused:", error)
        continue
    attempt(f"signal {{pid}} by its handle", lambda: signal.pidfd_send_signal(handle, signal.SIGSTOP), {_GONE})
""",
    ),
    Attack(
        "supervisor.everyone",
        "kill every process that may be killed, without naming one",
        "os.kill(-1, signal.SIGKILL)\nos.kill(0, signal.SIGKILL)",
        held=ends_as("signal", "ok", "error"),
    ),
    Attack(
        "supervisor.schedule",
        "slow the watching processes down, or bind them to one processor",
        f"""
import resource
for pid in others():
    attempt(f"nice {{pid}}", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19), {_GONE})
    attempt(f"idle class for {{pid}}", lambda: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)), {_GONE})
    attempt(f"bind {{pid}}", lambda: os.sched_setaffinity(pid, {{0}}), {_GONE}, errno.EINVAL)
    attempt(f"idle disk class for {{pid}}", lambda: syscall("ioprio_set", 1, pid, 3 << 13), {_GONE})
    attempt(f"limit {{pid}}", lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1)), {_GONE})
    attempt(f"move pages of {{pid}}", lambda: syscall("migrate_pages", pid, 64, bytes(8), bytes(8)), {_GONE},
            errno.EINVAL)
""",
    ),
    Attack(
        "supervisor.proc-writes",
        "change the watching processes through their files in /proc",
        f"""
for pid in others():
    for name in ("oom_score_adj", "oom_adj", "comm", "coredump_filter", "autogroup", "timerslack_ns", "clear_refs",
                 "attr/current", "loginuid", "setgroups", "uid_map", "make-it-fail"):
        path = f"/proc/{{pid}}/{{name}}"
        attempt(f"write to {{path}}", lambda: os.write(os.open(path, os.O_WRONLY), b"1"), {_GONE}, errno.ENOTDIR)
""",
    ),
    Attack(
        "supervisor.terminal",
        "type into somebody's terminal",
        """
import fcntl, termios
usual = ["/dev/tty", "/dev/console", "/dev/tty0", "/dev/tty1", "/dev/pts/0", "/dev/pts/1"]
for path in usual + [f"/proc/self/fd/{n}" for n in range(3)]:
    def push():
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        fcntl.ioctl(fd, termios.TIOCSTI, b"x")
    attempt(f"type into {path}", push, errno.ENXIO, errno.ENOENT, errno.ENOTTY, errno.EIO, errno.ENODEV)
""",
    ),
    Attack(
        "supervisor.code",
        "write to the code that the next program is run by",
        """
import sysconfig
def append(path):
    os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
files = {getattr(m, "__file__", None) for m in list(sys.modules.values())} | {sys.executable, os.path.realpath(
    sys.executable), "/etc/passwd", "/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/hosts", "/etc/resolv.conf",
    "/usr/bin/env", "/bin/sh", "/lib/x86_64-linux-gnu/libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6"}
for path in sorted(f for f in files if f and os.path.isabs(f)):
    attempt(f"write to {path}", lambda: append(path), errno.ENOENT, errno.ETXTBSY)
folders = {os.path.dirname(f) for f in files if f and os.path.isabs(f)} | {"/", "/etc", "/usr/bin", "/usr/local/bin"}
for folder in sorted(folders | set(sysconfig.get_paths().values())):
    path = os.path.join(folder, "planted.py")
    attempt(f"make {path}", lambda: os.open(path, os.O_WRONLY | os.O_CREAT, 0o666), errno.ENOENT)
    attempt(f"open up {folder}", lambda: os.chmod(folder, 0o777), errno.ENOENT)
attempt("replace the interpreter", lambda: os.rename(os.path.realpath(sys.executable), "/tmp/python"), errno.EXDEV)
attempt("delete the interpreter", lambda: os.unlink(os.path.realpath(sys.executable)))
""",
        needs="files",
    ),
    Attack(
        "supervisor.shared-memory",
        "write to memory that is shared with the supervisor since the fork",
        """
for line in open("/proc/self/maps"):
    flags = line.split()[1]
    if flags[1] == "w" and flags[3] == "s":
        got("a shared writable mapping", line)
""",
    ),
    Attack(
        "supervisor.kill-the-cleaner",
        "leave a process behind that kills whatever comes to clean up under the program's user",
        """
def hunt():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        try:
            os.kill(-1, signal.SIGKILL)
        except OSError:
            pass
background(hunt)
time.sleep(0.3)
""",
        held=ends_as("signal", "ok"),
        follow_up="say('the next program runs')",
    ),
    Attack(
        "supervisor.stop-the-cleaner",
        "leave processes behind that stop whatever comes to clean up",
        """
def freeze():
    while True:
        for number in (signal.SIGSTOP, signal.SIGTSTP):
            try:
                os.kill(-1, number)
            except OSError:
                pass
for _ in range(4):
    if os.fork() == 0:
        os.setsid()
        freeze()
time.sleep(0.3)
""",
        held=ends_as("timeout", "ok"),
        limits=replace(LIMITS, wall_seconds=2.0),
    ),
    Attack(
        "supervisor.spy-on-the-cleaner",
        "leave a process behind that opens, traces and copies from whatever appears under its user",
        """
folder = os.getcwd()
def spy():
    seen = set()
    while True:
        for pid in others():
            for name in ("mem", "fd", "environ"):
                if (pid, name) in seen:
                    continue
                try:
                    fds = os.listdir(f"/proc/{pid}/fd") if name == "fd" else open(f"/proc/{pid}/{name}", "rb").read(1)
                except OSError:
                    continue
                if name == "fd":
                    for fd in fds:
                        try:
                            os.write(os.open(f"/proc/{pid}/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK), b"RLG1 spied")
                        except OSError:
                            pass
            try:
                os.setpriority(os.PRIO_PROCESS, pid, 19)
            except OSError:
                pass
background(spy, 0.2)
""",
    ),
)
