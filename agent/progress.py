"""What a person sees while a run goes on: a bar where there is a terminal, a line now and then where there is none."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

LINE_EVERY = 25


class Progress:
    """Shows phases ("cold start", "training", "test") and their steps."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[told]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._bars.start()
        self._task = None
        self._name = ""

    def phase(self, name: str, total: int, done: int = 0) -> None:
        """Begin a phase of `total` steps, `done` of which are behind us."""
        if self._task is not None:
            self._bars.stop_task(self._task)
        self._name = name
        self._task = self._bars.add_task(name, total=total, completed=done, told="")
        if not self.console.is_terminal:
            self.console.print(f"{name}: {total} steps")

    def step(self, step: int, metrics: dict[str, float]) -> None:
        """Step `step` (1 is the first) of the phase is done."""
        shown = {n: metrics[n] for n in ("loss", "reward", "validation") if n in metrics}
        told = "  ".join(f"{name} {value:.3f}" for name, value in shown.items())
        if self._task is not None:
            self._bars.update(self._task, completed=step, told=told)
        if not self.console.is_terminal and (step % LINE_EVERY == 0 or "validation" in metrics):
            self.console.print(f"{self._name} step {step}: {told}", soft_wrap=True)

    def advance(self) -> None:
        """One more of a phase that has no metrics."""
        if self._task is not None:
            self._bars.advance(self._task)

    def warn(self, message: str) -> None:
        # Not as markup: a message may quote what the policy wrote, brackets and all.
        self.console.print(Text.assemble(("warning:", "yellow"), " ", message), soft_wrap=True)

    def stop(self) -> None:
        self._bars.stop()
