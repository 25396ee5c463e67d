"""The HTTP shape of SandboxFusion, which several trainers speak: `POST /run_code` with JSON.

Only Python is run here, `compile_timeout` has no meaning for it, and files have plain names. Everything else is as
there: a program's failure is "Failed", a sandbox's is "SandboxError", and contents of files are base64.
"""

from __future__ import annotations

import base64
import binascii
import glob
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..contract import MIB, ExecResult, Limits
from ..errors import RequestError

LANGUAGES = ("python", "python3")
SECONDS = 10.0  # where the request names none
LIMITS = Limits(
    wall_seconds=SECONDS,
    cpu_seconds=10,
    memory_bytes=1024 * MIB,
    processes=64,
    output_bytes=MIB,
    file_bytes=64 * MIB,
    files=64,
    files_bytes=64 * MIB,
)
_STDIN, _PROGRAM = ".stdin", ".program.py"
# A program that is given something to read is run by this one, since a sandbox gives nothing to read.
_READING = f"""import sys, runpy
sys.stdin = open({_STDIN!r}, encoding="utf-8", errors="surrogateescape")
sys.argv = [{_PROGRAM!r}]
runpy.run_path({_PROGRAM!r}, run_name="__main__")
"""


@dataclass(frozen=True)
class Run:
    """A request, ready for `Sandbox.exec`."""

    code: str
    files: Mapping[str, bytes]
    limits: Limits
    outputs: list[str]


def parse(body: bytes) -> Run:
    """From the request's JSON to a run.

    Raises:
        RequestError: not JSON, a field of another type, another language, or what a sandbox does not take.
    """
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the request must be a JSON object: {error}") from None
    if not isinstance(given, dict):
        raise RequestError(f"the request must be a JSON object; got {type(given).__name__}")
    code = _field(given, "code", str, None)
    language = _field(given, "language", str, "python")
    if language not in LANGUAGES:
        raise RequestError(f"language must be {' or '.join(map(repr, LANGUAGES))}; got {language!r:.50}")
    seconds = float(_field(given, "run_timeout", (int, float), SECONDS))
    memory = _field(given, "memory_limit_MB", (int, float), -1)
    limits = replace(LIMITS, wall_seconds=seconds, cpu_seconds=max(1, min(3600, round(seconds))))
    if memory > 0:
        limits = replace(limits, memory_bytes=int(memory) * MIB)
    files = {_plain(name): _decoded(name, text) for name, text in _field(given, "files", dict, {}).items()}
    stdin = _field(given, "stdin", str, "")
    if stdin:
        files |= {_STDIN: stdin.encode("utf-8", "surrogatepass"), _PROGRAM: code.encode("utf-8", "surrogatepass")}
        code = _READING
    wanted = [glob.escape(_plain(name)) for name in _field(given, "fetch_files", list, [])]
    return Run(code, files, limits, wanted)


def answer(result: ExecResult) -> dict[str, Any]:
    """A program's result in their shape."""
    code = -result.signal if result.signal is not None else result.exit_code
    return {
        "status": "Success" if result.ok else "Failed",
        "message": result.reason,
        "compile_result": None,
        "run_result": {
            "status": "TimeLimitExceeded" if result.status == "timeout" else "Finished",
            "execution_time": result.wall_ms / 1000,
            "return_code": None if result.status == "timeout" else code,
            "stdout": _text(result.stdout),
            "stderr": _text(result.stderr),
        },
        "executor_pod_name": None,
        "files": {name: base64.b64encode(content).decode() for name, content in result.files.items()},
    }


def failure(error: Exception) -> dict[str, Any]:
    """A sandbox's failure in their shape."""
    return {
        "status": "SandboxError",
        "message": f"{type(error).__name__}: {error}",
        "compile_result": None,
        "run_result": None,
        "executor_pod_name": None,
        "files": {},
    }


def _field(given: Mapping[str, Any], name: str, kind: type | tuple[type, ...], default: Any) -> Any:
    value = given.get(name)
    if value is None:
        if default is None:
            raise RequestError(f"{name} is missing from the request")
        return default
    if isinstance(value, bool) or not isinstance(value, kind):
        expected = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        raise RequestError(f"{name} must be of type {expected}; got {type(value).__name__}")
    return value


def _plain(name: Any) -> str:
    if not isinstance(name, str):
        raise RequestError(f"a file's name must be a string; got {type(name).__name__}")
    return name.removeprefix("./")


def _decoded(name: str, text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise RequestError(f"the file {name!r:.100} must be given in base64: {error}") from None


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
