"""The honest program finds what was changed, and the same when nothing was."""

from dataclasses import replace
from typing import Any

import pytest

from sandbox.contract import ExecResult
from sandbox.hostile.honest import DishonestError, Honest, call, difference, slower
from sandbox.local import LocalSandbox
from sandbox.scripted import ScriptedSandbox

FOUND = Honest({"nice": 0, "host": "a", "left": []}, clock=0.0, wall_ms=100.0, room=9, lane="1")


def test_two_calls_in_a_true_sandbox_find_the_same() -> None:
    with LocalSandbox(lanes=1) as sandbox:
        first, second = call(sandbox, True), call(sandbox, True)
    assert difference(first, second) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"found": {"nice": 19, "host": "a", "left": []}},
        {"found": {"nice": 0, "host": "b", "left": []}},
        {"found": {"nice": 0, "host": "a", "left": ["/tmp/x"]}},
        {"found": {"nice": 0, "host": "a"}},
        {"clock": 60.0},
        {"clock": -60.0},
        {"room": 1},
    ],
    ids=str,
)
def test_a_change_is_found(change: dict[str, Any]) -> None:
    assert difference(FOUND, FOUND) == ""
    assert difference(FOUND, replace(FOUND, **change))


def test_another_lane_may_have_another_name() -> None:
    assert difference(FOUND, replace(FOUND, found=FOUND.found | {"host": "b"}, lane="2")) == ""


def test_slow_is_much_more_than_at_first() -> None:
    assert slower(FOUND, replace(FOUND, wall_ms=2900.0)) == ""
    assert slower(FOUND, replace(FOUND, wall_ms=3100.0))
    assert slower(replace(FOUND, wall_ms=1000.0), replace(FOUND, wall_ms=3100.0)) == ""


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (ExecResult(status="error", reason="x"), "ended with error"),
        (ExecResult(status="ok"), "its files are"),
        (ExecResult(status="ok", files={"answer": b"x", "turned.png": b""}), "another call"),
    ],
)
def test_an_answer_that_is_not_its_own_is_found(result: ExecResult, why: str) -> None:
    with pytest.raises(DishonestError, match=why):
        call(ScriptedSandbox(lambda *a: result))
