"""The running batch of the transformers engine: rows that decode together, whenever each of them joined.

Any row may join or leave between any two steps, and a step is one forward pass. What the rows' keys and values lie in
is the store's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ..seeds import uniforms
from .distribution import draw, token_logprobs
from .engine import Request
from .hf_store import Key, Past, Piece, Store


@dataclass(eq=False)
class Running:
    """A request in the batch. `length`: expanded tokens of its prompt; `position`: of the first token drawn after it;
    `uniforms`: (max_tokens,), one for each draw."""

    request: Request
    length: int
    position: int
    uniforms: np.ndarray
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    active: bool = True


def key_of(request: Request) -> Key:
    """What tells requests apart: equal for rows that are equal, token for token and pixel for pixel."""
    return tuple(image.sha256 for image in request.images), request.token_ids


class Batch:
    """Rows of one store.

    Attributes:
        rows: In the order of the store. One that has finished stays until `keep` leaves it out.
        logits: (rows, vocabulary), of the token that each draws next.
        position: (rows,) int64, where that token stands.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.rows: list[Running] = []

    @property
    def active(self) -> bool:
        return any(row.active for row in self.rows)

    def join(self, pieces: Sequence[Piece], requests: Sequence[Request], index: Sequence[int]) -> None:
        """Requests join; request i is of piece `index[i]`. The store runs what it has to."""
        logits = self.store.join(pieces, index)
        joined = [
            Running(
                request,
                sum(image.tokens - 1 for image in request.images) + len(request.token_ids),
                pieces[place].next_position,
                uniforms(request.sampling.seed, request.sampling.max_tokens),
            )
            for request, place in zip(requests, index, strict=True)
        ]
        position = torch.tensor([row.position for row in joined], device=logits.device)
        self.logits = torch.cat([self.logits, logits]) if self.rows else logits
        self.position = torch.cat([self.position, position]) if self.rows else position
        self.rows += joined
        self._group()

    def keep(self, places: Sequence[int]) -> None:
        """Leave out all other rows. What the others are given next stays the same bit for bit, but for what a product
        of fewer rows rounds otherwise."""
        rows = torch.tensor(places, dtype=torch.long, device=self.logits.device)
        self.logits, self.position = self.logits[rows], self.position[rows]
        self.store.keep(places)
        self.rows = [self.rows[place] for place in places]
        self._group()

    def past(self, row: Running) -> Past:
        """What is held of a finished row. Its last token was drawn but never run, so it is not among that."""
        drawn = max(0, len(row.tokens) - 1)
        return Past(
            (*row.request.token_ids, *row.tokens[:drawn]),
            tuple(image.sha256 for image in row.request.images),
            row.position + drawn,
            self.store.past(self.rows.index(row), row.length + drawn),
        )

    def choose(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(rows,) tokens drawn from the logits, and their log-probabilities. Each row draws with its own uniform of its
        own step; what finished rows are given means nothing."""
        dice = np.array([row.uniforms[len(row.tokens)] if row.active else 0.0 for row in self.rows])
        drawn = torch.from_numpy(dice).to(self.logits.device)
        if len(self._groups) == 1:
            return self._drawn(self._groups[0][0], self.logits, drawn)
        tokens = torch.zeros(len(self.rows), dtype=torch.long, device=self.logits.device)
        chosen = torch.zeros(len(self.rows), device=self.logits.device)
        for distribution, index in self._groups:
            tokens[index], chosen[index] = self._drawn(distribution, self.logits[index], drawn[index])
        return tokens, chosen

    def step(self, tokens: torch.Tensor) -> None:
        """Run what was drawn."""
        self.logits = self.store.step(tokens, self.position)
        self.position = self.position + 1

    @staticmethod
    def _drawn(
        distribution: tuple[float, tuple[int, ...]], logits: torch.Tensor, uniforms: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        temperature, banned = distribution
        logprobs = token_logprobs(logits, temperature, banned)
        picked = logprobs.argmax(-1) if temperature == 0 else draw(logprobs, uniforms)
        return picked, logprobs.gather(-1, picked[:, None])[:, 0]

    def _group(self) -> None:
        """Rows by their distribution, found anew only when rows join or leave: banned ids may be many."""
        places: dict[tuple[float, tuple[int, ...]], list[int]] = {}
        for place, row in enumerate(self.rows):
            sampling = row.request.sampling
            places.setdefault((sampling.temperature, sampling.banned_ids), []).append(place)
        device = self.logits.device
        self._groups = [(key, torch.tensor(found, device=device)) for key, found in places.items()]
