"""A session with an OpenEnv server: what goes over the wire, and whose fault it is when something goes wrong.

A server keeps one environment for each WebSocket (its HTTP routes make a new one for every request, so an episode of
several steps cannot be played over them). Messages are JSON: `{"type": "reset", "data": parameters}` and
`{"type": "step", "data": action}` are answered by `{"type": "observation", "data": {"observation", "reward", "done"}}`
or by `{"type": "error", "data": {"message", "code"}}`. Source: openenv-core 0.3 (`env_server/http_server.py`), whose
package is not needed here.

Whatever the server says *to an action* is the policy's business, or a policy could have its bad episodes dropped. What
goes wrong before an episode has begun, or while nobody answers, is the infrastructure's.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar
from urllib.parse import urlsplit

from ..core.errors import ArgumentError, EnvError, EnvironmentAuthorError, MissingExtraError

MAX_MESSAGE = 100 << 20  # bytes; what OpenEnv's own client allows
CONNECT = 10.0  # seconds for the handshake
PAUSE = 0.5  # seconds before the second attempt; twice as long before each later one
# The server has closed the session, or will: it could open none, or something broke outside the environment.
CLOSING = ("CAPACITY_REACHED", "FACTORY_ERROR", "SESSION_ERROR")
# The message was not understood: a mistake here, or a server of another protocol.
PROTOCOL = ("INVALID_JSON", "UNKNOWN_TYPE")
# WebSocket close codes (RFC 6455, section 7.4.1) by which a server answers one message: too big, and internal error.
ANSWERING = (1009, 1011)
SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
LOCAL = ("localhost", "127.0.0.1", "::1")


class ServerLostError(EnvError, RuntimeError):
    """The server cannot be reached, or stopped answering. Nothing is known of what the action would have done."""

    infrastructure_failure: ClassVar[bool] = True


@dataclass(frozen=True)
class Answer:
    """What the server's environment returned. `observation`: its fields but reward, done and metadata."""

    observation: Mapping[str, Any]
    reward: object
    done: bool


@dataclass(frozen=True)
class Refusal:
    """An action that the server did not carry out, in its words; `over` if the session ended with it."""

    message: str
    over: bool


