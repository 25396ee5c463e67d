"""Limits and requests: what is allowed, and how what is not is refused."""

from typing import Any

import pytest

from sandbox.contract import MIB, ExecResult, Limits, check_request
from sandbox.errors import (
    InfrastructureError,
    Lost,
    QueueTimeout,
    RequestError,
    SandboxError,
    Stalled,
    Unavailable,
)

GOOD: dict[str, Any] = {
    "wall_seconds": 1.5,
    "cpu_seconds": 2,
    "memory_bytes": 64 * MIB,
    "processes": 4,
    "output_bytes": 1000,
    "file_bytes": 1000,
    "files": 2,
    "files_bytes": 1000,
}


@pytest.mark.parametrize("name", GOOD)
def test_every_limit_is_required(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        Limits(**{k: v for k, v in GOOD.items() if k != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wall_seconds", 0),
        ("wall_seconds", float("nan")),
        ("wall_seconds", 3601),
        ("wall_seconds", "1"),
        ("cpu_seconds", 0.5),
        ("memory_bytes", MIB),
        ("processes", 0),
        ("processes", True),
        ("output_bytes", -1),
        ("file_bytes", None),
        ("files", 1025),
        ("files_bytes", 1 << 31),
    ],
)
def test_a_limit_outside_its_range_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(RequestError, match=f"{name} must be a .*number from"):
        Limits(**GOOD | {name: value})


@pytest.mark.parametrize("name", ["a/b", "..", ".", "", "a\0", "\u00e9", "x" * 101])
def test_a_files_name_is_plain(name: str) -> None:
    with pytest.raises(RequestError, match="file's name"):
        check_request("", {name: b""}, ["*"])


@pytest.mark.parametrize(
    ("code", "files", "outputs", "message"),
    [
        (b"print(1)", {}, ["*"], "code must be a str"),
        ("x" * (4 * MIB + 1), {}, ["*"], "code must have at most"),
        ("", {"a": "text"}, ["*"], "must be given as bytes"),
        ("", {}, "*", "list of patterns"),
        ("", {}, [1], "list of patterns"),
    ],
)
def test_a_bad_request_is_refused(code: Any, files: Any, outputs: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        check_request(code, files, outputs)


def test_any_string_is_a_program() -> None:
    assert check_request("\ud800\0", {}, []) == b"\xed\xa0\x80\0"


def test_only_ok_is_ok() -> None:
    assert ExecResult(status="ok").ok and not ExecResult(status="timeout").ok


@pytest.mark.parametrize("kind", [Lost, Stalled, QueueTimeout])
def test_what_the_infrastructure_did_is_marked_for_who_knows_only_the_mark(kind: type[Exception]) -> None:
    assert issubclass(kind, InfrastructureError) and getattr(kind("x"), "infrastructure_failure", False) is True


@pytest.mark.parametrize("kind", [RequestError, Unavailable])
def test_what_the_caller_did_is_not_marked(kind: type[Exception]) -> None:
    assert issubclass(kind, SandboxError) and getattr(kind("x"), "infrastructure_failure", True) is False
