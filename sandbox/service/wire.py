"""What goes over HTTP: a request to run a program and its result, as one body of raw bytes each.

The body is a message of `sandbox.frames`: a JSON header, then blobs. A picture in base64 within JSON costs five times
as much. Both sides use this file, and what comes is checked by both: neither vouches for the other.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from ..contract import STATUSES, ExecResult, Limits
from ..errors import RequestError

CONTENT_TYPE = "application/octet-stream"
_MAGIC = b"RLG1"
_PREFIX = struct.Struct(">4sI")
_MAX_HEADER = 16 << 20

Body = tuple[dict[str, Any], list[bytes]]


class WireError(Exception):
    """A body that is no message, or not the one that was due."""


def pack(header: Mapping[str, Any], blobs: Sequence[bytes | bytearray | memoryview] = ()) -> bytes:
    """A message as one body."""
    text = json.dumps(dict(header) | {"blobs": [len(blob) for blob in blobs]}).encode()
    return b"".join([_PREFIX.pack(_MAGIC, len(text)), text, *blobs])


def unpack(body: bytes) -> Body:
    """The header and the blobs of a body. Raises WireError."""
    try:
        magic, length = _PREFIX.unpack_from(body)
        if magic != _MAGIC or length > _MAX_HEADER:
            raise WireError(f"a body must begin with {_MAGIC!r} and a header's length; got {body[:8]!r}")
        at = _PREFIX.size + length
        header = json.loads(body[_PREFIX.size : at])
        sizes = header.pop("blobs")
        if not all(type(size) is int and size >= 0 for size in sizes) or at + sum(sizes) != len(body):
            raise WireError(f"a body of {len(body)} bytes announces blobs of other sizes")
    except (struct.error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WireError(f"the body is unreadable: {type(error).__name__}: {error}") from None
    blobs = []
    for size in sizes:
        blobs.append(body[at : at + size])
        at += size
    return header, blobs


def pack_program(program: bytes, files: Mapping[str, bytes], limits: Limits, outputs: Sequence[str]) -> bytes:
    """A request to run a program, which `contract.check_request` has let through."""
    header = {"limits": asdict(limits), "names": list(files), "outputs": list(outputs)}
    return pack(header, [program, *files.values()])


def unpack_program(body: bytes) -> tuple[str, dict[str, bytes], Limits, list[str]]:
    """The program's text, its files, its limits and the patterns of its outputs.

    Raises:
        WireError: not such a request.
        RequestError: limits that are not allowed.
    """
    header, blobs = unpack(body)
    try:
        program, *contents = blobs
        files = dict(zip(header["names"], contents, strict=True))
        limits, outputs = header["limits"], header["outputs"]
        code = program.decode("utf-8", "surrogatepass")
        wanted = {entry.name for entry in fields(Limits)}
        if len(files) != len(contents) or set(limits) != wanted:
            raise WireError(f"limits must be {', '.join(sorted(wanted))}; got {', '.join(map(str, limits))}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WireError(f"the request is unreadable: {type(error).__name__}: {error}") from None
    if not isinstance(outputs, list):
        raise RequestError(f"outputs must be a list of patterns such as ['*.png']; got {outputs!r:.200}")
    return code, files, Limits(**limits), outputs


def pack_result(result: ExecResult) -> bytes:
    """A program's result."""
    header: dict[str, Any] = {name: getattr(result, name) for name in _PLAIN}
    header["names"] = list(result.files)
    texts = [text.encode("utf-8", "surrogatepass") for text in (result.stdout, result.stderr)]
    return pack(header, [*texts, *result.files.values()])


_PLAIN = [entry.name for entry in fields(ExecResult) if entry.name not in ("stdout", "stderr", "files")]


def unpack_result(body: bytes, waited_ms: float = 0.0) -> ExecResult:
    """A program's result; `waited_ms` is added to the time spent waiting for a lane. Raises WireError."""
    header, blobs = unpack(body)
    try:
        stdout, stderr, *contents = blobs
        if header["status"] not in STATUSES:
            raise WireError(f"a status must be one of {', '.join(STATUSES)}; got {header['status']!r:.100}")
        return ExecResult(
            status=header["status"],
            reason=str(header["reason"]),
            exit_code=None if header["exit_code"] is None else int(header["exit_code"]),
            signal=None if header["signal"] is None else int(header["signal"]),
            stdout=stdout.decode("utf-8", "replace"),
            stderr=stderr.decode("utf-8", "replace"),
            stdout_dropped=int(header["stdout_dropped"]),
            stderr_dropped=int(header["stderr_dropped"]),
            files={str(name): content for name, content in zip(header["names"], contents, strict=True)},
            files_left_out=tuple((str(name), str(why)) for name, why in header["files_left_out"]),
            wall_ms=float(header["wall_ms"]),
            cpu_ms=float(header["cpu_ms"]),
            queue_ms=float(header["queue_ms"]) + waited_ms,
            peak_memory=int(header["peak_memory"]),
            variables_lost=bool(header["variables_lost"]),
            files_lost=bool(header["files_lost"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"the result is unreadable: {type(error).__name__}: {error}") from None
