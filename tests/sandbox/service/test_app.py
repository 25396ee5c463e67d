"""The service turns away whoever may not ask, asks too much, or comes when it is full."""

import json
import threading
from typing import Any

import httpx
import pytest

from sandbox.contract import MIB, ExecResult, Limits
from sandbox.errors import Lost, QueueTimeout
from sandbox.scripted import ScriptedSandbox
from sandbox.service import wire
from sandbox.service.app import make_app
from sandbox.service.background import serving

TOKEN = "a-token-of-some-length"
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
OK = ExecResult(status="ok", exit_code=0, stdout="said", wall_ms=5.0)
BODY = wire.pack_program(b"1", {}, LIMITS, ["*"])
BINARY = {"content-type": wire.CONTENT_TYPE}


def ok(*_: Any) -> ExecResult:
    return OK


def test_without_the_token_nothing_is_answered_but_health() -> None:
    asked = [("POST", "/v1/exec"), ("POST", "/run_code"), ("POST", "/v1/leases"), ("DELETE", "/v1/leases/x")]
    asked += [("GET", "/metrics"), ("GET", "/v1/isolation")]
    with serving(make_app(ScriptedSandbox(ok), token=TOKEN)) as url, httpx.Client(base_url=url) as client:
        for method, path in asked:
            for bearer in ("", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN):
                got = client.request(method, path, content=BODY, headers=BINARY | {"authorization": bearer})
                assert (got.status_code, got.headers["www-authenticate"]) == (401, "Bearer"), (path, bearer)
        assert client.get("/health").status_code == 200
        right = client.post("/v1/exec", content=BODY, headers=BINARY | {"authorization": f"bearer {TOKEN}"})
        assert right.status_code == 200


def test_a_page_of_another_name_does_not_reach_a_service_without_a_token() -> None:
    with serving(make_app(ScriptedSandbox(ok), token=None)) as url, httpx.Client(base_url=url) as client:
        assert client.get("/health", headers={"host": "evil.example"}).status_code == 400
        simple = {"content-type": "text/plain"}  # what a browser sends to any site without asking it
        assert client.post("/run_code", content=b'{"code": ""}', headers=simple).status_code == 415
        assert client.post("/v1/exec", content=BODY, headers=simple).status_code == 415


def test_a_request_that_is_too_large_is_refused_however_it_is_sent() -> None:
    app = make_app(ScriptedSandbox(ok), token=None, max_body=1000)
    with serving(app) as url, httpx.Client(base_url=url) as client:
        assert client.post("/v1/exec", content=bytes(1001), headers=BINARY).status_code == 413
        chunks = (bytes(100) for _ in range(11))  # without a length in front
        assert client.post("/v1/exec", content=chunks, headers=BINARY).status_code == 413
        assert client.post("/v1/exec", content=BODY, headers=BINARY).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"RLG1",
        b"RLG1\0\0\0\2{}",
        BODY[:-1],
        BODY + b"x",
        BODY.replace(b"RLG1", b"RLG2"),
        BODY.replace(b'"wall_seconds"', b'"wall_second_"'),
        BODY.replace(b'"wall_seconds": 1.0', b'"wall_seconds": "1"'),
        BODY.replace(b'"outputs": ["*"]', b'"outputs": "all"'),
        wire.pack({"names": [], "outputs": []}, [b"1"]),
        wire.pack({"names": ["a", "a"], "outputs": [], "limits": vars(LIMITS)}, [b"1", b"2", b"3"]),
        wire.pack({"names": ["../a"], "outputs": [], "limits": vars(LIMITS)}, [b"1", b"2"]),
        wire.pack({"names": [[]], "outputs": [], "limits": vars(LIMITS)}, [b"1", b"2"]),
        wire.pack_program(b"\xff", {}, LIMITS, ["*"]),
    ],
)
def test_a_request_that_is_none_is_the_clients_mistake(body: bytes) -> None:
    with serving(make_app(ScriptedSandbox(ok), token=None)) as url:
        got = httpx.post(url + "/v1/exec", content=body, headers=BINARY)
    assert (got.status_code, got.json()["error"]) == (400, "RequestError")


def test_more_time_than_the_service_gives_is_refused() -> None:
    with serving(make_app(ScriptedSandbox(ok), token=None, max_wall_seconds=0.5)) as url:
        got = httpx.post(url + "/v1/exec", content=BODY, headers=BINARY)
    assert got.status_code == 400 and "wall_seconds must be at most 0.5" in got.json()["message"]


