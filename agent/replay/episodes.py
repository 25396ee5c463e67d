"""Episodes played again: the environments of a run are given the recorded actions, and their answers are compared.

The driver is the one that played them; only the engine gives back what was sampled then instead of sampling. So
environments, tools, rendering, parsing, budgets and scoring all do their work once more.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import AgentError, EnvironmentFault, ObservationError, OutageError
from ..model.processor import image_sha256
from ..records import as_read
from ..rollout.engine import Completion, Request
from ..rollout.environments import EnvironmentPool, EnvironmentSpec
from ..rollout.episode import Budget, EpisodeSpec
from ..rollout.episodes import DriverOptions, EpisodeDriver
from ..rollout.render import Renderer
from ..rollout.scripted import ScriptedEngine
from ..types import Segment, Trajectory
from .differences import Difference, trajectory_differences

PART = "episodes"
Record = Mapping[str, Any]  # a line of a recorded file


class RecordedEngine(ScriptedEngine):
    """Gives back what was sampled: turn after turn of the episodes 0, 1, ... of a driver.

    An episode that goes on where the recorded one was over is given an empty turn.
    """

    def __init__(self, trajectories: Sequence[Trajectory]) -> None:
        super().__init__(lambda request: ([], []))
        self._actions = [list(trajectory.actions) for trajectory in trajectories]
        self._turns: Counter[int] = Counter()

    def submit(self, request: Request) -> None:
        self._waiting.append((1, request))  # not kept: a request holds pictures

    def _complete(self, request: Request) -> Completion:
        episode, turn = request.episode, self._turns[request.episode]
        self._turns[episode] += 1
        if turn >= len(self._actions[episode]):
            return Completion(request.id, request.sampling.stop_ids[:1], (0.0,), "stop", 0)
        action: Segment = self._actions[episode][turn]
        sampled = action.sampling
        if sampled is None:
            return Completion(request.id, action.token_ids, None, "stop", 0)
        return Completion(request.id, action.token_ids, action.logprobs, sampled.stop_reason, sampled.weight_version)


@dataclass(eq=False)
class EpisodesAgain:
    """What came of playing episodes again.

    Attributes:
        differences: In the order of episodes, each in the order in which it happened.
        played: Episodes that were compared.
        failed: That the infrastructure broke when they were recorded: they cannot be repeated.
        pictures: Pictures compared, by their hash.
        tokens: Tokens compared.
        broken: Why episodes could not be repeated now, if some could not.
    """

    differences: list[Difference] = field(default_factory=list)
    played: int = 0
    failed: int = 0
    pictures: int = 0
    tokens: int = 0
    broken: list[str] = field(default_factory=list)

    def __add__(self, other: EpisodesAgain) -> EpisodesAgain:
        names = ("differences", "played", "failed", "pictures", "tokens", "broken")
        return EpisodesAgain(*(getattr(self, name) + getattr(other, name) for name in names))


def replay_episodes(
    environment: EnvironmentSpec,
    budget: Budget,
    renderer: Renderer,
    specs: Sequence[EpisodeSpec],
    recorded: Sequence[tuple[Trajectory, Record]],
    options: DriverOptions | None = None,
    on_finished: Callable[[Trajectory], None] = lambda trajectory: None,
    where: str = "",
) -> EpisodesAgain:
    """Play recorded episodes again and compare them with the record.

    Args:
        environment: That they were played in.
        budget: Under which they were played.
        renderer: Of the checkpoint whose tokens they are of.
        specs: Of each episode: world and dice. The dice are compared with those of the record.
        recorded: What `records.read_trajectories` gives.
        options: How many at once.
        on_finished: Hears of each as it ends.
        where: Said before "trajectory 3" where differences are told.

    Raises:
        AgentError: the environment cannot be made.
    """
    found = EpisodesAgain()
    kept = [index for index, (trajectory, _) in enumerate(recorded) if trajectory.outcome.end != "failed"]
    found.failed = len(recorded) - len(kept)
    for index in kept:
        found.differences += _text_differences(*recorded[index], renderer, index, where)
    if not kept:
        return found
    trajectories = [recorded[index][0] for index in kept]
    driver = EpisodeDriver(
        RecordedEngine(trajectories),
        renderer,
        EnvironmentPool(environment),
        replace(options or DriverOptions(), deterministic=True),
    )
    try:
        again = driver.run([specs[index] for index in kept], budget, on_finished)
    except (EnvironmentFault, ObservationError) as error:
        found.differences.append(Difference(PART, "environment", "it answered", f"{type(error).__name__}: {error}"))
        return found
    except OutageError as error:
        found.broken.append(str(error))
        return found
    finally:
        driver.close()
    for index, before, after in zip(kept, trajectories, again, strict=True):
        if after.outcome.end == "failed":
            found.broken.append(f"{where}trajectory {index}: {after.outcome.reason}")
            continue
        found.played += 1
        found.pictures += sum(len(row.images) for row in before.rows)
        found.tokens += sum(len(row) for row in before.rows)
        found.differences += trajectory_differences(before, as_read(after), index, where)
    found.differences.sort(key=lambda difference: difference.trajectory or 0)
    return found


def picture_differences(folder: Path, trajectories: Sequence[Trajectory]) -> Iterator[Difference]:
    """Picture files that are not there or not what their names say. `folder` has "images"."""
    seen: set[str] = set()
    for index, trajectory in enumerate(trajectories):
        for segment in (segment for row in trajectory.rows for segment in row.segments):
            for number, span in enumerate(segment.images):
                if span.sha256 in seen:
                    continue
                seen.add(span.sha256)
                came = _hash_of(folder / "images" / f"{span.sha256}.png")
                if came != span.sha256:
                    what = f"{segment.kind}, picture file {number}"
                    yield Difference(PART, what, span.sha256, came, index, segment.turn)


def read_picture(path: Path) -> np.ndarray:
    """A recorded picture: uint8 (height, width, 3).

    Raises:
        OSError, ValueError: it is not there or is no picture.
    """
    with Image.open(path) as picture:
        return np.asarray(picture)


def _hash_of(path: Path) -> str:
    try:
        return image_sha256(read_picture(path))
    except FileNotFoundError:
        return "no file"
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, AgentError) as error:
        return f"no picture ({error})"


def _text_differences(
    trajectory: Trajectory, record: Record, renderer: Renderer, index: int, where: str
) -> Iterator[Difference]:
    """Tokens that do not say the text that is recorded beside them."""
    decode = renderer.processor.decode
    for row, fields in zip(trajectory.rows, record["rows"], strict=True):
        for segment, of_segment in zip(row.segments, fields["segments"], strict=True):
            said = json.loads(json.dumps(decode(segment.token_ids)))
            if "text" in of_segment and of_segment["text"] != said:
                what = f"{segment.kind}, text of its tokens"
                yield Difference(PART, what, of_segment["text"], said, index, segment.turn, where)
