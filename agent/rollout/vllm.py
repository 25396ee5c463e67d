"""vLLM as a rollout engine, in the trainer's own process and on the trainer's own device.

Tokens go in and come out as ids, pictures as the pixels that the trainer is given. What vLLM says it was given is
compared with what the trainer will be given, request by request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from ..errors import MismatchError
from .engine import Completion, Request
from .hf import expand
from .vllm_pictures import Pictures

BANNED = -100.0  # added to a logit; vLLM takes no less


class VllmEngine:
    """The engine for GPUs; on a CPU it is there to be tested.

    Args:
        llm: From `start_vllm`. Its weights mean nothing until `load_weights`.
        image_token_id: The placeholder's id.
        patches: See `Pictures`.
    """

    def __init__(self, llm: Any, image_token_id: int, patches: bool) -> None:
        self.llm = llm
        self.engine = llm.llm_engine
        self.image_token_id = image_token_id
        self.weight_version = -1
        self._pictures = Pictures(patches)
        self._open: dict[str, tuple[Request, list[int]]] = {}
        self._asleep = False
        self._loaded = False
        self._weight_bytes = llm.apply_model(lambda model: sum(w.nbytes for w in model.parameters()))[0]
        self._cache_bytes = llm.collective_rpc(_cache_bytes)[0]
        self._frees = bool(self.engine.model_config.enable_sleep_mode)

    def submit(self, request: Request) -> None:
        placeholders = request.token_ids.count(self.image_token_id)
        if placeholders != len(request.images):
            raise ValueError(
                f"request {request.id}: {placeholders} image placeholders for {len(request.images)} images"
            )
        if self._asleep or not self._loaded:
            raise RuntimeError("the engine is asleep or has no weights yet: load_weights() and wake() come first")
        token_ids, spans = expand(request.token_ids, request.images, self.image_token_id)
        prompt = self._pictures.prompt(token_ids, request.images, spans)
        self._open[str(request.id)] = (request, token_ids)
        self.engine.add_request(str(request.id), prompt, _sampling(request))

    def poll(self, timeout: float) -> list[Completion]:
        if self._asleep:
            raise RuntimeError("the engine is asleep: call wake() before poll()")
        if not self._open:
            return []
        return [self._completion(output) for output in self.engine.step() if output.finished]

    def abort(self, request_id: int) -> None:
        if self._open.pop(str(request_id), None) is not None:
            self.engine.abort_request([str(request_id)])

    def release(self, episode: int) -> None:
        """vLLM's cache belongs to beginnings of prompts, not to episodes, and makes room by itself."""

    def load_weights(self, tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """Weights under their Hugging Face names, taken one by one as they come."""
        if self._open:
            raise RuntimeError("weights cannot change while requests are generating: finish or abort them first")
        if self._asleep:
            self.llm.wake_up(tags=["weights"])
        missing = self.llm.apply_model(lambda model: _load(model, tensors))[0]
        if missing:
            raise KeyError(f"{len(missing)} of vLLM's weights were not given, among them {missing[:3]}")
        self.forget()
        self._loaded, self.weight_version = True, version

    def close(self) -> None:
        """Only then can this process start another one. A process group of torch.distributed ends with it."""
        self.engine.engine_core.shutdown()

    def forget(self) -> None:
        """Everything that old weights made. Pictures first: a prefix cached afterwards would hold their features."""
        self.engine.reset_encoder_cache()
        if not self.llm.reset_prefix_cache():
            raise RuntimeError("vLLM could not reset its prefix cache, although no request is open")

    def held(self) -> dict[str, int]:
        awake = not self._asleep
        return {
            "sampler weights": self._weight_bytes if awake or self._loaded else 0,
            "key-value cache": self._cache_bytes if awake else 0,
        }

    def sleep(self) -> None:
        """Leave the device: weights and caches are dropped. `load_weights` is needed before `wake`.

        On a CPU, where vLLM frees nothing, the weights become zero, so that a sync that forgets one shows there too.
        """
        if self._open:
            raise RuntimeError("the engine cannot sleep while requests are generating")
        if self._asleep and not self._loaded:
            return
        self.forget()
        self.llm.sleep(level=2)
        if not self._frees:
            self.llm.collective_rpc("reset_weights")
        self._asleep, self._loaded = True, False

    def wake(self) -> None:
        if not self._asleep:
            return
        if not self._loaded:
            raise RuntimeError("the engine's weights were dropped when it went to sleep: load_weights() comes first")
        self.llm.wake_up(tags=["kv_cache"])
        self._asleep = False

    def _completion(self, output: Any) -> Completion:
        request, expected = self._open.pop(output.request_id)
        if list(output.prompt_token_ids) != expected:
            raise MismatchError(
                f"vLLM generated from {len(output.prompt_token_ids)} tokens where the trainer has {len(expected)}: "
                "they read the prompt's pictures differently. Report the model and the versions of vllm and rllava-gym"
            )
        made = output.outputs[0]
        token_ids = tuple(made.token_ids)
        logprobs = tuple(entry[token].logprob for token, entry in zip(token_ids, made.logprobs, strict=True))
        reason = "stop" if token_ids and token_ids[-1] in request.sampling.stop_ids else "length"
        return Completion(request.id, token_ids, logprobs, reason, self.weight_version)


def _sampling(request: Request) -> Any:
    from vllm import SamplingParams

    wanted = request.sampling
    return SamplingParams(
        temperature=wanted.temperature,
        max_tokens=wanted.max_tokens,
        seed=wanted.seed % 2**63,
        logprobs=0,  # of the sampled token alone
        stop_token_ids=list(wanted.stop_ids),
        ignore_eos=True,  # the stop tokens are ours
        logit_bias=dict.fromkeys(wanted.banned_ids, BANNED) or None,
        detokenize=False,
    )


def _cache_bytes(worker: Any) -> int:
    """Of a worker's key-value cache."""
    return sum(cache.nbytes for cache in worker.model_runner.kv_caches)


def _load(model: Any, tensors: Iterable[tuple[str, torch.Tensor]]) -> list[str]:
    """Names of vLLM's parameters that none of the tensors went into."""
    with torch.no_grad():
        loaded = model.load_weights(_detached(tensors))
    return sorted({name for name, _ in model.named_parameters()} - set(loaded))


def _detached(tensors: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
    return ((name, tensor.detach()) for name, tensor in tensors)
