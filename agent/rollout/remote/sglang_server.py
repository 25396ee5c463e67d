"""SGLang's `POST /generate`: token ids in, token ids and log-probabilities out. Text only.

Why no pictures: `image_data` over HTTP is either a picture, which the server resizes and normalises with an image
processor and limits of its own, so that nobody knows whether it saw the trainer's pixels; or a dictionary in the format
"processor_output", whose tensors JSON cannot carry and the server does not rebuild. Token ids beside pictures would be
exact (since SGLang keeps those that it is sent), pixels would not, and what cannot be shown to be exact is refused.

No SGLang server was at hand: this was written from its documentation and source and tested against a server that
imitates it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...chat.dialect import PLAIN
from ...errors import ConfigError, MismatchError, OutageError
from ...types import ImageSpan
from ..engine import Completion, Request
from .connection import Connection
from .interface import BIAS, PROBED_TOKENS, Expected, stop_reason

COMMAND = (
    "python -m sglang.launch_server --model-path MODEL --context-length {length} --sampling-defaults openai "
    "--enable-deterministic-inference (and SGLANG_RETURN_ORIGINAL_LOGPROB not set)"
)
BANNED = -100.0
HOT = 1000.0


class SglangInterface:
    """Token ids without pictures."""

    generate = "/generate"

    def body(self, request: Request, token_ids: Sequence[int], spans: Sequence[ImageSpan]) -> bytes:
        if request.images:
            raise ConfigError(
                "engine.remote.kind: sglang generates from text only: over HTTP, SGLang cannot be given the trainer's "
                "pixels, and would process the picture in its own way. For tasks with pictures: "
                "--engine.remote.kind vllm"
            )
        wanted = request.sampling
        sampling: dict[str, Any] = PLAIN | {
            "temperature": wanted.temperature,
            "max_new_tokens": wanted.max_tokens,
            "sampling_seed": wanted.seed % 2**31,
            "stop_token_ids": list(wanted.stop_ids),
            "ignore_eos": True,  # the stop tokens are ours
            "no_stop_trim": True,
            "skip_special_tokens": False,
        }
        if wanted.banned_ids:
            sampling["logit_bias"] = {str(banned): BANNED for banned in wanted.banned_ids}
        return _body(token_ids, sampling)

    def completion(
        self, request: Request, token_ids: Sequence[int], answer: Any, version: int, label: str | None
    ) -> Completion:
        info = answer["meta_info"]
        if info["prompt_tokens"] != len(token_ids):
            raise MismatchError(f"the server generated from {info['prompt_tokens']} tokens, sent were {len(token_ids)}")
        reason = info["finish_reason"]
        if reason["type"] not in ("stop", "length"):
            raise OutageError(f"the server gave up a request: {reason}. Give the same command again")
        if label is not None and info.get("weight_version", label) != label:
            raise MismatchError(
                f"the server sampled with the weights {info['weight_version']} and not with {label}: it was started "
                "anew, or somebody else gave it weights. Give the same command again, with servers that nobody else "
                "trains on"
            )
        # (log-probability, token, text); `output_ids` may lack the stop token.
        sampled = tuple(int(entry[1]) for entry in info["output_token_logprobs"])
        logprobs = tuple(float(entry[0]) for entry in info["output_token_logprobs"])
        if len(sampled) != info["completion_tokens"]:
            raise MismatchError(
                f"the server gives {len(sampled)} log-probabilities of {info['completion_tokens']} tokens"
            )
        return Completion(request.id, sampled, logprobs, stop_reason(request.sampling, sampled), version)

    async def check(self, server: Connection, expected: Expected) -> None:
        command = COMMAND.format(length=expected.max_tokens)
        info = await server.get("/get_server_info", absent=True) or await server.get("/server_info", absent=True)
        if info is None:
            raise ConfigError(f"{server.url} is no SGLang server (it has no /get_server_info). Start one: {command}")
        length = info.get("context_length")
        if length is not None and length < expected.max_tokens:
            raise ConfigError(
                f"{server.url} takes contexts of {length} tokens, the recipe has rollout.max_row_tokens="
                f"{expected.max_tokens}. Start it with: {command}"
            )
        if info.get("enable_deterministic_inference") is False:
            raise ConfigError(f"{server.url} ignores seeds, so that no run could be repeated. Start it with: {command}")
        # At this temperature every token is as likely as any other, whatever the model and the bias.
        sampling = PLAIN | {"temperature": HOT, "max_new_tokens": PROBED_TOKENS, "sampling_seed": 0, "ignore_eos": True}
        sampling |= {"logit_bias": {str(expected.prompt[0]): BIAS}}
        answer = await server.post(self.generate, _body(expected.prompt, sampling))
        found = [entry[0] for entry in answer["meta_info"]["output_token_logprobs"]]
        uniform = -math.log(expected.vocabulary)
        if not found or any(abs(logprob - uniform) > 0.5 for logprob in found):
            raise ConfigError(
                f"{server.url} does not give the log-probabilities of what it sampled from (at temperature {HOT:g} "
                f"they should be near {uniform:.2f}, it gives {found[:1]}), or its vocabulary is another. Start it "
                f"with: {command}"
            )

    async def load(self, server: Connection, folder: Path, label: str) -> None:
        body = {"model_path": str(folder), "flush_cache": True, "weight_version": label}
        done = await server.post("/update_weights_from_disk", body)
        if not done.get("success"):
            raise ConfigError(f"{server.url} could not load {folder}: {done.get('message')}")


def _body(token_ids: Sequence[int], sampling: dict[str, Any]) -> bytes:
    body = {
        "input_ids": list(token_ids),
        "sampling_params": sampling,
        "return_logprob": True,
        "logprob_start_len": -1,  # of the answer alone
        "stream": False,
    }
    return json.dumps(body, separators=(",", ":")).encode()
