"""Random episodes of many turns and pictures: no re-encoded token, no mask error, one log-probability on both sides.

The same functions run over a thousand episodes in bench/exactness.py.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from agent.model.load import VLM
from agent.types import Segment, Trajectory
from tests.agent.exactness import storm
from tests.agent.exactness.checks import mask_errors, picture_errors, processing_errors, token_errors
from tests.agent.exactness.faults import NONE, TOLD, plant
from tests.agent.exactness.play import APPENDING, FAMILIES, Played, batch_of, load, play, waves
from tests.agent.exactness.tally import BOUND, Tally

pytestmark = pytest.mark.xdist_group("exactness")  # what all of them look at is played once

EPISODES, WAVE = 60, 20


@dataclass(frozen=True, eq=False)
class Family:
    vlm: VLM
    waves: list[Played]
    tally: Tally


@pytest.fixture(scope="module")
def family_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Family]:
    made: dict[str, Family] = {}

    def make(name: str) -> Family:
        if name not in made:
            vlm, tally = load(name, tmp_path_factory.mktemp(name)), Tally()
            played = [play(vlm, wave) for wave in waves(f"{name} test", EPISODES, WAVE)]
            for wave in played:
                tally.add(wave)
            tally.end(vlm)
            made[name] = Family(vlm, played, tally)
        return made[name]

    return make


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest, family_of: Callable[[str], Family]) -> Family:
    return family_of(request.param)


def test_no_sampled_token_is_encoded_again_and_every_text_is_what_the_environment_said(family: Family) -> None:
    assert family.tally.counts["episodes"] == EPISODES and family.tally.counts["tokens"] > 500
    assert family.tally.errors["tokens"] == []


def test_the_mask_is_true_exactly_at_the_tokens_that_the_engine_returned(family: Family) -> None:
    assert family.tally.counts["trained"] > 500
    assert family.tally.errors["mask"] == []


def test_every_picture_has_a_token_for_each_feature_and_one_tensor_for_sampler_and_trainer(family: Family) -> None:
    assert family.tally.errors["pictures"] == []


def test_a_picture_is_processed_once_whoever_sees_it(family: Family) -> None:
    assert family.tally.errors["processing"] == []
    assert family.tally.counts["images"] > 3 * family.tally.counts["processed"] > 60


def test_log_probabilities_of_sampler_and_trainer_agree_within_the_bound(family: Family) -> None:
    assert family.tally.errors["log-probabilities"] == [] and family.tally.largest <= BOUND
    assert family.tally.counts["rare"] < 0.01 * family.tally.counts["trained"]


def test_they_agree_with_transformers_own_forward_pass_over_whole_rows(family: Family) -> None:
    assert family.tally.errors["log-probabilities of transformers"] == [] and family.tally.own_largest <= BOUND


def test_encoding_the_text_again_would_change_most_actions(family: Family) -> None:
    # Were it otherwise, the first test would say little.
    assert family.tally.counts["differ"] > 0.5 * family.tally.counts["turns"]


def test_the_episodes_have_everything_that_an_episode_can_have(family_of: Callable[[str], Family]) -> None:
    tallies = [family_of(name).tally for name in FAMILIES]
    counts: Counter[str] = sum((tally.counts for tally in tallies), Counter())
    ends: Counter[str] = sum((tally.ends for tally in tallies), Counter())
    assert max(tally.most["turns"] for tally in tallies) == 8
    assert max(tally.most["images"] for tally in tallies) == 8
    assert max(tally.most["rows"] for tally in tallies) > 1
    assert 0.1 < counts["stopped"] / counts["turns"] < 0.9
    assert set(ends) == {
        "terminated",
        "failed LostSandboxError",
        "truncated turns",
        "truncated time",
        "truncated context",
        "truncated tokens",
    }


@pytest.mark.parametrize("name", APPENDING)
def test_every_planted_fault_exceeds_the_bound_or_is_refused_and_none_does_not(
    name: str, family_of: Callable[[str], Family]
) -> None:
    family = family_of(name)
    before = {name: tensor.clone() for name, tensor in family.vlm.model.state_dict().items()}
    for fault, outcome in plant(family.vlm, seed=0, episodes=5).items():
        assert outcome.tried > 0, fault
        assert outcome.noticed == (0 if fault in (NONE, TOLD) else outcome.tried), (fault, outcome)
    # The fault that moves the weights puts them back.
    assert all(torch.equal(tensor, before[name]) for name, tensor in family.vlm.model.state_dict().items())


# The checks themselves can fail.


@pytest.fixture(scope="module")
def played(family_of: Callable[[str], Family]) -> Played:
    """The episodes of a wave with several turns and pictures in many rows."""
    return max(family_of("qwen2_5_vl").waves, key=lambda wave: sum(len(row.images) for row in wave.rows))


def with_action(played: Played, change: Callable[[Segment], Segment]) -> Played:
    """The first action of the first trained row is another."""
    index, number = played.trained[0]
    trajectory = played.trajectories[index]
    row = trajectory.rows[number]
    segments = (row.segments[0], change(row.segments[1]), *row.segments[2:])
    rows = (*trajectory.rows[:number], replace(row, segments=segments), *trajectory.rows[number + 1 :])
    trajectories = [replace(trajectory, rows=rows) if i == index else t for i, t in enumerate(played.trajectories)]
    return replace(played, trajectories=trajectories)


def another_token(action: Segment) -> Segment:
    return replace(action, token_ids=(action.token_ids[0] ^ 1, *action.token_ids[1:]))


def another_logprob(action: Segment) -> Segment:
    return replace(action, logprobs=(-99.0, *(action.logprobs or ())[1:]))


@pytest.mark.parametrize("change", [another_token, another_logprob])
def test_another_token_or_log_probability_than_the_engines_is_noticed(
    played: Played, change: Callable[[Segment], Segment]
) -> None:
    changed = with_action(played, change)
    assert token_errors(changed) and mask_errors(changed, batch_of(changed))


def test_another_text_than_the_environments_is_noticed(played: Played) -> None:
    def spoiled(trajectory: Trajectory) -> Trajectory:
        first = trajectory.rows[0]
        prompt = replace(first.segments[0], token_ids=(*first.segments[0].token_ids[:-1], 65))
        return replace(trajectory, rows=(replace(first, segments=(prompt, *first.segments[1:])), *trajectory.rows[1:]))

    index = played.trained[0][0]
    changed = [spoiled(t) if i == index else t for i, t in enumerate(played.trajectories)]
    assert token_errors(replace(played, trajectories=changed))


@pytest.mark.parametrize("by", [-1, 1])
def test_a_mask_that_is_one_off_is_noticed(played: Played, by: int) -> None:
    batch = batch_of(played)
    assert mask_errors(played, replace(batch, action_mask=batch.action_mask.roll(by, dims=1)))


def test_a_turn_that_is_counted_to_another_is_noticed(played: Played) -> None:
    batch = batch_of(played)
    assert mask_errors(played, replace(batch, turns=batch.turns + 1))


@pytest.mark.parametrize("fault", ["order", "copy", "tensor"])
def test_a_picture_out_of_place_is_noticed(played: Played, fault: str) -> None:
    batch = batch_of(played)
    first, *rest = batch.images
    images = {
        "order": (*reversed(batch.images),),
        "copy": (replace(first), *rest),
        "tensor": (replace(first, pixels=first.pixels + 1.0), *rest),
    }
    assert picture_errors(played, replace(batch, images=images[fault]))


def test_a_picture_that_is_processed_twice_is_noticed(played: Played) -> None:
    calls = played.vlm.processor.image_processor.calls
    some = next(iter(calls))
    calls[some] += 1
    try:
        assert len(processing_errors(played.vlm)) == 1
    finally:
        calls[some] -= 1


# The environment.


def test_equal_seeds_make_equal_worlds() -> None:
    for seed in range(30):
        one, other = storm.world(seed), storm.world(seed)
        assert (one.end, one.rewards) == (other.end, other.rewards)
        assert [(s.text, s.restart, s.echo) for s in one.scenes] == [(s.text, s.restart, s.echo) for s in other.scenes]
        for a, b in zip(one.scenes, other.scenes, strict=True):
            assert len(a.images) == len(b.images) and all(map(np.array_equal, a.images, b.images))
    assert storm.world(0).rewards != storm.world(1).rewards
