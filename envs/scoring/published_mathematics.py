"""Geometry answers judged as in the published evaluation: math-verify on the whole text of the model.

There the model's text is given to `verify` where the gold answer belongs, and the gold answer where the model's
belongs. math-verify may run for ever, so it runs in another process that is killed when an answer takes too long; such
an answer is wrong. Run as a module, this file is that process: pairs come in as JSON lines, verdicts go out.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from types import TracebackType

from ..core.mathematics import require

SECONDS = 20.0  # for one answer; the first one also waits for the import
START_SECONDS = 120.0


class Judge:
    """A process that judges, started when first asked. A context manager, so that it ends."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.given_up = 0  # answers that took too long

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def agree(self, text: str, gold: str) -> bool:
        """Whether math-verify finds the gold answer's value in the text.

        Raises:
            MissingExtraError: math-verify is not installed.
            RuntimeError: the process does not start.
        """
        require()
        process = self._running()
        assert process.stdin is not None
        process.stdin.write(json.dumps([text, gold]).encode() + b"\n")
        process.stdin.flush()
        verdict = self._line(SECONDS)
        if verdict is None:
            self.given_up += 1
            self._stop()
        return verdict == b"1\n"

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            path = os.pathsep.join(p or os.getcwd() for p in sys.path)
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": path},
            )
            if self._line(START_SECONDS) != b"ready\n":
                self._stop()
                raise RuntimeError(
                    "math-verify's process did not start; run `python -m envs.scoring.published_mathematics`"
                )
        return self._process

    def _line(self, seconds: float) -> bytes | None:
        assert self._process is not None and self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            return self._process.stdout.readline() or None if selector.select(seconds) else None

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _judge() -> None:
    from math_verify import parse, verify

    print("ready", flush=True)
    for line in sys.stdin:
        text, gold = json.loads(line)
        try:
            agree = bool(verify(parse(text), parse(gold)))
        except Exception:  # the published code would stop here; an answer that cannot be read is a wrong one
            agree = False
        print(int(agree), flush=True)


if __name__ == "__main__":
    _judge()
