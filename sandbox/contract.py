"""What every sandbox promises, whatever it is made of: limits go in, a result comes out.

    with open_sandbox("local") as sandbox:
        result = sandbox.exec("print(1 + 1)", {}, limits)
        result.status, result.stdout          # "ok", "2\\n"

A failing program is a result; an exception means that the sandbox failed (`sandbox.errors`). The two are never
confused, because a trainer punishes the first and drops the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from .errors import RequestError

STATUSES = ("ok", "error", "timeout", "oom", "signal", "output_limit")

MIB = 1 << 20
MAX_CODE_BYTES = 4 * MIB
MAX_INPUT_BYTES = 256 * MIB
MAX_NAME = 100  # characters of a file's name

_RANGES: dict[str, tuple[float, float]] = {
    "wall_seconds": (0.05, 3600.0),
    "cpu_seconds": (1, 3600),
    "memory_bytes": (16 * MIB, 1 << 40),
    "processes": (1, 4096),
    "output_bytes": (0, 64 * MIB),
    "file_bytes": (0, 1 << 30),
    "files": (0, 1024),
    "files_bytes": (0, 1 << 30),
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one program may use. There are no defaults: whoever runs a program says what it may cost.

    wall_seconds: 0.05 to 3600, from the program's first instruction; sleeping and waiting count.
    cpu_seconds: whole seconds of processor time, 1 to 3600, for each of its processes.
    memory_bytes: 16 MiB to 1 TiB that each of its processes may map beyond what Python and the image libraries take.
    processes: processes and threads at one time, 1 to 4096, the program itself included.
    output_bytes: bytes kept of stdout and of stderr, 0 to 64 MiB each. What comes after is dropped and counted; a
        program that writes very much more is stopped ("output_limit").
    file_bytes: the largest file it may write, 0 to 1 GiB.
    files, files_bytes: how many files are handed out, 0 to 1024, and their bytes in all, 0 to 1 GiB.

    Raises:
        RequestError: a value of another type or outside its range.
    """

    wall_seconds: float
    cpu_seconds: int
    memory_bytes: int
    processes: int
    output_bytes: int
    file_bytes: int
    files: int
    files_bytes: int

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, (low, high) = getattr(self, entry.name), _RANGES[entry.name]
            kinds = (int, float) if entry.name == "wall_seconds" else (int,)
            if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
                kind = "number" if float in kinds else "whole number"
                raise RequestError(f"{entry.name} must be a {kind} from {low:g} to {high:g}; got {value!r}")


@dataclass(frozen=True, kw_only=True)
class ExecResult:
    """What became of one program.

    status:
        ok            it ended with exit code 0
        error         it ended with another exit code (an exception that nobody caught is exit code 1)
        timeout       its wall or processor time ran out, sleeping and waiting for input included
        oom           it asked for more memory than its limit and did not cope with the refusal
        signal        a signal ended it: a crash, or its own doing
        output_limit  it wrote very much more than it may
    reason: one sentence in plain words, fit to be shown to a model; empty for ok.
    exit_code: None if a signal ended it. signal: the signal's number, or None.
    stdout, stderr: the first `output_bytes` bytes of each, as UTF-8 with bad bytes replaced.
    stdout_dropped, stderr_dropped: bytes that were read and not kept.
    files: by path relative to the program's folder ("a.png", "sub/b.txt"): its regular files, without inputs left as
        they were. files_left_out: (path, why) for what could not be handed out: links, pipes, too large, too many.
    wall_ms, cpu_ms: from the program's first instruction to its end; processor time of all its processes.
    queue_ms: time spent waiting for a free lane.
    peak_memory: bytes resident in its largest process, the libraries loaded before it included.
    variables_lost: in a lease that keeps variables, this program began without those of the programs before it: one of
        them died, or had to be stopped. Always False otherwise.
    files_lost: in a lease, this program began without the files of the programs before it, as they made their lane
        unusable and it had to be replaced.
    """

    status: str
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    stdout: str = ""
    stderr: str = ""
    stdout_dropped: int = 0
    stderr_dropped: int = 0
    files: Mapping[str, bytes] = field(default_factory=dict)
    files_left_out: tuple[tuple[str, str], ...] = ()
    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    queue_ms: float = 0.0
    peak_memory: int = 0
    variables_lost: bool = False
    files_lost: bool = False

    @property
    def ok(self) -> bool:
        """Whether the program ended by itself, without an error."""
        return self.status == "ok"


