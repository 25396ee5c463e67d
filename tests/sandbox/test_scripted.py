"""The sandbox that answers by a function keeps to the contract's outer form."""

import pytest

from sandbox.contract import MIB, ExecResult, Limits, Sandbox, Session
from sandbox.errors import Lost, RequestError
from sandbox.scripted import ScriptedSandbox

LIMITS = Limits(
    wall_seconds=1.0,
    cpu_seconds=1,
    memory_bytes=64 * MIB,
    processes=1,
    output_bytes=100,
    file_bytes=100,
    files=1,
    files_bytes=100,
)


def echo() -> ScriptedSandbox:
    return ScriptedSandbox(lambda code, files, limits: ExecResult(status="ok", exit_code=0, stdout=code))


def test_it_is_a_sandbox_and_its_leases_are_sessions() -> None:
    assert isinstance(echo(), Sandbox)
    assert isinstance(echo().lease(), Session)


def test_it_answers_as_scripted_in_a_lease_as_well() -> None:
    with echo() as sandbox, sandbox.lease() as session:
        assert sandbox.exec("a", {}, LIMITS).stdout + session.exec("b", {}, LIMITS).stdout == "ab"


def test_what_no_sandbox_takes_is_refused() -> None:
    with pytest.raises(RequestError):
        echo().exec("a", {"../x": b""}, LIMITS)
    with pytest.raises(RequestError):
        echo().lease("everything")


def test_what_is_closed_answers_no_more() -> None:
    sandbox = echo()
    session = sandbox.lease()
    session.close()
    session.close()
    assert sandbox.ended == 1
    with pytest.raises(Lost):
        session.exec("a", {}, LIMITS)
    sandbox.close()
    with pytest.raises(Lost):
        sandbox.exec("a", {}, LIMITS)
