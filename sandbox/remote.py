"""A sandbox on another host, behind `python -m sandbox serve`: `open_sandbox("http://HOST:PORT")`.

The bearer token is read from the environment variable RLLAVA_SANDBOX_TOKEN, or from the file whose path is in
RLLAVA_SANDBOX_TOKEN_FILE. What a program does wrong comes back as its result, as from any sandbox; what goes wrong on
the way is an exception. A request is repeated only where it is
certain that nothing ran: no connection came about, or the service turned it away (429, 503).
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .closing import Closing
from .contract import STATES, ExecResult, Limits, check_request
from .errors import InfrastructureError, Lost, QueueTimeout, RequestError, SandboxError, Stalled, Unavailable
from .secret import secret, sendable

if TYPE_CHECKING:
    import httpx

TOKEN = "RLLAVA_SANDBOX_TOKEN"
CONNECT_SECONDS = 5.0
CONNECT_TRIES = 4
QUEUE_SECONDS = 120.0
# What a service may need beyond a program's own time: to start a lane, to run, to stop it, to gather and to wipe.
PATIENCE = 90.0
IDLE_SECONDS = 20.0  # less than the service keeps an idle connection, or a request could go into a closing one
_KINDS: dict[str, type[InfrastructureError]] = {"Lost": Lost, "Stalled": Stalled, "QueueTimeout": QueueTimeout}


class RemoteSandbox(Closing):
    """A sandbox at a URL. See `sandbox.contract.Sandbox`.

    Args:
        url: "http://HOST:PORT" or "https://...".
        token: the bearer token; None reads it from the environment, which may hold none.
        queue_seconds: for how long a call is repeated that the service turns away, and may wait in the service's queue.

    Raises:
        RequestError: the URL or the token is not allowed, or the token's file cannot be read.
        Unavailable: httpx is not installed, nothing answers there, or the token is refused.
    """

    def __init__(self, url: str, *, token: str | None = None, queue_seconds: float = QUEUE_SECONDS) -> None:
        try:
            import httpx
        except ModuleNotFoundError:
            raise Unavailable("a sandbox over HTTP needs httpx: pip install 'rllava-gym[sandbox]'") from None
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, TypeError) as error:
            raise RequestError(f"a sandbox's URL must be like http://HOST:PORT; got {url!r}: {error}") from None
        if (
            parsed.scheme not in ("http", "https")
            or not parsed.host
            or parsed.query
            or parsed.userinfo
            or url.endswith("[")
        ):
            raise RequestError(f"a sandbox's URL must be like http://HOST:PORT, and nothing more; got {url!r}")
        self.url, self.queue_seconds, self.closed = url.rstrip("/"), queue_seconds, False
        token = secret(TOKEN, RequestError) if token is None else sendable(token, "a token", RequestError)
        self._pid = os.getpid()
        self._client = httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {token}"} if token else {},
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=IDLE_SECONDS),
            trust_env=False,  # a proxy of the environment's must not see programs, nor be asked for a host inside
        )
        try:
            self._facts = self._ask_isolation()
        except InfrastructureError as error:
            self.close()
            raise Unavailable(f"no sandbox answers at {self.url}: {error}") from None
        except BaseException:
            self.close()
            raise

    def exec(
        self, code: str, files: Mapping[str, bytes], limits: Limits, *, outputs: Sequence[str] = ("*",)
    ) -> ExecResult:
        """Run a program; see `Sandbox.exec`.

        Raises:
            Unavailable: the token is refused, or the service lacks what was asked for. Besides what `exec` raises.
        """
        return self._run("/v1/exec", code, files, limits, outputs)

    def lease(self, state: str = "files") -> RemoteSession:
        """Keep one of the service's lanes; see `Sandbox.lease`.

        Raises:
            Unavailable: the token is refused. Besides what `lease` raises.
        """
        if state not in STATES:
            raise RequestError(f"state must be one of {', '.join(STATES)}; got {state!r:.100}")
        asked = json.dumps({"state": state}).encode()
        began = time.monotonic()
        answer, _ = self._send("POST", "/v1/leases", content=asked, content_type="application/json", seconds=PATIENCE)
        try:
            facts = answer.json()
            path, seconds = f"/v1/leases/{facts['lease']}", float(facts["seconds"])
        except (ValueError, KeyError, TypeError) as error:
            raise Lost(f"the service at {self.url} gave an answer that is none: {error}") from None
        return RemoteSession(self, path, seconds, time.monotonic() - began)

    def isolation(self) -> Mapping[str, str]:
        """What separates a program from the service's machine, as the service says."""
        return dict(self._facts)

    def close(self) -> None:
        """Close the connections. The service and its lanes go on."""
        self.closed = True
        self._client.close()

    def abandon(self) -> None:
        """In a forked child: use the parent's connections no more, and leave them as they are."""
        self.closed = True

    def _run(
        self, path: str, code: str, files: Mapping[str, bytes], limits: Limits, outputs: Sequence[str]
    ) -> ExecResult:
        from .service import wire

        program = check_request(code, files, outputs)
        if not isinstance(limits, Limits):
            raise RequestError(f"limits must be a sandbox.contract.Limits; got {type(limits).__name__}")
        body = wire.pack_program(program, files, limits, outputs)
        began = time.monotonic()
        # A worker may give stalled time back, up to the limit once more.
        answer, sent = self._send(
            "POST", path, content=body, content_type=wire.CONTENT_TYPE, seconds=2 * limits.wall_seconds + PATIENCE
        )
        try:
            return wire.unpack_result(answer.content, 1000 * (sent - began))
        except wire.WireError as error:
            raise Lost(f"the service at {self.url} gave an answer that is none: {error}") from None

    def _ask_isolation(self) -> dict[str, str]:
        answer, _ = self._send("GET", "/v1/isolation", seconds=PATIENCE, tries=2)
        try:
            found = {str(part): str(words) for part, words in answer.json().items()}
        except (ValueError, AttributeError) as error:
            raise Unavailable(f"what answers at {self.url} is no sandbox service: {error}") from None
        return found | {"backend": f"{found.get('backend', 'unknown')} over HTTP"}

    def _send(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        content: bytes = b"",
        content_type: str = "",
        tries: int = CONNECT_TRIES,
    ) -> tuple[httpx.Response, float]:
        """The answer to one request, and when the one that was answered was sent. seconds: for the answer to come, the
        queue's excepted."""
        import httpx

        if self.closed or os.getpid() != self._pid:
            raise Lost("this sandbox is closed, or belongs to the parent of this process; open another")
        timeout = httpx.Timeout(seconds + self.queue_seconds, connect=CONNECT_SECONDS, write=60.0, pool=CONNECT_SECONDS)
        patient_until, failures = time.monotonic() + self.queue_seconds, 0
        while True:
            sent = time.monotonic()
            try:
                answer = self._client.request(
                    method,
                    path,
                    content=content or None,
                    headers={"content-type": content_type} if content_type else {},
                    timeout=timeout,
                )
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
                failures += 1
                if failures == tries:
                    raise Lost(f"{self.url} cannot be reached ({tries} tries): {error}") from None
                time.sleep(0.25 * 2**failures)
                continue
            except (httpx.HTTPError, RuntimeError) as error:  # RuntimeError: closed by another thread
                raise Lost(f"the connection to {self.url} failed: {type(error).__name__}: {error}") from None
            if answer.status_code not in (429, 503):
                return self._judge(answer), sent
            pause = _retry_after(answer)
            if time.monotonic() + pause > patient_until:
                raise QueueTimeout(
                    f"{self.url} had no lane free within {self.queue_seconds:g} s: {_message(answer)[1]}"
                )
            time.sleep(pause)

    def _judge(self, answer: httpx.Response) -> httpx.Response:
        """The answer, if it is one; otherwise the exception that it stands for."""
        if answer.status_code == 200:
            return answer
        kind, message = _message(answer)
        where = f"the service at {self.url}"
        if answer.status_code == 401:
            raise Unavailable(
                f"{where} refuses the token: set the environment variable {TOKEN} to the right one, or {TOKEN}_FILE to "
                "the path of a file that holds it"
            )
        if kind == "RequestError":
            raise RequestError(f"{where} says: {message}")
        if kind == "Unavailable":
            raise Unavailable(f"{where} says: {message}")
        if answer.status_code in (400, 404, 405) and not kind:
            raise Unavailable(f"what answers at {self.url} is no sandbox service: status {answer.status_code}")
        raise _KINDS.get(kind, Lost)(f"{where} says: {message or f'status {answer.status_code}'}")


