"""Every algorithm in whole runs: it trains, it continues where it was cut off, it moves what it should and no more."""

import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

from agent.algorithm import FAMILIES
from agent.config import RatesConfig
from agent.config_algorithm import CorrectionConfig, DivergenceConfig, SelectionConfig
from agent.config_model import LoraConfig
from agent.engine.checkpoint import latest_checkpoint
from agent.errors import AlgorithmFault, ConfigError
from agent.interrupt import Interrupt
from agent.model.load import load_vlm
from agent.model.trainable import part_of
from agent.parts import build
from agent.progress import Progress
from agent.records import read_trajectories
from agent.run_directory import RunDirectory
from agent.train import save, train
from tests.agent.run_fixtures import quiet
from tests.agent.test_train import copied, moved, prepared, trained

MANY = {"rollout": {"prompts_per_step": 4}}


def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A module `mine` in the user's folder."""
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    (tmp_path / "mine.py").write_text("import torch\n" + textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_trains(tmp_path: Path, family: str) -> None:
    config, parts = prepared(tmp_path, algorithm={"family": family}, optimizer={"steps": 2})
    before = copied(parts)
    metrics, told, _ = trained(config, parts)
    assert len(metrics) == 2 and "warning" not in told
    assert moved(parts, before)
    for line in metrics:
        assert line["taught"] > 0 and line["grad_norm"] > 0 and line["gap/largest"] < 1e-4
        assert line["ratio_largest"] == 1.0 and 0 <= line["clip_fraction"] <= 1
        assert (("explained_variance" in line) and line["value_loss"] >= 0) == (family in ("ppo", "turn_ppo"))


class Until(RunDirectory):
    """A run directory that asks the run to stop after its second step."""

    stop: Interrupt

    def log(self, step: int, metrics: dict[str, float]) -> None:
        super().log(step, metrics)
        self.stop.requested = step == 2


def continued(tmp_path: Path, **areas: Any) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Weights after four steps at one go, and after two and two with everything built anew between them."""
    whole, parts = prepared(tmp_path / "whole", optimizer={"steps": 4}, **areas)
    trained(whole, parts)
    config, first = prepared(tmp_path / "cut", optimizer={"steps": 4}, **areas)
    directory, progress, stop = Until(config), Progress(quiet()[0]), Interrupt()
    directory.stop = stop
    save(config, first, directory, 0)
    assert train(config, first, directory, 0, progress, stop).interrupted
    first.close()
    directory.close()
    directory = Until(config)
    directory.stop = stop
    again = build(config, tmp_path / "cut", latest_checkpoint(directory.checkpoints))
    train(config, again, directory, 2, progress, Interrupt())
    again.close()
    directory.close()
    progress.stop()
    return copied(parts), copied(again)


@pytest.mark.parametrize(
    "areas",
    [
        {"algorithm": {"family": "ppo", "epochs": 2, "mini_batches": 2}, **MANY},
        {"algorithm": {"family": "ppo"}, "critic": "shared"},
        {"algorithm": {"divergence": DivergenceConfig(0.5, target=0.01, refresh_every=1)}},
        {"algorithm": {"family": "remax", "selection": SelectionConfig(resample_rounds=1)}},
        {"algorithm": {"divergence": DivergenceConfig(0.5, "k1", "reward")}, "lora": 4},
    ],
    ids=["ppo", "ppo with a shared trunk", "moving reference", "remax", "lora"],
)
def test_continued_equals_uninterrupted(tmp_path: Path, areas: dict[str, Any]) -> None:
    areas = dict(areas)
    if areas.pop("critic", None):
        areas["critic"] = {"trunk": "shared", "warmup_steps": 1}
    if rank := areas.pop("lora", 0):
        areas["model"] = {"lora": LoraConfig(rank)}
    whole, again = continued(tmp_path, **areas)
    assert whole.keys() == again.keys()
    assert all(torch.equal(tensor, again[name]) for name, tensor in whole.items())


def test_several_updates_move_the_ratio_and_reach_the_clip(tmp_path: Path) -> None:
    areas = {"algorithm": {"epochs": 4, "policy_loss_options": {"clip_low": 0.01, "clip_high": 0.01}}}
    config, parts = prepared(tmp_path, optimizer={"steps": 1}, **areas)
    (line,), _, _ = trained(config, parts)
    assert line["ratio_largest"] > 1.01 and line["clip_fraction"] > 0 and line["kl/old"] > 0
    assert parts.train_engine.steps_taken == 4


def test_the_schedule_counts_steps_whatever_the_number_of_updates(tmp_path: Path) -> None:
    rates = []
    for name, updates in (("one", {}), ("many", {"epochs": 2, "mini_batches": 2})):
        config, parts = prepared(tmp_path / name, algorithm=updates, optimizer={"steps": 3, "schedule": "linear"})
        metrics, _, _ = trained(config, parts)
        rates.append([line["lr"] for line in metrics])
    assert rates[0] == rates[1] and rates[0][0] > rates[0][1] > rates[0][2]


@pytest.mark.parametrize("trunk", ["own", "shared"])
def test_while_the_critic_warms_up_the_policy_stays(tmp_path: Path, trunk: str) -> None:
    areas = {"algorithm": {"family": "ppo"}, "critic": {"trunk": trunk, "warmup_steps": 2, "lr": 1e-2}}
    config, parts = prepared(tmp_path, optimizer={"steps": 2, "weight_decay": 0.1}, **areas)
    before, critic = copied(parts), parts.critic
    assert critic is not None
    trained(config, parts)
    assert not moved(parts, before)
    assert bool(critic.model.head.weight.any())
    config, parts = prepared(tmp_path / "after", optimizer={"steps": 3}, **areas)
    before = copied(parts)
    trained(config, parts)
    assert moved(parts, before)


def test_a_value_loss_on_a_shared_trunk_moves_the_trunk(tmp_path: Path) -> None:
    weights = []
    for coef in (0.0, 5.0):
        areas = {"algorithm": {"family": "ppo"}, "critic": {"trunk": "shared", "coef": coef, "lr": 1e-2}}
        config, parts = prepared(tmp_path / str(coef), optimizer={"steps": 2}, **areas)
        trained(config, parts)
        weights.append(copied(parts))
    assert any(not torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


@pytest.mark.parametrize("part", ["vision", "connector", "language"])
def test_a_frozen_part_stays_and_the_others_move(tmp_path: Path, part: str) -> None:
    config, parts = prepared(tmp_path, optimizer={"steps": 1, "rates": RatesConfig(**{part: 0.0})})
    before = copied(parts)
    (line,), _, _ = trained(config, parts)
    assert f"grad_norm/{part}" not in line
    for name, tensor in copied(parts).items():
        if part_of(name) == part:
            assert torch.equal(tensor, before[name]), name
    assert moved(parts, before)


def test_a_part_with_a_smaller_rate_moves_less(tmp_path: Path) -> None:
    moves = []
    for name, rate in (("one", 1.0), ("tenth", 0.1)):
        config, parts = prepared(tmp_path / name, optimizer={"steps": 1, "rates": RatesConfig(vision=rate)})
        before = copied(parts)
        trained(config, parts)
        after = copied(parts)
        moves.append(
            {
                p: max(float((after[n] - before[n]).abs().max()) for n in after if part_of(n) == p)
                for p in ("vision", "language")
            }
        )
    assert moves[1]["vision"] == pytest.approx(0.1 * moves[0]["vision"], rel=0.05)
    assert moves[1]["language"] == pytest.approx(moves[0]["language"], rel=1e-3)


def test_an_adapter_is_all_that_moves_and_its_checkpoint_is_an_ordinary_folder(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path, model={"lora": LoraConfig(4)}, optimizer={"steps": 2, "lr": 3e-2})
    before = copied(parts)
    trained(config, parts)
    changed = {n for n, tensor in copied(parts).items() if not torch.equal(tensor, before[n])}
    assert changed and all(".lora_" in name for name in changed)
    merged = load_vlm(tmp_path / "run" / "checkpoints" / "step_2").model.state_dict()
    assert not any("lora" in name for name in merged)
    start = load_vlm(config.model.path).model.state_dict()
    assert any(not torch.equal(tensor, start[name]) for name, tensor in merged.items())


def test_the_penalty_for_divergence_is_taken_from_the_reward_and_told(tmp_path: Path) -> None:
    areas = {"algorithm": {"family": "reinforce_pp", "divergence": DivergenceConfig(0.3, "k1", "reward")}}
    config, parts = prepared(tmp_path, optimizer={"steps": 3}, **areas)
    metrics, _, _ = trained(config, parts)
    assert metrics[0]["kl/k1"] == pytest.approx(0.0, abs=1e-5) and metrics[2]["kl/k3"] > 0
    assert metrics[0]["kl_coef"] == 0.3


def test_the_coefficient_adapts_to_its_target(tmp_path: Path) -> None:
    areas = {"algorithm": {"divergence": DivergenceConfig(0.5, target=1e3, rate=0.5)}}
    config, parts = prepared(tmp_path, optimizer={"steps": 3}, **areas)
    metrics, _, _ = trained(config, parts)
    # Far below the target: the error is bounded by -0.2, so each step takes half of that.
    assert [line["kl_coef"] for line in metrics] == pytest.approx([0.5, 0.45, 0.405])


def test_a_moving_reference_is_the_policy_of_the_last_refresh(tmp_path: Path) -> None:
    areas = {"algorithm": {"divergence": DivergenceConfig(1e-9, refresh_every=1)}}
    config, parts = prepared(tmp_path, optimizer={"steps": 3}, **areas)
    metrics, _, _ = trained(config, parts)
    assert [line["kl/k3"] for line in metrics] == pytest.approx([0.0] * 3, abs=1e-6)
    config, parts = prepared(
        tmp_path / "fixed", optimizer={"steps": 3}, algorithm={"divergence": DivergenceConfig(1e-9)}
    )
    metrics, _, _ = trained(config, parts)
    assert metrics[2]["kl/k3"] > 1e-5


def test_the_correction_weighs_tokens_and_tells_how_many_it_limited(tmp_path: Path) -> None:
    areas = {"algorithm": {"correction": CorrectionConfig("mask", "sequence", 0.999999, 1.0000001)}}
    config, parts = prepared(tmp_path, optimizer={"steps": 1}, **areas)
    (line,), _, _ = trained(config, parts)
    assert 0 <= line["correction/limited"] <= 1 and line["correction/largest"] == pytest.approx(1.0, abs=1e-3)


def test_reward_terms_change_what_is_learned_and_are_logged_apart(tmp_path: Path) -> None:
    terms = {"short": {"kind": "length", "weight": -0.01}}
    config, parts = prepared(tmp_path, reward={"terms": terms}, optimizer={"steps": 1})
    (line,), _, _ = trained(config, parts)
    plain, parts = prepared(tmp_path / "plain", optimizer={"steps": 1})
    (other,), _, _ = trained(plain, parts)
    assert line["reward/short"] == pytest.approx(-0.01 * line["episode_tokens"])
    assert line["reward"] == pytest.approx(other["reward"] + line["reward/short"], abs=1e-6)


def test_a_users_estimator_in_a_file_of_their_own_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own(
        tmp_path,
        monkeypatch,
        """
        def against_the_batch(scores, valid, *, times: float = 1.0):
            mean = scores[valid].mean()
            return torch.where(valid, times * (scores - mean), torch.zeros_like(scores))

        def plain(logprobs, advantages):
            return -advantages * logprobs
        """,
    )
    config, parts = prepared(
        tmp_path,
        algorithm={
            "advantage": "mine:against_the_batch",
            "advantage_options": {"times": 3.0},
            "policy_loss": "mine:plain",
        },
        optimizer={"steps": 1},
    )
    before = copied(parts)
    trained(config, parts)
    assert moved(parts, before)
    read = list(read_trajectories(tmp_path / "run" / "rollouts" / "step_000001.jsonl"))
    scores = torch.tensor([t.outcome.score for t, _ in read])
    expected = (3.0 * (scores - scores.mean())).tolist()
    assert [record["advantage"] for _, record in read] == pytest.approx(expected, abs=1e-6)


def test_a_users_function_that_fails_stops_the_run_with_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own(tmp_path, monkeypatch, "def wrong(logprobs, advantages):\n    return (advantages * logprobs).mean()\n")
    config, parts = prepared(tmp_path, algorithm={"policy_loss": "mine:wrong"})
    with pytest.raises(AlgorithmFault, match=r"mine|wrong.*must return one number a token"):
        trained(config, parts)
    assert latest_checkpoint(tmp_path / "run" / "checkpoints") is not None


def test_a_users_function_of_another_signature_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own(tmp_path, monkeypatch, "def wrong(rewards, weather, valid):\n    return rewards\n")
    with pytest.raises(ConfigError, match="weather"):
        prepared(tmp_path, algorithm={"advantage": "mine:wrong"})


def test_with_a_greedy_baseline_too_a_step_without_any_episode_is_skipped(tmp_path: Path) -> None:
    areas = {"algorithm": {"family": "remax"}, "env": {"kwargs": {"fault": "always sandbox"}}}
    config, parts = prepared(tmp_path, optimizer={"steps": 2}, **areas)
    before = copied(parts)
    metrics, _, _ = trained(config, parts)
    assert [line["taught"] for line in metrics] == [0.0, 0.0] and not moved(parts, before)
