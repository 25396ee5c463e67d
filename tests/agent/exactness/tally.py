"""Log-probabilities of sampler, trainer and transformers itself, and the sums of what was played."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from agent.agreement import SMALLEST_PROBABILITY, Agreement, compare
from agent.engine.batching import Batch, joined
from agent.model.load import VLM
from agent.parts import GAPS
from agent.roles.actor import Actor
from tests.agent.exactness.checks import mask_errors, picture_errors, processing_errors, token_errors
from tests.agent.exactness.play import Played, batch_of

BOUND = GAPS["float32", "cpu"]
MICRO_BATCH = 2048  # padded tokens


def actor_of(vlm: VLM) -> Actor:
    return Actor(vlm.model, 1.0, vlm.processor.banned_ids)


@torch.no_grad()
def trainer_logprobs(actor: Actor, batch: Batch) -> torch.Tensor:
    """The trainer's, as in training: micro-batches by token budget, prompts of siblings run once."""
    actor.model.train()
    return joined(batch, (actor.logprobs(micro)[0] for micro in batch.split(MICRO_BATCH)))


def gap(actor: Actor, batch: Batch) -> Agreement:
    """Sampler against trainer."""
    return compare(batch, trainer_logprobs(actor, batch), BOUND)


@torch.no_grad()
def own_logprobs(played: Played, batch: Batch) -> torch.Tensor:
    """What transformers says by itself: one whole row at a time, without a cache, with positions of its own making."""
    vlm = played.vlm
    vlm.model.eval()
    found = torch.zeros_like(batch.sampler_logprobs)
    for line, row in enumerate(played.rows):
        ids = torch.tensor([row.token_ids])
        pictures = played.renderer.pictures(row)
        inputs: dict[str, torch.Tensor] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if pictures:
            inputs["pixel_values"] = torch.cat([picture.pixels for picture in pictures])
        if pictures and vlm.family != "llava":
            inputs["image_grid_thw"] = torch.tensor([picture.grid for picture in pictures])
            inputs["mm_token_type_ids"] = (ids == vlm.processor.image_token_id).int()
        logits = vlm.model(**inputs, use_cache=False).logits[0, :-1]
        logits[:, list(vlm.processor.banned_ids)] = -torch.inf
        chosen = logits.log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
        found[line, 1 : len(row)] = chosen
    return torch.where(batch.action_mask, found, torch.zeros(()))


# What happened.


@dataclass
class Tally:
    """Sums over waves. `errors`: by check, in words. `largest`, `mean`: gaps of the trainer from the sampler (nats);
    `own_largest`: of transformers from the sampler."""

    counts: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    errors: dict[str, list[str]] = field(default_factory=dict)
    largest: float = 0.0
    own_largest: float = 0.0
    gaps: float = 0.0

    def add(self, played: Played) -> None:
        """Check a wave and count it."""
        self._count(played)
        self._wrong("tokens", token_errors(played))
        if not played.trained:
            return
        batch = batch_of(played)
        self._wrong("mask", mask_errors(played, batch))
        self._wrong("pictures", picture_errors(played, batch))
        found = gap(actor_of(played.vlm), batch)
        own = compare(batch, own_logprobs(played, batch), BOUND)
        self._wrong("log-probabilities", [f"{found.largest:.2g} nats"] if found.worst else [])
        self._wrong("log-probabilities of transformers", [f"{own.largest:.2g} nats"] if own.worst else [])
        self.largest, self.own_largest = max(self.largest, found.largest), max(self.own_largest, own.largest)
        rare = (batch.sampler_logprobs.exp() <= SMALLEST_PROBABILITY) & batch.action_mask
        self.counts.update(trained=int(batch.action_mask.sum()), rare=int(rare.sum()))
        self.gaps += found.mean * int(batch.action_mask.sum())

    def end(self, vlm: VLM) -> None:
        """After the last wave."""
        self._wrong("processing", processing_errors(vlm))
        self.counts["processed"] = sum(vlm.processor.image_processor.calls.values())

    @property
    def mean(self) -> float:
        return self.gaps / max(1, self.counts["trained"])

    def _wrong(self, check: str, errors: list[str]) -> None:
        self.errors.setdefault(check, []).extend(errors)

    def _count(self, played: Played) -> None:
        actions = [action for trajectory in played.trajectories for action in trajectory.actions]
        rows = [row for trajectory in played.trajectories for row in trajectory.rows]
        for trajectory, world, turns in zip(played.trajectories, played.worlds, played.turns, strict=True):
            self.ends[" ".join(filter(None, (trajectory.outcome.end, trajectory.outcome.reason.split(":")[0])))] += 1
            images = sum(len(scene.images) for scene in world.scenes[: len(turns)])
            self.most |= Counter(turns=len(turns), images=images, rows=len(trajectory.rows))
        self.counts.update(
            episodes=len(played.trajectories),
            rows=len(rows),
            turns=len(actions),
            images=sum(len(row.images) for row in rows),
            tokens=sum(len(action.token_ids) for action in actions),
            stopped=sum(completion.stop_reason == "stop" for turns in played.turns for _, completion in turns),
            differ=sum(reencoded(played, action.token_ids) != action.token_ids for action in actions),
        )


def reencoded(played: Played, token_ids: Sequence[int]) -> tuple[int, ...]:
    """An action as it would be, had its text been encoded again: what this project never does."""
    processor = played.vlm.processor
    kept = tuple(token_ids[-1:]) if token_ids[-1] in processor.stop_ids else ()
    return (*processor.encode(played.renderer.action_text(token_ids)), *kept)
