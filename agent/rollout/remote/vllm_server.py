"""vLLM's token-level interface, `POST /inference/v1/generate`: expanded token ids and processed pixels in, token ids
and log-probabilities out. The server processes no picture and no text.

New weights are read by the server from a folder. vLLM can also be sent them over NCCL; that is not offered here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import ConfigError, MismatchError, OutageError
from ...types import ImageSpan
from ..engine import Completion, Request
from .connection import Connection
from .interface import BIAS, PROBED_TOKENS, Expected, stop_reason
from .wire import Pictures

COMMAND = (
    "VLLM_SERVER_DEV_MODE=1 vllm serve MODEL --max-model-len {length} --enable-scale-out --generation-config vllm "
    "--logprobs-mode processed_logprobs --no-mm-device-do-normalize"
)
BANNED = -100.0  # added to a logit; vLLM takes no less


class VllmInterface:
    """Works with vLLM 0.32 and later.

    Args:
        patches: See `wire.Pictures`.
    """

    generate = "/inference/v1/generate"

    def __init__(self, patches: bool) -> None:
        self._pictures = Pictures(patches)

    def body(self, request: Request, token_ids: Sequence[int], spans: Sequence[ImageSpan]) -> bytes:
        wanted = request.sampling
        sampling: dict[str, Any] = {
            "temperature": wanted.temperature,
            "max_tokens": wanted.max_tokens,
            "seed": wanted.seed % 2**63,
            "logprobs": 0,  # of the sampled token alone
            "stop_token_ids": list(wanted.stop_ids),
            "ignore_eos": True,  # the stop tokens are ours
            "detokenize": False,
        }
        if wanted.banned_ids:
            sampling["logit_bias"] = {str(banned): BANNED for banned in wanted.banned_ids}
        body: dict[str, Any] = {"token_ids": list(token_ids), "sampling_params": sampling, "return_token_ids": True}
        if request.images:
            body["features"] = {
                # The hash is the key of vLLM's encoder cache: equal pictures are encoded once.
                "mm_hashes": {"image": [image.sha256 for image in request.images]},
                "mm_placeholders": {"image": [{"offset": span.start, "length": span.length} for span in spans]},
                "kwargs_data": {"image": [self._pictures.encoded(image) for image in request.images]},
            }
        return json.dumps(body, separators=(",", ":")).encode()

    def completion(
        self, request: Request, token_ids: Sequence[int], answer: Any, version: int, label: str | None
    ) -> Completion:
        if answer.get("prompt_token_ids") != list(token_ids):
            raise MismatchError(
                f"the server generated from {len(answer.get('prompt_token_ids') or ())} tokens where {len(token_ids)} "
                "were sent, or does not say from which: vLLM 0.32 or later is needed"
            )
        (choice,) = answer["choices"]
        if choice["finish_reason"] not in ("stop", "length"):
            raise OutageError(f"the server gave up a request: {choice['finish_reason']}. Give the same command again")
        labels = [span["version"] for span in choice.get("weight_versions") or ()]
        if label is not None and labels and set(labels) != {label}:
            raise MismatchError(
                f"the server sampled with the weights {labels} and not with {label}: it was started anew, or somebody "
                "else gave it weights. Give the same command again, with servers that nobody else trains on"
            )
        sampled = tuple(choice["token_ids"])
        content = choice["logprobs"]["content"]
        if tuple(entry["token_id"] for entry in content) != sampled:
            raise MismatchError("the server's log-probabilities are not those of the tokens that it sampled")
        logprobs = tuple(float(entry["logprob"]) for entry in content)
        return Completion(request.id, sampled, logprobs, stop_reason(request.sampling, sampled), version)

    async def check(self, server: Connection, expected: Expected) -> None:
        command = COMMAND.format(length=expected.max_tokens)
        models = await server.get("/v1/models", absent=True)
        if not models or not models.get("data"):
            raise ConfigError(f"{server.url} is no vLLM server (it has no /v1/models). Start one: {command}")
        length = models["data"][0].get("max_model_len")
        if length is not None and length < expected.max_tokens:
            raise ConfigError(
                f"{server.url} takes contexts of {length} tokens, the recipe has rollout.max_row_tokens="
                f"{expected.max_tokens}. Start it with: {command}"
            )
        info = await server.get("/server_info?config_format=json", absent=True)
        if info is None and expected.weights:
            raise ConfigError(
                f"{server.url} cannot be given weights: it was started without VLLM_SERVER_DEV_MODE=1. Start it with: "
                f"{command} (in a network that you trust: whoever reaches such a server can control it)"
            )
        if info is not None and _normalises(info):
            raise ConfigError(
                f"{server.url} would normalise pixels that are normalised already. Start it with: {command}"
            )
        await self._probe(server, expected, command)

    async def _probe(self, server: Connection, expected: Expected, command: str) -> None:
        """One token is made certain by a bias. Log-probabilities of what was sampled from are then 0; those of the
        model as it is are not, and neither are those of a server that forgot the bias."""
        sampling = {"temperature": 1.0, "max_tokens": PROBED_TOKENS, "seed": 0, "logprobs": 0, "ignore_eos": True}
        sampling |= {"logit_bias": {str(expected.prompt[0]): BIAS}, "detokenize": False}
        body = {"token_ids": list(expected.prompt), "sampling_params": sampling, "return_token_ids": True}
        try:
            answer = await server.post(self.generate, body)
        except ConfigError as error:
            raise ConfigError(f"{error}. Start it with: {command}") from None
        if answer.get("prompt_token_ids") != list(expected.prompt):
            raise ConfigError(f"{server.url} does not say which tokens it was given: vLLM 0.32 or later is needed")
        found = [entry["logprob"] for entry in answer["choices"][0]["logprobs"]["content"]]
        if min(found) < -0.01:
            raise ConfigError(
                f"{server.url} does not give the log-probabilities of what it sampled from (a token that is certain "
                f"got {min(found):.2f} instead of 0). Start it with: {command}"
            )

    async def load(self, server: Connection, folder: Path, label: str) -> None:
        await server.post("/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}})
        # Pictures first: a prefix cached afterwards would hold their old features.
        await server.post("/reset_mm_cache", {})
        await server.post("/reset_encoder_cache", {})
        done = await server.post("/reset_prefix_cache", {})
        if not done.get("success"):
            raise OutageError(
                f"{server.url} could not forget what the old weights computed: other requests are running on it. Give "
                "the same command again, with servers that nobody else uses"
            )
        await server.post("/update_weight_version", {"new_version": label})


def _normalises(info: Any) -> bool:
    """Whether a server normalises pixels on its device, as its configuration has it."""
    if isinstance(info, dict):
        return any(bool(v) if k == "mm_device_do_normalize" else _normalises(v) for k, v in info.items())
    return False
