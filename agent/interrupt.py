"""Ctrl-C as a request: the step that runs is finished and saved. A second one stops at once."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


class Interrupt:
    """Within `with Interrupt() as stop:`, SIGINT and SIGTERM set `stop.requested`; the second raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.requested = False
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._earlier[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
