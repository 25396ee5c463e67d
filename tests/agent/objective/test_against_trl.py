"""The same batch through TRL's trainers and through our functions: the same loss and the same gradient of every weight.

The model is a tiny causal one, made here; TRL's side is a real trainer, asked for the loss of inputs made by hand, or
for advantages of rewards given by hand.
"""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from agent.objective.advantage import ADVANTAGES
from agent.objective.aggregation import trajectory_weights, weighted_sum
from agent.objective.correction import importance_weights
from agent.objective.kl import in_loss, penalty
from agent.objective.plugin import check_options
from agent.objective.policy_loss import POLICY_LOSSES
from agent.objective.shaping import scale_scores
from agent.objective.signature import call

WORDS, PROMPT, ROWS, LONGEST = 20, 3, 8, 6
LENGTHS = torch.tensor([6, 3, 1, 4, 2, 6, 5, 3])
REWARDS = torch.tensor([1.0, 0.0, 0.25, 2.0, -1.0, 0.5, 0.5, 3.0])  # two groups of four
TRL_EPSILON, OUR_EPSILON = 1e-4, 1e-6


@pytest.fixture
def model() -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=WORDS,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        pad_token_id=WORDS - 2,
        eos_token_id=WORDS - 1,
    )
    made = Qwen2ForCausalLM(config)
    for parameter in made.parameters():  # as made, all words are about equally likely, and gradients are near zero
        parameter.data += 0.3 * torch.randn_like(parameter)
    return made


def make_trainer(model: Qwen2ForCausalLM, folder: Path, kind: str = "grpo", **options: Any) -> Any:
    words = {f"w{i}": i for i in range(WORDS - 2)} | {"<pad>": WORDS - 2, "<eos>": WORDS - 1}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token="w0")), pad_token="<pad>", eos_token="<eos>"
    )
    config, trainer = {"grpo": (GRPOConfig, GRPOTrainer), "rloo": (RLOOConfig, RLOOTrainer)}[kind]
    arguments = config(
        output_dir=str(folder),
        per_device_train_batch_size=ROWS,
        num_generations=4,
        max_completion_length=LONGEST,
        report_to="none",
        use_cpu=True,
        bf16=False,
        **{"beta": 0.0} | options,
    )
    made = trainer(
        model=copy.deepcopy(model),
        reward_funcs=lambda completions, **_: REWARDS.tolist(),
        args=arguments,
        train_dataset=Dataset.from_dict({"prompt": ["w1 w2 w3"] * ROWS}),
        processing_class=tokenizer,
    )
    made.current_gradient_accumulation_steps = 1
    return made


