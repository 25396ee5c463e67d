"""A rollout engine on transformers: prompts prefilled once a group, one decode loop for all, caches kept between turns.

Requests that join in the same `poll` form a *cohort* with one padded key-value cache; cohorts advance side by side.
Equal prompts (siblings) are prefilled once and their cache is repeated. The next turn of an episode continues the
cache of its last one, so only the observation is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel

from ..model.forward import hidden_states, next_token_logits
from ..model.positions import mrope_positions
from ..model.processor import ProcessedImage
from ..seeds import uniforms
from ..types import ImageSpan
from .distribution import draw, token_logprobs
from .engine import Completion, Request


@dataclass(frozen=True, eq=False)
class _Past:
    """One episode's cache: `keys` and `values` hold (heads, length, channels) a layer for the row's first tokens;
    `token_ids` are those tokens, collapsed, and `next_position` is where the next one stands."""

    token_ids: tuple[int, ...]
    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    next_position: int


_NOTHING = _Past((), [], [], 0)


@dataclass(frozen=True, eq=False)
class _Prefilled:
    """Rows whose prompt has been run: the cache, which of its columns hold a token of the row (batch, columns), the
    M-RoPE position of the next token (batch,) and its logits (batch, vocabulary)."""

    cache: DynamicCache
    mask: torch.Tensor
    position: torch.Tensor
    logits: torch.Tensor

    def repeat(self, rows: torch.Tensor) -> _Prefilled:
        """Row i of the result is row `rows[i]`; the cache is changed in place."""
        self.cache.batch_select_indices(rows)
        return _Prefilled(self.cache, self.mask[rows], self.position[rows], self.logits[rows])


class _Cohort:
    """Requests that decode together: a cache padded on the left, one column a step."""

    def __init__(self, requests: list[Request], start: _Prefilled) -> None:
        self.requests = requests
        self.cache, self.mask, self.logits = start.cache, start.mask, start.logits
        self.start, self.step = start, 0
        longest = max(request.sampling.max_tokens for request in requests)
        draws = np.stack([uniforms(request.sampling.seed, longest) for request in requests])
        self.uniforms = torch.from_numpy(draws).to(start.mask.device)
        self.tokens: list[list[int]] = [[] for _ in requests]
        self.logprobs: list[list[float]] = [[] for _ in requests]
        self.active = [True] * len(requests)

    def extract(self, row: int) -> _Past:
        """The cache of one finished row. Its last token was drawn but never run, so it is not among them."""
        drawn = len(self.tokens[row]) - 1
        prompt = self.start.mask[row].nonzero()[:, 0]
        width = self.start.mask.shape[1]
        columns = torch.cat([prompt, torch.arange(width, width + drawn, device=prompt.device)])
        return _Past(
            (*self.requests[row].token_ids, *self.tokens[row][:drawn]),
            [layer.keys[row][:, columns] for layer in self.cache.layers],
            [layer.values[row][:, columns] for layer in self.cache.layers],
            int(self.start.position[row]) + drawn,
        )


class TransformersEngine:
    """The engine that needs nothing but transformers; it generates with the model object that it is given.

    Args:
        model: Shared with the trainer on one device, or a copy that `load_weights` updates.
        image_token_id: The placeholder's id.
        merge: Patches per side that make one image token.
    """

    def __init__(self, model: PreTrainedModel, image_token_id: int, merge: int) -> None:
        self.model = model
        self.image_token_id = image_token_id
        self.merge = merge
        self.weight_version = 0
        self.prefilled_tokens = 0  # expanded tokens that went through a prefill: shows what sharing saves
        self._asleep = False
        self._queue: list[Request] = []
        self._cohorts: list[_Cohort] = []
        self._past: dict[int, tuple[_Cohort, int]] = {}

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
        finished = [done for cohort in self._cohorts for done in self._advance(cohort)]
        self._cohorts = [cohort for cohort in self._cohorts if any(cohort.active)]
        return finished

    def abort(self, request_id: int) -> None:
        self._queue = [request for request in self._queue if request.id != request_id]
        for cohort in self._cohorts:
            for row, request in enumerate(cohort.requests):
                if request.id == request_id:
                    cohort.active[row] = False
        self._cohorts = [cohort for cohort in self._cohorts if any(cohort.active)]

    def release(self, episode: int) -> None:
        self._past.pop(episode, None)

    def load_weights(self, tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        if self._queue or self._cohorts:
            raise RuntimeError("weights cannot change while requests are generating: finish or abort them first")
        self._past.clear()
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
                if own[name].data_ptr() != tensor.data_ptr():
                    own[name].copy_(tensor)
        missing = set(own) - given
        if missing:
            raise KeyError(f"{len(missing)} weights were not given, among them {sorted(missing)[:3]}")
        self.weight_version = version

    def sleep(self) -> None:
        """Drop every cache. The weights stay where they are: they are the trainer's own."""
        if self._queue or self._cohorts:
            raise RuntimeError("the engine cannot sleep while requests are generating")
        self._past.clear()
        self._asleep = True

    def wake(self) -> None:
        self._asleep = False

    def _admit(self, requests: list[Request]) -> None:
        fresh, continued = [], []
        for request in requests:
            past = self._take_past(request)
            (continued if past else fresh).append((request, past))
        if fresh:
            self._cohorts.append(self._prefill_fresh([request for request, _ in fresh]))
        if continued:
            self._cohorts.append(self._prefill_continued([(r, p) for r, p in continued if p is not None]))

    def _prefill_fresh(self, requests: list[Request]) -> _Cohort:
        keys = [(r.token_ids, tuple(image.sha256 for image in r.images)) for r in requests]
        distinct = dict(zip(keys, requests, strict=True))
        index = {key: row for row, key in enumerate(distinct)}
        cache = DynamicCache(config=self.model.config.get_text_config())
        prefilled = self._prefill([(request, _NOTHING) for request in distinct.values()], cache)
        return _Cohort(requests, prefilled.repeat(torch.tensor([index[key] for key in keys], device=self.model.device)))

    def _prefill_continued(self, pairs: list[tuple[Request, _Past]]) -> _Cohort:
        pasts = [past for _, past in pairs]
        width = max(past.keys[0].shape[1] for past in pasts)
        cache = DynamicCache(config=self.model.config.get_text_config())
        for layer in range(len(pasts[0].keys)):
            keys = torch.stack([_pad_left(past.keys[layer], width) for past in pasts])
            values = torch.stack([_pad_left(past.values[layer], width) for past in pasts])
            cache.update(keys, values, layer)
        return _Cohort([request for request, _ in pairs], self._prefill(pairs, cache))

    def _prefill(self, pairs: Sequence[tuple[Request, _Past]], cache: DynamicCache) -> _Prefilled:
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
        following = torch.tensor([int(place.max()) + 1 for place in positions], device=device)
        return _Prefilled(cache, mask, following, next_token_logits(self.model, hidden[:, -1]))

    def _advance(self, cohort: _Cohort) -> list[Completion]:
        """Draw one token a row from the last logits; if any row goes on, run the model on the drawn tokens."""
        tokens, logprobs = self._choose(cohort)
        finished = []
        drawn = zip(cohort.requests, tokens.tolist(), logprobs.tolist(), strict=True)
        for row, (request, token, logprob) in enumerate(drawn):
            if not cohort.active[row]:
                continue
            cohort.tokens[row].append(token)
            cohort.logprobs[row].append(logprob)
            stopped = token in request.sampling.stop_ids
            if stopped or len(cohort.tokens[row]) == request.sampling.max_tokens:
                cohort.active[row] = False
                self._past[request.episode] = (cohort, row)
                ids, values = tuple(cohort.tokens[row]), tuple(cohort.logprobs[row])
                reason = "stop" if stopped else "length"
                finished.append(Completion(request.id, ids, values, reason, self.weight_version))
        if any(cohort.active):
            cohort.mask = torch.nn.functional.pad(cohort.mask, (0, 1), value=1)
            position = (cohort.start.position + cohort.step)[None, :, None].expand(3, -1, 1)
            hidden = hidden_states(self.model, tokens[:, None], cohort.mask, position, [], cohort.cache)
            cohort.logits = next_token_logits(self.model, hidden[:, -1])
            cohort.step += 1
        return finished

    def _choose(self, cohort: _Cohort) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch,) tokens drawn from the cohort's logits, and their log-probabilities."""
        batch = len(cohort.requests)
        tokens = torch.zeros(batch, dtype=torch.long, device=cohort.mask.device)
        chosen = torch.zeros(batch, device=cohort.mask.device)
        for (temperature, banned), rows in _by_distribution(cohort.requests).items():
            index = torch.tensor(rows, device=tokens.device)
            logprobs = token_logprobs(cohort.logits[index], temperature, banned)
            picked = logprobs.argmax(-1) if temperature == 0 else draw(logprobs, cohort.uniforms[index, cohort.step])
            tokens[index] = picked
            chosen[index] = logprobs.gather(-1, picked[:, None])[:, 0]
        return tokens, chosen

    def _take_past(self, request: Request) -> _Past | None:
        """The episode's cache, if the request continues exactly what it holds."""
        held = self._past.pop(request.episode, None)
        if held is None:
            return None
        cohort, row = held
        past, pictures = cohort.extract(row), cohort.requests[row].images
        # At least one token must be left to run: its logits are what the first draw needs.
        longer = len(request.token_ids) > len(past.token_ids)
        continues = longer and request.token_ids[: len(past.token_ids)] == past.token_ids
        same = [image.sha256 for image in pictures] == [image.sha256 for image in request.images[: len(pictures)]]
        return past if continues and same else None


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


def _by_distribution(requests: Sequence[Request]) -> dict[tuple[float, tuple[int, ...]], list[int]]:
    rows: dict[tuple[float, tuple[int, ...]], list[int]] = {}
    for row, request in enumerate(requests):
        rows.setdefault((request.sampling.temperature, request.sampling.banned_ids), []).append(row)
    return rows


def _pad_left(tensor: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(tensor, (0, 0, width - tensor.shape[1], 0))
