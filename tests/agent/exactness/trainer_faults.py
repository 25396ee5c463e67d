"""Faults of the trainer: what the tensors of one row say that is not so."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from agent.engine.batching import Batch, make_batch
from agent.model.processor import ProcessedImage
from agent.roles.actor import Actor
from agent.types import Row, Segment
from tests.agent.exactness.play import Played, batch_of
from tests.agent.exactness.tally import actor_of, reencoded


@dataclass(frozen=True, eq=False)
class Case:
    """One row that is trained on, with the actor that judges it."""

    played: Played
    index: int
    number: int

    @property
    def row(self) -> Row:
        return self.played.trajectories[self.index].rows[self.number]

    @property
    def actor(self) -> Actor:
        return actor_of(self.played.vlm)

    @cached_property
    def batch(self) -> Batch:
        return batch_of(self.played, [(self.index, self.number)])

    def again(self, row: Row) -> Batch:
        """The tensors of a changed row."""
        return make_batch([row], [self.index], [1.0], self.played.renderer.pixels, self.played.vlm.processor.merge)

    def with_images(self, *images: ProcessedImage) -> Batch:
        return replace(self.batch, images=images)


Judged = tuple[Actor, Batch]


# None: the fault cannot occur in this row.


def position_shifted(case: Case) -> Judged | None:
    """From the last token of the prompt on, everything stands one further."""
    positions = case.batch.position_ids.clone()
    positions[:, :, int(case.batch.prompt_length[0]) - 1 :] += 1
    return case.actor, replace(case.batch, position_ids=positions)


def pixel_changed(case: Case) -> Judged | None:
    """One pixel of the last picture that an action follows is inverted."""
    if not case.batch.images:
        return None
    *before, last = case.batch.images
    original = last.original.copy()
    middle = original.shape[0] // 2, original.shape[1] // 2
    original[middle] = np.where(original[middle] < 128, 255, 0)
    return case.actor, case.with_images(*before, case.played.vlm.processor.process(original))


def tensor_changed(case: Case) -> Judged | None:
    """One number of one pixel tensor is another."""
    if not case.batch.images:
        return None
    *before, last = case.batch.images
    pixels = last.pixels.clone()
    pixels.view(-1)[pixels.numel() // 2] += 1.0
    return case.actor, case.with_images(*before, replace(last, pixels=pixels, sha256="changed"))


def pictures_swapped(case: Case) -> Judged | None:
    """Two pictures of one grid change places."""
    images = list(case.batch.images)
    for i, one in enumerate(images):
        for j, other in enumerate(images[:i]):
            if one.grid == other.grid and not _alike(one, other):
                images[i], images[j] = other, one
                return case.actor, case.with_images(*images)
    return None


def pictures_reversed(case: Case) -> Judged | None:
    """The spans of a row name its pictures in reversed order."""
    images = case.batch.images
    if all(map(_alike, images, reversed(images))):
        return None
    names = iter([image.sha256 for image in reversed(images)])
    segments = tuple(
        replace(segment, images=tuple(replace(span, sha256=next(names)) for span in segment.images))
        for segment in case.row.segments
    )
    return case.actor, case.again(Row(segments))


def tensors_reversed(case: Case) -> Judged | None:
    """The row is right and the tensors come in reversed order."""
    images = case.batch.images
    if all(map(_alike, images, reversed(images))):
        return None
    return case.actor, case.with_images(*reversed(images))


def feature_lost(case: Case) -> Judged | None:
    """A picture has one placeholder less than it has features."""
    for place, segment in enumerate(case.row.segments):
        if segment.images:
            *before, last = segment.images
            cut = replace(last, length=last.length - 1) if last.length > 1 else replace(last, grid=(1, 1, 2))
            ids = list(segment.token_ids)
            if last.length > 1:
                del ids[last.start]
            changed = replace(segment, token_ids=tuple(ids), images=(*before, cut))
            return case.actor, case.again(_with(case.row, place, changed))
    return None


def encoded_again(case: Case) -> Judged | None:
    """The first action whose text has other tokens has those."""
    for place, segment in enumerate(case.row.segments):
        if segment.kind == "action" and (ids := reencoded(case.played, segment.token_ids)) != segment.token_ids:
            return case.actor, case.again(_with(case.row, place, replace(segment, token_ids=ids)))
    return None


def encoded_again_and_fitted(case: Case) -> Judged | None:
    """The same, with as many log-probabilities as it has tokens now."""
    for place, segment in enumerate(case.row.segments):
        if segment.kind == "action" and (ids := reencoded(case.played, segment.token_ids)) != segment.token_ids:
            known = segment.logprobs or ()
            fitted = (*known, *[known[-1]] * len(ids))[: len(ids)]
            again = replace(segment, token_ids=ids, logprobs=fitted)
            return case.actor, case.again(_with(case.row, place, again))
    return None


def sampled_token_changed(case: Case) -> Judged | None:
    """The first sampled token is another."""
    ids = case.batch.input_ids.clone()
    where = int(case.batch.action_mask[0].nonzero()[0])
    ids[0, where] = (ids[0, where] + 1) % 256
    return case.actor, replace(case.batch, input_ids=ids)


def observed_token_changed(case: Case) -> Judged | None:
    """A token shortly before the first action is another."""
    ids = case.batch.input_ids.clone()
    where = int(case.batch.prompt_length[0]) - 1
    ids[0, where] = (ids[0, where] + 1) % 256
    return case.actor, replace(case.batch, input_ids=ids)


def mask_early(case: Case) -> Judged | None:
    """The mask stands one token too early."""
    return case.actor, replace(case.batch, action_mask=_shifted(case.batch.action_mask, -1))


def mask_late(case: Case) -> Judged | None:
    """The mask stands one token too late; after a last action there is nothing that could be trained instead."""
    if sum(1 for _ in case.row.actions) < 2:
        return None
    return case.actor, replace(case.batch, action_mask=_shifted(case.batch.action_mask, 1))


def logprobs_late(case: Case) -> Judged | None:
    """The sampler's log-probabilities stand one token too late."""
    late = torch.nn.functional.pad(case.batch.sampler_logprobs[:, :-1], (1, 0))
    return case.actor, replace(case.batch, sampler_logprobs=late)


