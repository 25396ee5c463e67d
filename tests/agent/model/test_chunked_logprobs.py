"""Chunks change nothing but the memory that is needed."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from agent.engine.batching import make_batch
from agent.model.chunked_logprobs import chunked_logprobs
from agent.model.load import VLM
from agent.roles.actor import Actor
from agent.rollout.render import Renderer
from agent.types import Row

POSITIONS, CHANNELS, VOCABULARY = 23, 8, 50
BANNED = (3, 7, 49)
CHUNKS = [1, 2, 5, 22, 23, 24, 1000]


def case(bias: bool = False, dtype: torch.dtype = torch.float32) -> tuple[nn.Linear, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    head = nn.Linear(CHANNELS, VOCABULARY, bias=bias)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    hidden = torch.randn(POSITIONS, CHANNELS, generator=generator)
    targets = torch.randint(8, 49, (POSITIONS,), generator=generator)
    return head.to(dtype), hidden.to(dtype).requires_grad_(), targets


def plain(
    head: nn.Module, hidden: Tensor, targets: Tensor, temperature: float, banned: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """All at once, in torch's own words."""
    logits = head(hidden).float()
    allowed = [token for token in range(VOCABULARY) if token not in banned]
    distribution = torch.distributions.Categorical(logits=logits[:, allowed] / temperature)
    return distribution.log_prob(torch.tensor([allowed.index(int(t)) for t in targets])), distribution.entropy()


