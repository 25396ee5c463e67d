"""A server that speaks OpenEnv's wire protocol, in a thread: for what must be tested without openenv-core."""

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from tests.envs.openenv.guess import LONGEST, Guess

Message = dict[str, Any]
SCHEMA = {"action": {"properties": {"message": {}, "metadata": {}}, "required": ["message"]}, "observation": {}}


def error(code: str, message: str, **more: Any) -> Message:
    return {"type": "error", "data": {"message": message, "code": code, **more}}


def observation(fields: Message, reward: Any = None, done: Any = False) -> Message:
    return {"type": "observation", "data": {"observation": fields, "reward": reward, "done": done}}


class WireServer:
    """Serves `play(state, message) -> answer` to each connection, with a `state` of its own; an answer of None breaks
    the connection without a word, and a SESSION_ERROR closes it. At most `sessions` at a time.

    `received`: every message. `url`: where it is. A context manager.
    """

    def __init__(
        self, play: Callable[[Message, Message], Message | None], sessions: int = 64, schema: Any = SCHEMA
    ) -> None:
        self.play, self.sessions, self.schema = play, sessions, schema
        self.received: list[Message] = []
        self._open: set[ServerConnection] = set()
        self._server: Server | None = None
        self.start()

    def start(self, port: int = 0) -> None:
        self._server = serve(self._session, "127.0.0.1", port, process_request=self._route)
        self.port = self._server.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        for connection in list(self._open):
            with suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "WireServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _route(self, connection: ServerConnection, request: Any) -> Any:
        routes = {"/health": {"status": "healthy"}, "/schema": self.schema}
        if request.path == "/ws":
            return None
        if routes.get(request.path) is None:
            return connection.respond(HTTPStatus.NOT_FOUND, "no such route")
        return connection.respond(HTTPStatus.OK, json.dumps(routes[request.path]))

    def _session(self, connection: ServerConnection) -> None:
        if len(self._open) >= self.sessions:
            connection.send(json.dumps(error("CAPACITY_REACHED", "no session is free")))
            return
        self._open.add(connection)
        try:
            state: Message = {}
            for text in connection:
                message = json.loads(text)
                self.received.append(message)
                if message["type"] == "close":
                    return
                answer = self.play(state, message)
                if answer is None:
                    connection.socket.shutdown(socket.SHUT_RDWR)
                    return
                connection.send(json.dumps(answer))
                if answer["data"].get("code") == "SESSION_ERROR":
                    return
        except ConnectionClosed:
            pass
        finally:
            self._open.discard(connection)


def guess(state: Message, message: Message) -> Message | None:
    """What openenv-core answers where `guess.Guess` is behind it."""
    data = message["data"]
    if message["type"] == "reset":
        state["guess"] = Guess()
        return observation(state["guess"].reset(data.get("seed")))
    said = data["message"]
    if said == "break the session":
        return error("SESSION_ERROR", "Unable to serialize")
    if said == "kill the server":
        return None
    if len(said) > LONGEST:
        wrong = [{"loc": ["message"], "msg": f"String should have at most {LONGEST} characters"}]
        return error("VALIDATION_ERROR", "Invalid message", errors=wrong)
    try:
        return observation(*state["guess"].step(said))
    except RuntimeError as failure:
        return error("EXECUTION_ERROR", str(failure))