def other_temperature(case: Case) -> Judged | None:
    return replace(case.actor, temperature=0.99), case.batch


def banned_allowed(case: Case) -> Judged | None:
    return replace(case.actor, banned_ids=()), case.batch


TRAINER_FAULTS: dict[str, Callable[[Case], Judged | None]] = {
    "positions shifted by one": position_shifted,
    "one pixel of a picture inverted": pixel_changed,
    "one number of a pixel tensor changed": tensor_changed,
    "two pictures of one grid swapped": pictures_swapped,
    "pictures of a row reversed": pictures_reversed,
    "pixel tensors of a row reversed": tensors_reversed,
    "a placeholder less than features": feature_lost,
    "an action encoded again": encoded_again,
    "an action encoded again, log-probabilities fitted": encoded_again_and_fitted,
    "a sampled token changed": sampled_token_changed,
    "an observed token changed": observed_token_changed,
    "mask one token early": mask_early,
    "mask one token late": mask_late,
    "log-probabilities one token late": logprobs_late,
    "temperature 0.99 for 1": other_temperature,
    "trainer forgets banned tokens": banned_allowed,
}


def _alike(one: ProcessedImage, other: ProcessedImage) -> bool:
    """The same to the model: a pixel may be lost when a picture is made smaller."""
    return one.pixels.shape == other.pixels.shape and bool((one.pixels - other.pixels).abs().max() < 0.5)


def _with(row: Row, place: int, segment: Segment) -> Row:
    return Row((*row.segments[:place], segment, *row.segments[place + 1 :]))


def _shifted(mask: torch.Tensor, by: int) -> torch.Tensor:
    padded = torch.nn.functional.pad(mask, (1, 1))
    return padded[:, 1 - by : 1 - by + mask.shape[1]]
