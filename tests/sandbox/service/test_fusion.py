"""SandboxFusion's shape, in and out."""

import json
from typing import Any

import pytest

from sandbox.contract import MIB, ExecResult
from sandbox.errors import RequestError
from sandbox.local import LocalSandbox
from sandbox.service.fusion import answer, parse


def run(**fields: Any) -> Any:
    return parse(json.dumps({"code": "pass"} | fields).encode())


def test_what_is_not_said_has_its_usual_value() -> None:
    given = run()
    assert (given.code, dict(given.files), given.outputs) == ("pass", {}, [])
    assert (given.limits.wall_seconds, given.limits.memory_bytes) == (10.0, 1024 * MIB)
    assert run(run_timeout=None, stdin=None, files=None, fetch_files=None) == given


def test_limits_are_taken_over() -> None:
    given = run(run_timeout=2.5, memory_limit_MB=64)
    assert (given.limits.wall_seconds, given.limits.cpu_seconds, given.limits.memory_bytes) == (2.5, 2, 64 * MIB)
    assert run(memory_limit_MB=-1).limits.memory_bytes == 1024 * MIB


def test_a_name_to_fetch_is_no_pattern() -> None:
    assert run(fetch_files=["./a[1]*.png"]).outputs == ["a[[]1][*].png"]


@pytest.mark.parametrize(
    "fields",
    [
        {"code": None},
        {"code": 3},
        {"language": "cpp"},
        {"run_timeout": "10"},
        {"run_timeout": True},
        {"run_timeout": 0},
        {"run_timeout": 1e9},
        {"memory_limit_MB": 1},
        {"files": {"a": "?"}},
        {"files": {"a": 3}},
        {"files": ["a"]},
        {"fetch_files": [3]},
        {"fetch_files": "a"},
    ],
)
def test_what_is_not_allowed_is_named(fields: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        run(**fields)


@pytest.mark.parametrize("body", [b"", b"[]", b"3", b"{", b"\xff", b"[" * 100000])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError, match="a JSON object"):
        parse(body)


def test_how_a_program_ended_is_told_in_their_words() -> None:
    def told(**fields: Any) -> tuple[Any, ...]:
        got = answer(ExecResult(**fields))
        return got["status"], got["run_result"]["status"], got["run_result"]["return_code"]

    assert told(status="ok", exit_code=0) == ("Success", "Finished", 0)
    assert told(status="error", exit_code=3) == ("Failed", "Finished", 3)
    assert told(status="signal", signal=9) == ("Failed", "Finished", -9)
    assert told(status="timeout") == ("Failed", "TimeLimitExceeded", None)


def test_a_program_that_reads_gets_what_there_is_to_read() -> None:
    given = run(code="from __future__ import annotations\nprint(input()[::-1], __name__)\n1 / 0", stdin="abc\n")
    with LocalSandbox(lanes=1) as sandbox:
        result = sandbox.exec(given.code, given.files, given.limits, outputs=given.outputs)
    assert result.stdout == "cba __main__\n"
    assert "line 3, in <module>" in result.stderr and "ZeroDivisionError" in result.stderr
    assert result.files == {}
