"""What rows share is computed once, in whichever way, and nothing else changes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from agent.engine.batching import Batch, make_batch
from agent.model import states
from agent.model.layout import takes_layouts
from agent.model.load import VLM
from agent.model.lora import attach
from agent.model.states import Sharing, batch_states, keepable, packs, reason, share, ways
from agent.model.tree import pack
from agent.model.tree_attention import Sight, sight
from agent.roles.actor import Actor
from agent.rollout.render import Renderer
from agent.types import Row, Segment
from tests.oracle.tree import dense_states, seen_by

Picture = Callable[..., np.ndarray]
WAYS: tuple[Sharing, ...] = ("tree", "prefix")


def siblings(renderer: Renderer, picture: Picture, turns: int = 3) -> Batch:
    """Three prompts of different lengths and pictures, one of them without any; ragged rows of one and of more turns,
    of which two go the same way for a turn."""
    rng = np.random.default_rng(0)
    words = "Look again at all that there is to see. " * 4
    prompts = [
        renderer.prompt("How many?", (picture(60, 80, 1),)),
        renderer.prompt("How many of these two pictures are red?", (picture(40, 70, 2), picture(58, 58, 3))),
        renderer.prompt("A word. " * 12, ()),
    ]
    first = tuple(rng.integers(0, 200, 4).tolist())
    rows = []
    for prompt in prompts:
        for sibling in range(4):
            acted = first if sibling > 1 else tuple(rng.integers(0, 200, 3 + 2 * sibling).tolist())
            row = Row((prompt, Segment("action", acted, 0)))
            for turn in range(1, turns if sibling else 1):
                row = row.append(renderer.observation(words, (picture(30, 40, 3 + turn),), turn, True))
                row = row.append(Segment("action", tuple(rng.integers(0, 200, 2 + sibling).tolist()), turn))
            rows.append(row)
    order = rng.permutation(len(rows)).tolist()  # siblings need not stand side by side
    return make_batch(
        [rows[i] for i in order], list(range(len(rows))), [1.0] * len(rows), renderer.pixels, renderer.processor.merge
    )


@contextmanager
def by(model: PreTrainedModel, way: Sharing) -> Iterator[None]:
    """Models are shared between tests, and how they share is not."""
    share(model, way)
    yield
    share(model, "auto")


def loss_and_gradients(vlm: VLM, batch: Batch, way: Sharing) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A loss of all log-probabilities and entropies, as an update's is scaled, and its gradients."""
    vlm.model.zero_grad()
    with by(vlm.model, way):
        logprobs, entropy = Actor(vlm.model, 1.0, vlm.processor.banned_ids).logprobs(batch, entropy_gradient=True)
    weights = torch.linspace(-1, 1, logprobs.numel()).view_as(logprobs)
    loss = ((logprobs + 0.1 * entropy) * weights).sum() / batch.action_mask.sum()
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in vlm.model.named_parameters() if p.grad is not None}
    vlm.model.zero_grad()
    return loss.detach(), gradients


