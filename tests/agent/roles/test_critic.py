"""The Critic: values of the states before actions, and how they are learned."""

import copy
from dataclasses import replace

import pytest
import torch

from agent.config import OptimizerConfig
from agent.config_algorithm import CriticConfig
from agent.engine.batching import Batch, make_batch
from agent.engine.experience import Experience
from agent.model.load import VLM
from agent.model.states import batch_states
from agent.roles.critic import Critic, told
from agent.rollout.render import Renderer
from tests.agent.run_fixtures import sampled_rows, tiny_vlm

WHOLE = 10_000


@pytest.fixture(scope="module")
def vlm() -> VLM:
    return tiny_vlm()


@pytest.fixture(scope="module")
def batch(vlm: VLM) -> Batch:
    renderer = Renderer(vlm.processor)
    rows = sampled_rows(renderer, [(3, 2), (1, 4)])
    return make_batch(rows, [0, 1], [0.0, 0.0], renderer.pixels, vlm.processor.merge)


def critic_of(vlm: VLM, trained: bool = True, **options: object) -> Critic:
    made = Critic(vlm.model, CriticConfig(**{"lr": 1e-2, **options}), OptimizerConfig(steps=100), 1)  # type: ignore[arg-type]
    if trained:
        torch.nn.init.normal_(made.model.head.weight, generator=torch.Generator().manual_seed(0))
    return made


def lesson(batch: Batch, critic: Critic, vlm: VLM) -> Experience:
    values, _ = critic.values(batch, WHOLE)
    returns = torch.where(batch.action_mask, torch.arange(values.shape[1]) / 10.0, torch.zeros(()))
    return Experience(batch, values=values, returns=returns, valued=batch.action_mask)


@pytest.mark.parametrize("trunk", ["own", "shared"])
def test_before_anything_is_learned_nothing_is_expected(vlm: VLM, batch: Batch, trunk: str) -> None:
    values, final = critic_of(vlm, trained=False, trunk=trunk).values(batch, WHOLE)
    assert not values.any() and not final.any()


def test_values_stand_at_action_tokens_and_are_of_the_state_before(vlm: VLM, batch: Batch) -> None:
    critic = critic_of(vlm)
    values, _ = critic.values(batch, WHOLE)
    assert torch.equal(values != 0, batch.action_mask)
    first = int(batch.action_mask[0].nonzero()[0])
    changed = batch.input_ids.clone()
    changed[0, first] = (changed[0, first] + 1) % 200  # the first action itself
    other, _ = critic.values(replace(batch, input_ids=changed), WHOLE)
    assert float(other[0, first]) == pytest.approx(float(values[0, first]), abs=1e-6)
    assert abs(float(other[0, first + 1] - values[0, first + 1])) > 1e-4


def test_the_final_value_is_of_the_state_after_the_last_token(vlm: VLM, batch: Batch) -> None:
    critic = critic_of(vlm)
    _, final = critic.values(batch, WHOLE)
    last = int(batch.attention_mask[1].sum()) - 1
    changed = batch.input_ids.clone()
    changed[1, last] = (changed[1, last] + 1) % 200
    _, other = critic.values(replace(batch, input_ids=changed), WHOLE)
    assert float(other[0]) == pytest.approx(float(final[0]), abs=1e-6)
    assert abs(float(other[1] - final[1])) > 1e-4


@pytest.mark.parametrize("trunk", ["own", "shared"])
def test_values_do_not_depend_on_micro_batches(vlm: VLM, batch: Batch, trunk: str) -> None:
    critic = critic_of(vlm, trunk=trunk)
    for whole, split in zip(critic.values(batch, WHOLE), critic.values(batch, 1), strict=True):
        torch.testing.assert_close(split, whole, atol=1e-5, rtol=1e-5)


def test_an_own_trunk_learns_what_happened_and_leaves_the_policy_alone(vlm: VLM, batch: Batch) -> None:
    critic = critic_of(vlm, loss="squared", max_grad_norm=10.0)
    before = {name: tensor.clone() for name, tensor in vlm.model.state_dict().items()}
    losses = [critic.update(lesson(batch, critic, vlm), WHOLE)["value_loss"] for _ in range(40)]
    assert losses[-1] < 0.05 * losses[0]
    assert all(torch.equal(tensor, before[name]) for name, tensor in vlm.model.state_dict().items())
    learned = lesson(batch, critic, vlm)
    assert learned.values is not None and learned.returns is not None and learned.valued is not None
    assert told(learned.values, learned.returns, learned.valued)["explained_variance"] > 0.8


def test_its_gradient_does_not_depend_on_micro_batches(vlm: VLM, batch: Batch) -> None:
    after = []
    for tokens in (WHOLE, 1):
        critic = critic_of(vlm)
        critic.update(lesson(batch, critic, vlm), tokens)
        after.append(critic.model.head.weight.detach().clone())
    torch.testing.assert_close(after[0], after[1], atol=1e-5, rtol=1e-4)


def test_only_valued_tokens_teach_it(vlm: VLM, batch: Batch) -> None:
    first = torch.zeros_like(batch.action_mask)
    first[0, int(batch.action_mask[0].nonzero()[0])] = True
    after = []
    for elsewhere in (0.0, 1e6):
        critic = critic_of(vlm)
        given = lesson(batch, critic, vlm)
        assert given.returns is not None
        spoiled = torch.where(first, given.returns, torch.full_like(given.returns, elsewhere))
        critic.update(replace(given, returns=spoiled, valued=first), WHOLE)
        after.append(critic.model.head.weight.detach().clone())
    assert torch.equal(after[0], after[1])


def test_the_clip_stops_a_value_that_has_moved_far(vlm: VLM, batch: Batch) -> None:
    """V = old + 1 with R = old + 2 is held at old + 0.2: half of max(1, 1.8^2)."""
    critic = critic_of(vlm)
    given = lesson(batch, critic, vlm)
    assert given.values is not None
    old = given.values - 1.0
    with torch.no_grad():
        hidden = batch_states(critic.model.trunk, batch)
        values, _ = critic.model.from_states(hidden, batch)
        loss, _ = critic.loss(replace(given, values=old, returns=old + 2.0), values, 1.0)
    assert int(batch.action_mask.sum()) == 10
    assert float(loss) == pytest.approx(10 * 1.8**2 / 2, rel=1e-4)


@pytest.mark.parametrize("trunk", ["own", "shared"])
def test_what_is_saved_goes_on_as_if_nothing_had_happened(vlm: VLM, batch: Batch, trunk: str) -> None:
    critic = critic_of(vlm, trunk=trunk)
    if not critic.shared:
        critic.update(lesson(batch, critic, vlm), WHOLE)
    state = copy.deepcopy(critic.state_dict())
    again = critic_of(vlm, trained=False, trunk=trunk)
    again.load_state_dict(state)
    for one in (critic, again):
        if not one.shared:
            one.update(lesson(batch, one, vlm), WHOLE)
    for ours, theirs in zip(critic.values(batch, WHOLE), again.values(batch, WHOLE), strict=True):
        assert torch.equal(ours, theirs)