class RemoteSession(Closing):
    """A lease of one of a service's lanes. See `sandbox.contract.Session`.

    While it is kept, a thread tells the service every few seconds that its client is there.
    """

    def __init__(self, sandbox: RemoteSandbox, path: str, seconds: float, queued: float) -> None:
        self._sandbox, self._path, self._queued = sandbox, path, queued
        self._over = threading.Event()
        threading.Thread(target=self._live, args=(seconds / 4,), daemon=True, name="sandbox-lease").start()

    def exec(
        self, code: str, files: Mapping[str, bytes], limits: Limits, *, outputs: Sequence[str] = ("*",)
    ) -> ExecResult:
        """Run the next program; see `Session.exec`."""
        if self._over.is_set():
            raise Lost("this lease is over")
        try:
            result = self._sandbox._run(f"{self._path}/exec", code, files, limits, outputs)
        except Stalled:
            raise
        except InfrastructureError:
            self.close()
            raise
        # The service counts the wait within its own walls, which is part of ours.
        result = replace(result, queue_ms=max(result.queue_ms, round(1000 * self._queued, 3)))
        self._queued = 0.0
        return result

    def close(self) -> None:
        """End the lease."""
        if self._over.is_set():
            return
        self._over.set()
        try:
            self._sandbox._send("DELETE", self._path, seconds=PATIENCE)
        except SandboxError:
            return  # the service ends it by itself when it hears nothing more

    def _live(self, every: float) -> None:
        while not self._over.wait(every):
            try:
                self._sandbox._send("POST", f"{self._path}/alive", seconds=every)
            except SandboxError:
                return  # the next program is told


def _message(answer: httpx.Response) -> tuple[str, str]:
    """The kind and the text of an error, as far as it is one of the service's."""
    try:
        found: Any = answer.json()
        return str(found["error"]), str(found["message"])
    except (ValueError, KeyError, TypeError):
        return "", answer.text[:200]


def _retry_after(answer: httpx.Response) -> float:
    try:
        return min(max(float(answer.headers["retry-after"]), 0.05), 60.0)
    except (KeyError, ValueError):
        return 1.0
