"""FlexAttention over a packed row equals the tree's own attention and one softmax, in both directions.

On a CPU its kernels do not go backward; its reference does, and is what runs here. It sees single tokens and no blocks,
which `test_tree_blocks` compares; the compiled forward pass goes by blocks.
"""

import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.attention import flex_attention as library

from agent.model import flex_tree, states
from agent.model.flex_tree import flex_tree_attention
from agent.model.forward import Placement
from agent.model.load import VLM
from agent.model.states import packs, reason, ways
from agent.model.tree_attention import Sight, tree_attention
from agent.rollout.render import Renderer
from tests.agent.model.test_kept_prompts import gradients_of, kept_of
from tests.agent.model.test_states import by, largest_difference, loss_and_gradients, siblings
from tests.agent.model.test_tree_blocks import Forest, forest

Picture = Callable[..., np.ndarray]
FORESTS = {
    "siblings": forest([(0, 40), (1, 7), (1, 1), (1, 19)]),
    "shared turns": forest([(0, 30), (1, 20), (2, 5), (2, 9), (3, 4), (1, 6), (0, 11), (1, 3)]),
    "outer prompts": forest([(0, 9), (1, 4), (1, 2), (0, 5), (0, 3), (1, 8)], [(12, 1), (7, 0), (5, 1)]),
    "many blocks": forest([(0, 200), (1, 130), (2, 40), (2, 1), (1, 90), (0, 60)], [(140, 1)]),
}


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """FlexAttention by its reference, which is refused on a CPU when gradients are asked for."""
    monkeypatch.setattr(library, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    monkeypatch.setattr(library, "_validate_device", lambda *tensors: None)

    def plainly(query: Tensor, key: Tensor, value: Tensor, blocks: library.BlockMask) -> Tensor:
        found = library.flex_attention(query, key, value, block_mask=blocks, enable_gqa=True)
        assert isinstance(found, Tensor)
        return found

    monkeypatch.setattr(flex_tree, "kernel", lambda: plainly)


@pytest.fixture
def by_flex(reference: None, monkeypatch: pytest.MonkeyPatch) -> list[Sight]:
    """Packed rows of models go through FlexAttention; what they saw in each layer."""
    calls: list[Sight] = []

    def noted(query: Tensor, key: Tensor, value: Tensor, seen: Sight, scale: float) -> Tensor:
        calls.append(seen)
        return flex_tree_attention(query, key, value, seen, scale)

    monkeypatch.setattr(flex_tree, "attention_of", lambda model: noted)
    return calls


def tensors(made: Forest, key_heads: int, channels: int = 8, grad: bool = True) -> list[Tensor]:
    torch.manual_seed(0)
    tokens, keys = made.mask.shape
    shapes = [(1, tokens, 4, channels), (1, keys, key_heads, channels), (1, keys, key_heads, channels)]
    return [torch.randn(shape).transpose(1, 2).requires_grad_(grad) for shape in shapes]


def one_softmax(inputs: list[Tensor], made: Forest, scale: float) -> Tensor:
    return torch.nn.functional.scaled_dot_product_attention(*inputs, attn_mask=made.mask, scale=scale, enable_gqa=True)


@pytest.mark.parametrize("scale", [8**-0.5, 0.4])
@pytest.mark.parametrize("key_heads", [1, 2, 4])
@pytest.mark.parametrize("kind", FORESTS)
def test_outputs_and_gradients_are_those_of_the_tree_and_of_one_softmax(
    reference: None, kind: str, key_heads: int, scale: float
) -> None:
    made = FORESTS[kind]
    inputs, seen = tensors(made, key_heads), made.seen
    upward = torch.randn(inputs[0].shape)
    outputs = [
        flex_tree_attention(*inputs, seen, scale),
        tree_attention(*inputs, seen, scale),
        one_softmax(inputs, made, scale),
    ]
    found, *others = [(each, *torch.autograd.grad(each, inputs, upward)) for each in outputs]
    for expected in others:
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", FORESTS)
def test_one_query_more_or_less_for_a_key_is_a_difference(
    reference: None, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = FORESTS[kind]
    inputs = tensors(made, 2)
    expected = tree_attention(*inputs, made.seen, 0.4)
    for key in {0, made.outer, made.outer + made.pieces[0][1] - 1}:
        shifts = (-1, 1) if made.spans[1, key] < made.mask.shape[0] else (-1,)  # there may be no query more
        for shift in shifts:
            wrong = made.spans.copy()
            wrong[1, key] += shift
            monkeypatch.setattr("agent.model.tree_attention.spans", lambda *_, wrong=wrong: wrong)
            assert (flex_tree_attention(*inputs, made.seen, 0.4) - expected).abs().max() > 1e-3


# Through whole models.


@pytest.mark.parametrize("turns", [1, 3])
def test_loss_and_gradients_of_a_model_are_those_of_the_tree(
    by_flex: list[Sight], vlm: VLM, renderer: Renderer, picture: Picture, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = siblings(renderer, picture, turns)
    loss, gradients = loss_and_gradients(vlm, batch, "tree")
    layers = vlm.model.config.get_text_config().num_hidden_layers
    assert len(by_flex) == layers and len(set(map(id, by_flex))) == 2  # one for the last layer
    monkeypatch.setattr(flex_tree, "attention_of", lambda model: tree_attention)
    other, expected = loss_and_gradients(vlm, batch, "tree")
    assert len(by_flex) == layers and abs(float(loss - other)) <= 1e-6
    assert largest_difference(gradients, expected) <= 1e-5


def test_it_goes_together_with_gradient_checkpointing(
    by_flex: list[Sight], one_vlm: VLM, one_renderer: Renderer, picture: Picture
) -> None:
    batch = siblings(one_renderer, picture)
    loss, expected = loss_and_gradients(one_vlm, batch, "none")
    assert not by_flex
    checkpointing = replace(one_vlm, model=deepcopy(one_vlm.model))
    checkpointing.model.gradient_checkpointing_enable()
    checkpointing.model.train()
    found, gradients = loss_and_gradients(checkpointing, batch, "tree")
    assert len(by_flex) == 2 * one_vlm.model.config.get_text_config().num_hidden_layers
    assert abs(float(loss - found)) <= 1e-6
    assert largest_difference(gradients, expected) <= 1e-5


def test_kept_prompts_are_its_outer_keys(
    by_flex: list[Sight], one_vlm: VLM, one_renderer: Renderer, picture: Picture
) -> None:
    batch = siblings(one_renderer, picture)
    _, gradients = gradients_of(one_vlm, batch, kept_of(one_vlm, batch, [[0, 1, 2]]), len(batch))
    assert by_flex and all(seen.outer > 0 for seen in by_flex)
    with by(one_vlm.model, "none"):
        _, expected = gradients_of(one_vlm, batch, None, len(batch))
    assert largest_difference(gradients, expected) <= 1e-5


# Where it is used, and what is said where it is not.


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if models were on a GPU."""
    monkeypatch.setattr(flex_tree, "device_of", lambda model: torch.device("cuda"))
    monkeypatch.setattr(states, "device_of", lambda model: torch.device("cuda"))


def test_a_gpu_takes_the_tree_where_the_kernel_works(
    on_gpu: None, one_vlm: VLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def works(*about: object) -> str:
        asked.append(about)
        return ""

    monkeypatch.setattr(flex_tree, "tried", works)
    text = one_vlm.model.config.get_text_config()
    assert "tree" in ways(one_vlm.model) and packs(one_vlm.model) and not reason(one_vlm.model)
    assert flex_tree.attention_of(one_vlm.model) is flex_tree_attention
    heads = (text.num_attention_heads, text.num_key_value_heads)
    assert asked[0] == (torch.device("cuda"), torch.float32, *heads, text.hidden_size // heads[0])


def test_a_gpu_without_the_kernel_takes_the_cache_and_says_why(
    on_gpu: None, one_vlm: VLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flex_tree, "tried", lambda *about: "FlexAttention does not work on this device: no triton")
    assert ways(one_vlm.model) == ("prefix",) and "no triton" in reason(one_vlm.model)
    assert flex_tree.attention_of(one_vlm.model) is tree_attention
    with by(one_vlm.model, "tree"):  # by name it is there all the same, in plain products
        assert ways(one_vlm.model) == ("tree",) and not reason(one_vlm.model)
    with by(one_vlm.model, "prefix"):
        assert not reason(one_vlm.model)


def test_shards_are_tried_in_what_they_are_computed_in(one_vlm: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(flex_tree, "tried", lambda *about: asked.append(about) or "")
    placed = Placement(torch.device("cuda", 1), None, torch.bfloat16)  # type: ignore[arg-type]
    monkeypatch.setattr(one_vlm.model, "rllava_placement", placed, raising=False)
    assert ways(one_vlm.model) == ("tree",)  # and never a cache
    assert asked[0][:2] == (torch.device("cuda", 1), torch.bfloat16)


def test_a_cpu_keeps_its_own_kernels(one_vlm: VLM) -> None:
    assert flex_tree.attention_of(one_vlm.model) is tree_attention
    assert "cpu" in flex_tree.why_not(one_vlm.model)
    assert packs(one_vlm.model) and not reason(one_vlm.model)


ABOUT = (torch.device("cpu"), torch.float32, 4, 2, 16)


@pytest.fixture
def afresh() -> Iterator[None]:
    """What was tried is kept for a process."""
    flex_tree.tried.cache_clear()
    yield
    flex_tree.tried.cache_clear()


def test_what_works_is_tried_once_and_draws_nothing(
    afresh: None, reference: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_rng_state()
    assert flex_tree.tried(*ABOUT) == ""
    assert torch.equal(torch.get_rng_state(), before)
    monkeypatch.setattr(flex_tree, "flex_tree_attention", None)
    assert flex_tree.tried(*ABOUT) == ""


def test_half_precision_is_no_reason(afresh: None, reference: None) -> None:
    assert flex_tree.tried(torch.device("cpu"), torch.bfloat16, 4, 2, 16) == ""


def test_a_kernel_that_computes_something_else_is_not_used(
    afresh: None, reference: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(query: Tensor, key: Tensor, value: Tensor, seen: Sight, scale: float) -> Tensor:
        return flex_tree_attention(query, key, value, replace(seen, above=()), scale)

    monkeypatch.setattr(flex_tree, "flex_tree_attention", blind)
    assert "is wrong on this device" in flex_tree.tried(*ABOUT)


def test_a_device_that_cannot_go_backward_is_a_reason_and_no_crash(afresh: None) -> None:
    told = flex_tree.tried(*ABOUT)
    assert "does not work on this device" in told and "backward" in told and "\n" not in told


# Compiled.


@pytest.fixture
def nothing_compiled() -> Iterator[None]:
    """What was compiled is kept for a process."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def test_rows_of_any_length_are_few_programs(nothing_compiled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = []

    def counted(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., object]:
        programs.append(graph)
        return lambda *given: [given[0]]  # nothing is computed: which program it is matters here

    made = torch.compile(flex_tree._compiled, dynamic=True, fullgraph=True, backend=counted)
    monkeypatch.setattr(flex_tree, "kernel", lambda: made)
    for length in (7, *range(130, 600, 47), 5, 70):  # 7: as many tokens as channels, and as many blocks as heads
        for row in (forest([(0, length), (1, 9)]), forest([(0, length), (1, 9)], [(length + 300, 1)])):
            # As layers hand them over: rotated queries and keys, values as they come out of a product.
            query, key, value = tensors(row, 2, 16, grad=False)
            value = torch.randn(1, value.shape[2], 2 * 16).unflatten(2, (2, 16)).transpose(1, 2)
            flex_tree_attention(query.clone(), key.clone(), value, row.seen, 0.25)
    assert len(programs) == 2  # with outer keys and without
    assert not [node for each in programs for node in each.graph.nodes if node.target == "item"]


def test_without_a_compiler_it_says_so_and_does_not_hold_all_scores() -> None:
    row = FORESTS["siblings"]
    with pytest.raises(RuntimeError, match=r"torch\.compile is turned off"):
        flex_tree._compiled(*tensors(row, 2, 16, grad=False), row.seen.blocks)


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("g++") is None or not torch.cpu._is_avx2_supported(), reason="to compile for a CPU needs g++ and AVX2"
)
def test_compiled_it_computes_the_same_by_blocks(nothing_compiled: None) -> None:
    with torch.no_grad():
        for made in (FORESTS["many blocks"], forest([(0, 300), (1, 140), (1, 129), (0, 7)]), FORESTS["outer prompts"]):
            inputs = tensors(made, 2, 16, grad=False)
            found = flex_tree_attention(*inputs, made.seen, 0.25)
            torch.testing.assert_close(found, one_softmax(inputs, made, 0.25), rtol=0, atol=1e-5)
