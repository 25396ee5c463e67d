"""A rollout engine on transformers: a prompt prefilled once a group, one running batch, caches kept between turns.

Requests join the batch at any `poll`, those of one poll after one prefill (first turns and next turns apart), and then
every step is one forward pass for all rows, whenever they joined. Equal prompts (siblings) are prefilled once and their
cache is repeated; one that joins later takes it from a sibling that is still at it. The next turn of an episode
continues the cache of its last one, so only the observation is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch.nn.functional import pad
from transformers import DynamicCache, PreTrainedModel

from ..engine.offload import Offload
from ..model.forward import hidden_states, next_token_logits
from ..model.positions import mrope_positions
from ..model.processor import ProcessedImage
from ..types import ImageSpan
from .engine import Completion, Request
from .hf_batch import NOTHING, Batch, Key, Past, Prefilled, Running, aligned, key_of

# Finished rows stay in the batch until half of it has finished, or others join. Below this many rows a step is hardly
# faster, and matrix products of a few rows round in another way than those of many.
FEW_ROWS = 16


class TransformersEngine:
    """The engine that needs nothing but transformers; it generates with the model object that it is given.

    Args:
        model: The trainer's own object, or a copy that `load_weights` updates.
        image_token_id: The placeholder's id.
        merge: Patches per side that make one image token.
        shared: It is the trainer's own: new weights are there already when `load_weights` is called.
    """

    def __init__(self, model: PreTrainedModel, image_token_id: int, merge: int, shared: bool = False) -> None:
        self.model = model
        self.shared = shared
        self.image_token_id = image_token_id
        self.merge = merge
        self.weight_version = 0
        self.prefilled_tokens = 0  # expanded tokens that went through a prefill: shows what sharing saves
        self._asleep = False
        self._weights = Offload("sampler weights", lambda: () if shared else (*model.parameters(), *model.buffers()))
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
            self._batch = None

    def load_weights(self, tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        if self._queue or self._generating:
            raise RuntimeError("weights cannot change while requests are generating: finish or abort them first")
        self.forget()
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

    def close(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._batch = None
        self._past.clear()

    def held(self) -> dict[str, int]:
        kept = [past for past in self._past.values() if isinstance(past, Past)]
        cache = [tensor for past in kept for tensor in (*past.keys, *past.values)]
        for layer in self._batch.cache.layers if self._batch else ():
            cache += [layer.keys, layer.values]
        return {"sampler weights": self._weights.held(), "key-value cache": sum(tensor.nbytes for tensor in cache)}

    def sleep(self) -> None:
        """Drop every cache. Weights of its own wait in host memory; those that it shares are the trainer's affair."""
        if self._queue or self._generating:
            raise RuntimeError("the engine cannot sleep while requests are generating")
        self.forget()
        self._weights.leave()
        self._asleep = True

    def wake(self) -> None:
        self._weights.enter()
        self._asleep = False

    @property
    def _generating(self) -> bool:
        return self._batch is not None and self._batch.active

    def _admit(self, requests: list[Request]) -> None:
        """Rows that have finished leave, and these join."""
        siblings = {row.key: row for row in self._batch.rows if row.active} if self._batch else {}
        pairs = [(request, self._take_past(request) or self._prompt_of(request, siblings)) for request in requests]
        self._leave(0)
        if self._batch is not None:
            self._batch.squeeze()
        fresh = [request for request, past in pairs if past is None]
        continued = [(request, past) for request, past in pairs if past is not None]
        joining = [self._prefill_fresh(fresh)] if fresh else []
        joining += [self._prefill_continued(continued)] if continued else []
        for batch in joining:
            if self._batch is None:
                self._batch = batch
            else:
                self._batch.join(batch)

    def _leave(self, least: int) -> None:
        """Finished rows leave the batch, but for so many that `least` rows stay; what a next turn may continue of those
        that leave is taken out first."""
        batch = self._batch
        if batch is None:
            return
        spare = max(0, least - sum(row.active for row in batch.rows))
        staying = []
        for place, row in enumerate(batch.rows):
            if row.active or spare > 0:
                spare -= not row.active
                staying.append(place)
            elif self._past.get(row.request.episode) is row:
                self._past[row.request.episode] = batch.past(row)
        if not staying:
            self._batch = None
        elif len(staying) < len(batch.rows):
            batch.keep(staying)

    def _prefill_fresh(self, requests: list[Request]) -> Batch:
        keys = [key_of(request) for request in requests]
        distinct = dict(zip(keys, requests, strict=True))
        index = {key: row for row, key in enumerate(distinct)}
        cache = DynamicCache(config=self.model.config.get_text_config())
        prefilled = self._prefill([(request, NOTHING) for request in distinct.values()], cache)
        return Batch(requests, prefilled, [index[key] for key in keys])

    def _prefill_continued(self, pairs: list[tuple[Request, Past]]) -> Batch:
        pasts = [past for _, past in pairs]
        width = max(past.keys[0].shape[1] for past in pasts)
        cache = DynamicCache(config=self.model.config.get_text_config())
        for layer in range(len(pasts[0].keys)):
            keys = torch.stack([aligned(past.keys[layer], width) for past in pasts])
            values = torch.stack([aligned(past.values[layer], width) for past in pasts])
            cache.update(keys, values, layer)
        return Batch([request for request, _ in pairs], self._prefill(pairs, cache))

    def _prefill(self, pairs: Sequence[tuple[Request, Past]], cache: DynamicCache) -> Prefilled:
        """Run what the caches do not hold yet."""
        ids, positions, images = [], [], []
        for request, past in pairs:
            pictures = request.images[past.token_ids.count(self.image_token_id) :]
            expanded, spans = expand(request.token_ids[len(past.token_ids) :], pictures, self.image_token_id)
            ids.append(expanded)
            positions.append(mrope_positions(len(expanded), spans, self.merge) + past.next_position)
            images += pictures
        self.prefilled_tokens += sum(map(len, ids))
        held = [past.keys[0].shape[1] if past.keys else 0 for _, past in pairs]
        cached, width = max(held), max(map(len, ids))
        input_ids = torch.zeros((len(ids), width), dtype=torch.long)
        position_ids = torch.zeros((3, len(ids), width), dtype=torch.long)
        mask = torch.zeros((len(ids), cached + width), dtype=torch.long)
        for row, (tokens, place) in enumerate(zip(ids, positions, strict=True)):
            input_ids[row, width - len(tokens) :] = torch.tensor(tokens)
            position_ids[:, row, width - len(tokens) :] = torch.from_numpy(place)
            mask[row, cached - held[row] : cached] = 1
            mask[row, cached + width - len(tokens) :] = 1
        device = self.model.device
        mask = mask.to(device)
        hidden = hidden_states(self.model, input_ids.to(device), mask, position_ids.to(device), images, cache)
        lengths = [kept + len(tokens) for kept, tokens in zip(held, ids, strict=True)]
        following = [int(place.max()) + 1 for place in positions]
        return Prefilled(cache, mask, lengths, following, next_token_logits(self.model, hidden[:, -1]))

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
            batch.mask = pad(batch.mask, (0, 1), value=1)
            position = batch.position[None, :, None].expand(3, -1, 1)
            hidden = hidden_states(self.model, tokens[:, None], batch.mask, position, [], batch.cache)
            batch.logits = next_token_logits(self.model, hidden[:, -1])
            batch.position = batch.position + 1
            if 2 * max(FEW_ROWS, sum(row.active for row in batch.rows)) <= len(batch.rows):
                self._leave(FEW_ROWS)
        return finished

    def _take_past(self, request: Request) -> Past | None:
        """The episode's cache, if the request continues exactly what it holds."""
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

    def _prompt_of(self, request: Request, running: Mapping[Key, Running]) -> Past | None:
        """The cache of an equal prompt whose answer is being generated: a sibling that joined earlier."""
        if self._batch is None or request.token_ids[-1] == self.image_token_id:
            return None
        row = running.get(key_of(request))
        return None if row is None else self._batch.prompt(row)


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
