"""Prompts that are run together, and kept for the update where there is room."""

import numpy as np
import pytest
import torch

from agent.model.forward import hidden_states, next_token_logits
from agent.model.kept_prompts import KeptPrompts, name_of
from agent.model.layout import takes_layouts
from agent.model.load import VLM
from agent.model.prompt_pass import PromptTokens
from agent.rollout.hf_trunks import trunks_of
from agent.rollout.render import Renderer
from tests.agent.rollout.asking import prompt


@pytest.fixture
def prompts(one_vlm: VLM, one_renderer: Renderer) -> list[PromptTokens]:
    assert takes_layouts(one_vlm.model)
    rows = [prompt(one_renderer, "How many? " * k).token_ids for k in (1, 3, 200)]
    return [PromptTokens(row, np.arange(len(row))[None].repeat(3, 0), []) for row in rows]


@pytest.mark.parametrize("keeping", [False, True])
def test_trunks_of_prompts_run_together_are_those_of_each_alone(
    one_vlm: VLM, prompts: list[PromptTokens], keeping: bool
) -> None:
    with torch.inference_mode():
        trunks = trunks_of(one_vlm.model, prompts, KeptPrompts() if keeping else None)
    for trunk, each in zip(trunks, prompts, strict=True):
        ids, positions = torch.tensor(each.token_ids)[None], torch.from_numpy(each.position_ids)[:, None]
        with torch.no_grad():
            hidden = hidden_states(one_vlm.model, ids, torch.ones_like(ids), positions, [])
            expected = next_token_logits(one_vlm.model, hidden[0, -1])
        assert (trunk.length, trunk.next_position) == (len(each.token_ids),) * 2
        torch.testing.assert_close(trunk.logits, expected, atol=2e-5, rtol=0)
        assert not any(tensor.requires_grad for tensor in trunk.tensors())


def test_passes_are_kept_as_far_as_there_is_room(one_vlm: VLM, prompts: list[PromptTokens]) -> None:
    kept, names = KeptPrompts(most=1), [name_of(each) for each in prompts]
    with torch.inference_mode():
        trunks_of(one_vlm.model, prompts, kept)
    assert len(kept) == 2 and kept.nbytes > 1  # short ones together; the long one would be too much
    outer = kept.outer(names)
    assert outer is not None and list(outer.names) == names[:2] and outer.states.requires_grad
    kept.clear()
    assert not len(kept) and not kept.nbytes
