"""Counted operations, against torch's own count, and what they say of the ways of sharing."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from agent.model.forward import hidden_states
from agent.model.load import VLM
from agent.model.states import batch_states, share
from agent.model.tree import pack
from agent.model.work import Work, layer_work, padded_work, prefix_work
from agent.rollout.render import Renderer
from tests.agent.model.test_states import siblings
from tests.oracle.tree import packed_work

Picture = Callable[..., np.ndarray]


def test_it_is_what_torch_counts(vlm: VLM) -> None:
    ids = torch.arange(100, 140).repeat(3, 1)
    positions = torch.arange(40).expand(3, 3, 40)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        hidden_states(vlm.model, ids, torch.ones_like(ids), positions, [])
    counted = layer_work(vlm.model).of(3 * 40, 3 * 40 * 40)  # torch counts pairs that are not seen, too
    assert counter.get_total_flops() == pytest.approx(2 * counted, rel=0.01)


@pytest.mark.parametrize("turns", [1, 3])
def test_the_tree_multiplies_least_and_whole_rows_most(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture, turns: int
) -> None:
    batch, work = siblings(one_renderer, picture, turns), layer_work(one_vlm.model)
    tree = packed_work(work, pack(batch, one_vlm.model.config.image_token_id, torch.device("cpu")))
    assert tree < prefix_work(work, batch) < padded_work(work, batch)


def test_hand_worked_rows(one_renderer: Renderer, picture: Picture) -> None:
    batch = siblings(one_renderer, picture, 1)
    rows, width = batch.input_ids.shape
    longest, rest = int(batch.prompt_length.max()), int((batch.attention_mask.sum(1) - batch.prompt_length).max())
    assert padded_work(Work(1, 0), batch) == rows * width
    assert prefix_work(Work(1, 0), batch) == 3 * longest + rows * rest  # of three prompts
    assert padded_work(Work(0, 2), batch) == rows * width * (width + 1)
    assert prefix_work(Work(0, 2), batch) == 3 * longest * (longest + 1) + rows * rest * (2 * longest + rest + 1)


def test_where_there_is_no_tree_the_cheaper_of_the_others_is_taken(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    monkeypatch.setattr(
        "agent.model.states.prefix_states", lambda model, batch: taken.append(len(batch)) or torch.zeros(1, 1, 1)
    )
    monkeypatch.setattr("agent.model.states.takes_layouts", lambda model: False)
    batch = siblings(one_renderer, picture, 1)
    batch_states(one_vlm.model, batch)
    batch_states(
        one_vlm.model, batch.select([0], int(batch.attention_mask[0].sum()))
    )  # nothing is shared, and two passes are no cheaper
    assert taken == [len(batch)]
    share(one_vlm.model, "none")
    batch_states(one_vlm.model, batch)
    share(one_vlm.model, "auto")
    assert taken == [len(batch)]