class Session:
    """One environment on a server. Opened by the first `reset`, and again by a later one if it was lost.

    Args:
        url: `http://host:port`, `https://`, `ws://` or `wss://`, without the path of a route.
        timeout: seconds that the server may take for one message.
        attempts: how often a reset is tried, at least 1; between attempts it waits 0.5 s, then 1 s, 2 s and so on.

    Raises:
        ArgumentError: no such URL.
        MissingExtraError: websockets is not installed.
    """

    def __init__(self, url: str, timeout: float, attempts: int, sleep: Callable[[float], None] = time.sleep) -> None:
        parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
        if parts.scheme not in SCHEMES or not parts.hostname or parts.query or parts.fragment:
            raise ArgumentError(
                f"url must be the address of an OpenEnv server such as 'http://127.0.0.1:8000'; got {url!r}"
            )
        self.url = url.rstrip("/")
        self._socket_url = SCHEMES[parts.scheme] + "://" + self.url.partition("://")[2] + "/ws"
        self._proxy = None if parts.hostname in LOCAL else True
        self._timeout, self._sleep = timeout, sleep
        self._pauses = [0.0] + [PAUSE * 2**k for k in range(attempts - 1)]
        self._ws = websockets()
        self._connection: Any = None
        self._open = ExitStack()

    def reset(self, parameters: Mapping[str, Any]) -> Answer:
        """Begin an episode.

        Raises:
            ServerLostError: no answer after all attempts, or no session to be had.
            ArgumentError: something answers at the URL that is no OpenEnv server.
            EnvironmentAuthorError: the server's environment failed to reset.
        """
        reason = ""
        # A server may have closed an old session in the meantime; finding that out is no attempt.
        pauses = ([] if self._connection is None else [0.0]) + self._pauses
        for pause in pauses:
            self._sleep(pause)
            try:
                kind, data = self._exchange({"type": "reset", "data": dict(parameters)})
            except (OSError, self._ws.exceptions.WebSocketException) as error:
                reason = self._lost(error)
                continue
            if kind == "observation":
                return self._answer(data)
            reason = f"{data.get('code')}: {data.get('message')}"
            if data.get("code") not in CLOSING:
                raise EnvironmentAuthorError(
                    f"{self.url}: reset({json.dumps(dict(parameters))}) failed on the server: {reason}"
                )
            self.close()
        hint = ""
        if "CAPACITY_REACHED" in reason:
            hint = ". Every episode in flight needs a session: raise the server's max_concurrent_envs"
        raise ServerLostError(f"{self.url}: no episode could be begun in {len(self._pauses)} attempts: {reason}{hint}")

    def step(self, action: Mapping[str, Any]) -> Answer | Refusal:
        """Take an action.

        Raises:
            ServerLostError: the connection broke, or nobody answers any more.
            EnvironmentAuthorError: what came is not of the protocol.
        """
        if self._connection is None:
            raise ServerLostError(f"{self.url}: the session was lost before the episode was over")
        try:
            kind, data = self._exchange({"type": "step", "data": dict(action)})
        except TimeoutError:
            self._drop()
            # A server that still answers others was kept busy by this action.
            if self._alive():
                return Refusal(f"There was no answer within {self._timeout:g} seconds.", over=True)
            raise ServerLostError(f"{self.url}: no answer within {self._timeout:g} seconds, to nobody") from None
        except (OSError, self._ws.exceptions.WebSocketException) as error:
            code = getattr(getattr(error, "rcvd", None), "code", None)
            reason = self._lost(error)
            if code in ANSWERING:
                return Refusal(f"The environment broke ({code}).", over=True)
            raise ServerLostError(f"{self.url}: the connection broke in a step: {reason}") from error
        if kind == "observation":
            return self._answer(data)
        if data.get("code") in PROTOCOL:
            raise EnvironmentAuthorError(f"{self.url}: {data.get('code')}: {data.get('message')}")
        over = data.get("code") in CLOSING
        if over:
            self.close()
        return Refusal(_told(data), over)

    def schema(self) -> Mapping[str, Any] | None:
        """The JSON schemas of `action` and `observation` as the server's route `/schema` gives them, or None."""
        try:
            found = json.loads(self._get("/schema"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def close(self) -> None:
        """End the session. May be called twice."""
        if self._connection is None:
            return
        with suppress(OSError, self._ws.exceptions.WebSocketException):  # it may be gone already
            self._connection.send(json.dumps({"type": "close"}))
        self._drop()

    def _exchange(self, message: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        text = json.dumps(message)
        if self._connection is None:
            self._connection = self._connect()
        # A server that closes a session says why first, and that is still to be read.
        with suppress(self._ws.exceptions.ConnectionClosed):
            self._connection.send(text)
        received = self._connection.recv(timeout=self._timeout)
        try:
            answer = json.loads(received)
            kind, data = answer["type"], answer["data"]
            if kind not in ("observation", "error") or not isinstance(data, dict):
                raise ValueError(kind)
        except (ValueError, KeyError, TypeError):
            raise EnvironmentAuthorError(
                f"{self.url} answered {received!r:.200}; expected JSON with type 'observation' or 'error'"
            ) from None
        return kind, data

    def _connect(self) -> Any:
        exceptions = self._ws.exceptions
        try:
            return self._open.enter_context(
                self._ws.sync.client.connect(
                    self._socket_url,
                    open_timeout=CONNECT,
                    close_timeout=1,
                    ping_interval=None,  # a server that works on a step for long may not answer pings
                    compression=None,  # pictures are compressed already, and a server is near
                    max_size=MAX_MESSAGE,
                    proxy=self._proxy,
                )
            )
        except exceptions.InvalidStatus as error:
            if error.response.status_code >= 500:
                raise
            raise ArgumentError(
                f"url: {self._socket_url} answers HTTP {error.response.status_code}; expected an OpenEnv server. Give "
                "its address without the path of a route"
            ) from error

    def _answer(self, data: Mapping[str, Any]) -> Answer:
        observation, done = data.get("observation"), data.get("done", False)
        if not isinstance(observation, dict) or not isinstance(done, bool):
            raise EnvironmentAuthorError(
                f"{self.url} answered {data!r:.200}; expected an observation that is an object, and done"
            )
        return Answer(observation, data.get("reward"), done)

    def _lost(self, error: Exception) -> str:
        self._drop()
        return f"{type(error).__name__}: {error}"

    def _drop(self) -> None:
        self._connection = None
        self._open.close()

    def _alive(self) -> bool:
        for pause in self._pauses:
            self._sleep(pause)
            try:
                self._get("/health")
            except OSError:
                continue
            return True
        return False

    def _get(self, route: str) -> bytes:
        """What a route answers. Raises OSError where it does not, or with an error."""
        address = "http" + self._socket_url.removeprefix("ws").removesuffix("/ws") + route
        proxies = urllib.request.ProxyHandler({} if self._proxy is None else None)
        with urllib.request.build_opener(proxies).open(address, timeout=CONNECT) as answer:
            return bytes(answer.read())


def websockets() -> ModuleType:
    """The library, imported now.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import websockets
        import websockets.exceptions
        import websockets.sync.client
    except ImportError:
        raise MissingExtraError(
            "an OpenEnv server is asked over WebSockets, and the library for it is not installed: "
            "pip install 'rllava-gym[openenv]'"
        ) from None
    return websockets


def _told(data: Mapping[str, Any]) -> str:
    """What an error says to whoever acted: its message, and of a validation the fields and what is wrong with them."""
    told = [str(data.get("message") or "The action was refused.")]
    errors = [error for error in data.get("errors") or [] if isinstance(error, dict)]
    told += [f"{'.'.join(map(str, error.get('loc') or ()))}: {error.get('msg')}" for error in errors]
    return "\n".join(told)
