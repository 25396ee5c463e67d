"""What a step learns from: rewards, penalties, credit, and which trajectories are taught in which update."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from agent.collect import collect
from agent.config import Config
from agent.config_algorithm import DivergenceConfig, SelectionConfig
from agent.credit import to_episodes
from agent.engine.batching import make_batch
from agent.lesson import Lesson, Rewards, _of_last_rows, mini_batches, prepare, rewards_of, taught
from agent.parts import Parts
from agent.train import learner_of
from agent.types import Row, Segment
from agent.update import accumulate_gradient
from tests.agent.test_train import prepared


def lesson_of(config: Config, parts: Parts, rewards: Rewards | None = None, kl_coef: float = 0.0) -> Lesson:
    collected = collect(config, parts, 0)
    rewards = rewards or rewards_of(config, parts, collected.trajectories, collected.siblings, 0)
    learner = learner_of(config, parts)
    return prepare(
        learner, parts, collected.trajectories, collected.siblings, rewards, collected.greedy_scores, kl_coef
    )


def lesson(tmp_path: Path, kl_coef: float = 0.0, **areas: Any) -> tuple[Config, Parts, Lesson]:
    config, parts = prepared(tmp_path, **areas)
    return config, parts, lesson_of(config, parts, kl_coef=kl_coef)


def test_the_penalty_of_a_long_episode_grows_over_the_buffer(tmp_path: Path) -> None:
    """Two turns of at most 5 tokens: whole at 10, and 0 up to 10 - 4."""
    selection = SelectionConfig(overlong_buffer=4, overlong_penalty=2.0)
    _, _, made = lesson(tmp_path, algorithm={"selection": selection})
    for trajectory, penalty in zip(made.trajectories, made.rewards.terms["overlong"].tolist(), strict=True):
        assert penalty == pytest.approx(-2.0 * min(1.0, max(0.0, (trajectory.action_count - 6) / 4)))
    assert {t.action_count for t in made.trajectories} == {10}
    _, _, later = lesson(tmp_path / "b", algorithm={"selection": replace(selection, overlong_at=12)})
    assert later.rewards.terms["overlong"].tolist() == pytest.approx([-2.0 * 2 / 4] * 6)
    assert later.rewards.scores.tolist() == pytest.approx(
        [(t.outcome.score or 0.0) - 1.0 for t in later.trajectories], abs=1e-6
    )


def test_a_penalty_in_the_reward_falls_at_its_token_and_is_in_the_score(tmp_path: Path) -> None:
    divergence = DivergenceConfig(0.5, "k1", "reward")
    config, parts = prepared(tmp_path, algorithm={"family": "reinforce_pp", "divergence": divergence})
    plain = lesson_of(config, parts, kl_coef=0.0)
    assert parts.reference is not None
    with torch.no_grad():
        for parameter in parts.reference._actor.model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    made = lesson_of(config, parts, kl_coef=0.5)
    assert made.experience is not None
    batch, reference = made.experience.batch, made.experience.reference_logprobs
    assert reference is not None
    taken = 0.5 * to_episodes(batch.sampler_logprobs - reference, plain.episodes, batch)
    assert float(taken.abs().max()) > 1e-2
    torch.testing.assert_close(made.episodes.rewards, plain.episodes.rewards - taken, atol=1e-5, rtol=0)
    torch.testing.assert_close(made.episodes.scores, plain.episodes.scores - taken.sum(1), atol=1e-5, rtol=0)


def test_scores_are_scaled_before_advantages_are_estimated(tmp_path: Path) -> None:
    _, _, plain = lesson(tmp_path, algorithm={"family": "dr_grpo"})
    _, _, scaled = lesson(tmp_path / "b", algorithm={"family": "dr_grpo", "reward_scaling": "batch"})
    deviation = plain.rewards.scores.std()
    torch.testing.assert_close(
        scaled.credit.advantages, plain.credit.advantages / (deviation + 1e-6), atol=1e-5, rtol=1e-4
    )


def test_what_the_critic_expects_is_told_to_the_estimator_and_what_it_learns_comes_back(tmp_path: Path) -> None:
    options = {"whiten": False, "gae_lambda": 1.0}
    _, _, made = lesson(tmp_path, algorithm={"family": "ppo", "advantage_options": options})
    assert made.experience is not None
    experience, episodes = made.experience, made.episodes
    assert experience.values is not None and experience.returns is not None and experience.valued is not None
    # With lambda 1 the critic is to learn the rewards that are still to come, and the advantage is what it misses.
    to_come = episodes.rewards.flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(
        to_episodes(experience.returns, episodes, experience.batch), to_come * episodes.mask, atol=1e-5, rtol=0
    )
    torch.testing.assert_close(
        experience.batch.advantages, (experience.returns - experience.values) * experience.valued, atol=1e-5, rtol=0
    )
    assert torch.equal(experience.valued, experience.batch.action_mask)


def test_a_truncated_episode_is_bootstrapped_only_if_asked_for(tmp_path: Path) -> None:
    turns = {"env": {"kwargs": {"turns": 3}}}  # one more than the budget allows
    found = []
    for name, bootstrap in (("off", False), ("on", True)):
        options = {"whiten": False, "bootstrap_truncated": bootstrap}
        config, parts = prepared(tmp_path / name, algorithm={"family": "ppo", "advantage_options": options}, **turns)
        assert parts.critic is not None
        torch.nn.init.constant_(parts.critic.model.head.bias, 4.0)
        made = lesson_of(config, parts)
        assert bool(made.episodes.truncated.all())
        found.append(made.credit.returns)
    assert found[0] is not None and found[1] is not None
    torch.testing.assert_close((found[1] - found[0])[made.episodes.mask], torch.full((60,), 4.0), atol=1e-4, rtol=0)


def test_old_log_probabilities_are_computed_only_for_several_updates(tmp_path: Path) -> None:
    _, _, once = lesson(tmp_path)
    assert once.experience is not None and once.experience.old_logprobs is None
    _, _, twice = lesson(tmp_path / "b", algorithm={"epochs": 2})
    assert twice.experience is not None and twice.experience.old_logprobs is not None
    batch = twice.experience.batch
    torch.testing.assert_close(
        twice.experience.old_logprobs[batch.action_mask], batch.sampler_logprobs[batch.action_mask], atol=1e-4, rtol=0
    )


def test_truncated_trajectories_can_be_left_out_of_what_is_taught(tmp_path: Path) -> None:
    turns = {"env": {"kwargs": {"turns": 3}}}
    _, parts, made = lesson(tmp_path, **turns)
    assert taught(parts.algorithm, made) == list(range(6))
    _, parts, made = lesson(tmp_path / "b", algorithm={"selection": SelectionConfig(drop_truncated=True)}, **turns)
    assert bool(made.episodes.truncated.all()) and taught(parts.algorithm, made) == []


@pytest.mark.parametrize(("epochs", "count"), [(1, 1), (2, 1), (1, 3), (3, 2)])
def test_every_epoch_deals_out_every_group_whole(tmp_path: Path, epochs: int, count: int) -> None:
    config, parts, made = lesson(
        tmp_path, algorithm={"epochs": epochs, "mini_batches": count}, rollout={"prompts_per_step": 4}
    )
    dealt = list(mini_batches(made, parts.algorithm, 0, 5))
    assert len(dealt) == epochs * count
    for epoch in range(epochs):
        part = dealt[epoch * count : (epoch + 1) * count]
        assert sorted(index for chosen in part for index in chosen) == list(range(12))
        for chosen in part:
            assert len(chosen) % 3 == 0 and all(chosen[i] // 3 == chosen[i + 2] // 3 for i in range(0, len(chosen), 3))
    assert dealt == list(mini_batches(made, parts.algorithm, 0, 5))
    if count > 1:
        assert dealt != list(mini_batches(made, parts.algorithm, 0, 6))
    assert config.algorithm.epochs == epochs


def test_the_final_value_of_a_trajectory_is_that_of_its_last_row() -> None:
    rows = [Row((Segment("prompt", (1,), 0), Segment("action", (5,), turn))) for turn in (0, 1, 0)]
    batch = make_batch(rows, [1, 1, 2], [0.0] * 3, {}.__getitem__, 1)
    assert _of_last_rows(torch.tensor([7.0, 8.0, 9.0]), batch, 4).tolist() == [0.0, 8.0, 9.0, 0.0]


def test_of_last_turns_alone_only_their_tokens_carry_the_loss(tmp_path: Path) -> None:
    config, parts, every = lesson(tmp_path, algorithm={"family": "grpo"})
    _, _, last = lesson(tmp_path / "b", algorithm={"family": "grpo", "selection": SelectionConfig(turns="last")})
    assert every.experience is not None and last.experience is not None
    assert every.trained.tolist() == [t.action_count for t in every.trajectories]
    ends = [[len(a.token_ids) for a in t.actions if a.turn == 1] for t in last.trajectories]
    assert last.trained.tolist() == [sum(lengths) for lengths in ends] and all(ends)
    for ours, whole, trained in zip(last.advantages, every.advantages, last.trained.tolist(), strict=True):
        assert ours == [0.0] * (len(whole) - trained) + whole[len(whole) - trained :]
    batch = last.experience.batch
    assert batch.action_mask.sum(1).tolist() == last.trained.tolist()
    assert torch.equal(batch.action_mask, every.experience.batch.action_mask & (batch.turns == 1))
    gradients = []
    for made in (every, last):
        learner = learner_of(config, parts)
        accumulate_gradient(learner, made.experience, torch.ones(6) / int(made.trained.sum()))
        gradients.append(torch.cat([p.grad.flatten() for p in parts.vlm.model.parameters() if p.grad is not None]))
        parts.train_engine.discard()
    assert float((gradients[0] - gradients[1]).abs().max()) > 1e-4
