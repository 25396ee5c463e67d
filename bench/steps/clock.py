"""Seconds of processor time of the whole process, and its peak of memory; on a GPU, of that."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def memory(name: str) -> float:
    """ "VmRSS", now, or "VmHWM", the most until now, of this process in MiB."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


@dataclass(eq=False)
class Meter:
    """Laps of processor time (`cpu`) and of the clock on the wall (`wall`), in seconds, from when it was made or last
    `start`ed. `peak`: MiB above what the process had when the meter was made. On a GPU both clocks are that on the
    wall, with its work waited for, and memory is the GPU's."""

    device: str = "cpu"
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    loaded: float = field(init=False)

    def __post_init__(self) -> None:
        with suppress(OSError):  # not everybody may: the figure then counts what was needed to load, for all ways alike
            CLEAR.write_text("5")  # the most that this process had begins anew
        self.loaded = memory("VmRSS")
        if self.device == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats()
            self.loaded = torch.cuda.memory_allocated() / 2**20
        self.start()

    def start(self) -> None:
        self._wait()
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def lap(self) -> None:
        """One more step is over."""
        self._wait()
        self.cpu.append(time.process_time() - self._cpu)
        self.wall.append(time.perf_counter() - self._wall)
        self.start()

    def measure(self, call: Callable[[], Any], warm: int, measured: int, after: Callable[[], Any]) -> list[Any]:
        """Call it so often, the first ones included among the laps; what it returned. `after` is not measured."""
        found = []
        for _ in range(warm + measured):
            self.start()
            found.append(call())
            self.lap()
            after()
        return found

    def told(self, warm: int) -> dict[str, Any]:
        """The laps after the first `warm`, and the peak."""
        cpu, peak = self.cpu, 0.0
        if self.device == "cuda":
            import torch

            cpu, peak = self.wall, torch.cuda.max_memory_allocated() / 2**20
        else:
            peak = memory("VmHWM")
        return {"cpu": cpu[warm:], "wall": self.wall[warm:], "peak": peak - self.loaded}

    def _wait(self) -> None:
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()
