"""Drive many episodes at once: environments in threads, one engine for all.

A finished turn goes to its environment while others still generate; what the environment answers is appended as new
tokens. Trajectories come back in the order in which episodes were given, whatever finished first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..types import Trajectory
from .engine import Completion, RolloutEngine
from .environments import EnvironmentPool
from .episode import Budget, Episode, EpisodeSpec, Received
from .render import Renderer
from .stepping import EnvironmentThreads, Step

# Seconds for which an engine elsewhere may keep environments waiting that have answered meanwhile.
PATIENCE = 0.01


@dataclass(frozen=True)
class DriverOptions:
    """How episodes are scheduled.

    Attributes:
        concurrency: Episodes open at once; one that ends makes room for the next.
        threads: Environments that are stepped at once, at most. A thread that waits for a tool costs nothing, and an
            environment that finds none free stands still, so that each open episode may have one unless told otherwise.
        deterministic: Admit turns in rounds: every open episode's environment answers, then all turns are submitted
            together in order. What a batch holds then depends on the episodes alone, never on which thread was faster.
    """

    concurrency: int = 256
    threads: int = 256
    deterministic: bool = True


@dataclass(frozen=True, eq=False)
class Begun:
    """Episodes of which the first `opened` have environments that are being reset."""

    specs: tuple[EpisodeSpec, ...]
    budget: Budget
    episodes: list[Episode]
    threads: EnvironmentThreads
    opened: int


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
        self._begun: Begun | None = None
        self._threads = EnvironmentThreads(min(self.options.threads, self.options.concurrency))

    def begin(self, specs: Sequence[EpisodeSpec], budget: Budget) -> None:
        """Open the episodes that the next `run` of the same specs and budget plays, and reset their environments while
        the caller computes something else. What goes wrong is told by that `run`."""
        self.abandon()
        episodes = self._episodes_of(specs, budget)
        opening = episodes[: self.options.concurrency]
        self._begun = Begun(tuple(specs), budget, episodes, self._threads, len(opening))
        try:
            for episode in opening:
                episode.open()
        except Exception:
            self.abandon()
        else:
            self._threads.ask([(episode, None) for episode in opening])

    def abandon(self) -> None:
        """Give back what `begin` opened and no `run` has taken."""
        if self._begun is not None:
            self._threads.settle()
            for episode in self._begun.episodes:
                episode.close()
            self._begun = None

    def close(self) -> None:
        """Close the environments."""
        self.abandon()
        self._threads.close()
        self.pool.close()

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
        if self.options.deterministic:
            self.engine.forget()  # what was played before must not change how this is rounded
        begun = self._taken(specs, budget)
        episodes = begun.episodes
        first = episodes[0].id if episodes else 0
        ended: list[Trajectory | None] = [None] * len(specs)

        def finished(episode: Episode) -> None:
            self.engine.release(episode.id)
            ended[episode.id - first] = trajectory = episode.trajectory
            on_finished(trajectory)

        try:
            with self._threads.settled():
                loop(self.engine, begun, self.options.concurrency, finished)
        finally:
            # No thread is in an environment any more. Only after an error is there anything to stop and give back.
            for episode in episodes:
                if ended[episode.id - first] is None:
                    self.engine.abort(episode.id)
                    self.engine.release(episode.id)
                    episode.close()
        return [trajectory for trajectory in ended if trajectory is not None]

    def _taken(self, specs: Sequence[EpisodeSpec], budget: Budget) -> Begun:
        """What was begun, if it is these; otherwise nothing is open yet."""
        begun = self._begun
        if begun is not None and (begun.specs, begun.budget) == (tuple(specs), budget):
            self._begun = None
            return begun
        self.abandon()
        return Begun(tuple(specs), budget, self._episodes_of(specs, budget), self._threads, 0)

    def _episodes_of(self, specs: Sequence[EpisodeSpec], budget: Budget) -> list[Episode]:
        first = self._episodes
        self._episodes += len(specs)
        return [Episode(first + i, spec, self.pool, self.renderer, budget) for i, spec in enumerate(specs)]


def _rounds(engine: RolloutEngine, begun: Begun, concurrency: int, finished: Callable[[Episode], None]) -> None:
    """All environments, then all turns, and again: batches depend on the episodes alone. So does which are open: one
    that ends makes room for the next before the turns are generated."""
    threads, queue = begun.threads, deque(begun.episodes[begun.opened :])
    steps: list[Step] = [(episode, None) for episode in begun.episodes[: begun.opened]]
    asked = begun.opened
    while queue or steps:
        waiting: dict[int, Episode] = {}
        while steps or (queue and len(waiting) < concurrency):
            while queue and len(waiting) + len(steps) < concurrency:
                episode = queue.popleft()
                episode.open()
                steps.append((episode, None))
            # All answers before the first is rendered: rendering would fight running environments for the interpreter.
            threads.ask(steps[asked:])
            answers, asked = threads.answers(len(steps)), 0
            for (episode, completion), answer in zip(steps, answers, strict=True):
                _receive(engine, episode, completion, answer, waiting, finished)
            steps = []
        completions: list[Completion] = []
        while len(completions) < len(waiting):
            completions += engine.poll(timeout=1.0)
        completions.sort(key=lambda completion: completion.id)
        steps = [(waiting[completion.id], completion) for completion in completions]


def _overlapped(engine: RolloutEngine, begun: Begun, concurrency: int, finished: Callable[[Episode], None]) -> None:
    """Environments and generation side by side: a turn is submitted as soon as its environment has answered."""
    threads, queue = begun.threads, deque(begun.episodes[begun.opened :])
    stepping = begun.opened
    generating: dict[int, Episode] = {}
    while queue or stepping or generating:
        while queue and stepping + len(generating) < concurrency:
            episode = queue.popleft()
            episode.open()
            threads.start((episode, None))
            stepping += 1
        if stepping:
            # With nothing to generate there is only the environments to wait for.
            for (episode, completion), answer in threads.finished(wait=not generating):
                stepping -= 1
                _receive(engine, episode, completion, answer, generating, finished)
        if generating:
            for completion in engine.poll(timeout=PATIENCE if stepping else 1.0):
                threads.start((generating.pop(completion.id), completion))
                stepping += 1


def _receive(
    engine: RolloutEngine,
    episode: Episode,
    completion: Completion | None,
    answer: Received,
    generating: dict[int, Episode],
    finished: Callable[[Episode], None],
) -> None:
    """Take in what an environment answered: the episode is over, or its next turn is generated."""
    episode.receive(answer, completion)
    if episode.done:
        finished(episode)
    else:
        generating[episode.id] = episode
        engine.submit(episode.request())