def completion_logprobs(model: Qwen2ForCausalLM, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """By transformers alone: a log softmax of all logits, none of TRL's fused head."""
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
    attention = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
    logits = model(input_ids=ids, attention_mask=attention).logits[:, PROMPT - 1 : -1]
    return logits.log_softmax(-1).gather(-1, inputs["completion_ids"][..., None])[..., 0]


@pytest.fixture
def inputs(model: Qwen2ForCausalLM) -> dict[str, torch.Tensor]:
    """A batch as TRL's loss takes it. Old and reference log-probabilities lie around those of the model."""
    generator = torch.Generator().manual_seed(1)
    made = {
        "prompt_ids": torch.randint(WORDS - 2, (ROWS, PROMPT), generator=generator),
        "prompt_mask": torch.ones(ROWS, PROMPT, dtype=torch.long),
        "completion_ids": torch.randint(WORDS - 2, (ROWS, LONGEST), generator=generator),
        "completion_mask": (torch.arange(LONGEST) < LENGTHS[:, None]).long(),
        "advantages": torch.randn(ROWS, generator=generator),
        "num_items_in_batch": LENGTHS.sum(),
    }
    with torch.no_grad():
        now = completion_logprobs(model, made)
    made["old_per_token_logps"] = now + 0.4 * torch.randn(now.shape, generator=generator)
    made["ref_per_token_logps"] = now + 0.4 * torch.randn(now.shape, generator=generator)
    return made


def ours(
    model: Qwen2ForCausalLM,
    inputs: dict[str, torch.Tensor],
    loss: str,
    aggregation: str,
    kl_coef: float = 0.0,
    correction: torch.Tensor | None = None,
    **options: float,
) -> tuple[torch.Tensor, float]:
    """The loss of the batch, and the share of action tokens that the loss marks."""
    entry, mask = POLICY_LOSSES[loss], inputs["completion_mask"].bool()
    logprobs = completion_logprobs(model, inputs)
    tensors = {
        "logprobs": logprobs,
        "old_logprobs": inputs["old_per_token_logps"],
        "advantages": inputs["advantages"][:, None].expand(mask.shape),
        "mask": mask,
        "sequence": torch.arange(ROWS),
    }
    losses, clipped = call(entry.function, tensors, check_options(entry, options))
    if correction is not None:
        losses = losses * correction
    if kl_coef:
        losses = losses + kl_coef * in_loss("k3")(logprobs, inputs["ref_per_token_logps"])
    weights = trajectory_weights(mask.sum(1), torch.ones(ROWS, dtype=torch.bool), aggregation, LONGEST)
    return weighted_sum(losses, mask, weights), float(clipped[mask].float().mean())


def assert_same(model: Qwen2ForCausalLM, loss: torch.Tensor, trainer: Any, expected: torch.Tensor) -> None:
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    theirs = dict(trainer.model.named_parameters())
    largest = 0.0
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and theirs[name].grad is not None
        torch.testing.assert_close(parameter.grad, theirs[name].grad, atol=1e-5, rtol=1e-5, msg=f"gradient of {name}")
        largest = max(largest, float(parameter.grad.abs().max()))
    assert largest > 1e-2, "gradients of zero would be equal to anything"


# TRL's options, our loss with its options, our aggregation.
CASES: dict[str, tuple[dict[str, Any], str, dict[str, float], str]] = {
    "GRPO": ({"loss_type": "grpo"}, "ppo_clip", {}, "sequence_mean"),
    "GRPO with other bounds": (
        {"loss_type": "grpo", "epsilon": 0.1, "epsilon_high": 0.3},
        "ppo_clip",
        {"clip_low": 0.1, "clip_high": 0.3},
        "sequence_mean",
    ),
    "GRPO with a bound for bad tokens": (
        {"loss_type": "grpo", "delta": 1.5},
        "ppo_clip",
        {"dual_clip": 1.5},
        "sequence_mean",
    ),
    "Dr.GRPO": ({"loss_type": "dr_grpo"}, "ppo_clip", {}, "constant"),
    "DAPO": ({"loss_type": "dapo", "epsilon_high": 0.28}, "dapo", {}, "token_mean"),
    "BNPO": ({"loss_type": "bnpo"}, "ppo_clip", {}, "token_mean"),
    "GSPO": (
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 0.05, "epsilon_high": 0.1},
        "gspo",
        {"clip_low": 0.05, "clip_high": 0.1},
        "sequence_mean",
    ),
    "GSPO with the bounds of the paper": (
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 3e-4, "epsilon_high": 4e-4},
        "gspo",
        {},
        "sequence_mean",
    ),
    "CISPO": ({"loss_type": "cispo", "epsilon_high": 5.0}, "cispo", {}, "token_mean"),
    "CISPO with a bound that holds": (
        {"loss_type": "cispo", "epsilon_high": 1.25},
        "cispo",
        {"clip_high": 0.25},
        "token_mean",
    ),
    "SAPO": ({"loss_type": "sapo"}, "sapo", {}, "sequence_mean"),
    "SAPO with other temperatures": (
        {"loss_type": "sapo", "sapo_temperature_pos": 2.0, "sapo_temperature_neg": 3.0},
        "sapo",
        {"temperature_positive": 2.0, "temperature_negative": 3.0},
        "sequence_mean",
    ),
}
NOTHING_IS_MARKED = {"CISPO", "SAPO", "SAPO with other temperatures"}


