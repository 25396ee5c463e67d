"""Training in shards, by real processes with gloo on the CPU: the same as one process, whatever happens to them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from agent.model.tiny import make_tiny_vlm
from tests.agent.engine.forked import run_forked
from tests.agent.run_fixtures import SHAPE

pytestmark = pytest.mark.xdist_group("processes")  # the runs that tests share are made once
ROOT = Path(__file__).resolve().parents[3]
LOCAL: dict[str, Any] = {"train": "local"}
SHARDS: dict[str, Any] = {"train": "fsdp2"}
# Everything that has weights: a reference, and a critic with a trunk of its own.
PPO = {
    "algorithm": {"family": "ppo", "divergence": {"coef": 0.05}},
    "critic": {"lr": 3e-3},
    "evaluation": {"validate_every": 0, "test_episodes": 0},
}
LONG = {"optimizer": {"steps": 10, "lr": 3e-4, "micro_batch_tokens": 96}, "rollout": {"prompts_per_step": 3}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_vlm(tmp_path_factory.mktemp("model") / "tiny", ["even odd more"], 0, SHAPE)


def command(folder: Path, name: str, areas: dict[str, Any], processes: int) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]
    return [*launcher, str(ROOT / "tests/agent/engine/sharded_run.py"), str(folder), name, json.dumps(areas)]


def start(arguments: Sequence[str], **more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}
    return subprocess.run(arguments, capture_output=True, text=True, timeout=240, check=False, env=environment)


def played(folder: Path, name: str, areas: dict[str, Any], processes: int = 0) -> Path:
    """A whole run by so many processes (0: without a launcher); its folder."""
    assert run_forked(folder, name, areas, processes) == ""
    return folder / name


def areas_of(model: Path, engine: dict[str, Any], *more: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"model": {"path": str(model)}, "engine": engine, "run": {"keep": 99, "save_every": 1}}
    for areas in more:
        for area, options in areas.items():
            found[area] = found.get(area, {}) | options
    return found


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"step_{step}" / "model.safetensors")


def assert_same(run: Path, other: Path, loss: float = 1e-6, weight: float = 1e-5) -> None:
    """Losses, gradients of each part and weights of every step, but for rounding."""
    ours, theirs = metrics(run), metrics(other)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=loss)
        named = {name for name in b if name.startswith(("grad_norm", "reward", "value", "kl/", "entropy", "gap/mean"))}
        assert len(named) > 8
        for name in named:
            assert a[name] == pytest.approx(b[name], abs=1e-5, rel=1e-4), name
        for name, tensor in weights(other, int(b["step"])).items():
            torch.testing.assert_close(weights(run, int(a["step"]))[name], tensor, atol=weight, rtol=0)


@pytest.fixture(scope="module")
def one(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten steps of PPO with a reference, by the engine for one process."""
    return played(tmp_path_factory.mktemp("one"), "run", areas_of(model, LOCAL, PPO, LONG))


