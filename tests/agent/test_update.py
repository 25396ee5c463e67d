"""One gradient: what it is, and what it must not depend on."""

from dataclasses import replace

import pytest
import torch

from agent.algorithm import Algorithm, resolve
from agent.config import AlgorithmConfig, Config, EnvironmentConfig, OptimizerConfig
from agent.config_algorithm import CorrectionConfig, DivergenceConfig
from agent.engine.batching import Batch, make_batch
from agent.engine.experience import Experience
from agent.engine.local import LocalEngine
from agent.model.load import VLM
from agent.objective.aggregation import trajectory_weights
from agent.objective.kl import KL_ESTIMATORS
from agent.roles.actor import Actor
from agent.roles.reference import Reference
from agent.rollout.render import Renderer
from agent.update import Gradient, Learner, accumulate_gradient, selected
from tests.agent.run_fixtures import sampled_rows, tiny_vlm
from tests.oracle import objective as oracle

LENGTHS = [(3, 2), (1, 4), (5, 1), (2, 2)]
ADVANTAGES = [1.0, -1.0, 0.5, -0.25]
WHOLE = 10_000


@pytest.fixture(scope="module")
def vlm() -> VLM:
    return tiny_vlm()


@pytest.fixture(scope="module")
def batch(vlm: VLM) -> Batch:
    renderer = Renderer(vlm.processor)
    rows = sampled_rows(renderer, LENGTHS)
    return make_batch(rows, list(range(len(rows))), ADVANTAGES, renderer.pixels, vlm.processor.merge)


def actor_of(vlm: VLM) -> Actor:
    return Actor(vlm.model, 1.0, vlm.processor.banned_ids)


def elsewhere(actor: Actor) -> Reference:
    """A reference policy that differs from the actor."""
    reference = Reference(actor)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in reference._actor.model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return reference


def algorithm_of(**options: object) -> Algorithm:
    """GRPO with the mean over all tokens, but for these options."""
    chosen = AlgorithmConfig(**{"aggregation": "token_mean", **options})  # type: ignore[arg-type]
    return resolve(Config(EnvironmentConfig("Test/Parity-v0"), algorithm=chosen))


def weights_of(batch: Batch, kind: str = "token_mean", count: int = len(LENGTHS)) -> torch.Tensor:
    lengths = torch.zeros(count, dtype=torch.long).index_add_(0, batch.trajectory, batch.action_mask.sum(1))
    return trajectory_weights(lengths, lengths > 0, kind)


def gradient_of(
    vlm: VLM,
    batch: Batch | Experience,
    tokens: int = WHOLE,
    algorithm: Algorithm | None = None,
    reference: Reference | None = None,
    weights: torch.Tensor | None = None,
) -> tuple[dict[str, torch.Tensor], Gradient]:
    experience = batch if isinstance(batch, Experience) else Experience(batch)
    engine = LocalEngine(vlm.model, OptimizerConfig())
    engine.discard()
    algorithm = algorithm or algorithm_of()
    learner = Learner(actor_of(vlm), reference, None, engine, algorithm, tokens)
    weights = weights_of(experience.batch) if weights is None else weights
    made = accumulate_gradient(learner, experience, weights, algorithm.config.divergence.coef)
    gradients = {name: p.grad.clone() for name, p in vlm.model.named_parameters() if p.grad is not None}
    engine.discard()
    return gradients, made


