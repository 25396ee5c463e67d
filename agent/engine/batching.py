"""Trajectories as tensors: one line a row, padded on the right, split by a token budget.

All (rows, tokens) tensors are aligned with the tokens: entry t belongs to token t, also where it was computed from the
tokens before it. A batch in which images and placeholders disagree cannot be built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..model.positions import mrope_positions
from ..model.processor import ProcessedImage
from ..types import Row
from .splitting import Prompt, Units, balanced, filled

TOKENS = ("input_ids", "attention_mask", "action_mask", "sampler_logprobs", "advantages", "turns")


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows as tensors.

    Attributes:
        input_ids: Expanded token ids, 0 where padded.
        attention_mask: True at tokens, False at padding.
        position_ids: Multimodal rotary positions.
        action_mask: True at the tokens that are trained.
        sampler_logprobs: What the sampler said of the actions, 0 elsewhere (and for demonstrations).
        advantages: One a token, 0 outside actions.
        turns: Turn of each token, 0 where padded.
        trajectory: Which trajectory each row belongs to; rows of one trajectory are neighbours.
        prompt_length: Tokens of each row's prompt; the first action begins there.
        prompt_images: Images of each row's prompt.
        images: One for each image of the rows, in reading order.
        image_row: The row of each image.
    """

    input_ids: Int[Tensor, "rows tokens"]
    attention_mask: Bool[Tensor, "rows tokens"]
    position_ids: Int[Tensor, "3 rows tokens"]
    action_mask: Bool[Tensor, "rows tokens"]
    sampler_logprobs: Float[Tensor, "rows tokens"]
    advantages: Float[Tensor, "rows tokens"]
    turns: Int[Tensor, "rows tokens"]
    trajectory: Int[Tensor, " rows"]
    prompt_length: Int[Tensor, " rows"]
    prompt_images: Int[Tensor, " rows"]
    images: tuple[ProcessedImage, ...]
    image_row: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def predicting(self) -> Bool[Tensor, "rows tokens"]:
        """True at the tokens whose next one is an action: where it is chosen."""
        before = torch.zeros_like(self.action_mask)
        before[:, :-1] = self.action_mask[:, 1:]
        return before

    def spans(
        self, max_tokens: int, whole: bool = False, packed: bool = False, count: int | None = None
    ) -> Iterator[tuple[int, int, int]]:
        """(first row, row after the last, width) of micro-batches: neighbouring rows, cut to their own longest and
        holding at most `max_tokens` tokens, padding included; `packed`: of padding none, and of equal prompts one. What
        is longer by itself stands alone: a row, or with `whole` a trajectory, whose rows then stay together.

        count: How many, of about equal tokens, see `balanced`; None: as few as hold all.
        """
        lengths = self.attention_mask.sum(1).tolist()
        owners = self.trajectory.tolist() if whole else list(range(len(self)))
        ends = [i for i in range(len(self)) if i == 0 or owners[i] != owners[i - 1]] + [len(self)]
        prompts = list(zip(self.prompts(), self.prompt_length.tolist(), strict=True)) if packed else None
        units = Units(lengths, ends, prompts)
        cuts = filled(units, max_tokens) if count is None else balanced(units, max_tokens, count)
        return ((start, stop, max(lengths[start:stop])) for start, stop in pairwise(cuts))

    def prompts(self) -> list[Prompt]:
        """What rows must have in common to share their prompt: its tokens and the hashes of its pictures."""
        ids, counts, pictures = self.input_ids.numpy(), self.prompt_images.tolist(), self.images_of_rows()
        return [
            (ids[row, :length].tobytes(), tuple(image.sha256 for image in pictures[row][: counts[row]]))
            for row, length in enumerate(self.prompt_length.tolist())
        ]

    def images_of_rows(self) -> list[list[ProcessedImage]]:
        """The pictures of each row, in order."""
        found: list[list[ProcessedImage]] = [[] for _ in range(len(self))]
        for image, row in zip(self.images, self.image_row, strict=True):
            found[row].append(image)
        return found

    def split(
        self, max_tokens: int, whole: bool = False, packed: bool = False, count: int | None = None
    ) -> Iterator[Batch]:
        """The batch in micro-batches, see `spans`."""
        for start, stop, width in self.spans(max_tokens, whole, packed, count):
            yield self.select(range(start, stop), width)

    def select(self, rows: Sequence[int], width: int | None = None) -> Batch:
        """These rows in ascending order, cut to `width` tokens."""
        if len(rows) == len(self) and (width is None or width >= self.input_ids.shape[1]):
            return self
        place = {row: i for i, row in enumerate(rows)}
        kept = [i for i, row in enumerate(self.image_row) if row in place]
        which = torch.tensor(list(rows), dtype=torch.long)
        return Batch(
            **{name: getattr(self, name)[which, :width] for name in TOKENS},
            **{name: getattr(self, name)[which] for name in ("trajectory", "prompt_length", "prompt_images")},
            position_ids=self.position_ids[:, which, :width],
            images=tuple(self.images[i] for i in kept),
            image_row=tuple(place[self.image_row[i]] for i in kept),
        )