@pytest.fixture(scope="module")
def two(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same by two processes. Three groups for two: one has about twice as many rows as the other."""
    areas = areas_of(model, SHARDS, PPO, LONG) | {"passes": True}
    return played(tmp_path_factory.mktemp("two"), "run", areas, processes=2)


def cut(run: Path, folder: Path, step: int) -> Path:
    """A copy of a run as it was after this step."""
    shutil.copytree(run, folder)
    for checkpoint in (folder / "checkpoints").glob("step_*"):
        if int(checkpoint.name.removeprefix("step_")) > step:
            shutil.rmtree(checkpoint)
    (folder / "report.json").unlink()
    return folder


def test_ten_steps_of_two_processes_are_those_of_one(one: Path, two: Path) -> None:
    assert len(metrics(two)) == 10
    assert_same(two, one)


def test_a_process_with_fewer_rows_parts_them_into_as_many_passes_as_the_other_makes(two: Path) -> None:
    shares = [(two.parent / f"passes.{rank}.jsonl").read_text().splitlines() for rank in (0, 1)]
    for many, few in (map(json.loads, line) for line in zip(*shares, strict=True)):
        assert len(many) == len(few) == 2
        assert None not in few  # a pass would hold all of its rows
        assert abs(few[0] - few[1]) < min(few)  # less than one row: there are three
        assert abs(many[0] - many[1]) < min(few)


def test_the_last_layer_is_spared_tokens_in_shards_too(two: Path) -> None:
    for rank in (0, 1):
        counts = list(map(json.loads, (two.parent / f"keys.{rank}.jsonl").read_text().splitlines()))
        assert len(counts) >= 2 * 10 and min(counts) > 0  # two passes an update, and those that look


def test_what_waits_in_host_memory_is_trained_the_same(model: Path, one: Path, tmp_path: Path) -> None:
    engine = SHARDS | {"fsdp2": {"offload": True}, "offload": "all"}
    assert_same(played(tmp_path, "run", areas_of(model, engine, PPO, LONG), processes=2), one)


def test_all_processes_record_what_each_of_them_played(one: Path, two: Path) -> None:
    texts = []
    for run in (one, two):
        lines = (run / "rollouts" / "step_000001.jsonl").read_text().splitlines()
        texts.append([[s["text"] for row in json.loads(line)["rows"] for s in row["segments"]] for line in lines])
    assert texts[0] == texts[1]
    assert len(texts[0]) == 9


def test_a_process_without_any_group_keeps_the_others_company(model: Path, tmp_path: Path) -> None:
    more = {"rollout": {"prompts_per_step": 1, "group_size": 4}}
    alone = played(tmp_path, "one", areas_of(model, LOCAL, more))
    company = played(tmp_path, "two", areas_of(model, SHARDS, more), processes=2)
    losses = [line["loss"] for line in metrics(alone)]
    assert [line["loss"] for line in metrics(company)] == pytest.approx(losses, abs=1e-6)
    for name, tensor in weights(alone, 3).items():
        torch.testing.assert_close(weights(company, 3)[name], tensor, atol=1e-5, rtol=0)


def test_what_is_decided_over_the_step_and_what_an_adapter_learns_is_the_same(model: Path, tmp_path: Path) -> None:
    # The loss chooses tokens over the whole mini-batch, and the reference moves.
    algorithm = {"family": "clip_cov", "mini_batches": 2, "divergence": {"coef": 0.05, "refresh_every": 2}}
    more = {"algorithm": algorithm, "model": {"lora": {"rank": 2}}, "rollout": {"prompts_per_step": 4}}
    more["optimizer"] = {"steps": 4, "lr": 3e-4}
    alone = played(tmp_path, "one", areas_of(model, LOCAL, more))
    company = played(tmp_path, "two", areas_of(model, SHARDS, more), processes=2)
    assert_same(company, alone)
    adapters = [load_file(run / "checkpoints/step_4/adapter/adapter_model.safetensors") for run in (alone, company)]
    assert adapters[0].keys() == adapters[1].keys()
    for name, tensor in adapters[0].items():
        torch.testing.assert_close(adapters[1][name], tensor, atol=1e-5, rtol=0)


def test_what_one_engine_saved_another_continues(model: Path, one: Path, tmp_path: Path) -> None:
    cut(one, tmp_path / "in shards", 4)
    in_shards = played(tmp_path, "in shards", areas_of(model, SHARDS, PPO, LONG), processes=2)
    assert_same(in_shards, one)
    cut(in_shards, tmp_path / "alone again", 7)
    assert_same(played(tmp_path, "alone again", areas_of(model, LOCAL, PPO, LONG)), one)


def test_a_process_that_is_killed_ends_the_run_and_the_same_command_continues_bit_for_bit(
    model: Path, two: Path, tmp_path: Path
) -> None:
    areas = areas_of(model, SHARDS, PPO, LONG) | {"passes": True}  # as the run that was not killed
    folder = cut(two, tmp_path / "run", 7)
    # What is left of a process that was killed while it wrote is no checkpoint.
    shutil.copytree(two / "checkpoints" / "step_8", folder / "checkpoints" / ".partial_step_8")
    # Process 1 plays 3 episodes of 2 turns a step.
    done = start(command(tmp_path, "run", areas | {"crash": 6 + 3}, 2))
    assert done.returncode != 0
    assert "Signal 9 (SIGKILL)" in done.stderr
    assert (folder / "checkpoints" / "step_8").is_dir() and not (folder / "checkpoints" / "step_9").exists()
    again = played(tmp_path, "run", areas, processes=2)
    assert all(torch.equal(tensor, weights(two, 10)[name]) for name, tensor in weights(again, 10).items())


def test_several_processes_and_an_engine_for_one_are_refused(model: Path, tmp_path: Path) -> None:
    done = start(command(tmp_path, "run", areas_of(model, LOCAL), 2))
    assert done.returncode != 0
    assert "ConfigError: torchrun started 2 processes" in done.stderr
    assert "--engine.train fsdp2" in done.stderr


def test_two_hosts_are_two_network_namespaces(model: Path, one: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("ip") is None or start(["ip", "netns", "add", "rllava-a"]).returncode:
        pytest.skip("network namespaces need root and iproute2")
    try:
        for line in (
            "netns add rllava-b",
            "link add rllava-va type veth peer name rllava-vb",
            "link set rllava-va netns rllava-a",
            "link set rllava-vb netns rllava-b",
            "-n rllava-a addr add 10.213.7.1/24 dev rllava-va",
            "-n rllava-b addr add 10.213.7.2/24 dev rllava-vb",
            "-n rllava-a link set rllava-va up",
            "-n rllava-b link set rllava-vb up",
            "-n rllava-a link set lo up",
            "-n rllava-b link set lo up",
        ):
            made = start(["ip", *line.split()])
            assert made.returncode == 0, made.stderr
        areas = areas_of(model, SHARDS, PPO, LONG)
        script = str(ROOT / "tests/agent/engine/sharded_run.py")
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        hosts = []
        for rank, (space, device) in enumerate((("rllava-a", "rllava-va"), ("rllava-b", "rllava-vb"))):
            launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "1", "--nnodes", "2"]
            launcher += ["--node-rank", str(rank), "--master-addr", "10.213.7.1", "--master-port", "29511"]
            arguments = ["ip", "netns", "exec", space, *launcher, script, str(tmp_path), "run", json.dumps(areas)]
            hosts.append(
                subprocess.Popen(
                    arguments,
                    env=environment | {"GLOO_SOCKET_IFNAME": device},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
        said = [host.communicate(timeout=240)[0] for host in hosts]
        assert [host.returncode for host in hosts] == [0, 0], said
    finally:
        for space in ("rllava-a", "rllava-b"):
            start(["ip", "netns", "delete", space])
    assert_same(tmp_path / "run", one)
