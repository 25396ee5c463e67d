"""The laws of a sandbox catch sandboxes that break them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from sandbox.conformance import LAWS, check_sandbox
from sandbox.contract import ExecResult, Limits
from sandbox.errors import Stalled


class Fake:
    """Answers every program with the same result."""

    def __init__(self, result: ExecResult, promise: Mapping[str, str] | None = None) -> None:
        self.result, self.promise = result, promise or {}

    def exec(
        self, code: str, files: Mapping[str, bytes], limits: Limits, *, outputs: Sequence[str] = ("*",)
    ) -> ExecResult:
        return self.result

    def lease(self, state: str = "files") -> Any:
        return self

    def isolation(self) -> Mapping[str, str]:
        return self.promise

    def close(self) -> None: ...
    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None: ...


GOOD = ExecResult(status="ok", exit_code=0, stdout="a 1\n", stderr="b\n", wall_ms=1.0, cpu_ms=1.0, peak_memory=1 << 24)


def first(result: ExecResult) -> str:
    law = "a program prints"
    return check_sandbox(Fake(result), {law: LAWS[law]})[0].message


def test_the_right_answer_holds() -> None:
    assert first(GOOD) == ""


@pytest.mark.parametrize(
    "fault",
    [
        {"status": "error", "reason": "x"},
        {"reason": "x"},
        {"stdout": "a 1\nb\n"},
        {"exit_code": None},
        {"signal": 9},
        {"wall_ms": 0.0},
        {"cpu_ms": -1.0},
        {"queue_ms": -1.0},
        {"peak_memory": 1 << 10},
    ],
    ids=str,
)
def test_a_planted_fault_breaks_the_law(fault: dict[str, Any]) -> None:
    assert "BrokenLawError" in first(replace(GOOD, **fault))


def test_a_sandbox_that_says_ok_to_everything_breaks_nearly_every_law() -> None:
    broken = [finding.law for finding in check_sandbox(Fake(ExecResult(status="ok"))) if not finding.held]
    assert set(LAWS) - set(broken) == {"a program does the same every time", "the network is as promised"}


def test_a_network_that_is_promised_cut_is_tried() -> None:
    law = "the network is as promised"
    open_network = ExecResult(status="ok", stdout="110\n")
    assert check_sandbox(Fake(open_network), {law: LAWS[law]})[0].held
    assert not check_sandbox(Fake(open_network, {"network": "cut"}), {law: LAWS[law]})[0].held


def test_a_law_is_tried_again_while_the_machine_is_starved() -> None:
    class Starved(Fake):
        times = 2

        def exec(self, *arguments: Any, **named: Any) -> ExecResult:
            self.times -= 1
            if self.times >= 0:
                raise Stalled("the machine")
            return self.result

    law = "a program prints"
    assert check_sandbox(Starved(GOOD), {law: LAWS[law]})[0].held
    starved = Starved(GOOD)
    starved.times = 99
    assert "Stalled" in check_sandbox(starved, {law: LAWS[law]})[0].message
