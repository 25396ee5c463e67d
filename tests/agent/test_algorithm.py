"""What a recipe's words for the algorithm come to."""

from typing import Any

import pytest

from agent.algorithm import FAMILIES, resolve
from agent.config import AlgorithmConfig, Config, EnvironmentConfig, RolloutConfig
from agent.config_algorithm import CorrectionConfig, CriticConfig, DivergenceConfig, SelectionConfig
from agent.errors import ConfigError
from agent.objective.advantage import ADVANTAGES
from agent.objective.policy_loss import POLICY_LOSSES


def recipe(critic: CriticConfig | None = None, rollout: dict[str, int] | None = None, **algorithm: Any) -> Config:
    return Config(
        EnvironmentConfig("Test/Parity-v0"),
        rollout=RolloutConfig(**{"max_turn_tokens": 7, "max_turns": 3, **(rollout or {})}),
        algorithm=AlgorithmConfig(**algorithm),
        critic=critic or CriticConfig(),
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_made_of_parts_that_there_are(name: str) -> None:
    made, family = resolve(recipe(family=name)), FAMILIES[name]
    assert made.estimator is ADVANTAGES[family.advantage]
    assert made.loss is POLICY_LOSSES[family.policy_loss]
    assert made.aggregation == family.aggregation


def test_every_estimator_and_every_loss_is_in_some_family() -> None:
    assert {family.advantage for family in FAMILIES.values()} == set(ADVANTAGES)
    assert {family.policy_loss for family in FAMILIES.values()} == set(POLICY_LOSSES)


def test_what_is_set_wins_over_the_family() -> None:
    made = resolve(
        recipe(family="dr_grpo", advantage="grpo", advantage_options={"scale": "batch"}, aggregation="token_mean")
    )
    assert made.estimator is ADVANTAGES["grpo"] and made.estimator_options == {"scale": "batch"}
    assert made.loss is POLICY_LOSSES["ppo_clip"] and made.aggregation == "token_mean"


def test_options_that_are_not_set_have_their_defaults() -> None:
    made = resolve(recipe(family="ppo", policy_loss_options={"clip_high": 0.3}))
    assert made.loss_options == {"clip_low": 0.2, "clip_high": 0.3, "dual_clip": 0.0}
    assert made.estimator_options["gae_lambda"] == 1.0


def test_a_constant_that_is_not_given_is_the_most_tokens_of_an_episode() -> None:
    assert resolve(recipe(family="rloo")).constant == 21
    assert resolve(recipe(family="rloo", aggregation_constant=5)).constant == 5


def test_what_an_algorithm_needs_is_read_off_its_parts() -> None:
    assert resolve(recipe(family="ppo")).needs_values and resolve(recipe(family="turn_ppo")).needs_values
    assert not resolve(recipe()).needs_values
    assert resolve(recipe(family="remax")).needs_greedy and not resolve(recipe(family="ppo")).needs_greedy
    assert resolve(recipe(family="gspo")).whole_trajectories and not resolve(recipe()).whole_trajectories
    assert resolve(recipe(correction=CorrectionConfig("truncate", "sequence"))).whole_trajectories
    assert resolve(recipe(divergence=DivergenceConfig(0.1))).needs_reference and not resolve(recipe()).needs_reference
    assert resolve(recipe(epochs=2, mini_batches=3)).updates == 6


def test_trajectories_without_an_advantage_count_only_where_the_objective_has_more() -> None:
    assert not resolve(recipe()).every_trajectory_counts
    assert not resolve(recipe(divergence=DivergenceConfig(0.1, "k1", "reward"))).every_trajectory_counts
    for more in ({"divergence": DivergenceConfig(0.1)}, {"entropy_coef": 0.01}, {"family": "ppo"}):
        assert resolve(recipe(**more)).every_trajectory_counts


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"family": "grppo"}, ["algorithm.family", "'grppo'", "did you mean grpo"]),
        ({"family": "zzz"}, ["algorithm.family", "dr_grpo", "reinforce_pp"]),
        ({"advantage": "rlo"}, ["rlo", "rloo"]),
        ({"advantage_options": {"gae_lambda": 0.9}}, ["grpo", "gae_lambda", "scale"]),
        ({"policy_loss": "gspoo"}, ["gspoo", "gspo"]),
        ({"policy_loss_options": {"clip_low": 1.5}}, ["clip_low", "1.5", "at most 1"]),
        ({"policy_loss_options": {"clip_high": -0.1}}, ["clip_high", "-0.1", "at least 0"]),
        ({"epochs": 0}, ["algorithm.epochs", "at least 1", "got 0"]),
        ({"mini_batches": 0}, ["algorithm.mini_batches", "at least 1"]),
        ({"mini_batches": 17}, ["algorithm.mini_batches", "17", "rollout.prompts_per_step=16"]),
        ({"divergence": DivergenceConfig(0.1, "k1", "loss")}, ["k1", "k2", "k3"]),
        ({"divergence": DivergenceConfig(-0.1)}, ["algorithm.divergence.coef", "-0.1"]),
        ({"divergence": DivergenceConfig(target=0.1)}, ["algorithm.divergence.target", "coef"]),
        (
            {"correction": CorrectionConfig("mask", low=2.0, high=2.0)},
            ["algorithm.correction", "low must be below high"],
        ),
        ({"selection": SelectionConfig(resample_rounds=-1)}, ["algorithm.selection.resample_rounds"]),
        ({"selection": SelectionConfig(overlong_buffer=22)}, ["algorithm.selection.overlong_buffer", "22", "21"]),
    ],
)
def test_what_makes_no_sense_is_told_with_its_field_and_what_is_allowed(given: dict[str, Any], told: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(recipe(**given))
    for words in told:
        assert words in str(caught.value)


def test_k1_is_allowed_in_the_reward() -> None:
    assert resolve(recipe(divergence=DivergenceConfig(0.1, "k1", "reward"))).needs_reference


def test_siblings_are_asked_for_only_by_estimators_that_compare_them() -> None:
    with pytest.raises(ConfigError, match=r"rollout.group_size: must be at least 2 .* rloo"):
        resolve(recipe(rollout={"group_size": 1}, family="rloo"))
    assert resolve(recipe(rollout={"group_size": 1}, family="ppo"))
    with pytest.raises(ConfigError, match=r"critic\.warmup_steps"):
        resolve(recipe(critic=CriticConfig(warmup_steps=-1), family="ppo"))
