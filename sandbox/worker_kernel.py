"""What the worker asks of Linux that Python 3.11 has no function for."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import struct
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)  # once: a fresh child pays for every page that it touches

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38
_CLONE_NEWUTS, _CLONE_NEWIPC, _CLONE_NEWUSER, _CLONE_NEWNET = 0x04000000, 0x08000000, 0x10000000, 0x40000000
_CLONE_NEWNS, _CLONE_NEWPID = 0x00020000, 0x20000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_SYS_MOUNT_SETATTR = 442  # the same number on every processor; Linux 5.12
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = -100, 0x8000, 1
_CUT = {"network": _CLONE_NEWNET, "ipc": _CLONE_NEWIPC, "host name": _CLONE_NEWUTS}
_CAPABILITY_VERSION_3 = 0x20080522


def _call(name: str, *arguments: int | bytes) -> None:
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    if getattr(_libc, name)(*wide) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _prctl(what: int, value: int) -> None:
    if _libc.prctl(what, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")


def adopt_orphans() -> None:
    """Processes below us whose parent dies become our children, so that none escapes."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(signal_number: int) -> None:
    """Be sent this signal when the parent dies. A change of user forgets it: call this afterwards."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def gain_nothing() -> None:
    """No program started from here gains rights by set-user-id bits or file capabilities."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def be_readable() -> None:
    """Let a process that changed its user read its own /proc entries again."""
    _prctl(_PR_SET_DUMPABLE, 1)


def be_unreadable() -> None:
    """Let no other user's process read this one's memory, environment or open files, and write no core."""
    _prctl(_PR_SET_DUMPABLE, 0)


def drop_capabilities() -> None:
    """Give up every capability of this process."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _call("capset", header, bytes(24))


def unshare() -> frozenset[str]:
    """Cut this process and its future children off: "network", "ipc", "host name".

    Root cuts directly. Anybody else needs a user namespace, in which he keeps his number ("user" is then in the
    answer). What the kernel or a container's rules refuse is left as it is: the answer says what was cut, and never
    more than that.
    """
    done = set()
    if os.geteuid() != 0:
        uid, gid = os.geteuid(), os.getegid()
        try:
            # Both at once: a kernel that gives the first without any right in it refuses here.
            _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNET)
        except OSError:
            return frozenset()
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
        done |= {"user", "network"}
    for part in _CUT.keys() - done:
        try:
            _call("unshare", _CUT[part])
        except OSError:
            continue
        done.add(part)
    return frozenset(done)


def enclose(scratch: str, connection: int) -> frozenset[str]:
    """Go on in a child that sees no process but its own and may write nowhere but in `scratch`: "processes", "files".

    The child is the first process of its namespace: nothing inside can signal it, and when it dies, everything inside
    does. This process stays behind, waits for it without `connection`, and ends as it does. Where that is refused,
    nothing happens, and the answer is empty.
    """
    probe = os.fork()
    if probe == 0:
        try:
            _call("unshare", _CLONE_NEWPID | _CLONE_NEWNS)
            inner = os.fork()
            if inner == 0:
                _settle_mounts(scratch)
                os._exit(0)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]) and 1)
        except BaseException:
            os._exit(1)
    if os.waitpid(probe, 0)[1] != 0:
        return frozenset()
    _call("unshare", _CLONE_NEWPID | _CLONE_NEWNS)
    inner = os.fork()
    if inner != 0:
        os.close(connection)
        os._exit(max(0, os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])))
    die_with_parent(signal.SIGKILL)
    _settle_mounts(scratch)
    return frozenset({"processes", "files"})


def _settle_mounts(scratch: str) -> None:
    """Our own /proc; everything read-only but `scratch`. Needs a mount namespace of our own."""
    _call("mount", 0, b"/", 0, _MS_REC | _MS_PRIVATE, 0)
    _call("mount", b"proc", b"/proc", b"proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, 0)
    here = os.fsencode(scratch)
    _call("mount", here, here, 0, _MS_BIND, 0)
    for path, flags, change in ((b"/", _AT_RECURSIVE, (_MOUNT_ATTR_RDONLY, 0)), (here, 0, (0, _MOUNT_ATTR_RDONLY))):
        attributes = struct.pack("=QQQQ", *change, 0, 0)
        _call("syscall", _SYS_MOUNT_SETATTR, _AT_FDCWD, path, flags, attributes, len(attributes))


def be_killed_first() -> None:
    """When memory runs out in the whole container, let it be this process that goes, and not the worker."""
    with contextlib.suppress(OSError):
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        try:
            os.write(fd, b"1000")
        finally:
            os.close(fd)


def oom_kills(contained: bool) -> int:
    """How often the kernel killed a process for want of memory, as far as can be told from here; -1 if it cannot.

    contained: count those of this container only, and nothing where that is not told.
    """
    own = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
    for path in own if contained else (own[0], "/proc/vmstat"):
        try:
            for line in Path(path).read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
        except (OSError, ValueError, IndexError):
            continue
    return -1
