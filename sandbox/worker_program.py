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
import threading
import time
import traceback
import types
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from . import worker_filter
from .worker_identity import Cell
from .worker_kernel import be_killed_first, be_readable, die_with_parent, drop_capabilities, gain_nothing

FILE_NAME = "program.py"  # what tracebacks call the program
REPORT_FD = 3
STARTED, FAILED, NO_MEMORY, DONE = b"S", b"F", b"M", b"D"
STARTED_FORM, DONE_FORM = struct.Struct("=cd"), struct.Struct("=ciq")  # with the time; with exit code and peak memory
OPEN_FILES = 256
PATH = "/usr/local/bin:/usr/bin:/bin"


def become(folder: str, limits: Mapping[str, Any], cell: Cell, lasting: bool, fds: Sequence[int]) -> NoReturn:
    """Turn this freshly forked process into a program's, run it, and end. Never returns, whatever happens.

    fds: stdout, stderr, report, and orders, over which the program comes: 4-byte length, 4-byte limit of processor time
    in seconds, the text. lasting: run one program after the other with the same variables, until orders are closed.

    What is reported can be forged by the program: it decides about that program's own result and nothing else.
    """
    orders = _shut_in(folder, limits, cell, lasting, fds)
    status = 1
    try:
        if lasting:
            _run_many(orders)
        _, code = _receive(orders)
        os.close(orders)
        _report_start()
        status = _run(code)
    finally:
        os._exit(status)


def _run_many(orders: int) -> NoReturn:
    main, me, first = _new_main(), os.getpid(), True
    while True:
        cpu, code = _receive(orders)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        allowed = math.ceil(usage.ru_utime + usage.ru_stime) + cpu
        with contextlib.suppress(ValueError, OSError):  # the worker counts, too
            resource.setrlimit(resource.RLIMIT_CPU, (allowed, resource.getrlimit(resource.RLIMIT_CPU)[1]))
        if first:
            _report_start()
        first = False
        status = _execute(code, main)
        if os.getpid() != me:  # a child that the program made and that came to the program's end
            os._exit(status)
        os.write(REPORT_FD, DONE_FORM.pack(DONE, status, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


def _receive(orders: int) -> tuple[int, bytes]:
    length, cpu = struct.unpack("=II", _exactly(orders, 8))
    return cpu, _exactly(orders, length)


def _exactly(fd: int, size: int) -> bytes:
    parts = []
    while size:
        part = os.read(fd, min(size, 1 << 20))
        if not part:
            os._exit(0)  # the lease is over
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _report_start() -> None:
    os.write(REPORT_FD, STARTED_FORM.pack(STARTED, time.monotonic()))


def _shut_in(folder: str, limits: Mapping[str, Any], cell: Cell, lasting: bool, fds: Sequence[int]) -> int:
    """From a copy of the worker to a process that can do what a program may do, and no more. Returns `orders`' number.

    Does not return if any of it fails: no program runs with fewer walls than were asked for.
    """
    try:
        _settle(folder, fds)
        _restrict(folder, limits, cell, lasting)
        return REPORT_FD + 1
    except BaseException as error:
        try:
            os.write(REPORT_FD, FAILED + f"{type(error).__name__}: {error}".encode("utf-8", "replace")[:500])
        finally:
            os._exit(125)


def _settle(folder: str, fds: Sequence[int]) -> None:
    """A session and three standard streams of its own; nothing else of the worker's stays open."""
    os.setsid()
    # To high numbers first, so that no dup2 overwrites one that is still needed.
    stdout, stderr, report, orders = (fcntl.fcntl(fd, fcntl.F_DUPFD, 16) for fd in fds)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.dup2(report, REPORT_FD, inheritable=False)
    os.dup2(orders, REPORT_FD + 1, inheritable=False)
    os.closerange(REPORT_FD + 2, 65536)
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
    if "random" in sys.modules:  # it takes a new seed at every fork; NumPy has that of `load_libraries`
        sys.modules["random"].seed(0)


def _restrict(folder: str, limits: Mapping[str, Any], cell: Cell, lasting: bool) -> None:
    """Another user, no rights, and the limits; the memory's last, as everything before may need some.

    lasting: it goes on after the first program, so that the limit of processor time is moved from program to program.
    """
    identity = cell.identity
    if identity.uid is not None:
        os.setgroups([])
        os.setresgid(identity.uid, identity.uid, identity.uid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
        be_readable()
    gain_nothing()
    drop_capabilities()  # root's, or those that a user namespace gave
    die_with_parent(signal.SIGKILL)
    be_killed_first()
    os.chdir(folder)  # not before: it is the program's, and the worker may have no right to enter
    cpu, most = math.ceil(limits["cpu_seconds"]), int(limits["processes"])
    bounds = {
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_NOFILE: (OPEN_FILES, OPEN_FILES),
        resource.RLIMIT_FSIZE: (int(limits["file_bytes"]),) * 2,
        resource.RLIMIT_MSGQUEUE: (0, 0),
        # First a signal that ends it, then one that cannot be ignored.
        resource.RLIMIT_CPU: (cpu, resource.RLIM_INFINITY if lasting else cpu + 1),
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
    if cell.filter is not None:
        worker_filter.install(cell.filter)


def _mapped() -> int:
    """Bytes of address space that this process takes now."""
    fd = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        return int(os.read(fd, 256).split()[0]) * resource.getpagesize()
    finally:
        os.close(fd)


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
    """Run the program as Python would run a script, to the end of its threads. Returns its exit code."""
    status = _execute(code, _new_main())
    try:
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        atexit._run_exitfuncs()
    except BaseException as error:
        status = status or 1
        _report(error)
    flushed = _flush()
    return status or flushed


def _new_main() -> types.ModuleType:
    main = types.ModuleType("__main__")
    main.__dict__["__file__"] = FILE_NAME
    sys.modules["__main__"] = main
    sys.argv = [FILE_NAME]
    # The program's folder comes first, as for a script; the worker's own package is nobody's business.
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path[:] = ["", *(p for p in sys.path if p and (os.path.abspath(p) != home or "-packages" in home))]
    gc.enable()
    return main


def _execute(code: bytes, main: types.ModuleType) -> int:
    """Run a program's text in a module. Returns its exit code."""
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
    flushed = _flush()
    return status or flushed


def _flush() -> int:
    status = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # a full or closed pipe, or something that the program put there
            status = 1
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
