"""From what was seen of a program to a status and a sentence: what it did, or what the sandbox failed to do."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

from .worker_kernel import oom_kills
from .worker_program import FAILED, NO_MEMORY, STARTED_FORM
from .worker_run import Watched, has_started


def judge(seen: Watched, limits: Mapping[str, Any], kills: int, contained: bool) -> dict[str, Any]:
    """From what was seen to a status and a sentence, or to a failure of the sandbox."""
    if not has_started(seen.report) or seen.verdict in ("setup", "stalled"):
        why = seen.report[1:].decode("utf-8", "replace") if seen.report.startswith(FAILED) else seen.detail
        return {
            "failure": "stalled" if seen.verdict == "stalled" else "lost",
            "why": why or "the program's process ended before its first instruction",
        }
    exit_code = os.WEXITSTATUS(seen.status) if os.WIFEXITED(seen.status) and not seen.verdict else None
    number = os.WTERMSIG(seen.status) if os.WIFSIGNALED(seen.status) and not seen.verdict else None
    if seen.verdict == "done":
        exit_code = seen.exit_code
    wall, cpu = limits["wall_seconds"], limits["cpu_seconds"]
    if seen.verdict == "timeout":
        status, reason = "timeout", f"The program was stopped: it had not ended after {wall:g} seconds."
    elif seen.verdict == "output_limit":
        status, reason = (
            "output_limit",
            f"The program was stopped: it printed far more than {limits['output_bytes']} bytes.",
        )
    elif seen.verdict == "cpu" or number == signal.SIGXCPU or (number == signal.SIGKILL and seen.cpu >= cpu):
        status, reason = "timeout", f"The program was stopped: it used {cpu} seconds of processor time."
    elif number == signal.SIGXFSZ:
        status, reason = "output_limit", f"The program wrote a file of more than {limits['file_bytes']} bytes."
    elif seen.report[STARTED_FORM.size :].startswith(NO_MEMORY) or (
        number == signal.SIGKILL and -1 < kills < oom_kills(contained)
    ):
        status, reason = "oom", f"The program ran out of memory: it may use {limits['memory_bytes'] >> 20} MiB."
    elif number is not None:
        status, reason = "signal", f"The program was ended by {_signal_name(number)}."
    elif exit_code:
        status, reason = "error", f"The program ended with exit code {exit_code}."
    else:
        status, reason = "ok", ""
    return {
        "status": status,
        "reason": reason,
        "exit_code": exit_code,
        "signal": number,
        "wall_ms": round(1000 * max(seen.ended - seen.started, 0.0), 3),
        "cpu_ms": round(1000 * seen.cpu, 3),
        "peak_memory": seen.peak,
    }


def _signal_name(number: int) -> str:
    try:
        return f"the signal {signal.Signals(number).name}"
    except ValueError:
        return f"signal {number}"
