"""The client of a sandbox elsewhere: results as they were, failures under their names, and nothing run twice."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.conformance import check_sandbox
from sandbox.contract import MIB, ExecResult, Limits, Sandbox, Session
from sandbox.errors import InfrastructureError, Lost, QueueTimeout, RequestError, Stalled, Unavailable
from sandbox.local import LocalSandbox
from sandbox.remote import TOKEN, RemoteSandbox
from sandbox.scripted import Answer, ScriptedSandbox
from sandbox.service.app import make_app
from sandbox.service.background import serving

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
FULL = ExecResult(
    status="signal",
    reason="why",
    exit_code=None,
    signal=9,
    stdout="a\0\u20ac",
    stderr="b",
    stdout_dropped=1,
    stderr_dropped=2,
    files={"a.png": bytes(range(256)), "sub/b": b""},
    files_left_out=(("c", "a link"),),
    wall_ms=1.5,
    cpu_ms=2.5,
    queue_ms=3.5,
    peak_memory=4,
    variables_lost=True,
    files_lost=False,
)


@contextmanager
def remote(answer: Answer, queue_seconds: float = 5.0) -> Iterator[RemoteSandbox]:
    with (
        serving(make_app(ScriptedSandbox(answer), token=None)) as url,
        RemoteSandbox(url, queue_seconds=queue_seconds) as sandbox,
    ):
        yield sandbox


def fail(error: Exception) -> Answer:
    def answer(code: object, files: object, limits: object) -> ExecResult:
        raise error

    return answer


def test_it_keeps_every_law_in_front_of_a_sandbox_that_does() -> None:
    with serving(make_app(LocalSandbox(lanes=2), token=None)) as url, RemoteSandbox(url) as sandbox:
        broken = [(found.law, found.message) for found in check_sandbox(sandbox) if not found.held]
    assert broken == []


def test_every_field_of_a_result_comes_back_as_it_was() -> None:
    with remote(lambda code, files, limits: FULL) as sandbox:
        result = sandbox.exec("", {}, LIMITS)
    assert result.queue_ms >= FULL.queue_ms
    assert replace(result, queue_ms=FULL.queue_ms) == FULL


def test_every_byte_of_a_request_arrives() -> None:
    seen: list[object] = []

    def answer(code: str, files: object, limits: Limits) -> ExecResult:
        seen.extend([code, files, limits])
        return FULL

    given = {"a": bytes(range(256)) * 10, "b": b""}
    with remote(answer) as sandbox:
        sandbox.exec("x = '\ud800\0'", given, LIMITS)
    assert seen == ["x = '\ud800\0'", given, LIMITS]


@pytest.mark.parametrize("kind", [Lost, Stalled, QueueTimeout, RequestError, Unavailable])
def test_a_failure_arrives_under_its_name(kind: type[Exception]) -> None:
    with remote(fail(kind("the reason")), queue_seconds=0.0) as sandbox, pytest.raises(kind, match="the reason") as e:
        sandbox.exec("", {}, LIMITS)
    assert type(e.value) is kind


def test_a_service_without_a_free_lane_is_asked_again_and_the_wait_is_counted() -> None:
    calls: list[float] = []

    def answer(code: object, files: object, limits: object) -> ExecResult:
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise QueueTimeout("all busy")
        return FULL

    with remote(answer) as sandbox:
        result = sandbox.exec("", {}, LIMITS)
    assert len(calls) == 2
    assert result.queue_ms >= 1000 * (calls[1] - calls[0]) - 100


@pytest.mark.parametrize("error", [Lost("gone"), Stalled("starved")])
def test_what_may_have_run_is_never_sent_twice(error: Exception) -> None:
    calls: list[int] = []

    def answer(code: object, files: object, limits: object) -> ExecResult:
        calls.append(1)
        raise error

    with remote(answer) as sandbox, pytest.raises(type(error)):
        sandbox.exec("", {}, LIMITS)
    assert calls == [1]


def test_a_program_whose_connection_breaks_is_lost_and_not_sent_again() -> None:
    with cutting(answers=1) as (url, requests), RemoteSandbox(url) as sandbox:
        with pytest.raises(Lost):
            sandbox.exec("", {}, LIMITS)
        assert len(requests) == 2  # one for the isolation, one for the program


def test_nobody_there_is_unavailable_at_first_and_lost_later() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unavailable, match=f"no sandbox answers at http://127.0.0.1:{port}"):
        RemoteSandbox(f"http://127.0.0.1:{port}")
    with serving(make_app(ScriptedSandbox(lambda *a: FULL), token=None)) as url:
        sandbox = RemoteSandbox(url)
    with pytest.raises(Lost, match="cannot be reached"):
        sandbox.exec("", {}, LIMITS)


def test_something_else_that_answers_is_no_sandbox() -> None:
    with cutting(answers=9, body=b"<html>") as (url, _), pytest.raises(Unavailable, match="no sandbox service"):
        RemoteSandbox(url)


def test_the_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    token = "a-token-of-some-length"
    with serving(make_app(ScriptedSandbox(lambda *a: FULL), token=token)) as url:
        monkeypatch.setenv(TOKEN, token)
        with RemoteSandbox(url) as sandbox:
            assert sandbox.exec("", {}, LIMITS).status == "signal"
        monkeypatch.setenv(TOKEN, "another-token-of-some-length")
        with pytest.raises(Unavailable, match=TOKEN):
            RemoteSandbox(url)


def test_the_token_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = "a-token-of-some-length"
    (tmp_path / "token").write_text(f"{token}\n")
    monkeypatch.delenv(TOKEN, raising=False)
    monkeypatch.setenv(f"{TOKEN}_FILE", str(tmp_path / "token"))
    with serving(make_app(ScriptedSandbox(lambda *a: FULL), token=token)) as url:
        with RemoteSandbox(url) as sandbox:
            assert sandbox.exec("", {}, LIMITS).status == "signal"
        monkeypatch.setenv(TOKEN, token)
        with pytest.raises(RequestError, match=f"both {TOKEN} and {TOKEN}_FILE"):
            RemoteSandbox(url)


def test_a_token_that_no_header_carries_is_refused_and_not_repeated() -> None:
    for token in ("s3cret\nmore", "s3cret\u00fc"):
        with pytest.raises(RequestError, match="a token must be printable ASCII") as caught:
            RemoteSandbox("http://127.0.0.1:9", token=token)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://", "ftp://host", "http://user:secret@host", "http://host?a=1", "http://[", 3])
def test_an_address_that_is_none_is_refused(url: object) -> None:
    with pytest.raises(RequestError, match="http://HOST:PORT"):
        RemoteSandbox(url)  # type: ignore[arg-type]


def test_a_closed_one_says_so() -> None:
    with remote(lambda *a: FULL) as sandbox:
        sandbox.close()
        with pytest.raises(Lost, match="closed"):
            sandbox.exec("", {}, LIMITS)


def test_a_lease_runs_its_programs_and_is_given_back() -> None:
    inner = ScriptedSandbox(lambda code, files, limits: replace(FULL, stdout=code))
    with serving(make_app(inner, token=None)) as url, RemoteSandbox(url) as sandbox:
        assert isinstance(sandbox, Sandbox)
        with sandbox.lease("variables") as session:
            assert isinstance(session, Session)
            assert [session.exec(code, {}, LIMITS).stdout for code in "ab"] == ["a", "b"]
            assert (inner.leases, inner.ended) == (1, 0)
        assert inner.ended == 1
        session.close()
        with pytest.raises(Lost, match="over"):
            session.exec("c", {}, LIMITS)
        with pytest.raises(RequestError, match="files, variables"):
            sandbox.lease("everything")


def test_a_lease_lives_while_its_client_does_and_not_longer() -> None:
    inner = ScriptedSandbox(lambda *a: FULL)
    with (
        serving(make_app(inner, token=None, lease_seconds=0.4)) as url,
        RemoteSandbox(url) as sandbox,
        sandbox.lease() as session,
    ):
        time.sleep(1.2)  # nothing is run, and the client is there
        assert session.exec("", {}, LIMITS).status == "signal"
        session._over.set()  # as if it had been killed
        deadline = time.monotonic() + 20
        while not inner.ended and time.monotonic() < deadline:
            time.sleep(0.05)
        assert inner.ended == 1
        session._over.clear()
        with pytest.raises(Lost, match="not there"):
            session.exec("", {}, LIMITS)


def test_many_callers_get_their_own_answers() -> None:
    found: dict[int, str] = {}
    with remote(lambda code, files, limits: replace(FULL, stdout=code)) as sandbox:

        def one(k: int) -> None:
            found[k] = sandbox.exec(str(k), {}, LIMITS).stdout

        threads = [threading.Thread(target=one, args=(k,)) for k in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {k: str(k) for k in range(32)}


@pytest.mark.parametrize(
    "change", [lambda b: b[:-1], lambda b: b"no message", lambda b: b.replace(b"signal", b"sigbad")]
)
def test_a_result_that_is_none_is_lost(change: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    from sandbox.service import app, wire

    right = wire.pack_result
    monkeypatch.setattr(app.wire, "pack_result", lambda result: change(right(result)))
    with remote(lambda *a: FULL) as sandbox, pytest.raises(Lost, match="an answer that is none"):
        sandbox.exec("", {}, LIMITS)


def test_what_was_lost_is_an_infrastructure_failure() -> None:
    with remote(fail(Lost("x"))) as sandbox, pytest.raises(InfrastructureError) as error:
        sandbox.exec("", {}, LIMITS)
    assert error.value.infrastructure_failure


@contextmanager
def cutting(answers: int, body: bytes = b'{"backend": "x"}') -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers the first requests and then closes every connection after reading what was sent."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    requests.append(client.recv(1 << 20))
                    if len(requests) <= answers:
                        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
                        client.sendall(head.encode() + body)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", requests
        listener.shutdown(socket.SHUT_RDWR)
