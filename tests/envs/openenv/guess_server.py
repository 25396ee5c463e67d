"""Guess a number, served by openenv-core itself: `python guess_server.py SESSIONS` prints its port and serves.

Run by the tests with an interpreter that has openenv-core; nothing of this repository but `guess` is imported.
"""

# ruff: noqa: E402
import os
import socket
import sys
from typing import Any

sys.modules["gradio"] = None  # type: ignore[assignment]  # its pages are not served, and importing it takes long

import uvicorn
from guess import LONGEST, Guess
from openenv.core.env_server import Action, Environment, Observation, State, create_fastapi_app
from pydantic import Field, field_validator


class Say(Action):
    message: str = Field(max_length=LONGEST)

    @field_validator("message")
    @classmethod
    def _no_breaking(cls, value: str) -> str:
        # openenv-core 0.3 cannot write the error of a validator as JSON, and ends the session with it.
        if value == "break the session":
            raise ValueError("no")
        return value


class Told(Observation):
    reply: str = ""


class GuessEnvironment(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self.guess, self._state = Guess(), State()

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Told:
        self._state = State(episode_id=episode_id)
        return Told(**self.guess.reset(seed))

    def step(self, action: Say, timeout_s: float | None = None, **_: Any) -> Told:
        if action.message == "kill the server":
            os._exit(1)
        observation, reward, done = self.guess.step(action.message)
        return Told(**observation, reward=reward, done=done)

    @property
    def state(self) -> State:
        return self._state


if __name__ == "__main__":
    app = create_fastapi_app(GuessEnvironment, Say, Told, max_concurrent_envs=int(sys.argv[1]))
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[listening])
