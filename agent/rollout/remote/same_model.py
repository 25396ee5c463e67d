"""Whether servers that keep their own weights serve the model that they are taken for."""

from __future__ import annotations

import numpy as np
import torch

from ...errors import ConfigError
from ...model.forward import hidden_states, next_token_logits
from ...model.load import VLM
from ...model.positions import mrope_positions
from ..distribution import token_logprobs
from ..engine import Request, SamplingParams
from ..hf import expand
from .engine import RemoteEngine

# Nats. Two devices with two dtypes may differ by tenths; another model, or pixels normalised twice, differ by more.
BOUND = 1.0
PROBES = 4  # for each server
PATIENCE = 1.0


def check_same_model(engine: RemoteEngine, vlm: VLM, pictures: bool) -> None:
    """Compare the log-probabilities of some sampled tokens with those of the model at hand.

    Args:
        engine: Each of its servers is asked.
        vlm: The model that they should serve.
        pictures: Prompts have one.

    Raises:
        ConfigError: they differ.
    """
    requests = [_probe(vlm, number, pictures) for number in range(PROBES * len(engine.servers))]
    for request in requests:
        engine.submit(request)
    waiting = {request.id: request for request in requests}
    try:
        while waiting:
            for completion in engine.poll(PATIENCE):
                request = waiting.pop(completion.id)
                (token,), (theirs,) = completion.token_ids, completion.logprobs or (float("nan"),)
                ours = float(_logprobs(vlm, request)[token])
                if not abs(ours - theirs) <= BOUND:
                    raise ConfigError(
                        f"the generation servers {', '.join(server.url for server in engine.servers)} do not serve "
                        f"this model: they gave a token log-probability {theirs:.2f}, the model at hand {ours:.2f}. "
                        "Start them with the same checkpoint, and vLLM with --no-mm-device-do-normalize"
                    )
    finally:
        for request in requests:
            engine.abort(request.id)
            engine.release(request.episode)


def _probe(vlm: VLM, number: int, pictures: bool) -> Request:
    """Noise, and a token about it: no two probes share a beginning, so that they are spread over the servers."""
    processor = vlm.processor
    ids = [*processor.encode(f"{number}")]
    images = []
    if pictures:
        noise = np.random.default_rng(number).integers(0, 256, (56, 84, 3), dtype=np.uint8)
        images.append(processor.process(noise))
        frame = [int(processor.tokenizer.convert_tokens_to_ids(token)) for token in processor.image_frame]
        ids += [*frame[:1], processor.image_token_id, *frame[1:]]
    ids += processor.encode(" What is this?")
    sampling = SamplingParams(1.0, 1, number, processor.stop_ids, processor.banned_ids)
    return Request(number, number, tuple(ids), tuple(images), sampling)


@torch.inference_mode()
def _logprobs(vlm: VLM, request: Request) -> torch.Tensor:
    """(vocabulary,) of the first token after a prompt."""
    ids, spans = expand(request.token_ids, request.images, vlm.processor.image_token_id)
    positions = torch.from_numpy(mrope_positions(len(ids), spans, vlm.processor.merge))[:, None]
    device = vlm.model.device
    rows = torch.tensor([ids], device=device)
    hidden = hidden_states(vlm.model, rows, torch.ones_like(rows), positions.to(device), request.images)
    logits = next_token_logits(vlm.model, hidden[0, -1])
    return token_logprobs(logits, request.sampling.temperature, request.sampling.banned_ids)