def gradients(head: nn.Module, hidden: Tensor, logprobs: Tensor, entropy: Tensor | None) -> list[Tensor]:
    """Of a weighted sum, in which no position counts as much as another."""
    weights = torch.linspace(-1, 2, len(logprobs))
    loss = (weights * logprobs).sum() + (0 if entropy is None else (weights.flip(0) * entropy).sum())
    wanted = [hidden, *(p for p in head.parameters() if p.requires_grad)]
    return list(torch.autograd.grad(loss, wanted))


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("banned", [(), BANNED])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("with_entropy", [False, True])
def test_values_and_gradients_are_those_of_all_logits_at_once(
    chunk: int, banned: tuple[int, ...], temperature: float, with_entropy: bool
) -> None:
    head, hidden, targets = case(bias=True)
    logprobs, entropy = chunked_logprobs(head, hidden, targets, temperature, banned, chunk, with_entropy)
    expected, expected_entropy = plain(head, hidden, targets, temperature, banned)
    torch.testing.assert_close(logprobs, expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(entropy, expected_entropy, atol=1e-6, rtol=1e-6)
    assert entropy.requires_grad == with_entropy
    ours = gradients(head, hidden, logprobs, entropy if with_entropy else None)
    theirs = gradients(head, hidden, expected, expected_entropy if with_entropy else None)
    for found, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("chunk", [0, POSITIONS, POSITIONS + 1])
def test_what_fits_into_one_chunk_is_computed_as_without_chunks_bit_for_bit(chunk: int) -> None:
    head, hidden, targets = case()
    made = chunked_logprobs(head, hidden, targets, 0.7, BANNED, chunk, True)
    whole = chunked_logprobs(head, hidden, targets, 0.7, BANNED, 0, True)
    assert all(map(torch.equal, made, whole))
    assert all(map(torch.equal, gradients(head, hidden, *made), gradients(head, hidden, *whole)))


@pytest.mark.parametrize("chunk", [0, 2])
def test_gradients_are_those_of_finite_differences(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # The distribution is computed in float32, which finite differences cannot resolve.
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    head, hidden, targets = case(dtype=torch.float64)

    def function(states: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        return chunked_logprobs(lambda x: x @ weight.T, states, targets[:5], 0.7, BANNED, chunk, True)

    assert torch.autograd.gradcheck(
        function, (hidden[:5].detach().requires_grad_(), head.weight.detach().requires_grad_())
    )


def test_logits_of_a_bfloat16_head_become_float32_before_the_softmax() -> None:
    head, hidden, targets = case(dtype=torch.bfloat16)
    logprobs, entropy = chunked_logprobs(head, hidden, targets, chunk=4, entropy_gradient=True)
    expected, expected_entropy = plain(head, hidden, targets, 1.0, ())
    assert logprobs.dtype == entropy.dtype == torch.float32
    torch.testing.assert_close(logprobs, expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(entropy, expected_entropy, atol=1e-6, rtol=1e-6)
    ours, theirs = gradients(head, hidden, logprobs, entropy), gradients(head, hidden, expected, expected_entropy)
    assert ours[0].dtype == ours[1].dtype == torch.bfloat16
    for found, wanted in zip(ours, theirs, strict=True):
        # Sums over chunks are rounded to 8 bits each.
        assert float((found - wanted).norm() / wanted.norm()) < 1e-2


def test_a_frozen_head_passes_the_gradient_on() -> None:
    head, hidden, targets = case()
    head.requires_grad_(False)
    (ours,) = gradients(head, hidden, *chunked_logprobs(head, hidden, targets, chunk=4, entropy_gradient=True))
    (theirs,) = gradients(head, hidden, *plain(head, hidden, targets, 1.0, ()))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_an_adapter_around_the_head_gets_its_gradients() -> None:
    head, hidden, targets = case()
    model = nn.ModuleDict({"lm_head": head})
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["lm_head"], init_lora_weights=False), model)
    adapted = model["lm_head"]
    ours = gradients(adapted, hidden, *chunked_logprobs(adapted, hidden, targets, chunk=4, entropy_gradient=True))
    theirs = gradients(adapted, hidden, *plain(adapted, hidden, targets, 1.0, ()))
    assert len(ours) == 3  # the states, A and B; the weight itself is frozen
    for found, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_without_gradients_nothing_is_recorded() -> None:
    head, hidden, targets = case()
    with torch.no_grad():
        logprobs, entropy = chunked_logprobs(head, hidden, targets, chunk=4, entropy_gradient=True)
    assert not logprobs.requires_grad and not entropy.requires_grad
    torch.testing.assert_close(logprobs, plain(head, hidden, targets, 1.0, ())[0], atol=1e-6, rtol=1e-6)


class Largest(TorchDispatchMode):
    """The most elements of a tensor that an operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, Tensor):
                self.numel = max(self.numel, tensor.numel())
        return made


@pytest.mark.parametrize("with_entropy", [False, True])
def test_no_tensor_of_all_positions_and_the_vocabulary_is_ever_made(with_entropy: bool) -> None:
    def largest(chunk: int) -> int:
        head, hidden, targets = case()
        with Largest() as seen:
            logprobs, entropy = chunked_logprobs(head, hidden, targets, 0.7, BANNED, chunk, with_entropy)
            gradients(head, hidden, logprobs, entropy if with_entropy else None)
        return seen.numel

    assert largest(0) == POSITIONS * VOCABULARY
    assert largest(10) == 10 * VOCABULARY
    assert largest(4) == CHANNELS * VOCABULARY  # the head's gradient


def test_an_actors_gradient_reaches_a_tied_head_alike_in_chunks(one_vlm: VLM, one_renderer: Renderer) -> None:
    row = Row((one_renderer.prompt("How many?", []),)).append(one_renderer.demonstration("three red circles", 0))
    batch = make_batch([row], [0], [1.0], one_renderer.pixels, one_vlm.processor.merge)
    assert int(batch.action_mask.sum()) > 3
    model = deepcopy(one_vlm.model)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight

    def made(chunk: int) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        model.zero_grad()
        actor = Actor(model, 0.7, one_vlm.processor.banned_ids, chunk)
        logprobs, entropy = actor.logprobs(batch, entropy_gradient=True)
        (logprobs.sum() + entropy.sum()).backward()
        return logprobs, entropy, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    whole, chunks = made(0), made(2)
    torch.testing.assert_close(chunks[0], whole[0], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(chunks[1], whole[1], atol=1e-6, rtol=1e-6)
    assert chunks[2].keys() == whole[2].keys()
    largest = max(float(gradient.abs().max()) for gradient in whole[2].values())
    for name, gradient in chunks[2].items():
        torch.testing.assert_close(
            gradient, whole[2][name], atol=1e-5 * largest, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )
