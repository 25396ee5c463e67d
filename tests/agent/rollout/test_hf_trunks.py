"""Prompts that are run in one pass."""

import torch

from agent.model.forward import hidden_states, next_token_logits
from agent.model.layout import takes_layouts
from agent.model.load import VLM
from agent.rollout.hf_trunks import Packed, run_prompts
from agent.rollout.render import Renderer
from tests.agent.rollout.asking import prompt


def test_gradients_of_prompts_run_together_are_those_of_each_alone(one_vlm: VLM, one_renderer: Renderer) -> None:
    rows = [prompt(one_renderer, "How many? " * k) for k in (1, 3)]
    ids = [torch.tensor(row.token_ids) for row in rows]
    weight = one_vlm.model.base_model.language_model.layers[0].self_attn.k_proj.weight
    assert takes_layouts(one_vlm.model)

    def score(logits: torch.Tensor) -> torch.Tensor:
        return (logits * torch.arange(logits.shape[-1]) / 100).sin().sum()

    positions = [torch.arange(len(row))[None].expand(3, -1) for row in rows]
    trunks = run_prompts(one_vlm.model, torch.cat(ids), torch.cat(positions, 1), [len(row) for row in rows], [])
    assert [trunk.length for trunk in trunks] == [len(row) for row in rows]
    assert all(not tensor.requires_grad for trunk in trunks for tensor in trunk.detached().tensors())
    together = torch.autograd.grad(score(trunks[0].logits) + score(trunks[1].logits), weight)[0]
    alone = torch.zeros_like(together)
    for each, place in zip(ids, positions, strict=True):
        hidden = hidden_states(one_vlm.model, each[None], torch.ones_like(each)[None], place[:, None], [])
        alone += torch.autograd.grad(score(next_token_logits(one_vlm.model, hidden[0, -1])), weight)[0]
    size = float(alone.abs().max())
    assert size > 0.1 and float((together - alone).abs().max()) < 1e-4 * size


def test_a_layer_that_is_computed_anew_is_kept_once() -> None:
    packed = Packed([2, 1])
    query, key, value = torch.randn(1, 4, 3, 8), torch.randn(1, 2, 3, 8), torch.randn(1, 2, 3, 8)
    first = packed.attend(0, query, key, value, 0.3)
    torch.testing.assert_close(packed.attend(0, query, key, value, 0.3), first)
    assert len(packed.keys) == 1 and first.shape == (1, 3, 4, 8)
