"""Generation servers as a rollout engine: requests go out at once, answers are collected as they come."""

from __future__ import annotations

import asyncio
import queue
import secrets
from collections.abc import Iterable, Sequence
from concurrent.futures import Future

import torch

from ...config_engine import FIXED
from ...errors import ConfigError, MismatchError
from ..engine import Completion, Request
from ..hf import expand
from .background import Background
from .connection import Connection
from .interface import Expected, Interface
from .placing import Placing
from .weights import WeightFolder


class RemoteEngine:
    """An engine on other devices or hosts. Nothing of it is on the trainer's device, so sleeping frees nothing.

    Args:
        interface: What kind of servers they are.
        servers: At least one. They must belong to nobody else while the engine is used.
        image_token_id: The placeholder's id.
        folder: How they are given weights; None: they keep their own.
    """

    def __init__(
        self,
        interface: Interface,
        servers: Sequence[Connection],
        image_token_id: int,
        folder: WeightFolder | None = None,
    ) -> None:
        self.interface = interface
        self.servers = tuple(servers)
        self.image_token_id = image_token_id
        self.folder = folder
        self.weight_version = 0
        self._background = Background()
        self._placing = Placing(len(self.servers))
        self._open: dict[int, tuple[Request, Future[None]]] = {}
        self._done: queue.SimpleQueue[tuple[Request, Completion | Exception]] = queue.SimpleQueue()
        self._label: str | None = None
        self._run = secrets.token_hex(4)
        self._asleep = False
        self._loaded = folder is None

    def check(self, expected: Expected) -> None:
        """Ask every server what it is.

        Raises:
            ConfigError, OutageError: see `Interface.check`.
        """
        self._at_each(self.interface.check(server, expected) for server in self.servers)

    def submit(self, request: Request) -> None:
        placeholders = request.token_ids.count(self.image_token_id)
        if placeholders != len(request.images):
            raise ValueError(
                f"request {request.id}: {placeholders} image placeholders for {len(request.images)} images"
            )
        if self._asleep or not self._loaded:
            raise RuntimeError("the engine is asleep or has no weights yet: load_weights() and wake() come first")
        token_ids, spans = expand(request.token_ids, request.images, self.image_token_id)
        body = self.interface.body(request, token_ids, spans)
        server = self.servers[self._placing.server(request)]
        self._open[request.id] = (request, self._background.start(self._generate(server, request, token_ids, body)))

    def poll(self, timeout: float) -> list[Completion]:
        """Raises what the first request that failed raised; the others go on until they are aborted."""
        if self._asleep:
            raise RuntimeError("the engine is asleep: call wake() before poll()")
        finished: list[Completion] = []
        while self._open:
            try:
                request, result = self._done.get(timeout=0 if finished else max(0.0, timeout))
            except queue.Empty:
                break
            if request is not self._open.get(request.id, (None,))[0]:
                continue  # aborted meanwhile
            del self._open[request.id]
            if isinstance(result, Exception):
                raise result
            finished.append(result)
        return finished

    def abort(self, request_id: int) -> None:
        """The connection is closed, which the server takes as an abort."""
        if (opened := self._open.pop(request_id, None)) is not None:
            opened[1].cancel()

    def release(self, episode: int) -> None:
        """A server's cache belongs to beginnings of prompts, not to episodes, and makes room by itself."""
        self._placing.release(episode)

    def load_weights(self, tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """Write the weights into the folder and have every server load them.

        Raises:
            ConfigError: the servers keep their own.
            CheckpointError: the folder cannot be written.
            OutageError: a server failed.
        """
        if self.folder is None:
            raise ConfigError(FIXED)
        if self._open:
            raise RuntimeError("weights cannot change while requests are generating: finish or abort them first")
        written = self.folder.write(tensors)
        self._loaded, self._label = False, f"{self._run}/{written.name}"
        self._at_each(self.interface.load(server, written, self._label) for server in self.servers)
        self.folder.keep_only(written)
        self._loaded, self.weight_version = True, version

    def forget(self) -> None:
        """A server forgets when it is given weights."""

    def held(self) -> dict[str, int]:
        """Nothing on this device."""
        return {}

    def sleep(self) -> None:
        if self._open:
            raise RuntimeError("the engine cannot sleep while requests are generating")
        self._asleep = True

    def wake(self) -> None:
        self._asleep = False

    def close(self) -> None:
        """Close the connections. Requests that are still open are aborted."""
        for request_id in list(self._open):
            self.abort(request_id)
        self._at_each(server.close() for server in self.servers)
        self._background.close()

    async def _generate(self, server: Connection, request: Request, token_ids: Sequence[int], body: bytes) -> None:
        result: Completion | Exception
        try:
            answer = await server.post(self.interface.generate, body)
            result = self.interface.completion(request, token_ids, answer, self.weight_version, self._label)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            result = MismatchError(
                f"{server.url} answered in a form that is not its kind's ({type(error).__name__}: {error}): look at "
                "engine.remote.kind and at the server's version"
            )
        except Exception as error:
            result = error
        self._done.put((request, result))

    def _at_each(self, coroutines: Iterable[object]) -> None:
        async def together() -> None:
            await asyncio.gather(*coroutines)  # type: ignore[call-overload]

        self._background.run(together())
