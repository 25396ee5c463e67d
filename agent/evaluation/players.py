"""The three ways to play. Each plays the episodes that are missing and hands every one over as it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import gymnasium
import numpy as np

from ..chat import ChatMessage, ChatServer
from ..config import Config, EnvironmentConfig, RolloutConfig
from ..config_model import ModelConfig
from ..engine.memory import Phase
from ..errors import OutageError
from ..parts import build
from ..records import record_of, spans
from ..rollout.environments import EnvironmentPool
from ..rollout.episodes import DriverOptions, EpisodeDriver
from ..seeds import derive_seed
from ..types import Trajectory
from .baselines import TURNS, speaker
from .benchmark import Benchmark
from .options import EvaluateConfig
from .sitting import Sitting, Wanted
from .subject import Subject
from .text_episode import Said, Speaker, TextEpisode

CHUNK = 256  # episodes whose pictures are kept at once
GIVE_UP = 8  # episodes in a row that a chat server did not answer

Keep = Callable[[Wanted, Mapping[str, Any], Mapping[str, np.ndarray]], None]


class Player(Protocol):
    """Plays sittings of one subject."""

    def play(self, sitting: Sitting, pool: EnvironmentPool, wanted: Sequence[Wanted], keep: Keep) -> None:
        """Every episode to its end; `keep` hears of each as it ends, always in the thread that called.

        Raises:
            AgentError: an environment broke its contract, or the subject cannot play at all.
        """
        ...

    def close(self) -> None: ...


class CheckpointPlayer:
    """A checkpoint on any rollout engine, token by token as in training."""

    def __init__(self, subject: Subject, benchmarks: Sequence[Benchmark], options: EvaluateConfig) -> None:
        first = benchmarks[0]
        config = Config(
            env=EnvironmentConfig(first.spec.id, dict(first.spec.kwargs), {}, {}, {}),
            modules=options.modules,
            model=ModelConfig(path=subject.where, device=options.device, dtype=options.dtype),  # type: ignore[arg-type]
            rollout=_largest(benchmarks),
            engine=options.engine,
        )
        self._parts = build(config, Path(), None, trains=False)
        self._parts.memory.enter(Phase.ROLLOUT)

    def play(self, sitting: Sitting, pool: EnvironmentPool, wanted: Sequence[Wanted], keep: Keep) -> None:
        parts, sizes = self._parts, sitting.benchmark.sizes
        options = DriverOptions(sizes.concurrency, sizes.threads, sizes.deterministic)
        driver = EpisodeDriver(parts.rollout_engine, parts.renderer, pool, options)
        decode = parts.vlm.processor.decode
        for chunk in _chunks(wanted):
            named = {(one.spec.task, one.spec.seed): one for one in chunk}

            def ended(trajectory: Trajectory, named: Mapping[Any, Wanted] = named) -> None:
                pictures = {span.sha256: parts.renderer.pixels(span.sha256).original for span in spans(trajectory)}
                keep(named[trajectory.task, trajectory.seed], record_of(trajectory, decode), pictures)

            driver.run([one.spec for one in chunk], sitting.budget, ended)
            parts.renderer.forget()

    def close(self) -> None:
        self._parts.close()


class TextPlayer:
    """Whoever answers in words, many episodes at once in threads."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def speaker(self, sitting: Sitting, wanted: Wanted) -> Speaker:
        """Who plays one episode."""
        raise NotImplementedError

    def turns(self, sitting: Sitting) -> int:
        """Turns after which an episode is truncated, whatever its environment says."""
        return sitting.benchmark.sizes.max_turns

    def check(self, episode: TextEpisode) -> None:
        """Hear how an episode ended; called in order of their ends."""

    def play(self, sitting: Sitting, pool: EnvironmentPool, wanted: Sequence[Wanted], keep: Keep) -> None:
        spec, lock = sitting.benchmark.played(sitting.variant), Lock()

        def played(one: Wanted) -> TextEpisode:
            task, seed = one.spec.task, one.spec.seed
            episode = TextEpisode(f"{spec.id} (task {task}, seed {seed}), played by {sitting.subject!r}")
            with lock:
                env = pool.take()
            try:
                episode.play(env, task, seed, self.speaker(sitting, one), self.turns(sitting))
            finally:
                with lock:
                    pool.give_back(env)
            return episode

        with ThreadPoolExecutor(max(1, min(self._threads, len(wanted)))) as threads:
            futures = {threads.submit(played, one): one for one in wanted}
            try:
                for future in as_completed(futures):
                    one, episode = futures.pop(future), future.result()
                    keep(one, episode.record(spec.id, one.spec.task, one.spec.seed), episode.pictures)
                    self.check(episode)
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def close(self) -> None:
        pass


class ChatPlayer(TextPlayer):
    """An OpenAI-compatible chat server."""

    def __init__(self, server: ChatServer, threads: int) -> None:
        super().__init__(threads)
        self._server, self._unanswered = server, 0

    def speaker(self, sitting: Sitting, wanted: Wanted) -> Speaker:
        sizes, written = sitting.benchmark.sizes, 0

        def speak(env: gymnasium.Env, messages: Sequence[ChatMessage], turn: int) -> Said:
            nonlocal written
            most = sizes.max_turn_tokens
            if sizes.max_episode_tokens:
                most = max(1, min(most, sizes.max_episode_tokens - written))
            seed = derive_seed(wanted.spec.sampling_seed, turn) % 2**31  # what servers take
            reply = self._server.ask(messages, temperature=sitting.temperature or 0.0, max_tokens=most, seed=seed)
            written += reply.completion_tokens
            return Said(reply.text, reply.stop_reason == "length", reply.prompt_tokens, reply.completion_tokens)

        return speak

    def check(self, episode: TextEpisode) -> None:
        lost = episode.outcome is not None and OutageError.__name__ in episode.outcome.reason
        self._unanswered = self._unanswered + 1 if lost else 0
        if self._unanswered >= GIVE_UP:
            assert episode.outcome is not None
            raise OutageError(
                f"{self._unanswered} episodes in a row were not answered; the last: {episode.outcome.reason}. What has "
                "been played is kept: once the server works, the same command goes on from there"
            )

    def close(self) -> None:
        self._server.close()


class BaselinePlayer(TextPlayer):
    """The environment's own expert ("oracle"), or one of its players who do not look."""

    def __init__(self, name: str, threads: int) -> None:
        super().__init__(threads)
        self._name = name

    def turns(self, sitting: Sitting) -> int:
        return TURNS

    def speaker(self, sitting: Sitting, wanted: Wanted) -> Speaker:
        return speaker(self._name, sitting.seed, wanted.index, sitting.benchmark.spec.id)


def _largest(benchmarks: Sequence[Benchmark]) -> RolloutConfig:
    """Limits that an engine must be ready for to play all of them."""
    sizes = [benchmark.sizes for benchmark in benchmarks]
    names = ("max_turn_tokens", "max_row_tokens", "max_turns", "concurrency", "threads")
    return replace(sizes[0], **{name: max(getattr(one, name) for one in sizes) for name in names})


def _chunks(wanted: Sequence[Wanted]) -> list[list[Wanted]]:
    """Episodes that are played together: of one sample each, since an ended episode is known by its task."""
    chunks: list[list[Wanted]] = []
    for one in wanted:
        if not chunks or len(chunks[-1]) == CHUNK or chunks[-1][-1].sample != one.sample:
            chunks.append([])
        chunks[-1].append(one)
    return chunks
