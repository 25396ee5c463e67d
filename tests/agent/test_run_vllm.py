"""Whole runs with a real vLLM on a CPU: log-probabilities are checked, and sleep drops what it drops on a GPU."""

import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from agent.cli import read_config
from agent.collect import budget, collect
from agent.config import Config
from agent.config_engine import EngineConfig, VllmConfig
from agent.engine.memory import Phase
from agent.lesson import prepare, rewards_of
from agent.parts import Parts, build
from agent.progress import Progress
from agent.rollout.episode import EpisodeSpec
from agent.run import run
from agent.train import learn, learner_of
from tests.agent.run_fixtures import Hooks, quiet, small_config, weights

if importlib.util.find_spec("vllm") is None and not os.environ.get("RLLAVA_REQUIRE_VLLM"):
    pytest.skip("vLLM is not installed (.ci/vllm makes an environment that has it)", allow_module_level=True)

pytestmark = pytest.mark.vllm
ENGINE = EngineConfig("vllm", "all", VllmConfig(cache_gib=0.25, max_sequences=64))


@pytest.fixture(autouse=True)
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.run.write_report", lambda *_: None)
    Hooks.set(None)


def metrics_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("task", ["counting", "search", "coding"])
def test_three_steps_of_a_task_agree_with_the_trainer_and_sleep_around_each(task: str, tmp_path: Path) -> None:
    options = {
        "engine.rollout": "vllm",
        "engine.vllm.cache_gib": "0.25",
        "engine.offload": "all",
        "cold_start.max_steps": "10",
        "cold_start.stop_at": "1.0",
        "optimizer.steps": "3",
        "rollout.prompts_per_step": "4",
        "algorithm.entropy_coef": "0.001",  # so that each step teaches something, whatever the scores
        "evaluation.test_episodes": "8",
        "evaluation.validation_episodes": "8",
        "evaluation.sampled": "false",
        "run.folder": str(tmp_path),
    }
    config = read_config("train", [task, *[part for name, value in options.items() for part in (f"--{name}", value)]])
    console, _ = quiet()
    assert run(config, console).finished
    steps = metrics_of(tmp_path / config.run.name)
    assert len(steps) == 3
    for step in steps:
        assert step["gap/largest"] < 1e-4
        held = {name for name in step if name.startswith("memory/")}
        assert {"memory/rollout/sampler weights_mib", "memory/rollout/key-value cache_mib"} <= held
        assert {"memory/sync/sampler weights_mib", "memory/sync/trainer weights_mib"} <= held
        assert not {name for name in held if name.startswith("memory/update/") and "sampler" in name}
        assert not {name for name in held if name.startswith("memory/rollout/") and "trainer" in name}


def test_interrupted_and_continued_equals_uninterrupted(tmp_path: Path) -> None:
    whole = small_config(tmp_path / "whole", engine={"rollout": "vllm", "vllm": ENGINE.vllm})
    assert run(whole, quiet()[0]).finished
    cut = small_config(tmp_path / "cut", engine={"rollout": "vllm", "vllm": ENGINE.vllm}, run={"save_every": 100})
    Hooks.set(lambda count: os.kill(os.getpid(), signal.SIGINT) if count == 8 + 12 + 2 else None)  # in step 2
    assert not run(cut, quiet()[0]).finished
    Hooks.set(None)
    assert run(cut, quiet()[0]).finished
    assert weights(tmp_path / "whole" / "run", 3) == weights(tmp_path / "cut" / "run", 3)


def test_two_processes_that_each_have_a_vllm_train_as_one(tmp_path: Path) -> None:
    sizes = {"rollout": {"prompts_per_step": 4}, "optimizer": {"steps": 2, "lr": 3e-4}}
    one = small_config(tmp_path / "one", engine={"rollout": "vllm", "vllm": ENGINE.vllm}, **sizes)
    assert run(one, quiet()[0]).finished
    areas = {"engine": {"train": "fsdp2", "rollout": "vllm", "offload": "all", "vllm": {"cache_gib": 0.25}}, **sizes}
    areas["model"] = {"path": one.model.path}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    script = str(Path(__file__).parent / "engine" / "sharded_run.py")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [*launcher, script, str(tmp_path / "two"), "run", json.dumps(areas)],
        capture_output=True,
        text=True,
        timeout=400,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    ours, theirs = metrics_of(tmp_path / "two/run"), metrics_of(tmp_path / "one/run")
    for name in ("loss", "grad_norm", "reward", "turn_tokens"):
        assert [step[name] for step in ours] == pytest.approx([step[name] for step in theirs], abs=1e-5), name
    assert max(step["gap/largest"] for step in ours) < 1e-4


def parts_of(folder: Path, engine: EngineConfig) -> tuple[Config, Parts]:
    config = replace(small_config(folder), engine=engine)
    return config, build(config, folder, None)


def test_the_same_trajectories_teach_the_same_whoever_sampled_them(tmp_path: Path) -> None:
    config, sampler = parts_of(tmp_path / "vllm", ENGINE)
    collected = collect(config, sampler, 0)
    sampler.close()
    found = []
    for name, engine in (("again", ENGINE), ("transformers", EngineConfig())):
        config, parts = parts_of(tmp_path / name, engine)
        parts.renderer = sampler.renderer  # which has the pictures
        parts.memory.enter(Phase.UPDATE)
        rewards = rewards_of(config, parts, collected.trajectories, collected.siblings, 0)
        learner = learner_of(config, parts)
        lesson = prepare(learner, parts, collected.trajectories, collected.siblings, rewards, None, 0.0)
        told = learn(config, parts, learner, lesson, 0, Progress(Console(file=io.StringIO())))
        found.append((told, {name: tensor.clone() for name, tensor in parts.vlm.model.state_dict().items()}))
        parts.close()
    # Beside a vLLM in the same process products round otherwise in the last bit. Adam makes a whole first step even of
    # a gradient that is nothing but rounding, so single weights may differ by two.
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5, abs=1e-6)
    for name, tensor in found[0][1].items():
        difference = (tensor - found[1][1][name]).abs()
        assert difference.max() <= 2.1 * config.optimizer.lr and difference.mean() <= 1e-5, name


def test_returns_of_sampled_episodes_are_those_of_the_transformers_engine(tmp_path: Path) -> None:
    means, errors = [], []
    for name, engine in (("vllm", ENGINE), ("transformers", EngineConfig())):
        config, parts = parts_of(tmp_path / name, engine)
        specs = [EpisodeSpec(None, seed, seed) for seed in range(512)]
        played = parts.driver("train").run(specs, budget(config, 1.0))
        scores = torch.tensor([trajectory.outcome.score for trajectory in played])
        means.append(float(scores.mean()))
        errors.append(float(scores.std()) / 512**0.5)
        parts.close()
    # Different dice, so not the same episodes: two samples of one distribution.
    assert errors[0] > 0
    assert abs(means[0] - means[1]) < 1.96 * (errors[0] ** 2 + errors[1] ** 2) ** 0.5