STATES = ("files", "variables")


@runtime_checkable
class Session(Protocol):
    """A lane of a sandbox, leased for several programs of one episode. See `Sandbox.lease`.

    For one caller at a time. Closing twice is allowed.
    """

    def exec(
        self, code: str, files: Mapping[str, bytes], limits: Limits, *, outputs: Sequence[str] = ("*",)
    ) -> ExecResult:
        """Run the next program; see `Sandbox.exec`. `queue_ms` of the first result has the time that the lease waited.

        A result's `files` are those that the caller does not have already: neither given nor handed out unchanged.
        With variables, limits of memory, processes and file size are those of a process, and must stay the same.

        Raises:
            RequestError: see `Sandbox.exec`; or limits of the process changed.
            Lost, Stalled: the sandbox failed. After Lost the lease is over; after Stalled its variables are lost.
        """
        ...

    def close(self) -> None:
        """End the lease: everything that its programs left is stopped and deleted."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class Sandbox(Protocol):
    """A place where programs run that nobody vouches for.

    Every program starts in a fresh, empty folder with nothing but the given files, without the caller's environment,
    with nothing to read on standard input, and without a network. `random` and `numpy.random` start from seed 0, so
    that a program does the same whenever it runs. After it, all its processes are gone and its folder is deleted.

    All methods may be called from any number of threads at once; calls beyond the number of lanes wait in a queue. A
    sandbox belongs to the process that opened it: a forked child must open its own.
    """

    def exec(
        self, code: str, files: Mapping[str, bytes], limits: Limits, *, outputs: Sequence[str] = ("*",)
    ) -> ExecResult:
        """Run a Python program and wait for its end.

        code: the program's text. Any string: what Python cannot compile is the program's error.
        files: by plain name (no folders), laid into the program's folder before it starts.
        outputs: patterns as in the shell (`*`, `?`, `[...]`; `*` also matches `/`) of the files to hand out.

        Raises:
            RequestError: a file's name or the size of the request is not allowed.
            Lost, Stalled, QueueTimeout: the sandbox failed; nothing is known of the program.
        """
        ...

    def lease(self, state: str = "files") -> Session:
        """A lane for several programs, as a context manager. `exec` is a lease of one program.

        state: "files" keeps the files from program to program; every program is a process of its own, and nothing
            that it started lives on. "variables" runs them in one process, so that variables and modules live on as
            well. That process dies with a program that is stopped or kills it; the next result then has
            `variables_lost`.

        Raises:
            RequestError: another state.
            Lost, QueueTimeout: the sandbox failed, or no lane became free in time.
        """
        ...

    def isolation(self) -> Mapping[str, str]:
        """What separates a program from this machine, part by part, in words: to be recorded with a run."""
        ...

    def close(self) -> None:
        """Stop the workers. A later `exec` raises Lost. Closing twice is allowed."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def check_request(code: str, files: Mapping[str, bytes], outputs: Sequence[str]) -> bytes:
    """The program as bytes, if the request may be sent. For those who implement a sandbox.

    Raises:
        RequestError: see `Sandbox.exec`.
    """
    if not isinstance(code, str):
        raise RequestError(f"code must be a str, the program's text; got {type(code).__name__}")
    program = code.encode("utf-8", "surrogatepass")
    if len(program) > MAX_CODE_BYTES:
        raise RequestError(f"code must have at most {MAX_CODE_BYTES} bytes; got {len(program)}")
    for name, content in files.items():
        plain = isinstance(name, str) and name.isascii() and name.isprintable() and 0 < len(name) <= MAX_NAME
        if not plain or "/" in name or name in (".", ".."):
            raise RequestError(
                f"a file's name must have 1 to {MAX_NAME} printable ASCII characters and no '/'; got {name!r:.200}"
            )
        if not isinstance(content, (bytes, bytearray, memoryview)):
            raise RequestError(f"the file {name!r} must be given as bytes; got {type(content).__name__}")
    total = sum(len(content) for content in files.values())
    if total > MAX_INPUT_BYTES:
        raise RequestError(f"files must have at most {MAX_INPUT_BYTES} bytes in all; got {total}")
    if isinstance(outputs, str) or not all(isinstance(pattern, str) for pattern in outputs):
        raise RequestError(f"outputs must be a list of patterns such as ['*.png']; got {outputs!r:.200}")
    return program
