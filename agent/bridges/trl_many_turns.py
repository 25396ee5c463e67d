"""Environments of many turns in TRL: our episode driver plays them with the trainer's own model.

    trainer = GRPOTrainer(
        model=folder,
        rollout_func=rollout_function(env_id, folder, turn_limit=8, max_row_tokens=4096, **kwargs),
        reward_funcs=episode_reward,
        train_dataset=to_dataset(env_id, "train", 1000, **kwargs),
        processing_class=...,
    )

TRL 1.16 trains one sequence an episode: `prompt_ids`, then `completion_ids` with `env_mask`, 1 at the action tokens of
every turn and 0 at observations. What it has no place for, and is refused here:

- Pictures in later observations. TRL gives the model the pictures of the data set's column `images` and no others;
  what else `rollout_func` returns goes to the reward functions. The first prompt's pictures are in that column, and
  are checked to be those that the policy saw.
- Environments that rebuild their prompt, whose episodes are several sequences.

Sampling is ours: banned tokens have no probability here and a little in TRL's loss, whose logits know no ban.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..rollout.episode import Budget, EpisodeSpec
from ..rollout.episodes import DriverOptions, EpisodeDriver
from ..rollout.hf import TransformersEngine
from ..seeds import derive_seed
from ..types import Segment, Trajectory
from .trl_worlds import Messages, Pools, content, coordinates, differs, renderer_of


@dataclass(frozen=True)
class Sequenced:
    """A trajectory as TRL trains it. `logprobs` and `env_mask` have one entry a completion token; 0.0 and 0 at what the
    policy did not say."""

    prompt_ids: list[int]
    completion_ids: list[int]
    logprobs: list[float]
    env_mask: list[int]


def sequenced(trajectory: Trajectory) -> Sequenced:
    """A trajectory of one row with pictures in its prompt only.

    Raises:
        ConfigError: it has several rows, or pictures in a later observation.
    """
    if len(trajectory.rows) > 1:
        raise ConfigError(
            f"{trajectory.env_id} rebuilds its prompt in an episode, and TRL trains one sequence an episode; train it "
            "with `python -m agent train`"
        )
    prompt, *later = trajectory.rows[0].segments
    for segment in later:
        if segment.images:
            raise ConfigError(
                f"{trajectory.env_id} shows pictures in turn {segment.turn}, after the policy's first answer. TRL's "
                "rollout_func has no place for them: the model is given the pictures of the data set's column `images` "
                "only. Train it with `python -m agent train`"
            )
    made = Sequenced(list(prompt.token_ids), [], [], [])
    for segment in later:
        said = segment.kind == "action"
        made.completion_ids.extend(segment.token_ids)
        made.logprobs.extend((segment.logprobs if said else None) or [0.0] * len(segment.token_ids))
        made.env_mask.extend([int(said)] * len(segment.token_ids))
    return made


class EnvironmentRollout:
    """A `rollout_func` of TRL. See `rollout_function`."""

    def __init__(
        self,
        env_id: str,
        checkpoint: str | Path,
        turn_limit: int,
        max_row_tokens: int,
        max_turn_tokens: int | None,
        options: DriverOptions | None,
        kwargs: dict[str, Any],
    ) -> None:
        self._pools = Pools(env_id, kwargs)
        self._renderer = renderer_of(checkpoint)
        self._limits = (max_turn_tokens, max_row_tokens, turn_limit)
        self._options = options
        self._calls: dict[tuple[str, int], int] = {}
        self._checked: set[tuple[int, ...]] = set()

    def __call__(self, prompts: Sequence[Messages], trainer: Any) -> dict[str, list[Any]]:
        """Play one episode a prompt.

        Returns:
            `prompt_ids`, `completion_ids`, `logprobs`, `env_mask`, and for reward functions `episode_return` (None for
            an episode that the infrastructure broke) and `episode_end`, such as "terminated".

        Raises:
            ConfigError: what TRL has no place for, or a model that this process does not hold whole.
            EnvironmentFault, ObservationError: an environment broke its contract.
        """
        trajectories = self._play(prompts, trainer)
        made = [self._sequence(*pair, trainer) for pair in zip(trajectories, prompts, strict=True)]
        self._renderer.forget()
        return {
            "prompt_ids": [one.prompt_ids for one in made],
            "completion_ids": [one.completion_ids for one in made],
            "logprobs": [one.logprobs for one in made],
            "env_mask": [one.env_mask for one in made],
            "episode_return": [trajectory.outcome.score for trajectory in trajectories],
            "episode_end": [trajectory.outcome.end for trajectory in trajectories],
        }

    def close(self) -> None:
        """Close the environments."""
        self._pools.close()

    def _play(self, prompts: Sequence[Messages], trainer: Any) -> list[Trajectory]:
        worlds = [coordinates(prompt) for prompt in prompts]
        seeds = self._sampling_seeds(len(prompts), trainer)
        specs = [EpisodeSpec(world.task, world.seed, seed) for world, seed in zip(worlds, seeds, strict=True)]
        turn_tokens, row_tokens, turns = self._limits
        budget = Budget(trainer.args.temperature, turn_tokens or trainer.args.max_completion_length, row_tokens, turns)
        processor = self._renderer.processor
        model = _whole(trainer, processor.vocabulary)
        training = model.training
        played: list[Trajectory | None] = [None] * len(prompts)
        try:
            for split in {world.split for world in worlds}:
                engine = TransformersEngine(model, processor.image_token_id, processor.merge)
                driver = EpisodeDriver(engine, self._renderer, self._pools.of(split), self._options)
                places = [i for i, world in enumerate(worlds) if world.split == split]
                for place, trajectory in zip(places, driver.run([specs[i] for i in places], budget), strict=True):
                    played[place] = trajectory
        finally:
            model.train(training)  # TRL reads from it whether it trains or evaluates
        return [trajectory for trajectory in played if trajectory is not None]

    def _sampling_seeds(self, count: int, trainer: Any) -> list[int]:
        """From the run's seed, the step, the process and the place: siblings differ, and a run can be repeated."""
        where = ("train" if trainer.model.training else "eval", int(trainer.state.global_step))
        self._calls = {where: self._calls.get(where, 0) + 1}
        rank, calls = int(trainer.accelerator.process_index), self._calls[where]
        return [derive_seed(int(trainer.args.seed), "trl", *where, calls, rank, i) for i in range(count)]

    def _sequence(self, trajectory: Trajectory, prompt: Messages, trainer: Any) -> Sequenced:
        expected = self._renderer.prompt(*content(prompt))
        if trajectory.rows:
            made = sequenced(trajectory)
            first = trajectory.rows[0].segments[0]
            if (first.token_ids, _pictures(first)) != (expected.token_ids, _pictures(expected)):
                raise differs(trajectory.env_id, prompt)
        else:  # its reset failed, or its prompt is too long; TRL needs a sequence all the same
            made = Sequenced(list(expected.token_ids), [], [], [])
        if expected.images:
            self._check_tokens(expected, prompt, trainer)
        if not made.completion_ids:
            made = Sequenced(made.prompt_ids, [self._renderer.processor.stop_ids[0]], [0.0], [0])
        # TRL gives no advantage where there is no reward; without the mask its other terms would still train.
        return made if trajectory.valid else replace(made, env_mask=[0] * len(made.env_mask))

    def _check_tokens(self, expected: Segment, prompt: Messages, trainer: Any) -> None:
        """With pictures, TRL tokenizes the prompt itself too, and tells the model from that where they are."""
        if expected.token_ids in self._checked:
            return
        tokenizer = getattr(trainer.processing_class, "tokenizer", trainer.processing_class)
        if tokenizer.padding_side != "left":
            raise ConfigError(
                "TRL pads prompts on the left and takes from its processing_class which of their tokens are pictures; "
                f'its tokenizer has padding_side={tokenizer.padding_side!r}: set it to "left"'
            )
        theirs = trainer.processing_class.apply_chat_template(
            conversation=[prompt], add_generation_prompt=True, tokenize=True, return_dict=True
        )["input_ids"][0]
        if list(theirs) != list(expected.token_ids):
            raise ConfigError(
                f"TRL's processing_class makes other tokens of {coordinates(prompt)} than the checkpoint given to "
                "rollout_function, so it would put the pictures elsewhere. Give both the same checkpoint; a text that "
                "spells control tokens, which only TRL takes for such, cannot be trained with pictures here"
            )
        self._checked.add(expected.token_ids)


