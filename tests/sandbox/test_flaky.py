"""A sandbox that fails on purpose: as often as asked for, always at the same calls, and otherwise like any other."""

from collections.abc import Mapping

import pytest

from sandbox.conformance import LIMITS
from sandbox.contract import ExecResult, Limits, Sandbox
from sandbox.errors import Lost
from sandbox.faults import share
from sandbox.flaky import FlakySandbox
from sandbox.scripted import ScriptedSandbox

RAN: list[str] = []


def answer(code: str, files: Mapping[str, bytes], limits: Limits) -> ExecResult:
    RAN.append(code)
    return ExecResult(status="ok", stdout=code)


def failing(sandbox: FlakySandbox, calls: int) -> list[int]:
    found = []
    for number in range(calls):
        try:
            assert sandbox.exec(str(number), {}, LIMITS).stdout == str(number)
        except Lost:
            found.append(number)
    return found


def test_a_failure_is_the_infrastructures_and_says_which_call_it_was() -> None:
    with pytest.raises(Lost, match="call 0 fails on purpose") as caught:
        FlakySandbox(ScriptedSandbox(answer), share(1.0)).exec("", {}, LIMITS)
    assert caught.value.infrastructure_failure


def test_calls_fail_as_often_as_asked_for_and_their_programs_do_not_run() -> None:
    RAN.clear()
    sandbox = FlakySandbox(ScriptedSandbox(answer), share(0.2, seed=3))
    found = failing(sandbox, 1000)
    assert 160 <= len(found) <= 240
    assert (sandbox.faults.calls, sandbox.faults.failed) == (1000, len(found))
    assert sorted({*range(1000)} - {*map(int, RAN)}) == found


def test_which_calls_fail_depends_on_the_seed_alone() -> None:
    found = [failing(FlakySandbox(ScriptedSandbox(answer), share(0.5, seed)), 50) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(("part", "expected"), [(0.0, 0), (1.0, 20)])
def test_none_and_all_are_shares_too(part: float, expected: int) -> None:
    assert len(failing(FlakySandbox(ScriptedSandbox(answer), share(part)), 20)) == expected


@pytest.mark.parametrize("part", [-0.1, 1.1, float("nan")])
def test_what_is_no_share_is_refused(part: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        share(part)


def test_an_outage_begins_and_ends() -> None:
    assert failing(FlakySandbox(ScriptedSandbox(answer), lambda call: 3 <= call < 6), 10) == [3, 4, 5]


def test_programs_of_a_lease_are_calls_and_a_failure_ends_it() -> None:
    inner = ScriptedSandbox(answer)
    sandbox = FlakySandbox(inner, lambda call: call == 1)
    with sandbox.lease() as session:
        assert session.exec("a", {}, LIMITS).stdout == "a"
        with pytest.raises(Lost, match="on purpose"):
            session.exec("b", {}, LIMITS)
        with pytest.raises(Lost, match="over"):
            session.exec("c", {}, LIMITS)
    assert inner.stats() == {"leases": 1, "ended": 1}


def test_it_is_a_sandbox_says_what_it_is_and_closes_the_one_behind_it() -> None:
    inner = ScriptedSandbox(answer, {"processes": "none"})
    with FlakySandbox(inner, share(0.0)) as sandbox:
        assert isinstance(sandbox, Sandbox)
        assert sandbox.isolation() == {"processes": "none", "faults": "NOT RELIABLE: calls fail on purpose"}
    assert inner.closed
