"""The child: from a copy of the worker to a bare Python process that runs one program under its limits."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import io
import linecache
import math
import os
import resource
import signal
import struct
import sys
import sysconfig
import threading
import time
import traceback
import types
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from .worker_kernel import be_readable, die_with_parent, drop_capabilities, gain_nothing

FILE_NAME = "program.py"  # what tracebacks call the program
REPORT_FD = 3
STARTED, FAILED, NO_MEMORY = b"S", b"F", b"M"
OPEN_FILES = 256
PATH = "/usr/local/bin:/usr/bin:/bin"
_EVERYBODY = 65534  # "nobody": the last resort where a user of its own is refused


@dataclass(frozen=True)
class Identity:
    """Under which user programs run. uid: None for the worker's own. processes: what a limit on processes counts:
    "program" (exactly its own), "user" (its user's at the start are added), or "none" (root has no such limit).
    beside: processes of the worker itself that the kernel counts with the program's."""

    uid: int | None
    processes: str
    beside: int = 0


def choose_identity(wanted: str | None, scratch: str, cut: Collection[str]) -> Identity:
    """Find a user for programs: tried in a child, since the user must be able to read the libraries and the folder."""
    if wanted is not None and os.geteuid() == 0:
        # A number made of the folder's own: no other worker has it, so that no other's processes count as its own.
        choices = [(1 << 30) + os.stat(scratch).st_ino % (1 << 30), _EVERYBODY] if wanted == "auto" else [int(wanted)]
        for uid in choices:
            if _can_live(uid, scratch):
                os.chmod(scratch, 0o711)  # the program's user may pass through, not look around
                return Identity(uid, "program")
    if os.geteuid() == 0:
        return Identity(None, "none")
    if "user" in cut:  # a user namespace counts its own processes only
        return Identity(None, "program", 2 if "processes" in cut else 1)
    return Identity(None, "user")


def _can_live(uid: int, scratch: str) -> bool:
    """Whether a process of this user reaches the standard library, the site packages, and its folder's parents."""
    child = os.fork()
    if child == 0:
        try:
            os.chmod(scratch, 0o711)
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            paths = sysconfig.get_paths()
            for folder in {paths["stdlib"], paths["platstdlib"], os.path.dirname(sys.modules["numpy"].__file__ or "")}:
                os.listdir(folder)
            os.stat(os.path.join(scratch, "."))
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def become_program(
    code: bytes, folder: str, limits: Mapping[str, Any], identity: Identity, stdout: int, stderr: int, report: int
) -> NoReturn:
    """Turn this freshly forked process into the program, run it, and end. Never returns, whatever happens."""
    try:
        _settle(folder, stdout, stderr, report)
        _restrict(limits, identity)
        os.write(REPORT_FD, STARTED + struct.pack("=d", time.monotonic()))
    except BaseException as error:
        try:
            os.write(REPORT_FD, FAILED + f"{type(error).__name__}: {error}".encode("utf-8", "replace")[:500])
        finally:
            os._exit(125)
    status = 1
    try:
        status = _run(code)
    finally:
        os._exit(status)


def _settle(folder: str, stdout: int, stderr: int, report: int) -> None:
    """A session, three standard streams and a folder of its own; nothing else of the worker's stays open."""
    os.setsid()
    # To high numbers first, so that no dup2 overwrites one that is still needed.
    stdout, stderr, report = (fcntl.fcntl(fd, fcntl.F_DUPFD, 16) for fd in (stdout, stderr, report))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.dup2(report, REPORT_FD, inheritable=False)
    os.closerange(REPORT_FD + 1, 65536)
    os.chdir(folder)
    os.umask(0o077)
    os.environ.clear()
    os.environ.update(PATH=PATH, HOME=folder)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        raw = open(fd, mode + "b", buffering=-1, closefd=False)  # noqa: SIM115
        stream = io.TextIOWrapper(
            raw, encoding="utf-8", errors="backslashreplace" if fd == 2 else "surrogateescape", line_buffering=fd == 2
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    if "random" in sys.modules:
        sys.modules["random"].seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)


def _restrict(limits: Mapping[str, Any], identity: Identity) -> None:
    """Another user, no rights, and the limits; the memory's last, as everything before may need some."""
    if identity.uid is not None:
        os.setgroups([])
        os.setresgid(identity.uid, identity.uid, identity.uid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
        be_readable()
    gain_nothing()
    drop_capabilities()  # root's, or those that a user namespace gave
    die_with_parent(signal.SIGKILL)
    cpu, most = math.ceil(limits["cpu_seconds"]), int(limits["processes"])
    bounds = {
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_NOFILE: (OPEN_FILES, OPEN_FILES),
        resource.RLIMIT_FSIZE: (int(limits["file_bytes"]),) * 2,
        resource.RLIMIT_CPU: (cpu, cpu + 1),  # first a signal that ends it, then one that cannot be ignored
    }
    if identity.processes == "program":
        bounds[resource.RLIMIT_NPROC] = (most + identity.beside,) * 2
    elif identity.processes == "user":
        bounds[resource.RLIMIT_NPROC] = (most + _tasks_of(os.getuid()),) * 2
    bounds[resource.RLIMIT_AS] = (_mapped() + int(limits["memory_bytes"]),) * 2
    for which, bound in bounds.items():
        hard = resource.getrlimit(which)[1]
        soft = bound if hard == resource.RLIM_INFINITY else (min(bound[0], hard), min(bound[1], hard))
        resource.setrlimit(which, soft)


def _mapped() -> int:
    """Bytes of address space that this process takes now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _tasks_of(uid: int) -> int:
    """How many processes and threads a user has now, this process not counted."""
    total = 0
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.stat(f"/proc/{entry}").st_uid == uid:
                    total += os.stat(f"/proc/{entry}/task").st_nlink - 2
            except OSError:
                continue
    return max(total - 1, 0)


def _run(code: bytes) -> int:
    """Run the program as Python would run a script. Returns its exit code."""
    main = types.ModuleType("__main__")
    main.__dict__["__file__"] = FILE_NAME
    sys.modules["__main__"] = main
    sys.argv = [FILE_NAME]
    # The program's folder comes first, as for a script; the worker's own package is nobody's business.
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path[:] = ["", *(p for p in sys.path if p and (os.path.abspath(p) != home or "-packages" in home))]
    gc.enable()
    status = 0
    try:
        text = code.decode("utf-8", "surrogatepass")
        linecache.cache[FILE_NAME] = (len(text), None, text.splitlines(True), FILE_NAME)
        exec(compile(text, FILE_NAME, "exec", dont_inherit=True), main.__dict__)
    except SystemExit as error:
        status = _exit_code(error.code)
    except BaseException as error:
        status = 1
        _report(error)
    try:
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        atexit._run_exitfuncs()
    except BaseException as error:
        status = status or 1
        _report(error)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # a full or closed pipe, or something that the program put there
            status = status or 1
    return status


def _exit_code(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.__stderr__)
    return 1


def _report(error: BaseException) -> None:
    """Print the traceback without our own frames; tell the worker when memory ran out."""
    # cv2 has an error of its own for this; -4 is its code.
    if isinstance(error, MemoryError) or (type(error).__module__ == "cv2" and getattr(error, "code", None) == -4):
        with contextlib.suppress(OSError):  # the program may have closed it
            os.write(REPORT_FD, NO_MEMORY)
    try:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        sys.stdout.flush()
        traceback.print_exception(type(error), error, trace, file=sys.__stderr__)
    except BaseException:
        with contextlib.suppress(OSError):
            os.write(2, f"{type(error).__name__}\n".encode())
