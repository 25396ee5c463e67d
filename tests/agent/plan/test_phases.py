"""What is predicted is what a real update, a real step and a real rollout take from the allocator."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from agent.config import (
    AlgorithmConfig,
    Config,
    CriticConfig,
    EnvironmentConfig,
    OptimizerConfig,
    RatesConfig,
    RolloutConfig,
)
from agent.config_algorithm import DivergenceConfig
from agent.config_engine import EngineConfig, VllmConfig
from agent.config_model import LoraConfig, ModelConfig, TinyShape
from agent.errors import CheckpointError, ConfigError
from agent.model.four_bit import quantize
from agent.model.kept_prompts import KeptPrompts
from agent.model.load import load_vlm
from agent.model.tiny import make_tiny_vlm
from agent.parts import _choose_trained
from agent.plan.blocks import chain
from agent.plan.kept import kept_prompts
from agent.plan.micro_batch import micro_batch
from agent.plan.phases import Placement, make_plan, optimizer_bytes, step_bytes, with_kept
from agent.plan.rollout import rollout_bytes
from agent.plan.skeleton import make_skeleton
from agent.plan.timeline import most
from agent.rollout.engine import Request, SamplingParams
from agent.rollout.hf import TransformersEngine
from agent.rollout.render import Renderer
from tests.agent.checkpoints import write_checkpoint, write_composed
from tests.agent.plan.measured import Update, peak_of, rows_of, update_of
from tests.agent.qlora import needs_bitsandbytes

BOUND = 0.1
LENGTHS = [(190, 50)] * 4
PICTURES = [(84, 112)] * 4
DEEP = TinyShape(hidden=64, feed_forward=192, layers=6, vision_layers=2, vocabulary=400)
WIDE = TinyShape(hidden=192, feed_forward=768, layers=1, vision_layers=1, vocabulary=400)
WORDY = TinyShape(hidden=32, feed_forward=64, layers=1, vision_layers=1, vocabulary=700)
TWO_ROWS = 600


def recipe(model: ModelConfig, **optimizer: object) -> Config:
    settings = {"micro_batch_tokens": TWO_ROWS, **optimizer}
    options = OptimizerConfig(**settings)  # type: ignore[arg-type]
    return Config(
        EnvironmentConfig("Test/None-v0"), model=model, optimizer=options, engine=EngineConfig(sharing="none")
    )


def tiny(folder: Path, shape: TinyShape, **model: object) -> ModelConfig:
    make_tiny_vlm(folder, ["How many red circles are there? Look again. even odd more"] * 3, 0, shape)
    return ModelConfig(path=str(folder), **model)  # type: ignore[arg-type]


def real(config: Config, dtype: str = "float32", pictures: list[tuple[int, int]] = PICTURES) -> Update:
    vlm = load_vlm(config.model.path, dtype)
    _choose_trained(config, vlm)
    if config.model.lora.quantize != "none":
        quantize(vlm.model, "cpu")
    return update_of(config, vlm, LENGTHS, pictures)


def deviation(config: Config, dtype: str = "float32", pictures: list[tuple[int, int]] = PICTURES) -> float:
    """Of the predicted peak of a gradient from the measured one, relative to it."""
    update, skeleton = real(config, dtype, pictures), make_skeleton(config, dtype)
    update.gradient()  # whatever is made once and kept
    update.learner.engine.discard()
    measured = peak_of(update.gradient)
    before = {"gradients": skeleton.gradient_bytes(bool(update.shape.patches))} if update.shape.accumulated else {}
    predicted = most(chain(skeleton, update.shape, update.head), before)
    found = sum(predicted.values()) / measured - 1
    print(f"measured {measured / 2**20:.2f} MiB, predicted {found:+.1%}: {predicted}")
    return found


CASES = {
    "deep": (DEEP, {}, {}, "float32", PICTURES),
    "wide": (WIDE, {}, {}, "float32", PICTURES),
    "many words": (WORDY, {}, {}, "float32", PICTURES),
    "one micro-batch": (DEEP, {}, {"micro_batch_tokens": 4000}, "float32", PICTURES),
    "chunks": (WORDY, {}, {"logprob_chunk": 8}, "float32", PICTURES),
    "checkpointed": (DEEP, {"gradient_checkpointing": True}, {}, "float32", PICTURES),
    "checkpointed and wide": (WIDE, {"gradient_checkpointing": True}, {}, "float32", PICTURES),
    "bfloat16": (DEEP, {}, {}, "bfloat16", PICTURES),
    "adapters": (DEEP, {"lora": LoraConfig(4)}, {}, "float32", PICTURES),
    "adapters over four bits": (WIDE, {"lora": LoraConfig(4, quantize="nf4")}, {}, "float32", PICTURES),
    "adapters over four bits of bfloat16": (DEEP, {"lora": LoraConfig(4, quantize="nf4")}, {}, "bfloat16", PICTURES),
    "frozen eyes": (DEEP, {}, {"rates": RatesConfig(vision=0.0)}, "float32", PICTURES),
    "text alone": (DEEP, {}, {}, "float32", [(0, 0)] * 4),
}


def marked(case: str) -> Any:
    return pytest.param(case, marks=needs_bitsandbytes if "four bits" in case else ())


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_the_peak_of_a_gradient_is_as_predicted(case: str, tmp_path: Path) -> None:
    shape, model, optimizer, dtype, pictures = CASES[case]
    config = recipe(tiny(tmp_path, shape, **model), **optimizer)
    assert abs(deviation(config, dtype, pictures)) < BOUND


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava"])
def test_the_peak_of_a_gradient_is_as_predicted_for_every_family(family: str, tmp_path: Path) -> None:
    folder = write_composed(tmp_path) if family == "llava" else write_checkpoint(tmp_path, family)
    assert abs(deviation(recipe(ModelConfig(path=str(folder))))) < BOUND


SHARED = {
    "deep": (DEEP, {}, 600, {}, "float32"),
    "wide": (WIDE, {}, 600, {}, "float32"),
    "many words": (WORDY, {}, 600, {}, "float32"),
    "one micro-batch": (DEEP, {}, 4000, {}, "float32"),
    "parted groups": (DEEP, {}, 400, {}, "float32"),
    "chunks": (WORDY, {}, 600, {"logprob_chunk": 8}, "float32"),
    "checkpointed": (DEEP, {"gradient_checkpointing": True}, 600, {}, "float32"),
    "bfloat16": (DEEP, {}, 600, {}, "bfloat16"),
    "adapters": (DEEP, {"lora": LoraConfig(4)}, 600, {}, "float32"),
}


def shared_recipe(model: ModelConfig, budget: int, prompt: int, **optimizer: object) -> Config:
    """Four groups of six rows, which are a prompt of so many tokens and 50 of an answer."""
    rollout = RolloutConfig(4, 6, max_turns=1, max_turn_tokens=50, max_row_tokens=prompt + 50)
    config = recipe(model, micro_batch_tokens=budget, **optimizer)
    return replace(config, rollout=rollout, engine=EngineConfig(sharing="tree"))


def shared_deviation(
    model: ModelConfig, budget: int, optimizer: dict[str, Any], dtype: str = "float32", keep: bool = False
) -> float:
    """Of the predicted peak of a gradient in packed rows from the measured one, relative to it."""
    config = shared_recipe(model, budget, 0, **optimizer)
    vlm = load_vlm(config.model.path, dtype)
    _choose_trained(config, vlm)
    update = update_of(config, vlm, LENGTHS, PICTURES, keep)
    config = shared_recipe(model, budget, int(update.batch.prompt_length[0]), **optimizer)
    skeleton = make_skeleton(config, dtype)
    patches = (skeleton.patches(*PICTURES[0]),)
    update.gradient()
    update.learner.engine.discard()
    batch, budget = update.batch, config.optimizer.micro_batch_tokens
    on_host = peak_of(lambda: list(batch.split(budget, packed=True)))  # what the model is not given is of no device
    measured = peak_of(update.gradient) - on_host
    shape = micro_batch(config, skeleton, patches, False)
    gradients = skeleton.gradient_bytes(True) if shape.accumulated else 0
    if keep:
        kept = kept_prompts(config, skeleton, patches, False)
        assert kept is not None
        moments = with_kept(config, skeleton, patches, {}, gradients, kept, update.head, False)
    else:
        moments = [most(chain(skeleton, shape, update.head), {"gradients": gradients})]
    predicted = max(sum(moment.values()) for moment in moments)
    print(f"measured {measured / 2**20:.2f} MiB, predicted {predicted / measured - 1:+.1%}: {moments}")
    return predicted / measured - 1


@pytest.mark.parametrize("case", SHARED)
def test_the_peak_of_a_gradient_in_packed_rows_is_as_predicted(case: str, tmp_path: Path) -> None:
    shape, model, budget, optimizer, dtype = SHARED[case]
    assert abs(shared_deviation(tiny(tmp_path, shape, **model), budget, optimizer, dtype)) < BOUND


@pytest.mark.parametrize("case", ["deep", "wide", "many words", "one micro-batch", "bfloat16"])
def test_the_peak_of_a_gradient_with_kept_prompts_is_as_predicted(case: str, tmp_path: Path) -> None:
    shape, model, budget, optimizer, dtype = SHARED[case]
    assert abs(shared_deviation(tiny(tmp_path, shape, **model), budget, optimizer, dtype, keep=True)) < BOUND


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("rank", [0, 4])
def test_weights_gradients_and_optimizer_state_are_exact_and_the_step_is_as_predicted(
    dtype: str, rank: int, tmp_path: Path
) -> None:
    config = recipe(tiny(tmp_path, WIDE, lora=LoraConfig(rank)))
    update, skeleton = real(config, dtype), make_skeleton(config, dtype)
    engine, model = update.learner.engine, update.vlm.model
    update.step()
    held = [value for state in engine.optimizer.state.values() for value in state.values() if value.ndim]
    held += [master for _, master in engine._copied()]
    assert skeleton.weight_bytes == sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
    assert optimizer_bytes(skeleton) == sum(tensor.nbytes for tensor in held)
    update.gradient()
    made = sum(weight.grad.nbytes for weight in model.parameters() if weight.grad is not None)
    assert skeleton.gradient_bytes(seen=rank == 0) == made
    predicted = step_bytes(skeleton, Placement())["optimizer step"]
    assert predicted == pytest.approx(peak_of(engine.step), rel=BOUND, abs=1024)  # a norm a weight


@pytest.mark.parametrize("dtype", [pytest.param(d, marks=needs_bitsandbytes) for d in ("float32", "bfloat16")])
def test_weights_of_four_bits_are_exact(dtype: str, tmp_path: Path) -> None:
    config = recipe(tiny(tmp_path, WIDE, lora=LoraConfig(4, quantize="nf4")))
    model = real(config, dtype).vlm.model
    skeleton = make_skeleton(config, dtype)
    assert skeleton.weight_bytes == sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    assert skeleton.weight_bytes < make_skeleton(recipe(tiny(tmp_path, WIDE, lora=LoraConfig(4))), dtype).weight_bytes


# Groups, siblings of each, letters of a prompt, tokens of an answer; whether prompts are kept.
ROLLOUTS = {
    "many words": (WORDY, 8, 8, 4, 40, False),
    "prompts": (DEEP, 8, 1, 120, 40, False),
    "answers": (DEEP, 8, 8, 60, 150, False),
    "kept prompts": (DEEP, 8, 4, 300, 40, True),
    "nothing shared": (DEEP, 8, 4, 60, 90, False),
    "every prompt": (DEEP, 8, 4, 120, 20, False),
}
APART = ("nothing shared", "every prompt")


@pytest.mark.parametrize("case", ROLLOUTS)
def test_the_peak_of_a_rollout_is_as_predicted(case: str, tmp_path: Path) -> None:
    """Of one turn. The peak is where logits are, where prompts are run at once, or where answers are longest."""
    shape, prompts, siblings, letters, tokens, keep = ROLLOUTS[case]
    config = recipe(tiny(tmp_path, shape))
    if case not in APART:
        config = replace(config, engine=EngineConfig())
    vlm = load_vlm(config.model.path)
    vlm.model.eval()
    renderer = Renderer(vlm.processor)
    rows = rows_of(renderer, [(letters, 1)] * prompts, [(0, 0)] * prompts)
    asked = [row.segments[0].token_ids for row in rows]
    longest = max(map(len, asked))
    sizes = {"prompts_per_step": prompts, "group_size": siblings, "max_turns": 1, "max_turn_tokens": tokens}
    config = replace(config, rollout=RolloutConfig(**sizes, max_row_tokens=longest + tokens))
    apart = case in APART
    engine = TransformersEngine(vlm.model, vlm.processor.image_token_id, vlm.processor.merge, shared=True, apart=apart)

    def play() -> None:
        kept = KeptPrompts()
        if keep:
            assert engine.keep_prompts(kept)
        for index, ids in enumerate(asked):
            for sibling in range(siblings):
                sampling = SamplingParams(1.0, tokens, sibling, (), vlm.processor.banned_ids)
                engine.submit(Request(8 * index + sibling, 8 * index + sibling, ids, (), sampling))
        while engine.poll(0) or engine._generating:
            pass
        for episode in range(8 * prompts):
            engine.release(episode)

    play()
    measured = peak_of(play)
    skeleton = make_skeleton(config, "float32")
    kept = kept_prompts(config, skeleton, (), False)
    assert (kept is None) == apart
    moments = rollout_bytes(config, skeleton, (), False, None, kept.nbytes if keep and kept is not None else 0)
    predicted = max(sum(moment.values()) for moment in moments)
    print(f"measured {measured / 2**20:.2f} MiB, predicted {predicted / measured - 1:+.1%}: {moments}")
    assert predicted == pytest.approx(measured, rel=BOUND)


PLAIN = replace(
    recipe(ModelConfig(tiny=WIDE), micro_batch_tokens=512, logprob_chunk=64),
    rollout=RolloutConfig(prompts_per_step=4, group_size=4, max_turn_tokens=32, max_row_tokens=128, max_turns=1),
)


def test_a_reference_and_a_critic_are_copies_in_every_phase() -> None:
    plain = make_plan(PLAIN, "float32")
    kept = replace(PLAIN, algorithm=AlgorithmConfig(divergence=DivergenceConfig(0.1)))
    judged = replace(PLAIN, algorithm=AlgorithmConfig(family="ppo"))
    for phase in ("rollout", "sync", "update"):
        weights = plain.phases[phase]["trainer weights"]
        assert make_plan(kept, "float32").phases[phase]["reference"] == weights
        assert make_plan(judged, "float32").phases[phase]["critic"] > 2.9 * weights
    shared = replace(judged, critic=CriticConfig(trunk="shared"))
    assert "critic" not in make_plan(shared, "float32").phases["update"]


def test_with_an_adapter_the_reference_costs_nothing() -> None:
    config = replace(PLAIN, algorithm=AlgorithmConfig(divergence=DivergenceConfig(0.1)))
    adapted = replace(config, model=replace(config.model, lora=LoraConfig(4)))
    assert "reference" not in make_plan(adapted, "float32").phases["update"]


def test_what_waits_in_host_memory_is_not_on_the_device_during_a_rollout() -> None:
    config = replace(PLAIN, algorithm=AlgorithmConfig(divergence=DivergenceConfig(0.1)))
    owners = {
        waits: set(make_plan(config, "float32", placement=Placement(accelerator=True, waits=waits)).phases["rollout"])  # type: ignore[arg-type]
        for waits in ("none", "optimizer", "all")
    }
    assert owners["none"] - owners["optimizer"] == {"optimizer state"}
    assert owners["optimizer"] - owners["all"] == {"reference"}
    assert "trainer weights" in owners["all"], "the sampler generates with them"


def test_sharded_state_is_divided_and_offloaded_state_is_gone() -> None:
    alone = make_plan(PLAIN, "bfloat16").phases["update"]
    halved = make_plan(PLAIN, "bfloat16", placement=Placement(True, shards=2)).phases["update"]
    away = make_plan(PLAIN, "bfloat16", placement=Placement(True, shards=2, offload=True)).phases["update"]
    # Shards are float32, which the optimizer moves; a bfloat16 model has such copies beside it.
    model = make_skeleton(PLAIN, "bfloat16").model
    assert halved["trainer weights"] == 2 * sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    assert halved["optimizer state"] == alone["optimizer state"] * 8 // 12 // 2
    assert not {"trainer weights", "optimizer state"} & set(away)
    assert halved["gathered weights"] == away["gathered weights"] > 0


def test_a_sampler_whose_weights_are_whole_beside_shards_has_its_own() -> None:
    plan = make_plan(
        replace(PLAIN, engine=EngineConfig(train="fsdp2")), "bfloat16", placement=Placement(True, shards=2)
    )
    whole = make_plan(PLAIN, "bfloat16").phases["update"]["trainer weights"]
    assert plan.phases["rollout"]["sampler weights"] == plan.phases["sync"]["sampler weights"] == whole
    assert plan.phases["rollout"]["key-value cache"] > 0


def test_servers_elsewhere_take_nothing_here() -> None:
    plan = make_plan(replace(PLAIN, engine=EngineConfig(rollout="remote")), "bfloat16", placement=Placement())
    assert not {"sampler weights", "key-value cache", "prompts"} & (
        set(plan.phases["rollout"]) | set(plan.phases["sync"])
    )


def test_vllm_has_weights_and_a_cache_of_its_own_and_sleeps_during_updates() -> None:
    chosen = EngineConfig(rollout="vllm", vllm=VllmConfig(cache_gib=2.0))
    plan = make_plan(replace(PLAIN, engine=chosen), "bfloat16", placement=Placement(accelerator=True))
    assert plan.phases["rollout"]["key-value cache"] == 2 * 2**30
    assert plan.phases["rollout"]["sampler weights"] == plan.phases["sync"]["sampler weights"]
    assert "key-value cache" not in plan.phases["sync"] and "sampler weights" not in plan.phases["update"]


def test_a_share_of_a_device_of_unknown_size_is_refused() -> None:
    config = replace(PLAIN, engine=EngineConfig(rollout="vllm"))
    with pytest.raises(ConfigError, match="--device-memory"):
        make_plan(config, "bfloat16", placement=Placement(accelerator=True))
    half = make_plan(config, "bfloat16", placement=Placement(accelerator=True), device_memory=2**30).phases["rollout"]
    assert half["sampler weights"] + half["key-value cache"] == 2**29


def test_a_micro_batch_is_as_full_as_the_recipe_allows() -> None:
    skeleton = make_skeleton(PLAIN, "float32")
    shape = micro_batch(PLAIN, skeleton, (64,), False)
    assert (shape.rows, shape.tokens, shape.actions, shape.pictures) == (4, 128, 4 * 32, (64,) * 4)
    assert shape.padded and shape.accumulated
    single = micro_batch(replace(PLAIN, optimizer=OptimizerConfig(micro_batch_tokens=100)), skeleton, (64,), False)
    assert single.rows == 1 and not single.padded


def test_a_packed_micro_batch_has_prompts_and_pictures_once() -> None:
    """Of 96 tokens and 32 a row: two whole groups are 448, and one row more 576, above 512."""
    config = replace(PLAIN, engine=EngineConfig())
    skeleton = make_skeleton(config, "float32")
    shape = micro_batch(config, skeleton, (64,), False)
    assert (shape.rows, shape.tokens, shape.actions, shape.pictures) == (1, 448, 8 * 32, (64,) * 2)
    assert not shape.padded and shape.accumulated
    on_a_gpu = micro_batch(config, skeleton, (64,), True)  # there nothing is packed unasked
    assert (on_a_gpu.rows, on_a_gpu.tokens, on_a_gpu.pictures) == (4, 128, (64,))


@pytest.mark.parametrize("accelerator", [False, True])
def test_a_shared_prompt_is_cached_once_and_where_nothing_is_shared_by_every_sibling(accelerator: bool) -> None:
    plans = {
        sharing: make_plan(
            replace(PLAIN, engine=EngineConfig(sharing=sharing)),  # type: ignore[arg-type]
            "float32",
            placement=Placement(accelerator=accelerator),
        ).phases["rollout"]
        for sharing in ("auto", "none")
    }
    assert plans["auto"]["key-value cache"] < 0.7 * plans["none"]["key-value cache"]


def test_kept_prompts_stay_from_rollout_to_update_within_their_limit() -> None:
    config = replace(PLAIN, engine=EngineConfig())
    skeleton = make_skeleton(config, "float32")
    kept = kept_prompts(config, skeleton, (64,), False)
    assert kept is not None and kept.nbytes > 2**20
    assert make_plan(config, "float32", ((112, 112),)).phases["update"]["kept prompts"] >= kept.nbytes
    half = replace(config, engine=EngineConfig(keep_prompts_mib=1.01 * kept.each / 2**20))
    fewer = kept_prompts(half, skeleton, (64,), False)
    assert fewer is not None and fewer.nbytes == kept.each
    for nothing in (
        replace(config, engine=EngineConfig(keep_prompts_mib=0)),
        replace(config, engine=EngineConfig(sharing="prefix")),
        replace(config, engine=EngineConfig(offload="optimizer")),
    ):
        assert kept_prompts(nothing, skeleton, (64,), False) is None
    assert kept_prompts(config, skeleton, (64,), True) is None


def test_a_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        make_plan(recipe(ModelConfig(path=str(tmp_path / "nowhere"))), "float32")


def test_no_tensor_of_a_plan_holds_numbers() -> None:
    made = peak_of(lambda: make_plan(PLAIN, "float32", ((112, 112),)))
    assert made < 2**20
    assert all(weight.device == torch.device("meta") for weight in make_skeleton(PLAIN, "float32").model.parameters())