def assert_equal_gradients(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    largest = max(float(gradient.abs().max()) for gradient in theirs.values())
    assert largest > 1e-3, "a gradient of zero would be equal to anything"
    for name, gradient in ours.items():
        torch.testing.assert_close(
            gradient, theirs[name], atol=1e-5 * largest, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )


def padded(batch: Batch, columns: int) -> Batch:
    """The same rows with more padding on the right."""

    def pad(tensor: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(tensor, (0, columns))

    names = ("input_ids", "attention_mask", "position_ids", "action_mask", "sampler_logprobs", "advantages", "turns")
    return replace(batch, **{name: pad(getattr(batch, name)) for name in names})


@pytest.mark.parametrize("tokens", [1, 40, 70])
@pytest.mark.parametrize("kl_coef", [0.0, 0.3])
def test_the_gradient_does_not_depend_on_how_the_batch_is_split(
    vlm: VLM, batch: Batch, tokens: int, kl_coef: float
) -> None:
    assert len(list(batch.split(tokens))) > 1 == len(list(batch.split(WHOLE)))
    algorithm = algorithm_of(divergence=DivergenceConfig(kl_coef))
    reference = elsewhere(actor_of(vlm)) if kl_coef else None
    whole, told = gradient_of(vlm, batch, WHOLE, algorithm, reference)
    split, told_in_pieces = gradient_of(vlm, batch, tokens, algorithm, reference)
    assert_equal_gradients(split, whole)
    torch.testing.assert_close(told_in_pieces.logprobs, told.logprobs, atol=1e-5, rtol=1e-5)
    assert told_in_pieces.metrics == pytest.approx(told.metrics, abs=1e-5)


def test_the_gradient_does_not_depend_on_padding(vlm: VLM, batch: Batch) -> None:
    """Batch.split would cut padding away; the wider batch keeps it by a row that is as long as the padding."""
    actor, wide = actor_of(vlm), padded(batch, 9)
    vlm.model.zero_grad()
    ours, _ = actor.logprobs(wide)
    (ours * wide.advantages).sum().backward()
    with_padding = {name: p.grad.clone() for name, p in vlm.model.named_parameters() if p.grad is not None}
    vlm.model.zero_grad()
    theirs, _ = actor.logprobs(batch)
    (theirs * batch.advantages).sum().backward()
    without = {name: p.grad.clone() for name, p in vlm.model.named_parameters() if p.grad is not None}
    vlm.model.zero_grad()
    assert_equal_gradients(with_padding, without)
    whole, _ = gradient_of(vlm, batch)
    assert_equal_gradients(gradient_of(vlm, wide)[0], whole)


def test_the_order_of_rows_does_not_change_the_gradient(vlm: VLM) -> None:
    renderer = Renderer(vlm.processor)
    rows = sampled_rows(renderer, LENGTHS)
    order = [2, 0, 3, 1]
    given = make_batch(rows, [0, 1, 2, 3], ADVANTAGES, renderer.pixels, vlm.processor.merge)
    moved = make_batch([rows[i] for i in order], order, [ADVANTAGES[i] for i in order], renderer.pixels, 1)
    assert_equal_gradients(gradient_of(vlm, moved)[0], gradient_of(vlm, given)[0])


def test_the_gradient_is_that_of_reinforce_over_all_action_tokens(vlm: VLM, batch: Batch) -> None:
    """-sum of A log pi over action tokens, divided by their number: 3 + 2 + 1 + 4 + 5 + 1 + 2 + 2 = 20."""
    assert int(batch.action_mask.sum()) == 20
    vlm.model.zero_grad()
    logprobs, _ = actor_of(vlm).logprobs(batch)
    row_advantages = torch.tensor(ADVANTAGES)[:, None]
    (-(row_advantages * logprobs * batch.action_mask).sum() / 20).backward()
    reinforce = {name: p.grad.clone() for name, p in vlm.model.named_parameters() if p.grad is not None}
    vlm.model.zero_grad()
    assert_equal_gradients(gradient_of(vlm, batch)[0], reinforce)


def test_rows_without_advantage_may_be_left_out_of_the_batch_but_not_out_of_the_mean(vlm: VLM) -> None:
    renderer = Renderer(vlm.processor)
    rows = sampled_rows(renderer, LENGTHS)
    advantages = [1.0, 0.0, 0.5, 0.0]
    whole = make_batch(rows, range(4), advantages, renderer.pixels, vlm.processor.merge)
    some = make_batch([rows[0], rows[2]], [0, 2], [1.0, 0.5], renderer.pixels, vlm.processor.merge)
    ours, _ = gradient_of(vlm, some, weights=weights_of(whole))
    assert_equal_gradients(ours, gradient_of(vlm, whole)[0])


def test_advantages_on_prompt_and_observation_tokens_change_nothing(vlm: VLM, batch: Batch) -> None:
    noise = torch.randn(batch.advantages.shape, generator=torch.Generator().manual_seed(0)) * 100
    spoiled = replace(batch, advantages=torch.where(batch.action_mask, batch.advantages, noise))
    (ours, told), (theirs, expected) = gradient_of(vlm, spoiled), gradient_of(vlm, batch)
    assert told.metrics == expected.metrics
    assert all(torch.equal(gradient, theirs[name]) for name, gradient in ours.items())


def test_an_advantage_on_any_action_token_changes_the_gradient(vlm: VLM, batch: Batch) -> None:
    """Every action token of every turn is trained: none may be lost at a boundary."""
    row, column = batch.action_mask.nonzero()[[0, 4, -1]].T
    theirs = gradient_of(vlm, batch)[0]
    for r, c in zip(row.tolist(), column.tolist(), strict=True):
        changed = batch.advantages.clone()
        changed[r, c] += 1.0
        ours = gradient_of(vlm, replace(batch, advantages=changed))[0]
        assert any(not torch.allclose(ours[name], theirs[name], atol=1e-6) for name in ours)


@pytest.mark.parametrize("estimator", ["k2", "k3"])
def test_the_divergence_enters_the_loss_with_its_weight_and_is_told(vlm: VLM, batch: Batch, estimator: str) -> None:
    reference = elsewhere(actor_of(vlm))
    logprobs, told = actor_of(vlm).logprobs(batch)[0].detach(), None
    expected = oracle.token_mean(
        KL_ESTIMATORS[estimator](logprobs, reference.logprobs(batch)).tolist(), batch.action_mask.tolist()
    )
    algorithm = algorithm_of(divergence=DivergenceConfig(0.5, estimator))  # type: ignore[arg-type]
    with_it, told = gradient_of(vlm, batch, WHOLE, algorithm, reference)
    without, plain = gradient_of(vlm, batch)
    assert expected > 1e-3
    assert told.metrics[f"kl/{estimator}"] == pytest.approx(expected, rel=1e-4)
    assert told.metrics["loss"] == pytest.approx(plain.metrics["loss"] + 0.5 * expected, rel=1e-4)
    vlm.model.zero_grad()
    own, _ = actor_of(vlm).logprobs(batch)
    divergence = KL_ESTIMATORS[estimator](own, reference.logprobs(batch))
    (0.5 * divergence[batch.action_mask].sum() / 20).backward()
    added = {name: p.grad.clone() for name, p in vlm.model.named_parameters() if p.grad is not None}
    vlm.model.zero_grad()
    assert_equal_gradients(with_it, {name: without[name] + added[name] for name in without})


def test_the_loss_is_the_mean_over_tokens_at_ratio_one(vlm: VLM, batch: Batch) -> None:
    """At ratio 1 each token's loss is -A: -(5 x 1 + 5 x -1 + 6 x 0.5 + 4 x -0.25) / 20 = -0.1."""
    _, told = gradient_of(vlm, batch)
    assert told.metrics["loss"] == pytest.approx(-0.1, abs=1e-6)
    assert told.metrics["clip_fraction"] == 0.0
    assert told.metrics["kl/old"] == 0.0
    assert told.metrics["ratio"] == pytest.approx(1.0) and told.metrics["ratio_largest"] == 1.0


def test_the_log_probabilities_that_are_handed_back_are_those_of_the_batch(vlm: VLM, batch: Batch) -> None:
    _, told = gradient_of(vlm, batch, 40)
    assert told.logprobs.shape == batch.input_ids.shape
    assert torch.equal(told.logprobs != 0, batch.action_mask)
    assert not told.logprobs.requires_grad


def test_no_weight_moves(vlm: VLM, batch: Batch) -> None:
    before = {name: tensor.clone() for name, tensor in vlm.model.state_dict().items()}
    gradient_of(vlm, batch)
    assert all(torch.equal(tensor, before[name]) for name, tensor in vlm.model.state_dict().items())


def test_a_step_along_the_gradient_makes_good_actions_likelier_and_bad_ones_less_likely(batch: Batch) -> None:
    """The sign of everything at once."""
    vlm = tiny_vlm()
    before = actor_of(vlm).logprobs(batch)[0].detach()
    gradients, _ = gradient_of(vlm, batch)
    with torch.no_grad():
        for name, parameter in vlm.model.named_parameters():
            if name in gradients:
                parameter -= 0.02 * gradients[name]
    change = ((actor_of(vlm).logprobs(batch)[0].detach() - before) * batch.advantages).sum()
    assert float(change) > 1e-3


def many_rows(vlm: VLM) -> Experience:
    """Two trajectories of two rows each, with old log-probabilities that differ from those of now."""
    renderer = Renderer(vlm.processor)
    rows = sampled_rows(renderer, LENGTHS)
    advantages = [1.0, 1.0, -0.5, -0.5]
    batch = make_batch(rows, [0, 0, 1, 1], advantages, renderer.pixels, vlm.processor.merge)
    now = actor_of(vlm).logprobs(batch)[0].detach()
    old, sampler = (
        torch.where(
            batch.action_mask, now + 0.1 * torch.randn(now.shape, generator=torch.Generator().manual_seed(seed)), now
        )
        for seed in (3, 4)
    )
    return Experience(replace(batch, sampler_logprobs=sampler), old_logprobs=old)


@pytest.mark.parametrize(
    "options",
    [
        {"family": "gspo", "policy_loss_options": {"clip_low": 0.5, "clip_high": 0.5}},
        {"family": "gmpo"},
        {"family": "grpo", "correction": CorrectionConfig("truncate", "sequence", high=1.1)},
        {"family": "grpo", "correction": CorrectionConfig("mask", "turn", 0.9, 1.1)},
    ],
    ids=["gspo", "gmpo", "correction of sequences", "correction of turns"],
)
def test_rows_of_a_trajectory_have_one_ratio_however_the_batch_is_split(vlm: VLM, options: dict[str, object]) -> None:
    experience, algorithm = many_rows(vlm), algorithm_of(aggregation=None, **options)
    assert algorithm.whole_trajectories
    weights = weights_of(experience.batch, algorithm.aggregation, 2)
    assert len(list(experience.split(1, whole=True))) == 2 and len(list(experience.split(1))) == 4
    whole, told = gradient_of(vlm, experience, WHOLE, algorithm, weights=weights)
    split, in_pieces = gradient_of(vlm, experience, 1, algorithm, weights=weights)
    assert_equal_gradients(split, whole)
    assert in_pieces.metrics == pytest.approx(told.metrics, abs=1e-5)


def test_the_old_log_probabilities_make_the_ratio(vlm: VLM) -> None:
    experience = many_rows(vlm)
    _, told = gradient_of(vlm, experience, weights=weights_of(experience.batch, count=2))
    assert experience.old_logprobs is not None
    now = actor_of(vlm).logprobs(experience.batch)[0].detach()
    ratio = torch.exp(now - experience.old_logprobs)[experience.batch.action_mask]
    assert told.metrics["ratio"] == pytest.approx(float(ratio.mean()), rel=1e-4)
    assert told.metrics["ratio_largest"] == pytest.approx(float(ratio.max()), rel=1e-4)
    assert told.metrics["kl/old"] > 0


def test_the_entropy_bonus_is_the_gradient_of_the_mean_entropy(vlm: VLM, batch: Batch) -> None:
    with_it, _ = gradient_of(vlm, batch, 40, algorithm_of(entropy_coef=0.3))
    without, _ = gradient_of(vlm, batch)
    vlm.model.zero_grad()
    _, entropy = actor_of(vlm).logprobs(batch, entropy_gradient=True)
    (-0.3 * entropy[batch.action_mask].sum() / 20).backward()
    added = {name: p.grad.clone() for name, p in vlm.model.named_parameters() if p.grad is not None}
    vlm.model.zero_grad()
    assert_equal_gradients(with_it, {name: without[name] + added[name] for name in without})


def test_a_correction_weighs_each_token_by_how_much_the_sampler_underrated_it(vlm: VLM, batch: Batch) -> None:
    """The sampler's log-probabilities are log 2 below the trainer's for the first row: weight 2, held at 1.5."""
    now = actor_of(vlm).logprobs(batch)[0].detach()
    sampler = now.clone()
    sampler[0] -= batch.action_mask[0] * torch.log(torch.tensor(2.0))
    given = replace(batch, sampler_logprobs=sampler)
    corrected, told = gradient_of(vlm, given, WHOLE, algorithm_of(correction=CorrectionConfig("truncate", high=1.5)))
    weights = torch.tensor([1.5, 1.0, 1.0, 1.0])[:, None]
    expected, _ = gradient_of(vlm, replace(given, advantages=given.advantages * weights))
    assert_equal_gradients(corrected, expected)
    assert told.metrics["correction/limited"] == pytest.approx(5 / 20)


def test_tokens_that_the_loss_selects_are_chosen_over_the_whole_mini_batch(vlm: VLM, batch: Batch) -> None:
    algorithm = algorithm_of(
        family="clip_cov", policy_loss_options={"cov_share": 0.3, "cov_low": -9.0, "cov_high": 9.0}
    )
    engine = LocalEngine(vlm.model, OptimizerConfig())
    chosen = selected(Learner(actor_of(vlm), None, None, engine, algorithm, WHOLE), Experience(batch))
    assert chosen.selected is not None and int(chosen.selected.sum()) == 6
    whole, _ = gradient_of(vlm, chosen, WHOLE, algorithm)
    split, told = gradient_of(vlm, chosen, 1, algorithm)
    assert_equal_gradients(split, whole)
    assert told.metrics["clip_fraction"] == pytest.approx(6 / 20)
    spared = replace(batch, advantages=batch.advantages.masked_fill(chosen.selected, 0.0))
    assert_equal_gradients(whole, gradient_of(vlm, spared)[0])
