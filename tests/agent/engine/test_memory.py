"""The phase machine: who may be on the device when, who is named, and what the ledger says."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from agent.config_algorithm import DivergenceConfig
from agent.config_engine import EngineConfig
from agent.engine.memory import EVERY, Owner, Phase, PhaseMachine
from agent.engine.offload import Offload
from agent.engine.owners import owners_of
from agent.errors import DeviceMemoryError, ResidencyError
from agent.parts import Parts, build
from tests.agent.run_fixtures import small_config

MIB = 2**20


@dataclass
class Tenant:
    """An owner that writes down what happens to it. `stubborn`: it does not leave."""

    name: str
    phases: frozenset[Phase]
    log: list[str]
    stubborn: bool = False
    size: int = field(default=MIB)
    here: bool = True

    def owner(self) -> Owner:
        return Owner(self.name, self.phases, lambda: self.size if self.here else 0, self._leave, self._enter)

    def _leave(self) -> None:
        self.log.append(f"{self.name} leaves")
        self.here = self.stubborn

    def _enter(self) -> None:
        self.log.append(f"{self.name} enters")
        self.here = True


def machine(*tenants: Tenant) -> PhaseMachine:
    return PhaseMachine(torch.device("cpu"), [tenant.owner() for tenant in tenants])


def test_who_may_not_stay_leaves_before_anybody_comes() -> None:
    log: list[str] = []
    trainer = Tenant("trainer", frozenset({Phase.UPDATE}), log)
    sampler = Tenant("sampler", frozenset({Phase.ROLLOUT}), log)
    memory = machine(trainer, sampler)
    memory.enter(Phase.ROLLOUT)
    memory.enter(Phase.UPDATE)
    assert log == ["trainer leaves", "sampler enters", "sampler leaves", "trainer enters"]
    assert memory.phase == Phase.UPDATE


def test_entering_the_phase_that_goes_on_changes_nothing() -> None:
    log: list[str] = []
    memory = machine(Tenant("sampler", EVERY, log))
    memory.enter(Phase.ROLLOUT)
    before = list(log)
    memory.enter(Phase.ROLLOUT)
    assert log == before


def test_who_does_not_leave_is_named_with_its_bytes_and_everybody_else() -> None:
    log: list[str] = []
    memory = machine(
        Tenant("trainer", EVERY, log, size=3 * MIB), Tenant("cache", frozenset({Phase.ROLLOUT}), log, stubborn=True)
    )
    memory.enter(Phase.ROLLOUT)
    with pytest.raises(ResidencyError) as error:
        memory.enter(Phase.UPDATE)
    assert "cache (1.0 MiB) may not be on cpu while update goes on" in str(error.value)
    assert "trainer 3.0 MiB" in str(error.value)
    assert memory.phase == Phase.ROLLOUT


def test_the_ledger_of_each_phase_is_what_it_was_when_the_phase_ended() -> None:
    log: list[str] = []
    tenant = Tenant("sampler", frozenset({Phase.ROLLOUT}), log)
    memory = machine(tenant)
    memory.enter(Phase.ROLLOUT)
    tenant.size = 5 * MIB
    memory.enter(Phase.UPDATE)
    assert memory.metrics == {"memory/rollout/sampler_mib": 5.0}
    assert str(memory.ledger()) == "update: nobody"


def test_out_of_memory_tells_the_ledger_and_who_is_not_asleep() -> None:
    log: list[str] = []
    sampler = Tenant("sampler", frozenset({Phase.ROLLOUT}), log)
    memory = machine(Tenant("trainer", EVERY, log), sampler)
    memory.enter(Phase.UPDATE)
    sampler.here = True
    with pytest.raises(DeviceMemoryError) as error, memory.explained():
        raise torch.OutOfMemoryError("tried to allocate 2.00 GiB")
    assert "update: trainer 1.0 MiB, sampler 1.0 MiB" in str(error.value)
    assert "Not asleep: sampler." in str(error.value)
    assert "python -m agent plan" in str(error.value) and "2.00 GiB" in str(error.value)


# The owners of a run.


def parts_of(folder: Path, **engine: object) -> Parts:
    areas = {"algorithm": {"family": "ppo", "divergence": DivergenceConfig(0.1)}, "engine": engine}
    return build(small_config(folder, **areas), folder, None)  # type: ignore[arg-type]


def test_a_runs_ledger_counts_every_byte_of_weights_and_optimizer_state_once(tmp_path: Path) -> None:
    parts = parts_of(tmp_path)
    weights = list(parts.vlm.model.parameters())
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    parts.memory.enter(Phase.UPDATE)
    gradients = parts.memory.ledger().owners["gradients"]
    parts.train_engine.step()
    owners = parts.memory.ledger().owners
    size = sum(weight.nbytes for weight in weights)
    buffers = sum(buffer.nbytes for buffer in parts.vlm.model.buffers())
    assert owners["trainer weights"] == size + buffers
    assert gradients == size and owners["gradients"] == 0
    assert owners["optimizer state"] == 2 * size
    assert owners["reference"] == size
    assert owners["sampler weights"] == 0  # they are the trainer's


def test_gradients_that_nobody_used_may_not_be_there_while_others_generate(tmp_path: Path) -> None:
    parts = parts_of(tmp_path)
    parts.memory.enter(Phase.UPDATE)
    weight = next(parts.vlm.model.parameters())
    weight.grad = torch.ones_like(weight)
    with pytest.raises(ResidencyError, match="gradients"):
        parts.memory.enter(Phase.ROLLOUT)


def test_what_is_offloaded_is_away_until_updates_and_cannot_be_used(tmp_path: Path) -> None:
    parts = parts_of(tmp_path, offload="all")
    parts.memory.enter(Phase.ROLLOUT)
    owners = parts.memory.ledger().owners
    assert owners["reference"] == owners["critic"] == owners["optimizer state"] == 0
    with pytest.raises(RuntimeError, match="optimizer state: off the device"):
        parts.train_engine.step()
    parts.memory.enter(Phase.UPDATE)
    assert parts.memory.ledger().owners["reference"] > 0
    parts.train_engine.step()


@pytest.mark.parametrize("offload", ["none", "optimizer", "all"])
def test_what_leaves_is_what_the_recipe_says(tmp_path: Path, offload: str) -> None:
    parts = parts_of(tmp_path, offload=offload)
    may = {owner.name: Phase.ROLLOUT in owner.phases for owner in owners_of(parts)}
    assert may["optimizer state"] == (offload == "none")
    assert may["reference"] == may["critic"] == (offload != "all")
    assert may["trainer weights"]  # the sampler's own
    assert EngineConfig().offload == "none"


def test_tensors_come_back_as_they_were_and_twice_is_once() -> None:
    tensor = torch.arange(6.0)
    kept = Offload("state", lambda: [tensor, tensor])
    assert kept.held() == tensor.nbytes
    kept.leave()
    kept.leave()
    assert kept.held() == 0
    with pytest.raises(RuntimeError, match="state: off the device"):
        kept.require()
    kept.enter()
    kept.require()
    assert torch.equal(tensor, torch.arange(6.0)) and kept.held() == tensor.nbytes