def test_one_caller_too_many_is_turned_away_at_once_with_a_time_to_come_back() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(*_: Any) -> ExecResult:
        entered.set()
        go_on.wait(30)
        return OK

    with serving(make_app(ScriptedSandbox(slow), token=None, inside=1)) as url:
        first: list[int] = []
        thread = threading.Thread(
            target=lambda: first.append(httpx.post(url + "/v1/exec", content=BODY, headers=BINARY).status_code)
        )
        thread.start()
        assert entered.wait(30)
        got = httpx.post(url + "/v1/exec", content=BODY, headers=BINARY)
        assert (got.status_code, got.headers["retry-after"]) == (429, "1")
        assert httpx.get(url + "/health").json() == {"status": "ok", "inside": 1, "most": 1}
        go_on.set()
        thread.join()
        assert first == [200]
        assert httpx.post(url + "/v1/exec", content=BODY, headers=BINARY).status_code == 200


@pytest.mark.parametrize(("error", "status"), [(QueueTimeout("busy"), 503), (Lost("gone"), 502)])
def test_only_what_did_not_run_may_be_tried_again(error: Exception, status: int) -> None:
    def fail(*_: Any) -> ExecResult:
        raise error

    with serving(make_app(ScriptedSandbox(fail), token=None)) as url:
        got = httpx.post(url + "/v1/exec", content=BODY, headers=BINARY)
    assert got.status_code == status
    assert got.json() == {"error": type(error).__name__, "message": str(error)}
    assert ("retry-after" in got.headers) == (status == 503)


def test_what_happened_is_counted() -> None:
    answers = iter([OK, OK, Lost("gone")])

    def next_one(*_: Any) -> ExecResult:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with serving(make_app(ScriptedSandbox(next_one), token=None)) as url, httpx.Client(base_url=url) as client:
        for _ in range(3):
            client.post("/v1/exec", content=BODY, headers=BINARY)
        got = client.get("/metrics")
    assert got.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = got.text.splitlines()
    assert 'sandbox_programs_total{status="ok"} 2.0' in lines
    assert 'sandbox_failures_total{kind="Lost"} 1.0' in lines
    assert "sandbox_wall_seconds_sum 0.01" in lines
    assert "sandbox_requests_inside 0.0" in lines
    assert "sandbox_pool_leases 0.0" in lines


def test_the_sandbox_and_its_leases_are_closed_with_the_service() -> None:
    sandbox = ScriptedSandbox(ok)
    with serving(make_app(sandbox, token=None)) as url:
        got = httpx.post(url + "/v1/leases", json={"state": "files"})
        assert got.status_code == 200
        lease = got.json()["lease"]
        assert httpx.post(f"{url}/v1/leases/{lease}/exec", content=BODY, headers=BINARY).status_code == 200
        assert httpx.post(f"{url}/v1/leases/{lease}x/exec", content=BODY, headers=BINARY).status_code == 502
        for state in ({}, {"state": 3}, {"state": "all"}, [], 3):
            assert httpx.post(url + "/v1/leases", json=state).status_code == 400
    assert (sandbox.leases, sandbox.ended, sandbox.closed) == (1, 1, True)


def test_the_usual_shape_of_other_trainers_is_answered() -> None:
    seen: list[Any] = []

    def note(code: str, files: Any, limits: Limits) -> ExecResult:
        seen.extend([code, files, limits.wall_seconds])
        return ExecResult(status="ok", exit_code=0, stdout="4\n", wall_ms=2000.0, files={"a.txt": b"\xff"})

    asked = {"code": "print(2 + 2)", "language": "python", "run_timeout": 3, "files": {"b.txt": "eA=="}}
    asked |= {"fetch_files": ["a.txt"], "compile_timeout": 10, "memory_limit_MB": 512}
    with serving(make_app(ScriptedSandbox(note), token=None)) as url:
        got = httpx.post(url + "/run_code", json=asked)
    assert seen == ["print(2 + 2)", {"b.txt": b"x"}, 3.0]
    assert got.json() == {
        "status": "Success",
        "message": "",
        "compile_result": None,
        "run_result": {
            "status": "Finished",
            "execution_time": 2.0,
            "return_code": 0,
            "stdout": "4\n",
            "stderr": "",
        },
        "executor_pod_name": None,
        "files": {"a.txt": "/w=="},
    }


def test_a_failing_sandbox_has_its_own_status_in_that_shape() -> None:
    def fail(*_: Any) -> ExecResult:
        raise Lost("gone")

    with serving(make_app(ScriptedSandbox(fail), token=None)) as url:
        got = httpx.post(
            url + "/run_code", content=json.dumps({"code": ""}), headers={"content-type": "application/json"}
        )
    assert (got.status_code, got.json()["status"], got.json()["message"]) == (200, "SandboxError", "Lost: gone")
