"""What holds for every advantage estimator, whatever its equation."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.objective import advantage
from agent.objective.advantage import ADVANTAGES
from agent.objective.plugin import ESTIMATOR_TENSORS, Estimator
from tests.agent.objective.advantage_cases import Batch, assert_same, batches, estimates

EVERY = pytest.mark.parametrize("name", list(ADVANTAGES))
WITH_GROUPS = pytest.mark.parametrize("name", [n for n, entry in ADVANTAGES.items() if "groups" in entry.needs])
SOME = settings(max_examples=25)
EXPECTED = {  # the tensors that each takes, its smallest group, and its options with their defaults
    "grpo": ("scores groups valid", 2, {"scale": "group"}),
    "dr_grpo": ("scores groups valid", 2, {}),
    "rloo": ("scores groups valid", 2, {}),
    "reinforce_pp": ("rewards mask valid", 1, {"discount": 1.0}),
    "reinforce_pp_baseline": ("scores groups valid lengths", 2, {}),
    "remax": ("scores greedy_scores valid", 1, {}),
    "opo": ("scores groups valid lengths", 2, {}),
    "gpg": ("scores groups valid", 2, {}),
    "gae": (
        "rewards values mask valid truncated final_values",
        1,
        {"discount": 1.0, "gae_lambda": 1.0, "whiten": True, "bootstrap_truncated": False},
    ),
    "turn_gae": (
        "rewards values mask turns valid truncated final_values",
        1,
        {"discount": 1.0, "gae_lambda": 1.0, "whiten": True, "bootstrap_truncated": False},
    ),
}


def test_the_registry_has_every_estimator_with_what_it_needs() -> None:
    declared = {
        name: (entry.needs, entry.smallest_group, {key: default for key, (_, default) in entry.options.items()})
        for name, entry in ADVANTAGES.items()
    }
    assert declared == {name: (frozenset(needs.split()), *rest) for name, (needs, *rest) in EXPECTED.items()}


@EVERY
def test_every_entry_is_the_function_of_its_name_with_a_paper(name: str) -> None:
    entry = ADVANTAGES[name]
    assert isinstance(entry, Estimator)
    assert entry.function is getattr(advantage, name)
    identifier = entry.source.split("arXiv ")[1][:10]
    assert identifier in (entry.function.__doc__ or "")


def test_the_vocabulary_is_used_up() -> None:
    used = frozenset().union(*(entry.needs for entry in ADVANTAGES.values()))
    # Where pictures stand is for estimators of a user's own (bench/experiments/visual_gae.py).
    assert used | {"images_before"} == frozenset(ESTIMATOR_TENSORS)


@EVERY
@SOME
@given(batch=batches())
def test_a_trajectory_that_is_not_valid_gets_zero(name: str, batch: Batch) -> None:
    for result in estimates(name, batch):
        assert not result[~batch["valid"]].any()


@EVERY
@SOME
@given(batch=batches(), rubbish=st.sampled_from([float("nan"), float("inf"), -1e30]))
def test_what_stands_at_a_trajectory_that_is_not_valid_changes_nothing(name: str, batch: Batch, rubbish: float) -> None:
    spoiled = {key: tensor.clone() for key, tensor in batch.items()}
    broken = ~batch["valid"]
    for key in ("scores", "rewards", "values", "final_values", "greedy_scores"):
        spoiled[key][broken] = rubbish
    spoiled["lengths"][broken] = 10**6
    spoiled["turns"][broken] = 10**6
    spoiled["mask"][broken] = True
    spoiled["truncated"][broken] = True
    for options in every_option(name):
        assert_same(estimates(name, spoiled, **options), estimates(name, batch, **options), tolerance=0.0)


@EVERY
@SOME
@given(batch=batches())
def test_without_the_invalid_trajectories_the_others_get_the_same(name: str, batch: Batch) -> None:
    valid = batch["valid"]
    kept = {key: tensor[valid] for key, tensor in batch.items()}
    assert_same(estimates(name, kept), [result[valid] for result in estimates(name, batch)], tolerance=1e-9)


@EVERY
@SOME
@given(batch=batches(), dice=st.randoms(use_true_random=False))
def test_the_order_of_trajectories_does_not_matter(name: str, batch: Batch, dice: random.Random) -> None:
    order = list(range(len(batch["valid"])))
    dice.shuffle(order)
    moved = {key: tensor[order] for key, tensor in batch.items()}
    assert_same(estimates(name, moved), [result[order] for result in estimates(name, batch)], tolerance=1e-9)


@EVERY
@SOME
@given(batch=batches(), rubbish=st.sampled_from([float("nan"), float("inf"), -1e30]))
def test_padding_changes_nothing_and_gets_zero(name: str, batch: Batch, rubbish: float) -> None:
    wider = dict(batch)
    for key, filling in {"rewards": rubbish, "values": rubbish, "mask": False, "turns": 77}.items():
        wider[key] = torch.nn.functional.pad(batch[key], (0, 3), value=filling)
    width = batch["mask"].shape[1]
    results = estimates(name, wider)
    assert_same([r[:, :width] if r.dim() == 2 else r for r in results], estimates(name, batch), tolerance=1e-12)
    assert not any(r[:, width:].any() for r in results if r.dim() == 2)


@EVERY
@SOME
@given(batch=batches(), rubbish=st.sampled_from([float("nan"), float("inf"), -1e30]))
def test_what_stands_outside_the_mask_changes_nothing(name: str, batch: Batch, rubbish: float) -> None:
    spoiled = dict(batch)
    for key in ("rewards", "values"):
        spoiled[key] = batch[key].masked_fill(~batch["mask"], rubbish)
    spoiled["turns"] = batch["turns"].masked_fill(~batch["mask"], 10**6)
    assert_same(estimates(name, spoiled), estimates(name, batch), tolerance=0.0)


@EVERY
@SOME
@given(batch=batches())
def test_nothing_that_is_given_is_changed(name: str, batch: Batch) -> None:
    before = {key: tensor.clone() for key, tensor in batch.items()}
    estimates(name, batch)
    assert all(torch.equal(before[key], tensor) for key, tensor in batch.items())


@EVERY
@SOME
@given(batch=batches())
def test_in_single_precision_the_numbers_are_nearly_the_same_and_stay_single(name: str, batch: Batch) -> None:
    single = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in batch.items()}
    results = estimates(name, single)
    assert all(result.dtype in (torch.float32, torch.bool) for result in results)
    doubled = [result.double() if result.is_floating_point() else result for result in results]
    assert_same(doubled, estimates(name, batch), tolerance=2e-4)


@EVERY
def test_a_batch_without_trajectories_gives_nothing(name: str) -> None:
    floats, integers, flags = torch.zeros(0), torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.bool)
    empty = dict.fromkeys(("scores", "final_values", "greedy_scores"), floats)
    empty |= dict.fromkeys(("groups", "lengths"), integers) | dict.fromkeys(("valid", "truncated"), flags)
    empty |= {"rewards": floats[:, None].expand(0, 3), "values": torch.zeros(0, 3)}
    empty |= {"mask": torch.zeros(0, 3, dtype=torch.bool), "turns": torch.zeros(0, 3, dtype=torch.long)}
    assert all(result.shape[0] == 0 for result in estimates(name, empty))


@WITH_GROUPS
@SOME
@given(batch=batches(), shift=st.integers(-8, 8))
def test_a_constant_added_to_all_scores_of_a_group_changes_nothing(name: str, batch: Batch, shift: int) -> None:
    moved = dict(batch, scores=batch["scores"] + shift * (1 + batch["groups"]))
    if name == "grpo":  # the deviation of a batch is not that of its groups
        assert_same(
            estimates(name, dict(batch, scores=batch["scores"] + shift), scale="batch"),
            estimates(name, batch, scale="batch"),
        )
    assert_same(estimates(name, moved), estimates(name, batch))


@EVERY
@pytest.mark.parametrize("score", [0.0, 1.0, 0.1, 1 / 3, -2.7, 1e6])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_equal_scores_of_all_give_exactly_zero(name: str, score: float, size: int) -> None:
    """Even if their mean, taken in single precision, misses them by one rounding."""
    flags, ones = torch.ones(2 * size, dtype=torch.bool), torch.ones(2 * size, 1)
    batch = {
        "scores": torch.full((2 * size,), score),
        "greedy_scores": torch.full((2 * size,), score),
        "groups": torch.arange(2).repeat_interleave(size),
        "valid": flags,
        "truncated": flags,
        "lengths": torch.arange(1, 2 * size + 1),
        "rewards": score * ones,
        "values": 0 * ones,
        "final_values": torch.zeros(2 * size),
        "mask": flags[:, None],
        "turns": torch.zeros(2 * size, 1, dtype=torch.long),
    }
    for options in every_option(name):
        assert not estimates(name, batch, **options)[0].any() or options.get("whiten") is False


@WITH_GROUPS
def test_a_lone_valid_trajectory_gets_exactly_zero(name: str) -> None:
    batch = {
        "scores": torch.tensor([3.0, 4.0, 5.0, 1.0, 2.0]),
        "groups": torch.tensor([0, 0, 1, 2, 2]),
        "valid": torch.tensor([True, False, True, True, True]),
        "lengths": torch.tensor([5, 1, 7, 3, 2]),
    }
    for options in every_option(name):
        (result,) = estimates(name, batch, **options)
        assert result[:3].tolist() == [0.0, 0.0, 0.0]
        assert result[3] < 0.0 < result[4]


def every_option(name: str) -> list[dict[str, object]]:
    if name == "grpo":
        return [{"scale": "group"}, {"scale": "batch"}, {"scale": "none"}]
    if name in ("gae", "turn_gae"):
        return [{"whiten": True}, {"whiten": False, "bootstrap_truncated": True, "discount": 0.5, "gae_lambda": 0.5}]
    return [{}]
