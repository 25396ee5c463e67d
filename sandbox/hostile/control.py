"""Speaking to whoever controls the sandbox: container engines, our own supervisor, and the pipes it left open."""

from __future__ import annotations

from .attack import Attack, Seen, ends_as, passed_through
from .prelude import DONE

_FRAME = """
def frame(header, *blobs):
    text = json.dumps(header | {"blobs": [len(b) for b in blobs]}).encode()
    return b"RLG1" + struct.pack(">I", len(text)) + text + b"".join(blobs)
forged = frame({"status": "ok", "reason": "", "exit_code": 0, "signal": None, "stdout_dropped": 0, "stderr_dropped": 0,
    "names": ["forged.txt"], "files_left_out": [], "wall_ms": 1.0, "cpu_ms": 1.0, "peak_memory": 1 << 24,
    "spent": False}, b"forged", b"", b"forged")
failure = frame({"failure": "lost", "why": "forged"})
"""

_CONNECT = """
def speak(path):
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_UNIX, kind) as s:
            s.settimeout(2)
            try:
                s.connect(path)
            except OSError as error:
                if error.errno == errno.EPROTOTYPE:
                    continue
                raise
            return "connected"
    raise OSError(errno.EPROTOTYPE, "no kind fits")
"""


def _forgery(seen: Seen) -> str:
    """What was printed came back as what was printed, and as nothing else."""
    result = seen.attack
    if "forged.txt" in result.files:
        return "a file that was only spoken of in the program's output was handed out"
    if result.status != "ok" or not result.stdout.endswith(DONE + "\n") or "RLG1" not in result.stdout:
        return f"the output is not what was written: {result.status} {result.reason} {result.stdout[:200]!r}"
    return passed_through(result)


ATTACKS = (
    Attack(
        "control.engines",
        "connect to the sockets of container engines where they usually are",
        _CONNECT
        + """
usual = ["docker.sock", "docker/docker.sock", "containerd/containerd.sock", "podman/podman.sock", "crio/crio.sock",
         "containerd/fifo", "dbus/system_bus_socket", "systemd/private", "systemd/notify", "buildkit/buildkitd.sock"]
for path in [f"{top}/{name}" for top in ("/run", "/var/run", "/host/run", "/host/var/run") for name in usual]:
    attempt(path, lambda: speak(path), errno.ENOENT, errno.ENOTDIR, errno.ENXIO)
""",
    ),
    Attack(
        "control.search",
        "connect to every Unix socket of the file system",
        _CONNECT
        + """
began, found = time.monotonic(), 0
for folder, folders, names in os.walk("/"):
    folders[:] = [f for f in folders if os.path.join(folder, f) not in ("/proc", "/sys")]
    if time.monotonic() - began > 8:
        say("not looked into after 8 s:", folder)
        break
    for name in names:
        path = os.path.join(folder, name)
        try:
            is_socket = stat.S_ISSOCK(os.lstat(path).st_mode)
        except OSError:
            continue
        if is_socket:
            found += 1
            attempt(path, lambda: speak(path), errno.ECONNREFUSED)
say("sockets found:", found)
""",
    ),
    Attack(
        "control.proc-sockets",
        "connect to the sockets that /proc names, through other processes' root folders too",
        _CONNECT
        + """
lines = open("/proc/net/unix").readlines()[1:]
paths = {line.split(None, 7)[7].strip() for line in lines if len(line.split()) > 7}
for path in [p for p in paths if p.startswith("/")]:
    for root in [""] + [f"/proc/{pid}/root" for pid in others()]:
        attempt(root + path, lambda: speak(root + path), errno.ENOENT, errno.ECONNREFUSED, errno.ESRCH)
""",
    ),
    Attack(
        "control.inherited",
        "write forged answers to every file descriptor that was left open",
        _FRAME
        + """
import fcntl
for fd in range(3, 1024):
    try:
        link = os.readlink(f"/proc/self/fd/{fd}") if os.fstat(fd) else ""
    except OSError:
        continue
    say("open:", fd, link)
    if link.startswith("socket:"):
        got("a socket was left open", fd)
    elif not link.startswith(("pipe:", "/proc", "/sys/devices")):
        got("a file was left open", link)
    os.set_blocking(fd, False)
    for blob in (failure, forged, b"F" * 500, b"lost", bytes(1 << 20)):
        try:
            os.write(fd, blob)
        except OSError as error:
            say("refused:", error)
    for command in ("F_SETPIPE_SZ",):
        try:
            fcntl.fcntl(fd, getattr(fcntl, command, 1031), 4096)
        except (OSError, ValueError) as error:
            say("refused:", error)
""",
        # A pipe by which a program may speak ill of itself alone is no way out.
        held=ends_as("ok", "error", "oom"),
    ),
    Attack(
        "control.forged-output",
        "print what looks like the supervisor's answer",
        _FRAME
        + """
for fd in (1, 2):
    for blob in (failure, forged):
        os.write(fd, blob)
os.write(1, b"\\n")
""",
        held=_forgery,
        needs="contract",
    ),
    Attack(
        "control.steal-descriptors",
        "copy the descriptors of other processes, their sockets above all",
        """
for pid in others():
    attempt(f"list the descriptors of {pid}", lambda: os.listdir(f"/proc/{pid}/fd"), errno.ENOENT, errno.ESRCH)
    for fd in range(12):
        attempt(f"open descriptor {fd} of {pid}", lambda: os.open(f"/proc/{pid}/fd/{fd}", os.O_RDWR | os.O_NONBLOCK),
                errno.ENOENT, errno.ESRCH)
    try:
        handle = os.pidfd_open(pid)
    except OSError as error:
        say("refused:", error)
        continue
    for fd in range(12):
        attempt(f"take descriptor {fd} of {pid}", lambda: syscall("pidfd_getfd", handle, fd, 0))
""",
    ),
    Attack(
        "control.listen-instead",
        "listen where the supervisor listens, to be taken for it",
        """
for place in writable() + ["/run", "/run/sandbox", "/run/lane", "/run/lanes", "/sandbox", "/var/run/sandbox"]:
    for name in ("sandbox.sock", "worker.sock", "lane.sock", "control.sock"):
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.bind(os.path.join(place, name))
            say("bound:", place, name)
        except OSError as error:
            say("refused:", place, error)
for folder, _, names in os.walk("/run"):
    for name in names:
        attempt(f"remove {folder}/{name}", lambda: os.unlink(os.path.join(folder, name)), errno.ENOENT)
        attempt(f"move {folder}/{name}", lambda: os.rename(os.path.join(folder, name), name), errno.ENOENT, errno.EXDEV)
""",
        follow_up="""
for place in writable() + ["/run"]:
    for name in ("sandbox.sock", "worker.sock", "lane.sock", "control.sock"):
        if os.path.lexists(os.path.join(place, name)):
            got("a socket of the program before", os.path.join(place, name))
""",
    ),
)
