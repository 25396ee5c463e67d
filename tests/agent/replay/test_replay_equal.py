"""What a run recorded comes out again, bit for bit, whatever the algorithm."""

from pathlib import Path
from typing import Any

import pytest

from agent.config_algorithm import CorrectionConfig, DivergenceConfig, SelectionConfig
from agent.config_model import LoraConfig
from tests.agent.replay.recorded_runs import recorded_run, replayed, told

SEVERAL = {"epochs": 2, "mini_batches": 2}
FOUR = {"prompts_per_step": 4}
RUNS: dict[str, dict[str, Any]] = {
    "grpo": {},
    "ppo": {"algorithm": {"family": "ppo", **SEVERAL}},
    "ppo, shared trunk, warm-up": {
        "algorithm": {"family": "ppo", "entropy_coef": 0.01},
        "critic": {"trunk": "shared", "warmup_steps": 1},
    },
    "ppo, own trunk, warm-up": {"algorithm": {"family": "turn_ppo"}, "critic": {"warmup_steps": 1}},
    "rloo, several updates": {"algorithm": {"family": "rloo", **SEVERAL}, "rollout": FOUR},
    "divergence in the loss": {"algorithm": {"divergence": DivergenceConfig(0.5, "k3", "loss", target=0.01)}},
    "divergence in the reward": {
        "algorithm": {"family": "ppo", "divergence": DivergenceConfig(0.5, "k1", "reward", refresh_every=1), **SEVERAL}
    },
    "remax with other tasks": {
        "algorithm": {"family": "remax", "selection": SelectionConfig(resample_rounds=2)},
        "env": {"train": {"fault": "odd worlds"}},
        "rollout": FOUR,
    },
    "last turns": {"algorithm": {"selection": SelectionConfig(turns="last", drop_truncated=True)}},
    "correction and terms": {
        "algorithm": {
            "family": "gspo",
            "correction": CorrectionConfig("mask", "sequence", 0.9, 1.1),
            "selection": SelectionConfig(overlong_buffer=4, overlong_at=8),
            "reward_scaling": "group",
            "shuffle_rewards": True,
        },
        "reward": {"terms": {"length": {"weight": -0.01}}},
    },
    "chosen tokens": {"algorithm": {"family": "clip_cov", **SEVERAL}},
    "adapter": {
        "model": {"lora": LoraConfig(4)},
        "algorithm": {"divergence": DivergenceConfig(0.5, "k2", "loss")},
    },
    "broken episodes": {
        "env": {"train": {"fault": "sandbox"}},
        "rollout": {"group_size": 6},
        "algorithm": {"family": "remax"},
    },
    "nothing to learn": {"env": {"kwargs": {"fault": "always sandbox"}}},
    "small micro-batches": {"optimizer": {"steps": 2, "micro_batch_tokens": 1}},
}


@pytest.mark.parametrize("areas", RUNS.values(), ids=RUNS)
def test_what_was_recorded_comes_out_again(tmp_path: Path, areas: dict[str, Any]) -> None:
    found = replayed(recorded_run(tmp_path, **areas))
    assert told(found) == []
    assert [one.step for one in found] == [1, 2]
    for one in found:
        assert (one.episodes.played > 0 and one.losses > 10) or one.episodes.failed