def joined(batch: Batch, pieces: Iterable[Float[Tensor, "rows tokens"]]) -> Float[Tensor, "rows tokens"]:
    """What was worked out for the micro-batches of a batch, each as wide as its own rows, as one tensor on the CPU."""
    width = batch.input_ids.shape[1]
    pieces = list(pieces)
    if not pieces:  # another process has all rows
        return torch.zeros(batch.input_ids.shape)
    return torch.cat([torch.nn.functional.pad(p, (0, width - p.shape[1])).cpu() for p in pieces])


def empty_batch() -> Batch:
    """No rows: the share of a process that has none of a step's."""
    whole, numbers = torch.zeros((0, 1), dtype=torch.long), torch.zeros(0, dtype=torch.long)
    flags, reals = torch.zeros((0, 1), dtype=torch.bool), torch.zeros((0, 1))
    positions = torch.zeros((3, 0, 1), dtype=torch.long)
    return Batch(whole, flags, positions, flags, reals, reals, whole, numbers, numbers, numbers, (), ())


def make_batch(
    rows: Sequence[Row],
    trajectory: Sequence[int],
    advantages: Sequence[float],
    pixels: Callable[[str], ProcessedImage],
    merge: int,
) -> Batch:
    """Tensors for these rows.

    Args:
        rows: At least one; as many as `trajectory` and `advantages` have entries.
        trajectory: Which trajectory each row belongs to.
        advantages: One a row; every action token of the row gets it.
        pixels: The picture with a given hash.
        merge: Patches per side of one image token.

    Raises:
        ValueError: an image's features do not number its placeholder tokens, or its span holds anything else.
    """
    if not len(rows) == len(trajectory) == len(advantages) > 0:
        raise ValueError(f"{len(rows)} rows, {len(trajectory)} trajectories and {len(advantages)} advantages")
    width = max(len(row) for row in rows)
    shape = (len(rows), width)
    input_ids = np.zeros(shape, dtype=np.int64)
    attention = np.zeros(shape, dtype=bool)
    action = np.zeros(shape, dtype=bool)
    logprobs = np.zeros(shape, dtype=np.float32)
    turns = np.zeros(shape, dtype=np.int64)
    positions = np.zeros((3, *shape), dtype=np.int64)
    inside = np.zeros(shape, dtype=bool)
    images: list[ProcessedImage] = []
    image_row: list[int] = []
    for index, row in enumerate(rows):
        length, spans = len(row), row.images
        for span in spans:
            picture = pixels(span.sha256)
            if picture.tokens != span.length or picture.grid != span.grid:
                raise ValueError(
                    f"image {span.sha256[:12]} has {picture.tokens} features in a grid of {picture.grid}, the row "
                    f"{span.length} tokens in one of {span.grid}"
                )
            images.append(picture)
            image_row.append(index)
            inside[index, span.start : span.start + span.length] = True
        attention[index, :length] = True
        positions[:, index, :length] = mrope_positions(length, spans, merge)
        start = 0
        for segment in row.segments:
            inside_row = slice(start, start + len(segment.token_ids))
            input_ids[index, inside_row] = segment.token_ids
            action[index, inside_row] = segment.kind == "action"
            turns[index, inside_row] = segment.turn
            if segment.logprobs is not None:
                logprobs[index, inside_row] = segment.logprobs
            start += len(segment.token_ids)
    placeholders = np.unique(input_ids[inside])
    if len(placeholders) > 1 or (np.isin(input_ids, placeholders) & attention != inside).any():
        raise ValueError(f"image spans and placeholder tokens do not coincide; the spans hold tokens {placeholders}")
    weights = torch.tensor(advantages, dtype=torch.float32)[:, None]
    mask = torch.from_numpy(action)
    return Batch(
        torch.from_numpy(input_ids),
        torch.from_numpy(attention),
        torch.from_numpy(positions),
        mask,
        torch.from_numpy(logprobs),
        torch.where(mask, weights, torch.zeros(())),
        torch.from_numpy(turns),
        torch.tensor(trajectory),
        torch.tensor([len(row.segments[0].token_ids) for row in rows]),
        torch.tensor([len(row.segments[0].images) for row in rows]),
        tuple(images),
        tuple(image_row),
    )
