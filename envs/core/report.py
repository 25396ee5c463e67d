"""What a conformance check found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["passed", "failed", "not provided"]


@dataclass(frozen=True)
class Entry:
    """One law: its name, how it went, and in one sentence what was seen."""

    law: str
    status: Status
    message: str


@dataclass(frozen=True)
class Report:
    """All laws of one environment, in the order checked."""

    env: str
    kwargs: Mapping[str, Any]
    entries: tuple[Entry, ...]

    @property
    def passed(self) -> tuple[Entry, ...]:
        """The laws that hold."""
        return tuple(e for e in self.entries if e.status == "passed")

    @property
    def failed(self) -> tuple[Entry, ...]:
        """The laws that are broken."""
        return tuple(e for e in self.entries if e.status == "failed")

    @property
    def ok(self) -> bool:
        """Whether no law is broken. Parts that are not provided break none."""
        return not self.failed

    def __getitem__(self, law: str) -> Entry:
        for entry in self.entries:
            if entry.law == law:
                return entry
        raise KeyError(f"no law {law!r}; there are {', '.join(e.law for e in self.entries)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        laws = [{"law": e.law, "status": e.status, "message": e.message} for e in self.entries]
        return {"env": self.env, "kwargs": dict(self.kwargs), "ok": self.ok, "laws": laws}

    def __str__(self) -> str:
        marks = {"passed": "ok  ", "failed": "FAIL", "not provided": "-   "}
        lines = [f"{marks[e.status]} {e.law:<16} {e.message}" for e in self.entries]
        return "\n".join([self.env, *lines, f"{len(self.passed)} passed, {len(self.failed)} failed"])
