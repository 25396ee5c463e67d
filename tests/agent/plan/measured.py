"""A real update on the CPU, and the most that torch's allocator gave out while it ran."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from agent.algorithm import resolve
from agent.config import Config
from agent.engine.batching import Batch, make_batch
from agent.engine.experience import Experience
from agent.engine.local import LocalEngine
from agent.model.kept_prompts import KeptPrompts, sheaves
from agent.model.load import VLM
from agent.model.positions import mrope_positions
from agent.model.prompt_pass import PromptTokens
from agent.model.states import packs, share
from agent.model.trainable import parameter_groups
from agent.objective.aggregation import trajectory_weights
from agent.plan.blocks import Head, Shape
from agent.roles.actor import Actor
from agent.rollout.render import Renderer
from agent.types import Row, SampledWith, Segment
from agent.update import Learner, accumulate_gradient


def peak_of(action: Callable[[], object]) -> int:
    """The most bytes at once that the CPU's allocator gave out during `action`, beyond what was there before."""
    gc.collect()  # what others have left must not be freed meanwhile
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        action()
    changes = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(changes, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def rows_of(
    renderer: Renderer, lengths: Sequence[tuple[int, int]], pictures: Sequence[tuple[int, int]], siblings: int = 1
) -> list[Row]:
    """So many rows a length (prompt tokens of text, action tokens), each length with a picture of its own; none for
    (0, 0)."""
    rng = np.random.default_rng(0)
    rows = []
    for (text, actions), (height, width) in zip(lengths, pictures, strict=True):
        shown = [rng.integers(0, 256, (height, width, 3), np.uint8)] if height else []
        row = Row((renderer.prompt("".join(map(chr, rng.integers(97, 123, text))), shown),))
        for _ in range(siblings):
            tokens = tuple(int(token) for token in rng.integers(0, 200, actions))
            drawn = SampledWith(1.0, renderer.processor.banned_ids, actions, 0, 0, "length")
            rows.append(row.append(Segment("action", tokens, 0, (), (-1.0,) * actions, drawn, 0.0)))
    return rows


@dataclass(frozen=True, eq=False)
class Update:
    """A learner with what it learns from. `prompts`: of the rollout, which they are kept of before a gradient is made;
    none: none is kept."""

    config: Config
    vlm: VLM
    batch: Batch
    learner: Learner
    prompts: Sequence[PromptTokens] = ()

    def gradient(self) -> None:
        learner = self.learner
        if self.prompts:
            kept = KeptPrompts()
            for sheaf in sheaves(self.prompts):
                assert kept.run(self.vlm.model, sheaf) is not None
            learner = replace(learner, kept=kept)
        experience = Experience(self.batch)
        count = len(self.batch)
        lengths = torch.zeros(count, dtype=torch.long).index_add_(
            0, self.batch.trajectory, self.batch.action_mask.sum(1)
        )
        weights = trajectory_weights(lengths, lengths > 0, "token_mean")
        accumulate_gradient(learner, experience, weights)

    def step(self) -> None:
        self.gradient()
        self.learner.engine.step()

    @property
    def shape(self) -> Shape:
        """Of the largest micro-batch."""
        micros = list(self.batch.split(self.learner.micro_batch_tokens))
        micro = max(micros, key=lambda one: one.input_ids.numel())
        return Shape(
            rows=len(micro),
            tokens=micro.input_ids.shape[1],
            actions=int(micro.action_mask.sum()),
            pictures=tuple(len(image.pixels) for image in micro.images),
            padded=not bool(micro.attention_mask.all()),
            accumulated=len(micros) > 1,
        )

    @property
    def head(self) -> Head:
        actor = self.learner.actor
        return Head(actor.temperature, len(actor.banned_ids), actor.logprob_chunk, False)


def update_of(
    config: Config,
    vlm: VLM,
    lengths: Sequence[tuple[int, int]],
    pictures: Sequence[tuple[int, int]],
    keep: bool = False,
) -> Update:
    """Of whole rows, one a length; or, where the recipe's sharing is by tree, of `rollout.group_size` siblings each in
    packed rows, whose prompts the rollout may have kept."""
    renderer, packed = Renderer(vlm.processor), config.engine.sharing == "tree"
    rows = rows_of(renderer, lengths, pictures, config.rollout.group_size if packed else 1)
    batch = make_batch(rows, list(range(len(rows))), [1.0] * len(rows), renderer.pixels, vlm.processor.merge)
    if config.model.gradient_checkpointing:
        vlm.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    share(vlm.model, config.engine.sharing)
    assert packs(vlm.model) == packed
    actor = Actor(vlm.model, 1.0, vlm.processor.banned_ids, config.optimizer.logprob_chunk)
    groups = parameter_groups(vlm.model, asdict(config.optimizer.rates))
    engine = LocalEngine(vlm.model, config.optimizer, groups)
    learner = Learner(actor, None, None, engine, resolve(config), config.optimizer.micro_batch_tokens, packed)
    prompts = (
        [_prompt(renderer, row, vlm.processor.merge) for row in rows[:: config.rollout.group_size]] if keep else []
    )
    return Update(config, vlm, batch, learner, prompts)


def _prompt(renderer: Renderer, row: Row, merge: int) -> PromptTokens:
    segment = row.segments[0]
    positions = mrope_positions(len(segment.token_ids), segment.images, merge)
    return PromptTokens(segment.token_ids, positions, [renderer.pixels(span.sha256) for span in segment.images])
