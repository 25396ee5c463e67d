"""What a law of a sandbox is written with: limits that fit any machine, and two ways to say what must hold."""

from __future__ import annotations

from .contract import MIB, ExecResult, Limits

LIMITS = Limits(
    wall_seconds=20.0,
    cpu_seconds=20,
    memory_bytes=512 * MIB,
    processes=16,
    output_bytes=64 * 1024,
    file_bytes=4 * MIB,
    files=4,
    files_bytes=4 * MIB,
)


class BrokenLawError(Exception):
    """A law does not hold; says what was expected and what came."""


def hold(condition: bool, expected: str, got: object) -> None:
    """Raise BrokenLawError unless the condition is true."""
    if not condition:
        raise BrokenLawError(f"expected {expected}; got {got!r:.500}")


def ended(result: ExecResult, status: str) -> ExecResult:
    """The result, which must have this status."""
    hold(result.status == status, f"status {status!r}", result)
    hold(bool(result.reason) == (status != "ok"), "a reason exactly when the status is not ok", result)
    return result
