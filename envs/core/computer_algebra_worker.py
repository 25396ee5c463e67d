"""What runs in the process of `computer_algebra`: math-verify, under limits of its own.

Run by its path, so that it imports nothing of this package: frames in on standard input, frames out on standard output,
each a length (four bytes, big-endian) and JSON.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import struct
import sys
from importlib import import_module
from typing import Any


def _read(count: int) -> bytes:
    data = b""
    while len(data) < count:
        got = os.read(0, count - len(data))
        if not got:
            # The parent is gone or wants no more. os._exit: nothing here is worth an orderly end.
            os._exit(0)
        data += got
    return data


def _write(out: int, answer: dict[str, Any]) -> None:
    payload = json.dumps(answer).encode()
    os.write(out, struct.pack(">I", len(payload)) + payload)


def compare(said: str, gold: str, places: int | None) -> bool:
    """Whether `said` equals `gold`, or rounds to it if it is a decimal of `places`."""
    sympy, math_verify = import_module("sympy"), import_module("math_verify")
    # LaTeX only: the other reader of math-verify hands the text to Python's eval.
    latex = [math_verify.LatexExtractionConfig()]
    expressions = []
    for text in (said, gold):
        found = math_verify.parse(f"${text}$", latex, fallback_mode="no_fallback", parsing_timeout=None)
        if len(found) != 1 or not isinstance(found[0], sympy.Expr):
            return False
        expressions.append(found[0])
    if places:
        value = expressions[0].evalf(40)
        if value.is_Float or value.is_Rational:
            distance = abs(sympy.Rational(value) - sympy.Rational(gold))
            return bool(distance <= sympy.Rational(1, 2 * 10**places))
    return bool(math_verify.verify(expressions[1], expressions[0], timeout_seconds=None))


def main(cpu_seconds: float, memory_bytes: int) -> None:
    """Answer questions until standard input ends."""
    out = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # whatever a library prints must not look like an answer
    # Ctrl-C is sent to the whole group; the parent decides, and its end of file is ours.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    try:
        compare("\\frac{1}{2}", "0.5", 1)  # the imports, and the tables of the parser
    except Exception as error:
        _write(out, {"error": f"{type(error).__name__}: {error}"})
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _write(out, {"ready": True})
    while True:
        (length,) = struct.unpack(">I", _read(4))
        question = json.loads(_read(length))
        # SIGPROF kills, also inside one long operation of C code that would never look at a Python handler.
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        try:
            same = compare(**question)
        except (Exception, RecursionError, MemoryError):
            same = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        _write(out, {"same": same})


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