def rollout_function(
    env_id: str,
    checkpoint: str | Path,
    turn_limit: int,
    max_row_tokens: int,
    max_turn_tokens: int | None = None,
    options: DriverOptions | None = None,
    **kwargs: Any,
) -> EnvironmentRollout:
    """What TRL's `rollout_func` takes; `episode_reward` is the reward function that goes with it.

    Args:
        env_id: As for `to_dataset`.
        checkpoint: The model's folder: its tokenizer, image processor and chat template. The weights are the trainer's.
        turn_limit: Turns after which an episode is truncated, whatever the environment says.
        max_row_tokens: Tokens that prompt and completion may have together; TRL cuts nothing that a rollout returns.
        max_turn_tokens: Of one turn; by default the trainer's `max_completion_length`.
        options: Of the episode driver.
        kwargs: As for `to_dataset`.

    Sampling has the trainer's `temperature`, and its `seed` enters every draw. The model must be whole in each process
    (one process, or DDP); it may have an adapter of peft.
    """
    return EnvironmentRollout(env_id, checkpoint, turn_limit, max_row_tokens, max_turn_tokens, options, kwargs)


def episode_reward(episode_return: Sequence[float | None], **_: Any) -> list[float | None]:
    """The reward function of `rollout_function`: the sum of an episode's rewards, None where infrastructure failed."""
    return list(episode_return)


def _pictures(segment: Segment) -> list[str]:
    return [span.sha256 for span in segment.images]


def _whole(trainer: Any, vocabulary: int) -> Any:
    """The model to sample from: the trainer's own, without wrappers, its adapter in place."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    model = model.get_base_model() if hasattr(model, "get_base_model") else model
    if any(parameter.numel() == 0 or hasattr(parameter, "full_tensor") for parameter in model.parameters()):
        raise ConfigError(
            "rollout_function: the model's weights are sharded over processes, and sampling needs them whole; use DDP "
            "instead of FSDP or ZeRO-3"
        )
    rows = model.get_input_embeddings().weight.shape[0]
    if rows != vocabulary:
        raise ConfigError(
            f"rollout_function: the trainer's model has {rows} tokens and the checkpoint {vocabulary}; give the folder "
            "of the model that is trained"
        )
    return model
