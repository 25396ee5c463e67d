"""One recorded step, gone through again: episodes, rewards, advantages, losses.

Each part begins from what is recorded, not from what another part came to: so a difference shows where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..algorithm import resolve
from ..beginning import environment_spec
from ..collect import budget, specs_of
from ..errors import RewardFault
from ..evaluate import task_count
from ..failures import NO_BASELINE, dropped, without_lonely
from ..lesson import Rewards, rewards_of
from ..model.processor import ProcessedImage
from ..roles.reward import make_terms
from ..rollout.environments import EnvironmentPool, import_modules
from ..rollout.episode import EpisodeSpec
from ..rollout.episodes import DriverOptions
from ..rollout.render import Renderer
from ..types import Trajectory, TrajectoryGroup
from .differences import Difference, mapping_differences
from .episodes import EpisodesAgain, picture_differences, read_picture, replay_episodes
from .learned import LearnedAgain, advantages_alone, learned_again
from .played import PlayedParts
from .run_folder import RecordedStep, RunFolder

EARLIER = "scores and terms were not recorded (the run is of an earlier version): only their means were compared"


@dataclass(eq=False)
class StepAgain:
    """What came of a step.

    Attributes:
        differences: In the order of the parts.
        unchecked: Parts that could not be checked or not wholly, with the reason.
        losses: Losses and logged numbers that were compared.
        near: The machine that it was recorded on, where that is another and numbers may be apart by rounding.
    """

    step: int
    episodes: EpisodesAgain
    differences: list[Difference] = field(default_factory=list)
    unchecked: dict[str, str] = field(default_factory=dict)
    losses: int = 0
    near: str = ""


class Replayer:
    """Goes through the recorded steps of a run.

    Raises:
        AgentError: the run's environment, tokenizer or algorithm cannot be had.
    """

    def __init__(self, run: RunFolder) -> None:
        config = run.config
        import_modules(config.modules)
        self.run, self.config = run, config
        self.environment = environment_spec(config, "train")
        self.renderer = Renderer(run.processor(), config.rollout.observations)
        pool = EnvironmentPool(self.environment)
        try:
            tasks = task_count(pool)
        finally:
            pool.close()
        self.parts = PlayedParts(
            resolve(config), make_terms(config.reward.terms), self.renderer.processor, self._pixels, train_tasks=tasks
        )

    def replay(
        self, recorded: RecordedStep, on_finished: Callable[[Trajectory], None] = lambda trajectory: None
    ) -> StepAgain:
        """One step; `on_finished` hears of each episode that was played."""
        groups, stands = self._groups(recorded), self._stands
        again = StepAgain(recorded.step, self._episodes(recorded, on_finished))
        again.differences += again.episodes.differences
        if broken := again.episodes.broken:
            again.unchecked["episodes"] = (
                f"{len(broken)} could not be repeated: the infrastructure fails now: {broken[0]}"
            )
        trajectories = [trajectory for trajectory, _ in recorded.episodes]
        try:
            rewards = rewards_of(self.config, stands, trajectories, groups, recorded.step - 1)
        except RewardFault as error:
            again.differences.append(Difference("rewards", "computation", "numbers", str(error)))
            return again
        again.differences += self._rewards(recorded, rewards, again.unchecked)
        if recorded.shares is None:
            learned = advantages_alone(self.config, self.parts, recorded, groups, rewards)
        else:
            learned = learned_again(self.config, self.parts, recorded, groups)
        self._join(again, learned)
        self.renderer.forget()
        return again

    @property
    def _stands(self) -> Any:
        """For `Parts`, of which it has what is asked for."""
        return self.parts

    def _join(self, again: StepAgain, learned: LearnedAgain) -> None:
        again.differences += learned.differences
        again.unchecked |= learned.unchecked
        again.losses, again.near = learned.losses, learned.near

    def _groups(self, recorded: RecordedStep) -> torch.Tensor:
        """The group of each trajectory."""
        size = self.config.rollout.group_size
        return torch.tensor([record.get("group", i // size) for i, (_, record) in enumerate(recorded.episodes)])

    def _pixels(self, sha256: str) -> ProcessedImage:
        """A picture that was seen while episodes were played, or its file. Raises OSError, ValueError."""
        if (known := self.renderer.known(sha256)) is not None:
            return known
        return self.renderer.processor.process(read_picture(self.run.rollouts / "images" / f"{sha256}.png"))

    # Episodes.

    def _episodes(self, recorded: RecordedStep, on_finished: Callable[[Trajectory], None]) -> EpisodesAgain:
        sizes = self.config.rollout
        options = DriverOptions(sizes.concurrency, sizes.threads)
        specs, differences = self._specs(recorded)
        limits = budget(self.config, sizes.temperature)
        found = replay_episodes(self.environment, limits, self.renderer, specs, recorded.episodes, options, on_finished)
        if recorded.greedy is not None:
            alone, limits = [EpisodeSpec(t.task, t.seed, 0) for t, _ in recorded.greedy], budget(self.config, 0.0)
            found += replay_episodes(
                self.environment, limits, self.renderer, alone, recorded.greedy, options, on_finished, "greedy "
            )
        everything = [t for t, _ in (*recorded.episodes, *(recorded.greedy or ()))]
        files = picture_differences(self.run.rollouts, everything)
        found.differences = [*differences, *files, *found.differences, *self._dropped(recorded)]
        return found

    def _specs(self, recorded: RecordedStep) -> tuple[list[EpisodeSpec], list[Difference]]:
        """World and dice of each episode, as the run's seed gives them, and where the record has others. A group that
        replaced one which said nothing has those of a later attempt."""
        size, specs, differences = self.config.rollout.group_size, [], []
        attempts = range(self.config.algorithm.selection.resample_rounds + 1)
        step, episodes = recorded.step - 1, recorded.episodes
        planned = self.config.rollout.prompts_per_step * size
        if len(episodes) != planned:
            differences.append(Difference("episodes", "number of episodes", len(episodes), planned))
        for place, first in enumerate(range(0, len(episodes), size)):
            group = [trajectory for trajectory, _ in episodes[first : first + size]]
            possible = [specs_of(self.config, self._stands, step, [place], attempt) for attempt in attempts]
            (planned_group, *_) = [one for one in possible if one[0].seed == group[0].seed] or possible
            for index, (trajectory, spec) in enumerate(zip(group, planned_group, strict=False), first):
                named = [(name, getattr(trajectory, name), getattr(spec, name)) for name in ("seed", "task")]
                differences += [Difference("episodes", n, old, new, index) for n, old, new in named if old != new]
                specs.append(replace(spec, task=trajectory.task, seed=trajectory.seed))
        return specs, differences

    def _dropped(self, recorded: RecordedStep) -> Iterator[Difference]:
        """What was left out with episodes that the infrastructure broke must be left out now, and nothing else."""
        size = self.config.rollout.group_size
        for place, first in enumerate(range(0, len(recorded.episodes), size)):
            members = [t for t, _ in recorded.episodes[first : first + size]]
            if len({(t.env_id, t.task, t.seed) for t in members}) != 1:
                continue  # told already: one of them has another world than the run gives it
            group = without_lonely(TrajectoryGroup(tuple(replace(t, dropped="") for t in members)))
            greedy = [trajectory for trajectory, _ in (recorded.greedy or ())[place : place + 1]]
            if any(not trajectory.valid for trajectory in greedy):
                group = dropped(group, NO_BASELINE)
            for index, (old, new) in enumerate(zip(members, group.trajectories, strict=True), first):
                if old.dropped != new.dropped:
                    yield Difference("episodes", "dropped", old.dropped, new.dropped, index)

    # Rewards.

    def _rewards(self, recorded: RecordedStep, rewards: Rewards, unchecked: dict[str, str]) -> Iterator[Difference]:
        """Each trajectory's terms, then its score; of an earlier version's run the means that were logged."""
        if "scored" not in recorded.episodes[0][1]:
            unchecked["rewards"] = EARLIER
            valid, logged = rewards.valid, recorded.logged or {}
            means = {"reward": rewards.scores, **{f"reward/{name}": added for name, added in rewards.terms.items()}}
            now = {name: float(values[valid].mean()) for name, values in means.items() if name in logged}
            for name, old, new in mapping_differences({name: logged[name] for name in now}, now):
                yield Difference("rewards", f"{name} in metrics.jsonl", old, new)
            return
        for index, (_, record) in enumerate(recorded.episodes):
            now = {f"term {name}": float(added[index]) for name, added in rewards.terms.items()}
            old = {f"term {name}": value for name, value in record["terms"].items()}
            now["score"], old["score"] = float(rewards.scores[index]), record["scored"]
            for what, before, after in mapping_differences(old, now):
                yield Difference("rewards", what, before, after, index)