@pytest.mark.parametrize("name", CASES)
def test_the_loss_and_every_gradient_are_those_of_trl(
    name: str, model: Qwen2ForCausalLM, inputs: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    theirs, loss, options, aggregation = CASES[name]
    trainer = make_trainer(model, tmp_path, **theirs)
    found, marked = ours(model, inputs, loss, aggregation, **options)
    assert_same(model, found, trainer, trainer.compute_loss(trainer.model, inputs))
    assert (marked > 0) == (name not in NOTHING_IS_MARKED), "ratios of this batch must leave the bounds"


@pytest.mark.parametrize("name", ["GRPO", "DAPO", "GSPO", "CISPO"])
def test_with_a_divergence_in_the_loss_they_are_those_of_trl(
    name: str, model: Qwen2ForCausalLM, inputs: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """TRL's estimator is k3. Its default multiplies that by the ratio, which is an estimator of its own; turned off."""
    theirs, loss, options, aggregation = CASES[name]
    trainer = make_trainer(model, tmp_path, use_bias_correction_kl=False, **theirs)
    trainer.beta = 0.3  # after it was made: TRL would want to load a reference model, and is given its numbers here
    found, _ = ours(model, inputs, loss, aggregation, kl_coef=0.3, **options)
    assert_same(model, found, trainer, trainer.compute_loss(trainer.model, inputs))


def test_at_ratio_one_reinforce_has_the_gradient_of_trls_clipped_loss(
    model: Qwen2ForCausalLM, inputs: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """TRL without old log-probabilities takes the current ones. The losses differ (-A against -A log pi)."""
    trainer = make_trainer(model, tmp_path, loss_type="dapo")
    found, _ = ours(model, inputs, "reinforce", "token_mean")
    expected = trainer.compute_loss(trainer.model, {k: v for k, v in inputs.items() if k != "old_per_token_logps"})
    assert_same(model, found - found.detach() + expected.detach(), trainer, expected)


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("kind", ["truncate", "mask"])
def test_importance_weights_enter_the_loss_as_they_do_in_trl(
    level: str, kind: str, model: Qwen2ForCausalLM, inputs: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """TRL works the weights out while generating with vLLM, which is not here: its formula (exp of the difference,
    summed over the sequence or not, then clamped, or zeroed outside the bounds) is written out; its loss uses them."""
    generator = torch.Generator().manual_seed(2)
    old, mask = inputs["old_per_token_logps"], inputs["completion_mask"]
    sampler = old + 0.3 * torch.randn(old.shape, generator=generator)
    difference = (old - sampler) * mask
    ratio = (difference.sum(-1, keepdim=True) if level == "sequence" else difference).exp()
    low, high = 0.8, 1.25
    outside = (ratio > high) | (ratio < low)
    assert outside.any() and not outside.all()
    theirs = ratio.clamp(max=high) if kind == "truncate" else ratio.masked_fill(outside, 0.0)
    weights, _ = importance_weights(
        old,
        sampler,
        mask.bool(),
        torch.zeros_like(mask),
        torch.arange(ROWS),
        level=level,
        kind=kind,
        low=low,
        high=high,
    )
    trainer = make_trainer(model, tmp_path, loss_type="dapo", epsilon_high=0.28)
    trainer.use_vllm, trainer.vllm_importance_sampling_correction = True, True
    found, _ = ours(model, inputs, "dapo", "token_mean", correction=weights)
    expected = trainer.compute_loss(trainer.model, inputs | {"importance_sampling_ratio": theirs})
    assert_same(model, found, trainer, expected)


def scored_by_trl(trainer: Any, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What TRL makes of rewards, with the completions of `inputs` in place of generated ones."""
    completions = [row[:length].tolist() for row, length in zip(inputs["completion_ids"], LENGTHS, strict=True)]
    prompts = inputs["prompt_ids"].tolist()
    texts = ["" for _ in prompts]
    if isinstance(trainer, RLOOTrainer):
        trainer._generate = lambda _: (prompts, completions, texts)
    else:
        trainer._generate = lambda _: (prompts, completions, None, texts, None, {}, None, None)
    return trainer._generate_and_score_completions([{"prompt": "w1 w2 w3"} for _ in prompts])


GROUPS = torch.arange(ROWS) // 4
EVERYONE = torch.ones(ROWS, dtype=torch.bool)


def advantages_of(name: str, scores: torch.Tensor) -> torch.Tensor:
    entry = ADVANTAGES[name]
    tensors = {"scores": scores, "groups": GROUPS, "valid": EVERYONE, "lengths": LENGTHS}
    return call(entry.function, tensors, check_options(entry, {}))


def deviations(scores: torch.Tensor) -> torch.Tensor:
    return scores.view(-1, 4).std(1).repeat_interleave(4)


def test_from_rewards_to_gradients_grpo_is_that_of_trl(
    model: Qwen2ForCausalLM, inputs: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """TRL divides by the deviation + 1e-4, we by + 1e-6: the ratio of the two is known."""
    trainer = make_trainer(model, tmp_path, loss_type="grpo")
    scored = scored_by_trl(trainer, inputs) | {"old_per_token_logps": inputs["old_per_token_logps"]}
    mine = advantages_of("grpo", REWARDS) * (deviations(REWARDS) + OUR_EPSILON) / (deviations(REWARDS) + TRL_EPSILON)
    torch.testing.assert_close(mine, scored["advantages"], atol=1e-5, rtol=1e-5)
    found, _ = ours(model, inputs | {"advantages": mine}, "ppo_clip", "sequence_mean")
    assert_same(model, found, trainer, trainer.compute_loss(trainer.model, scored))


def test_from_rewards_to_gradients_dr_grpo_is_that_of_trl(
    model: Qwen2ForCausalLM, inputs: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    trainer = make_trainer(model, tmp_path, loss_type="dr_grpo", scale_rewards="none")
    scored = scored_by_trl(trainer, inputs) | {"old_per_token_logps": inputs["old_per_token_logps"]}
    mine = advantages_of("dr_grpo", REWARDS)
    torch.testing.assert_close(mine, scored["advantages"], atol=1e-5, rtol=1e-5)
    found, _ = ours(model, inputs | {"advantages": mine}, "ppo_clip", "constant")
    assert_same(model, found, trainer, trainer.compute_loss(trainer.model, scored))


@pytest.mark.parametrize("kind", ["group", "batch"])
def test_scaled_scores_give_the_advantages_of_trls_scaling(
    kind: str, model: Qwen2ForCausalLM, inputs: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """Dr.GRPO's advantages are linear in the scores, so scaling these is scaling those."""
    trainer = make_trainer(model, tmp_path, scale_rewards=kind)
    scored = scored_by_trl(trainer, inputs)
    deviation = deviations(REWARDS) if kind == "group" else REWARDS.std()
    mine = advantages_of("dr_grpo", scale_scores(REWARDS, GROUPS, EVERYONE, kind))
    corrected = mine * (deviation + OUR_EPSILON) / (deviation + TRL_EPSILON)
    torch.testing.assert_close(corrected, scored["advantages"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_from_rewards_to_gradients_rloo_is_that_of_trl(
    beta: float, model: Qwen2ForCausalLM, inputs: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """RLOO takes a whole completion for one action: its log-probability is the sum over tokens. TRL clips the ratio of
    that, which is `ppo_clip` on one action a trajectory. With a coefficient, k1 summed over the tokens is taken from
    the reward. After TRL recorded the old log-probabilities both models move, so that the ratios are not 1."""
    trainer = make_trainer(model, tmp_path, "rloo")
    mask = inputs["completion_mask"].bool()
    with torch.no_grad():
        old = completion_logprobs(model, inputs)
    if beta:
        torch.manual_seed(3)
        other = copy.deepcopy(model)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
            reference = completion_logprobs(other, inputs)
        trainer.beta, trainer.ref_model = beta, make_trainer(other, tmp_path, "rloo").model
        taken = torch.where(mask, penalty("k1")(old, reference), 0.0).sum(1)
        assert float(taken.abs().max()) > 0.1
    else:
        taken = torch.zeros(ROWS)
    scored = scored_by_trl(trainer, inputs)
    advantages = advantages_of("rloo", REWARDS - beta * taken)
    torch.testing.assert_close(advantages, scored["advantages"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close((old * mask).sum(1), scored["old_logps"], atol=1e-5, rtol=1e-5)
    torch.manual_seed(4)
    for mine, theirs in zip(model.parameters(), trainer.model.parameters(), strict=True):
        with torch.no_grad():
            change = 0.02 * torch.randn_like(mine)
            mine += change
            theirs += change
    logprobs = torch.where(mask, completion_logprobs(model, inputs), 0.0).sum(1, keepdim=True)
    one = torch.ones(ROWS, 1, dtype=torch.bool)
    losses, clipped = POLICY_LOSSES["ppo_clip"].function(
        logprobs, (old * mask).sum(1, keepdim=True), advantages[:, None], one
    )
    found = weighted_sum(losses, one, trajectory_weights(one.sum(1), EVERYONE, "sequence_mean"))
    assert 0 < int(clipped.sum()) < ROWS
    assert_same(model, found, trainer, trainer.compute_loss(trainer.model, scored))


def test_at_ratio_one_reinforce_over_trajectories_has_the_gradient_of_trls_rloo(
    model: Qwen2ForCausalLM, inputs: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """The sum over tokens of -A log pi, divided by the number of trajectories: "constant" with C = 1."""
    trainer = make_trainer(model, tmp_path, "rloo")
    scored = scored_by_trl(trainer, inputs)
    advantages = advantages_of("rloo", REWARDS)[:, None].expand(ROWS, LONGEST)
    mask = inputs["completion_mask"].bool()
    losses, _ = POLICY_LOSSES["reinforce"].function(completion_logprobs(model, inputs), advantages, mask)
    found = weighted_sum(losses, mask, trajectory_weights(LENGTHS, EVERYONE, "constant", 1))
    expected = trainer.compute_loss(trainer.model, scored)
    assert_same(model, found - found.detach() + expected.detach(), trainer, expected)