def largest_difference(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Of a weight's gradient, in units of its largest entry where that is above 1."""
    assert found.keys() == expected.keys()
    return max(
        float((found[name] - gradient).abs().max()) / max(1.0, float(gradient.abs().max()))
        for name, gradient in expected.items()
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("turns", [1, 3])
def test_loss_and_gradients_are_those_of_whole_rows(
    vlm: VLM, renderer: Renderer, picture: Picture, way: Sharing, turns: int
) -> None:
    batch = siblings(renderer, picture, turns)
    loss, gradients = loss_and_gradients(vlm, batch, way)
    plainly, expected = loss_and_gradients(vlm, batch, "none")
    assert abs(float(loss - plainly)) <= 1e-6
    assert largest_difference(gradients, expected) <= 1e-5


@pytest.mark.parametrize("way", WAYS)
def test_an_adapter_gets_the_gradients_of_whole_rows(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture, way: Sharing
) -> None:
    adapted = replace(one_vlm, model=deepcopy(one_vlm.model))
    attach(adapted.model, rank=2, target="all-linear")
    for name, weight in adapted.model.named_parameters():
        if ".lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    batch = siblings(one_renderer, picture)
    loss, gradients = loss_and_gradients(adapted, batch, way)
    plainly, expected = loss_and_gradients(adapted, batch, "none")
    assert any(".lora_A" in name for name in gradients)
    assert abs(float(loss - plainly)) <= 1e-6
    assert largest_difference(gradients, expected) <= 1e-5


def test_a_tree_goes_together_with_gradient_checkpointing(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture
) -> None:
    batch = siblings(one_renderer, picture)
    loss, expected = loss_and_gradients(one_vlm, batch, "none")
    checkpointing = replace(one_vlm, model=deepcopy(one_vlm.model))
    checkpointing.model.gradient_checkpointing_enable()
    checkpointing.model.train()
    found, gradients = loss_and_gradients(checkpointing, batch, "tree")
    assert abs(float(loss - found)) <= 1e-6
    assert largest_difference(gradients, expected) <= 1e-5


@pytest.mark.parametrize("way", WAYS)
def test_one_row_is_not_worse_than_many(one_vlm: VLM, one_renderer: Renderer, picture: Picture, way: Sharing) -> None:
    batch = siblings(one_renderer, picture).select([2])
    loss, gradients = loss_and_gradients(one_vlm, batch, way)
    plainly, expected = loss_and_gradients(one_vlm, batch, "none")
    assert abs(float(loss - plainly)) <= 1e-6
    assert largest_difference(gradients, expected) <= 1e-5


# The packed row against a dense mask, and what must not be equal.


def test_states_of_the_tree_are_those_of_a_dense_mask_over_the_packed_row(
    vlm: VLM, renderer: Renderer, picture: Picture
) -> None:
    batch = siblings(renderer, picture)
    assert takes_layouts(vlm.model)
    with torch.no_grad(), by(vlm.model, "tree"):
        packed = pack(batch, vlm.model.config.image_token_id, torch.device("cpu"))
        asked = batch.predicting
        np.testing.assert_allclose(
            batch_states(vlm.model, batch).at(asked), dense_states(vlm.model, packed)[packed.index[asked]], atol=2e-5
        )


FAULTS = ["positions", "sees all", "sees no prompt", "another's picture", "sees no prompt at last", "sees all at last"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_a_difference(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = siblings(one_renderer, picture)
    _, expected = loss_and_gradients(one_vlm, batch, "none")
    plainly = pack

    def faulty(*arguments: object) -> object:
        packed = plainly(*arguments)  # type: ignore[arg-type]
        if fault == "positions":
            return replace(packed, position_ids=torch.arange(packed.input_ids.shape[1]).expand(3, 1, -1))
        if fault.endswith("at last"):
            return replace(packed, last=replace(packed.last, sight=wrong(packed.last.sight, fault)))
        if fault.startswith("sees"):
            return replace(packed, seen=wrong(packed.seen, fault))
        return replace(packed, images=packed.images[::-1])

    def wrong(seen: Sight, fault: str) -> Sight:
        pieces = [(0, seen.pieces[-1][1])] if "all" in fault else seen.pieces
        return sight(pieces, (), seen.outer, seen.device)

    monkeypatch.setattr(states, "pack", faulty)
    _, gradients = loss_and_gradients(one_vlm, batch, "tree")
    assert largest_difference(gradients, expected) > 1e-3


def test_the_oracle_mask_lets_a_token_see_its_row_up_to_itself(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture
) -> None:
    batch = siblings(one_renderer, picture)
    packed = pack(batch, one_vlm.model.config.image_token_id, torch.device("cpu"))
    mask = seen_by(packed)
    for row, length in enumerate(batch.attention_mask.sum(1).tolist()):
        places = packed.index[row, :length]
        assert len(set(places.tolist())) == length
        for column, place in enumerate(places.tolist()):
            assert mask[place].nonzero()[:, 0].tolist() == sorted(places[: column + 1].tolist())


# Which way is taken.


def test_the_cheapest_way_by_counted_operations_is_taken(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def counted(model: object, input_ids: torch.Tensor, *rest: object, **options: object) -> torch.Tensor:
        seen.append(tuple(input_ids.shape))
        return original(model, input_ids, *rest, **options)  # type: ignore[arg-type]

    original = states.hidden_states
    monkeypatch.setattr(states, "hidden_states", counted)
    batch = siblings(one_renderer, picture, turns=1)
    batch_states(one_vlm.model, batch)
    with by(one_vlm.model, "none"):
        batch_states(one_vlm.model, batch)
    (one, packed), whole = seen
    assert one == 1 and whole == tuple(batch.input_ids.shape) and packed < batch.attention_mask.sum() / 2


def test_what_a_model_does_not_allow_is_done_otherwise_and_told(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = siblings(one_renderer, picture)
    with torch.no_grad():
        expected = Actor(one_vlm.model, 1.0, ()).logprobs(batch)[0]
        assert packs(one_vlm.model) and not reason(one_vlm.model)
        monkeypatch.setattr(one_vlm.model.config.get_text_config(), "attention_dropout", 0.5)  # off in evaluation
        one_vlm.model.eval()
        found = Actor(one_vlm.model, 1.0, ()).logprobs(batch)[0]
    assert not packs(one_vlm.model) and "50%" in reason(one_vlm.model)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_processes_that_share_a_model_go_through_it_once_and_never_by_a_cache(
    one_vlm: VLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    with by(one_vlm.model, "prefix"):
        assert ways(one_vlm.model) == ("prefix",)
        monkeypatch.setattr(states, "placement_of", lambda model: object())
        assert ways(one_vlm.model) == ()
    monkeypatch.setattr(states, "device_of", lambda model: torch.device("cpu"))
    assert ways(one_vlm.model) == ("tree",)


@pytest.mark.parametrize("chance", [torch.nn.Dropout(0.1), "attention_dropout"])
def test_a_pass_with_chance_in_training_is_not_kept(one_vlm: VLM, chance: torch.nn.Module | str) -> None:
    made = deepcopy(one_vlm.model)
    assert keepable(made)
    made.add_module("another", torch.nn.Dropout(0.0))
    assert keepable(made)
    made.another = torch.nn.Identity() if isinstance(chance, str) else chance
    if isinstance(chance, str):  # as the attention of some towers has it
        setattr(made.another, chance, 0.2)
    assert not keepable(made)
