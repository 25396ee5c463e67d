"""Drive many episodes at once: environments in threads, one engine for all.

A finished turn goes to its environment while others still generate; what the environment answers is appended as new
tokens. Trajectories come back in the order in which episodes were given, whatever finished first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from ..types import Trajectory
from .engine import Completion, RolloutEngine
from .environments import EnvironmentPool
from .episode import Budget, Episode, EpisodeSpec, Received
from .render import Renderer


@dataclass(frozen=True)
class DriverOptions:
    """How episodes are scheduled.

    Attributes:
        concurrency: Episodes open at once.
        threads: Environments that are stepped at once.
        deterministic: Admit turns in rounds: every open episode's environment answers, then all turns are submitted
            together in order. What a batch holds then depends on the episodes alone, never on which thread was faster.
    """

    concurrency: int = 256
    threads: int = 8
    deterministic: bool = True


class EpisodeDriver:
    """Runs episodes of one environment on one engine."""

    def __init__(
        self, engine: RolloutEngine, renderer: Renderer, pool: EnvironmentPool, options: DriverOptions | None = None
    ) -> None:
        self.engine = engine
        self.renderer = renderer
        self.pool = pool
        self.options = options or DriverOptions()
        self._episodes = 0

    def run(
        self,
        specs: Sequence[EpisodeSpec],
        budget: Budget,
        on_finished: Callable[[Trajectory], None] = lambda trajectory: None,
    ) -> list[Trajectory]:
        """Play every episode to its end; `on_finished` hears of each as it ends (for progress).

        Raises:
            EnvironmentFault, ObservationError: an environment broke its contract. Nothing is left generating.
        """
        loop = _rounds if self.options.deterministic else _overlapped
        results: list[Trajectory] = []
        with ThreadPoolExecutor(self.options.threads, thread_name_prefix="env") as threads:
            step = self.options.concurrency if self.options.deterministic else len(specs)
            for start in range(0, len(specs), step or 1):
                episodes = self._open(specs[start : start + step], budget)
                try:
                    loop(self.engine, threads, episodes, self.options.concurrency, on_finished)
                finally:
                    for episode in episodes:
                        self.engine.abort(episode.id)
                        self.engine.release(episode.id)
                results += [episode.trajectory for episode in episodes]
        return results

    def _open(self, specs: Sequence[EpisodeSpec], budget: Budget) -> list[Episode]:
        first = self._episodes
        self._episodes += len(specs)
        return [Episode(first + i, spec, self.pool, self.renderer, budget) for i, spec in enumerate(specs)]


def _rounds(
    engine: RolloutEngine,
    threads: ThreadPoolExecutor,
    episodes: Sequence[Episode],
    concurrency: int,
    on_finished: Callable[[Trajectory], None],
) -> None:
    """All environments, then all turns, and again: batches depend on the episodes alone."""
    steps: list[tuple[Episode, Completion | None]] = [(episode, None) for episode in episodes]
    while steps:
        futures = [threads.submit(_environment, episode, completion) for episode, completion in steps]
        waiting: dict[int, Episode] = {}
        for (episode, completion), future in zip(steps, futures, strict=True):
            episode.receive(future.result(), completion)
            if episode.done:
                on_finished(episode.trajectory)
            else:
                waiting[episode.id] = episode
                engine.submit(episode.request())
        completions: list[Completion] = []
        while len(completions) < len(waiting):
            completions += engine.poll(timeout=1.0)
        completions.sort(key=lambda completion: completion.id)
        steps = [(waiting[completion.id], completion) for completion in completions]


def _overlapped(
    engine: RolloutEngine,
    threads: ThreadPoolExecutor,
    episodes: Sequence[Episode],
    concurrency: int,
    on_finished: Callable[[Trajectory], None],
) -> None:
    """Environments and generation side by side: a turn is submitted as soon as its environment has answered."""
    queue = deque(episodes)
    stepping: dict[Future[Received], tuple[Episode, Completion | None]] = {}
    generating: dict[int, Episode] = {}
    while queue or stepping or generating:
        while queue and len(stepping) + len(generating) < concurrency:
            episode = queue.popleft()
            stepping[threads.submit(_environment, episode, None)] = (episode, None)
        if stepping:
            # With nothing to generate there is only the environments to wait for.
            ready, _ = wait(stepping, timeout=0 if generating else None, return_when=FIRST_COMPLETED)
            for future in ready:
                episode, completion = stepping.pop(future)
                episode.receive(future.result(), completion)
                if episode.done:
                    on_finished(episode.trajectory)
                else:
                    generating[episode.id] = episode
                    engine.submit(episode.request())
        if generating:
            for completion in engine.poll(timeout=0.01 if stepping else 1.0):
                episode = generating.pop(completion.id)
                stepping[threads.submit(_environment, episode, completion)] = (episode, completion)


def _environment(episode: Episode, completion: Completion | None) -> Received:
    """What a thread does for an episode: its environment's next call."""
    return episode.reset() if completion is None else episode.step(completion)
