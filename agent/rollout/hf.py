"""A rollout engine on transformers: a prompt prefilled once a group, one running batch, caches kept between turns.

Requests join the batch at any `poll`, those of one poll after one prefill (first turns and next turns apart), and then
every step is one forward pass for all rows, whenever they joined. Equal prompts (siblings) are run once, and kept once
where the model allows it (`hf_shared`); one that joins later takes what a sibling has. The next turn of an episode
continues where its last one ended, so only the observation is computed. Rows may be told to stay apart: then each runs
its prompt itself, which is what sharing is measured against.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from transformers import PreTrainedModel

from ..engine.offload import Offload
from ..model.kept_prompts import KeptPrompts
from ..model.layout import takes_layouts, why_not
from ..model.positions import mrope_positions
from ..model.processor import ProcessedImage
from ..types import ImageSpan
from .engine import Completion, Request
from .hf_batch import Batch, Running, key_of
from .hf_copied import CopiedStore
from .hf_shared import SharedStore
from .hf_store import Key, Past, Piece, Store

# Finished rows stay in the batch until a share of it has finished (`Store.leaving`), or others join. Below this many
# rows a step is hardly faster, and matrix products of a few rows round in another way than those of many.
FEW_ROWS = 16


class TransformersEngine:
    """The engine that needs nothing but transformers; it generates with the model object that it is given.

    Args:
        model: The trainer's own object, or a copy that `load_weights` updates.
        image_token_id: The placeholder's id.
        merge: Patches per side that make one image token.
        shared: It is the trainer's own: new weights are there already when `load_weights` is called.
        apart: Every row runs its prompt and pictures itself and keeps a copy, whoever has the same. Only what it wrote
            in earlier turns is not computed again.
    """

    def __init__(
        self, model: PreTrainedModel, image_token_id: int, merge: int, shared: bool = False, apart: bool = False
    ) -> None:
        self.model = model
        self.shared = shared
        self.apart = apart
        self.image_token_id = image_token_id
        self.merge = merge
        self.weight_version = 0
        self.prefilled_tokens = 0  # expanded tokens that went through a prefill: shows what sharing saves
        self._asleep = False
        self._weights = Offload("sampler weights", lambda: () if shared else (*model.parameters(), *model.buffers()))
        shares = not apart and takes_layouts(model)
        self._store: Store = SharedStore(model) if shares else CopiedStore(model, once=not apart)
        self._queue: list[Request] = []
        self._batch: Batch | None = None
        # What a next turn may continue: in the batch as long as the row is there, taken out of it afterwards.
        self._past: dict[int, Past | Running] = {}

    def submit(self, request: Request) -> None:
        placeholders = request.token_ids.count(self.image_token_id)
        if placeholders != len(request.images):
            raise ValueError(
                f"request {request.id}: {placeholders} image placeholders for {len(request.images)} images"
            )
        self._queue.append(request)

    @torch.inference_mode()
    def poll(self, timeout: float) -> list[Completion]:
        if self._asleep:
            raise RuntimeError("the engine is asleep: call wake() before poll()")
        if self.model.training:
            self.model.eval()
        if self._queue:
            joined, self._queue = self._queue, []
            self._admit(joined)
        return [] if self._batch is None else self._advance(self._batch)

    def abort(self, request_id: int) -> None:
        self._queue = [request for request in self._queue if request.id != request_id]
        for row in self._batch.rows if self._batch else ():
            if row.request.id == request_id:
                row.active = False

    def release(self, episode: int) -> None:
        self._past.pop(episode, None)
        if not self._past and not self._generating:
            self.forget()

    def load_weights(self, tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        if self._queue or self._generating:
            raise RuntimeError("weights cannot change while requests are generating: finish or abort them first")
        self.forget()
        self.keep_prompts(None)
        self.weight_version = version
        if self.shared:
            return
        self._weights.enter()
        own = self.model.state_dict(keep_vars=True)
        given = set()
        with torch.no_grad():
            for name, tensor in tensors:
                if name not in own:
                    raise KeyError(f"the engine's model has no weight {name!r}")
                if own[name].shape != tensor.shape:
                    raise ValueError(
                        f"weight {name!r} is {tuple(tensor.shape)}, the engine's is {tuple(own[name].shape)}"
                    )
                given.add(name)
                own[name].copy_(tensor)
        missing = set(own) - given
        if missing:
            raise KeyError(f"{len(missing)} weights were not given, among them {sorted(missing)[:3]}")

    def keep_prompts(self, kept: KeptPrompts | None) -> bool:
        """From now on, until it sleeps or is given weights, passes over prompts are made with a graph and kept in
        there; None: no more. False: this engine cannot, see `sharing`."""
        if isinstance(self._store, SharedStore):
            self._store.keeping = kept
            return True
        return False

    def close(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._batch = None
        self._past.clear()
        self._store.clear()

    def held(self) -> dict[str, int]:
        kept = [past.kept for past in self._past.values() if isinstance(past, Past)]
        return {"sampler weights": self._weights.held(), "key-value cache": self._store.held(kept)}

    def sleep(self) -> None:
        """Drop every cache. Weights of its own wait in host memory; those that it shares are the trainer's affair."""
        if self._queue or self._generating:
            raise RuntimeError("the engine cannot sleep while requests are generating")
        self.forget()
        self.keep_prompts(None)
        self._weights.leave()
        self._asleep = True

    def wake(self) -> None:
        self._weights.enter()
        self._asleep = False

    @property
    def sharing(self) -> str:
        """Why siblings have a copy each of their prompt's cache; "" where they share one, or are to be apart."""
        return "" if self.apart or isinstance(self._store, SharedStore) else why_not(self.model)

    @property
    def _generating(self) -> bool:
        return self._batch is not None and self._batch.active

    def _admit(self, requests: list[Request]) -> None:
        """Rows that have finished leave, and these join."""
        keys = [key_of(request) for request in requests]
        known = {} if self.apart else {key: self._prompt(key) for key in dict.fromkeys(keys)}
        pasts = [self._take_past(request) or known.get(key) for request, key in zip(requests, keys, strict=True)]
        self._leave(0)
        pieces: list[Piece] = []
        index: list[int] = []
        fresh: dict[Key, int] = {}
        for request, key, past in zip(requests, keys, pasts, strict=True):
            if past is None and key in fresh:
                index.append(fresh[key])
                continue
            if past is None and not self.apart:
                fresh[key] = len(pieces)
            index.append(len(pieces))
            pieces.append(self._piece(request, key, past))
        self.prefilled_tokens += sum(len(piece.token_ids) for piece in pieces)
        # Prompts before next turns: the stores want together what has something to run on top of what is held.
        order = sorted(range(len(requests)), key=lambda i: pasts[i] is not None and bool(pieces[index[i]].token_ids))
        if self._batch is None:
            self._batch = Batch(self._store)
        self._batch.join(pieces, [requests[i] for i in order], [index[i] for i in order])

    def _piece(self, request: Request, key: Key, past: Past | None) -> Piece:
        """What has to be run of a request."""
        held = () if past is None else past.token_ids
        pictures = request.images[held.count(self.image_token_id) :]
        expanded, spans = expand(request.token_ids[len(held) :], pictures, self.image_token_id)
        positions = mrope_positions(len(expanded), spans, self.merge) + (0 if past is None else past.next_position)
        return Piece(key, past, expanded, positions, list(pictures))

    def _leave(self, least: int) -> list[int]:
        """Finished rows leave the batch, but for so many that `least` rows stay; what a next turn may continue of those
        that leave is taken out first. The places of those that stay."""
        batch = self._batch
        if batch is None:
            return []
        spare = max(0, least - sum(row.active for row in batch.rows))
        staying = []
        for place, row in enumerate(batch.rows):
            if row.active or spare > 0:
                spare -= not row.active
                staying.append(place)
            elif self._past.get(row.request.episode) is row:
                self._past[row.request.episode] = batch.past(row)
        if len(staying) < len(batch.rows):
            batch.keep(staying)
        if not staying:
            self._batch = None
        return staying

    def _advance(self, batch: Batch) -> list[Completion]:
        """Draw one token a row from the last logits; if any row goes on, run the model on the drawn tokens."""
        if not batch.active:
            return []
        tokens, logprobs = batch.choose()
        finished = []
        for row, token, logprob in zip(batch.rows, tokens.tolist(), logprobs.tolist(), strict=True):
            if not row.active:
                continue
            row.tokens.append(token)
            row.logprobs.append(logprob)
            request = row.request
            stopped = token in request.sampling.stop_ids
            if stopped or len(row.tokens) == request.sampling.max_tokens:
                row.active = False
                self._past[request.episode] = row
                reason = "stop" if stopped else "length"
                finished.append(
                    Completion(request.id, tuple(row.tokens), tuple(row.logprobs), reason, self.weight_version)
                )
        if batch.active:
            if max(FEW_ROWS, sum(row.active for row in batch.rows)) <= self._store.leaving * len(batch.rows):
                tokens = tokens[self._leave(FEW_ROWS)]
            batch.step(tokens)
        return finished

    def _take_past(self, request: Request) -> Past | None:
        """What is held of the episode, if the request continues exactly that."""
        past = self._past.pop(request.episode, None)
        if isinstance(past, Running):
            assert self._batch is not None
            past = self._batch.past(past)
        if past is None:
            return None
        # At least one token must be left to run: its logits are what the first draw needs.
        longer = len(request.token_ids) > len(past.token_ids)
        continues = longer and request.token_ids[: len(past.token_ids)] == past.token_ids
        same = past.images == tuple(image.sha256 for image in request.images[: len(past.images)])
        return past if continues and same else None

    def _prompt(self, key: Key) -> Past | None:
        """What is held of an equal prompt, by whatever row or past."""
        found = self._store.prompt(key)
        if found is None:
            return None
        kept, lacking, position = found
        images, token_ids = key
        if lacking and token_ids[-1] == self.image_token_id:
            return None
        return Past(token_ids[: len(token_ids) - lacking], images, position, kept)


def expand(
    token_ids: Sequence[int], images: Sequence[ProcessedImage], image_token_id: int
) -> tuple[list[int], list[ImageSpan]]:
    """A collapsed sequence with each placeholder repeated once a feature, and where the images stand in it."""
    expanded: list[int] = []
    spans: list[ImageSpan] = []
    pictures = iter(images)
    for token in token_ids:
        if token != image_token_id:
            expanded.append(token)
            continue
        image = next(pictures)
        spans.append(ImageSpan(len(expanded), image.tokens, image.grid, image.sha256))
        expanded += [token] * image.tokens
    return expanded, spans
