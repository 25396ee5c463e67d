"""The cold start: on which tokens its loss lies, when it stops, and that it leaves the model as others expect it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch

from agent.coldstart import TRIES, Demonstrator, cold_start
from agent.config import ColdStartConfig, Demonstrations
from agent.engine.batching import make_batch
from agent.errors import AgentError, ConfigError, OutageError
from agent.model.load import VLM
from agent.roles.actor import Actor
from agent.rollout.environments import EnvironmentPool, EnvironmentSpec
from agent.rollout.episode import Budget, EpisodeSpec
from agent.rollout.episodes import DriverOptions, EpisodeDriver
from agent.rollout.render import Renderer
from agent.rollout.scripted import ScriptedEngine
from agent.run import run
from agent.seeds import derive_seed
from tests.agent.run_fixtures import BrokenSandboxError, Parity, quiet, small_config, tiny_vlm

ENV = EnvironmentSpec("Test/Parity-v0", {"split": "train"})
SOLVE = [Demonstrations()]


@pytest.fixture(scope="module")
def vlm() -> VLM:
    return tiny_vlm()


def demonstrator_of(vlm: VLM, *sources: Demonstrations, seed: int = 0) -> Demonstrator:
    return Demonstrator(ENV, ColdStartConfig(sources=list(sources) or SOLVE), Renderer(vlm.processor), seed)


def started(
    vlm: VLM,
    validate: Callable[[], float] = lambda: 0.0,
    interrupted: Callable[[], bool] = lambda: False,
    **options: Any,
) -> tuple[int, list[dict[str, float]]]:
    """Steps taken, and what was reported."""
    config = ColdStartConfig(
        **{"sources": SOLVE, "max_steps": 3, "batch_size": 2, "lr": 1e-3, "stop_at": 1.0} | options
    )
    told: list[dict[str, float]] = []
    demonstrator = Demonstrator(ENV, config, Renderer(vlm.processor), 0)
    steps = cold_start(
        vlm, demonstrator, config, 0, validate, lambda step, m: told.append({"step": step, **m}), interrupted
    )
    return steps, told


def test_a_demonstration_is_a_whole_episode_of_the_expert(vlm: VLM) -> None:
    (row,) = demonstrator_of(vlm).rows(0)
    assert [segment.kind for segment in row.segments] == ["prompt", "action", "observation", "action"]
    for action in row.actions:
        assert vlm.processor.decode(action.token_ids[:-1]) == "bdfh"
        assert action.token_ids[-1] in vlm.processor.stop_ids
        assert action.logprobs is None


def test_a_demonstration_is_the_same_whenever_it_is_made(vlm: VLM) -> None:
    sources = (Demonstrations(), Demonstrations(demonstrator="random"), Demonstrations({"turns": 1}))
    forwards = [demonstrator_of(vlm, *sources).rows(index) for index in range(6)]
    one = demonstrator_of(vlm, *sources)
    backwards = [one.rows(index) for index in reversed(range(6))][::-1]
    assert forwards == backwards
    assert [demonstrator_of(vlm, *sources, seed=1).rows(index) for index in range(6)] != forwards


def test_demonstrations_differ_from_each_other(vlm: VLM) -> None:
    demonstrator = demonstrator_of(vlm)
    assert len({demonstrator.rows(index)[0].token_ids for index in range(8)}) > 4


def test_sources_are_mixed_by_their_weights(vlm: VLM) -> None:
    """Weights 3 and 1: three quarters of 200 within four standard deviations (6.1 each)."""
    demonstrator = demonstrator_of(vlm, Demonstrations({"turns": 1}, weight=3.0), Demonstrations(weight=1.0))
    short = sum(len(list(demonstrator.rows(index)[0].actions)) == 1 for index in range(200))
    assert 125 < short < 175


def test_a_named_baseline_may_demonstrate(vlm: VLM) -> None:
    (row,) = demonstrator_of(vlm, Demonstrations(demonstrator="constant")).rows(0)
    assert {vlm.processor.decode(action.token_ids[:-1]) for action in row.actions} == {"a"}


class Shaky(Parity):
    """Whose sandbox breaks at the first `outage` steps."""

    outage = 0

    def step(self, action: str) -> Any:
        if Shaky.outage > 0:
            Shaky.outage -= 1
            raise BrokenSandboxError("the container is gone")
        return super().step(action)


def test_a_demonstration_that_the_infrastructure_breaks_is_played_again_and_in_an_outage_told(vlm: VLM) -> None:
    gymnasium.register("Test/Shaky-v0", Shaky)
    try:
        spec = EnvironmentSpec("Test/Shaky-v0", {"split": "train"})
        demonstrator = Demonstrator(spec, ColdStartConfig(sources=SOLVE), Renderer(vlm.processor), 0)
        calm = demonstrator.rows(2)
        Shaky.outage = TRIES - 1
        assert demonstrator.rows(2) == calm and Shaky.outage == 0
        Shaky.outage = TRIES
        with pytest.raises(OutageError, match=r"demonstration 2, .* BrokenSandboxError: the container is gone"):
            demonstrator.rows(2)
    finally:
        gymnasium.registry.pop("Test/Shaky-v0")


class Rebuilt(Parity):
    """Says at its second turn that its observation is the whole prompt."""

    def step(self, action: str) -> Any:
        *given, info = super().step(action)
        return (*given, info | {"context": "restart"})


def test_a_demonstration_has_the_rows_of_a_rollout_where_the_environment_rebuilds_its_prompt(vlm: VLM) -> None:
    """And where the chat family rewrites history: an engine that says what the expert says gets the same rows."""
    gymnasium.register("Test/Rebuilt-v0", Rebuilt)
    kept = vlm.processor.tokenizer.chat_template
    forgetful = kept.replace("{{ part['text'] }}", "{{ part['text'].split('</think>')[-1] }}")
    try:
        for id, template in [("Test/Rebuilt-v0", kept), ("Test/Parity-v0", forgetful), ("Test/Parity-v0", kept)]:
            vlm.processor.tokenizer.chat_template = template
            renderer = Renderer(vlm.processor)
            spec = EnvironmentSpec(id, {"split": "train", "turns": 3})
            demonstrator = Demonstrator(spec, ColdStartConfig(sources=SOLVE), renderer, 0)
            rows = demonstrator.rows(4)
            expert = (*vlm.processor.encode("bdfh"), *vlm.processor.stop_ids)
            engine = ScriptedEngine(lambda request: (list(expert), [-1.0] * len(expert)))  # noqa: B023
            episode = EpisodeSpec(None, derive_seed(0, "cold start world", 4), 0)
            driver = EpisodeDriver(engine, renderer, EnvironmentPool(spec), DriverOptions(threads=1))
            (played,) = driver.run([episode], Budget(1.0, 8, 400, 9))
            assert [len(row.segments) for row in rows] == (
                [6] if (id, template) == ("Test/Parity-v0", kept) else [2] * 3
            )
            assert [[(s.kind, s.token_ids, s.images, s.turn) for s in row.segments] for row in rows] == [
                [(s.kind, s.token_ids, s.images, s.turn) for s in row.segments] for row in played.rows
            ]
    finally:
        vlm.processor.tokenizer.chat_template = kept
        gymnasium.registry.pop("Test/Rebuilt-v0")


def test_every_row_of_a_demonstration_is_learned() -> None:
    """With a learning rate of 0, the loss reported is that of the action tokens of all rows."""
    gymnasium.register("Test/Rebuilt-v0", Rebuilt)
    try:
        vlm, env = tiny_vlm(), EnvironmentSpec("Test/Rebuilt-v0", {"split": "train"})
        config = ColdStartConfig(sources=SOLVE, max_steps=10, batch_size=2, lr=0.0, stop_at=1.0)
        demonstrator = Demonstrator(env, config, Renderer(vlm.processor), 0)
        told: list[dict[str, float]] = []
        cold_start(vlm, demonstrator, config, 0, lambda: 0.0, lambda step, m: told.append(m))
        expected = []
        for step in range(10):
            rows = [*demonstrator.rows(2 * step), *demonstrator.rows(2 * step + 1)]
            assert len(rows) == 4
            batch = make_batch(rows, [0, 0, 1, 1], [0.0] * 4, demonstrator.renderer.pixels, vlm.processor.merge)
            with torch.no_grad():
                expected.append(float(-Actor(vlm.model, 1.0, ()).logprobs(batch)[0].sum() / batch.action_mask.sum()))
        (line,) = [line for line in told if "loss" in line]
        assert line["loss"] == pytest.approx(sum(expected) / 10, rel=1e-3)
    finally:
        gymnasium.registry.pop("Test/Rebuilt-v0")


@pytest.mark.parametrize("name", ["expert", "blind", "Solve"])
def test_an_unknown_demonstrator_is_told_before_anything_is_trained(vlm: VLM, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"cold_start\.sources.*{name}"):
        demonstrator_of(vlm, Demonstrations(demonstrator=name))


@pytest.mark.parametrize("weights", [(0.0,), (-1.0, 2.0), (float("nan"),)])
def test_weights_that_are_no_shares_are_told(vlm: VLM, weights: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match=r"cold_start\.sources.*weight"):
        demonstrator_of(vlm, *(Demonstrations(weight=weight) for weight in weights))


def test_the_loss_lies_on_action_tokens_only(vlm: VLM) -> None:
    """With a learning rate of 0 the weights stay, and the loss that is reported (the mean of ten steps) must be the
    negative log-probability of the action tokens, computed here by the Actor."""
    before = {name: tensor.clone() for name, tensor in vlm.model.state_dict().items()}
    _, told = started(vlm, max_steps=10, lr=0.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in vlm.model.state_dict().items())
    demonstrator, actor, expected, everything = demonstrator_of(vlm), Actor(vlm.model, 1.0, ()), [], []
    for step in range(10):
        rows = [*demonstrator.rows(2 * step), *demonstrator.rows(2 * step + 1)]
        batch = make_batch(rows, [0, 1], [0.0, 0.0], demonstrator.renderer.pixels, vlm.processor.merge)
        with torch.no_grad():
            expected.append(float(-actor.logprobs(batch)[0].sum() / batch.action_mask.sum()))
        everything.append(float(batch.attention_mask.sum() / batch.action_mask.sum()))
    (line,) = [line for line in told if "loss" in line]
    assert line["loss"] == pytest.approx(sum(expected) / 10, rel=1e-3)
    assert min(everything) > 2  # there are other tokens that it could have lain on


def test_it_learns_what_is_demonstrated() -> None:
    vlm = tiny_vlm()
    _, told = started(vlm, max_steps=40, lr=1e-2)
    losses = [line["loss"] for line in told if "loss" in line]
    assert losses[-1] < 0.5 * losses[0]


def test_it_stops_when_the_score_is_reached() -> None:
    scores = iter([0.1, 0.49, 0.5, 0.9])
    steps, told = started(tiny_vlm(), lambda: next(scores), max_steps=20, check_every=2, stop_at=0.5)
    assert steps == 6
    assert [(line["step"], line["validation"]) for line in told if "validation" in line] == [
        (2, 0.1),
        (4, 0.49),
        (6, 0.5),
    ]


def test_it_takes_all_its_steps_where_the_score_is_never_reached() -> None:
    assert started(tiny_vlm(), lambda: 0.1, max_steps=3, check_every=1, stop_at=0.5)[0] == 3


def test_a_score_that_cannot_be_reached_is_never_asked_for() -> None:
    def never() -> float:
        raise AssertionError("validated")

    assert started(tiny_vlm(), never, max_steps=2, check_every=1, stop_at=1.0)[0] == 2


def test_it_stops_when_it_is_interrupted() -> None:
    assert started(tiny_vlm(), interrupted=lambda: True)[0] == 1


def test_afterwards_the_models_forward_is_its_own(vlm: VLM) -> None:
    """TRL puts its own in its place, which the sampler must never see."""
    started(vlm)
    assert "forward" not in vlm.model.__dict__
    assert vlm.model.forward.__func__ is type(vlm.model).forward


def test_also_after_an_exception() -> None:
    vlm = tiny_vlm()

    def broken() -> float:
        raise RuntimeError("validation failed")

    with pytest.raises(RuntimeError, match="validation failed"):
        started(vlm, broken, check_every=1, stop_at=0.5)
    assert "forward" not in vlm.model.__dict__


def test_the_same_cold_start_gives_the_same_weights() -> None:
    first, second = tiny_vlm(), tiny_vlm()
    started(first)
    started(second)
    ours, theirs = first.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_a_run_with_a_cold_start_begins_from_what_it_taught(tmp_path: Path) -> None:
    """And the checkpoint of step 0 is the policy after it."""
    areas: dict[str, Any] = {"evaluation": {"test_episodes": 0, "validate_every": 0}, "optimizer": {"steps": 0}}
    run(small_config(tmp_path, "plain", **areas), quiet()[0])
    cold = {"sources": SOLVE, "max_steps": 2, "batch_size": 2, "stop_at": 1.0}
    run(small_config(tmp_path, "cold", cold_start=cold, **areas), quiet()[0])
    plain, taught = (
        (tmp_path / name / "checkpoints" / "step_0" / "model.safetensors").read_bytes() for name in ("plain", "cold")
    )
    assert plain != taught


def test_a_demonstrator_that_the_environment_lacks_stops_the_run_with_the_field(tmp_path: Path) -> None:
    cold = {"sources": [Demonstrations(demonstrator="expert")], "max_steps": 1, "check_episodes": 4}
    with pytest.raises(AgentError, match=r"cold_start\.sources"):
        run(small_config(tmp_path, cold_start=cold), quiet()[0])


def test_an_outage_in_the_cold_start_is_told_in_its_own_words_alone(tmp_path: Path) -> None:
    """The demonstrations are made in a worker process, whose traceback nobody asked for."""
    config = small_config(
        tmp_path,
        env={"train": {"fault": "always sandbox"}},
        cold_start={"sources": SOLVE, "max_steps": 2, "stop_at": 2},
    )
    with pytest.raises(OutageError) as raised:
        run(config, quiet()[0])
    assert str(raised.value).startswith("cold start, demonstration ")
    assert "\n" not in str(raised.value) and "Traceback" not in str(raised.value)
