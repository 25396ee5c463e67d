"""Sampler and trainer agree on every token of long episodes with many pictures, and faults exceed the bound."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from agent.engine.batching import Batch, make_batch
from agent.model.load import VLM
from agent.model.processor import ProcessedImage
from agent.roles.actor import Actor
from agent.rollout.engine import Request, SamplingParams
from agent.rollout.environments import EnvironmentPool
from agent.rollout.episode import Budget, EpisodeSpec
from agent.rollout.episodes import DriverOptions, EpisodeDriver
from agent.rollout.hf import TransformersEngine
from agent.rollout.render import Renderer
from agent.types import Row, Segment, Trajectory

# THE BOUND (float32, nats, temperature 1): 99.9% of the sampled tokens, and all of them with a probability above SEEN.
# A temperature divides the logits, and with them their rounding.
MOST, ALL, SEEN = 2e-5, 1e-4, 1e-6
TURNS = 8
# Different pictures; in every family the last two have the same number of tokens, so that they can change places.
SIZES = [(30, 40), (56, 112), (200, 50), (1, 1), (90, 60), (64, 64), (64, 90), (65, 91)]
Picture = Callable[..., np.ndarray]


@dataclass(frozen=True, eq=False)
class Transcripts:
    """Four episodes of a family with their batch."""

    actor: Actor
    renderer: Renderer
    trajectories: list[Trajectory]
    batch: Batch


@pytest.fixture(scope="module")
def transcripts_of(
    load_family: Callable[[str], VLM], pool_of: Callable[..., EnvironmentPool], picture: Picture
) -> Callable[..., Transcripts]:
    made: dict[tuple[str, float], Transcripts] = {}

    def script(seed: int | None, task: int | None) -> list[Any]:
        def shown(turn: int) -> dict[str, Any]:
            height, width = SIZES[turn]
            return {"text": f"Turn {turn}: how many?"[: 8 + 5 * (turn % 3)], "images": (picture(height, width, turn),)}

        middle = [(shown(turn), 0.0, False, False, {}) for turn in range(1, TURNS)]
        return [(shown(0), {}), *middle, ({"text": "", "images": ()}, 1.0, True, False, {})]

    def make(family: str, temperature: float = 1.0) -> Transcripts:
        if (family, temperature) not in made:
            vlm = load_family(family)
            renderer = Renderer(vlm.processor)
            engine = TransformersEngine(vlm.model, vlm.processor.image_token_id, vlm.processor.merge)
            driver = EpisodeDriver(engine, renderer, pool_of(script), DriverOptions(threads=1))
            specs = [EpisodeSpec(0, 0, 50 + sibling) for sibling in range(4)]
            trajectories = driver.run(specs, Budget(temperature, 24, 4000, 20))
            rows = [row for trajectory in trajectories for row in trajectory.rows]
            batch = make_batch(rows, [0, 1, 2, 3], [1.0] * 4, renderer.pixels, vlm.processor.merge)
            actor = Actor(vlm.model, temperature, vlm.processor.banned_ids)
            made[family, temperature] = Transcripts(actor, renderer, trajectories, batch)
        return made[family, temperature]

    return make


def gaps(actor: Actor, batch: Batch) -> np.ndarray:
    """|sampler - trainer| of the sampled tokens that are not too rare for rounding, brought to temperature 1."""
    with torch.no_grad():
        trainer, _ = actor.logprobs(batch)
    seen = batch.action_mask & (batch.sampler_logprobs.exp() > SEEN)
    return (trainer - batch.sampler_logprobs)[seen].abs().numpy() * actor.temperature


def exceeds(found: np.ndarray) -> bool:
    return bool(np.percentile(found, 99.9) > MOST or found.max() > ALL)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_sampler_and_trainer_agree_within_the_bound_over_eight_turns_and_eight_pictures(
    family: str, transcripts_of: Callable[..., Transcripts], temperature: float
) -> None:
    made = transcripts_of(family, temperature)
    assert [len(row.images) for t in made.trajectories for row in t.rows] == [TURNS] * 4
    assert [len(list(t.actions)) for t in made.trajectories] == [TURNS] * 4
    assert len({span.sha256 for span in made.trajectories[0].rows[0].images}) == TURNS
    assert len({span.grid for span in made.trajectories[0].rows[0].images}) >= 5
    found = gaps(made.actor, made.batch)
    print(
        f"{family} T={temperature}: {len(found)} tokens, 99.9% {np.percentile(found, 99.9):.1e}, max {found.max():.1e}"
    )
    assert len(found) > 300
    assert not exceeds(found)


def shifted(made: Transcripts) -> Batch:
    """Everything after the second action stands one further."""
    positions = made.batch.position_ids.clone()
    row = made.trajectories[0].rows[0]
    positions[:, :, sum(len(segment.token_ids) for segment in row.segments[:4]) :] += 1
    return replace(made.batch, position_ids=positions)


def grid_turned(made: Transcripts) -> Batch:
    """Height and width change places."""
    return replace(made.batch, position_ids=made.batch.position_ids[[0, 2, 1]])


def another_pixel(made: Transcripts) -> Batch:
    """One pixel of one picture is inverted."""
    image = made.batch.images[1]
    array = image.original.copy()
    array[20, 20] = 255 - array[20, 20]
    return with_image(made.batch, 1, made.renderer.processor.process(array))


def another_token(made: Transcripts) -> Batch:
    """One token of the first prompt's text is another."""
    ids = made.batch.input_ids.clone()
    last_of_text = len(made.trajectories[0].rows[0].segments[0].token_ids) - 6
    ids[0, last_of_text] = (ids[0, last_of_text] + 1) % 256
    return replace(made.batch, input_ids=ids)


def another_sampled_token(made: Transcripts) -> Batch:
    """One sampled token is another than was sampled."""
    ids = made.batch.input_ids.clone()
    where = int(made.batch.action_mask[0].nonzero()[0])
    ids[0, where] = (ids[0, where] + 1) % 256
    return replace(made.batch, input_ids=ids)


def swapped(made: Transcripts) -> Batch:
    """Two pictures of the same size change places."""
    first, second = made.batch.images[TURNS - 2 : TURNS]
    assert first.grid == second.grid and first.sha256 != second.sha256
    return with_image(with_image(made.batch, TURNS - 2, second), TURNS - 1, first)


def misaligned(made: Transcripts) -> Batch:
    """Log-probabilities stand one token too late."""
    return replace(made.batch, sampler_logprobs=made.batch.sampler_logprobs.roll(1, dims=1))


def with_image(batch: Batch, index: int, image: ProcessedImage) -> Batch:
    return replace(batch, images=(*batch.images[:index], image, *batch.images[index + 1 :]))


FAULTS = [shifted, grid_turned, another_pixel, another_token, another_sampled_token, swapped, misaligned]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_exceeds_the_bound(
    family: str, transcripts_of: Callable[..., Transcripts], fault: Callable[[Transcripts], Batch]
) -> None:
    made = transcripts_of(family)
    assert exceeds(gaps(made.actor, fault(made)))


@pytest.mark.parametrize("change", ["temperature", "banned ids"])
def test_another_distribution_exceeds_the_bound(transcripts_of: Callable[..., Transcripts], change: str) -> None:
    made = transcripts_of("qwen2_5_vl")
    other = replace(made.actor, temperature=0.99) if change == "temperature" else replace(made.actor, banned_ids=())
    assert exceeds(gaps(other, made.batch))


def test_a_cache_that_survives_new_weights_exceeds_the_bound_and_load_weights_forgets_it(
    vlm: VLM, renderer: Renderer, picture: Picture
) -> None:
    original = {name: tensor.clone() for name, tensor in vlm.model.state_dict().items()}
    row = Row((renderer.prompt("How many circles?", [picture(60, 80)]),))

    def second_turn(forget: bool) -> np.ndarray:
        """The second turn of an episode between whose turns the weights change a little, as the trainer sees it."""
        vlm.model.load_state_dict(original)
        engine = TransformersEngine(vlm.model, vlm.processor.image_token_id, vlm.processor.merge)

        def say(row: Row, turn: int) -> Segment:
            episode = Request(turn, 0, row.collapsed, tuple(renderer.pictures(row)), sampling(renderer, turn))
            engine.submit(episode)
            (done,) = [completion for _ in range(12) for completion in engine.poll(0)]
            return Segment("action", done.token_ids, turn, (), done.logprobs)

        first = row.append(say(row, 0)).append(renderer.observation("Again?", [], 1, True))
        with torch.no_grad():
            for weight in vlm.model.parameters():
                weight += 1e-3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
        if forget:
            engine.load_weights(vlm.model.state_dict(keep_vars=True).items(), 1)
        both = first.append(say(first, 1))
        batch = make_batch([both], [0], [1.0], renderer.pixels, vlm.processor.merge)
        only_second = batch.action_mask.clone()
        only_second[:, : len(first)] = False
        return gaps(Actor(vlm.model, 1.0, vlm.processor.banned_ids), replace(batch, action_mask=only_second))

    try:
        assert not exceeds(second_turn(forget=True))
        assert exceeds(second_turn(forget=False))
    finally:
        vlm.model.load_state_dict(original)


def sampling(renderer: Renderer, seed: int) -> SamplingParams:
    return SamplingParams(1.0, 10, seed, (), renderer.processor.banned_ids)


def test_log_probabilities_and_entropies_are_those_of_the_models_own_logits(
    vlm: VLM, renderer: Renderer, picture: Picture
) -> None:
    row = Row((renderer.prompt("How many?", [picture(60, 80)]),)).append(renderer.demonstration("three circles", 0))
    batch = make_batch([row], [0], [1.0], renderer.pixels, vlm.processor.merge)
    logprobs, entropy = Actor(vlm.model, 0.7, vlm.processor.banned_ids).logprobs(batch)
    (image,) = renderer.pictures(row)
    with torch.no_grad():
        logits = vlm.model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask.long(),
            pixel_values=image.pixels,
            image_grid_thw=torch.tensor([image.grid]),
            mm_token_type_ids=(batch.input_ids == vlm.processor.image_token_id).int(),
        ).logits[0]
    logits[:, list(vlm.processor.banned_ids)] = -torch.inf
    for position in range(len(row)):
        p = (logits[position - 1].double() / 0.7).softmax(-1)
        kept = p[p > 0]
        expected = (float(p[row.token_ids[position]].log()), float(-(kept * kept.log()).sum()))
        got = (float(logprobs[0, position].detach()), float(entropy[0, position]))
        assert got == pytest.approx(expected if row.action_mask[position] else (0.0, 0.0), abs=2e-5)


def test_only_actions_carry_a_gradient_into_the_loss(one_vlm: VLM, one_renderer: Renderer) -> None:
    row = Row((one_renderer.prompt("How many?", []),)).append(one_renderer.demonstration("three", 0))
    row = row.append(one_renderer.observation("Sure?", [], 1, True)).append(one_renderer.demonstration("yes", 1))
    batch = make_batch([row], [0], [1.0], one_renderer.pixels, one_vlm.processor.merge)
    logprobs, entropy = Actor(one_vlm.model, 1.0, one_vlm.processor.banned_ids).logprobs(batch)
    assert not entropy.requires_grad
    assert (logprobs != 0).tolist() == batch.action_mask.tolist()
