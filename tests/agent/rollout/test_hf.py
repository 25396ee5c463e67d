"""The transformers engine against transformers' own generation, and what its caches may and may not do."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agent.model.load import VLM, load_vlm
from agent.rollout.engine import Completion
from agent.rollout.hf import TransformersEngine, expand
from agent.rollout.render import Renderer
from agent.types import Row, Segment
from tests.agent.rollout.asking import finish, prompt, request_of, same

Picture = Callable[..., np.ndarray]


def engine_of(vlm: VLM) -> TransformersEngine:
    return TransformersEngine(vlm.model, vlm.processor.image_token_id, vlm.processor.merge)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_greedy_tokens_are_those_of_transformers_generate(
    vlm: VLM, renderer: Renderer, picture: Picture, count: int
) -> None:
    images = [picture(40 + 50 * k, 90, k) for k in range(count)]
    row = prompt(renderer, "How many circles?", *images)
    ids = torch.tensor([row.token_ids])
    pictures = renderer.pictures(row)
    seen = {}
    if pictures:
        seen = {
            "pixel_values": torch.cat([p.pixels for p in pictures]),
            "image_grid_thw": torch.tensor([p.grid for p in pictures]),
            "mm_token_type_ids": (ids == vlm.processor.image_token_id).int(),
        }
    theirs = vlm.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=16,
        suppress_tokens=list(vlm.processor.banned_ids),
        eos_token_id=list(vlm.processor.stop_ids),
        **seen,
    )[0, ids.shape[1] :]
    (ours,) = finish(engine_of(vlm), request_of(renderer, row, temperature=0.0, max_tokens=16))
    assert list(ours.token_ids) == theirs.tolist()
    assert len(set(ours.token_ids)) > 2  # a model that says one thing over and over would agree with anything


def test_equal_prompts_are_prefilled_once(vlm: VLM, renderer: Renderer, picture: Picture) -> None:
    row = prompt(renderer, "How many?", picture(60, 80))
    engine = engine_of(vlm)
    siblings = finish(engine, *[request_of(renderer, row, id, seed=id) for id in range(4)])
    assert engine.prefilled_tokens == len(row)
    for id, sibling in enumerate(siblings):
        same([sibling], finish(engine_of(vlm), request_of(renderer, row, id, seed=id)))


def test_prompts_that_differ_in_a_pixel_are_prefilled_apart(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture
) -> None:
    spoiled = picture(60, 80).copy()
    spoiled[5, 5] = 255 - spoiled[5, 5]
    rows = [prompt(one_renderer, "How many?", image) for image in (picture(60, 80), spoiled)]
    assert rows[0].collapsed == rows[1].collapsed
    engine = engine_of(one_vlm)
    finish(engine, *[request_of(one_renderer, row, id) for id, row in enumerate(rows)])
    assert engine.prefilled_tokens == sum(map(len, rows))


def continued(renderer: Renderer, row: Row, done: Completion, text: str, *images: np.ndarray) -> Row:
    row = row.append(Segment("action", done.token_ids, 0))
    return row.append(renderer.observation(text, images, 1, done.stop_reason == "stop"))


def test_the_next_turn_computes_only_what_is_new_and_says_the_same(
    vlm: VLM, renderer: Renderer, picture: Picture
) -> None:
    # Rows of different lengths, continued together: both are padded.
    rows = [prompt(renderer, "How many?", picture(60, 80)), prompt(renderer, "Count the red circles on the left.")]
    engine = engine_of(vlm)
    done = finish(engine, *[request_of(renderer, row, id, seed=3 + id) for id, row in enumerate(rows)])
    longer = [
        continued(renderer, rows[0], done[0], "Look again."),
        continued(renderer, rows[1], done[1], "Now this.", picture(90, 60, 5), picture(30, 30, 6)),
    ]
    before = engine.prefilled_tokens
    requests = [request_of(renderer, row, id, seed=7 + id) for id, row in enumerate(longer)]
    cached = finish(engine, *requests)
    # The last token of a turn was drawn but never run.
    assert engine.prefilled_tokens - before == sum(len(row.segments[-1].token_ids) + 1 for row in longer)
    same(cached, finish(engine_of(vlm), *requests))


@pytest.mark.parametrize("change", ["restart", "history", "picture", "released", "weights"])
def test_what_the_cache_does_not_hold_is_computed_again(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture, change: str
) -> None:
    row = prompt(one_renderer, "How many?", picture(60, 80))
    engine = engine_of(one_vlm)
    (done,) = finish(engine, request_of(one_renderer, row))
    other = continued(one_renderer, row, done, "Look again.")
    if change == "restart":
        other = prompt(one_renderer, "Now another question.", picture(60, 80))
    elif change == "history":
        action = replace(other.segments[1], token_ids=(done.token_ids[0] ^ 1, *done.token_ids[1:]))
        other = Row((other.segments[0], action, other.segments[2]))
    elif change == "picture":
        other = Row((one_renderer.prompt("How many?", [picture(60, 80, 9)]), *other.segments[1:]))
    elif change == "released":
        engine.release(0)
    else:
        engine.load_weights(one_vlm.model.state_dict(keep_vars=True).items(), 1)
    before = engine.prefilled_tokens
    request = request_of(one_renderer, other, seed=5)
    (told,) = finish(engine, request)
    assert engine.prefilled_tokens - before == len(other)
    same([told], finish(engine_of(one_vlm), request))


def test_a_prompt_asked_again_after_a_turn_of_one_token_is_answered(one_vlm: VLM, one_renderer: Renderer) -> None:
    # An environment that restarts with the very prompt that it showed: the cache then holds the whole request.
    row = prompt(one_renderer, "How many?")
    engine = engine_of(one_vlm)
    request = request_of(one_renderer, row, max_tokens=1)
    same(finish(engine, request), finish(engine, request))


def test_requests_that_join_later_are_answered_as_if_alone(vlm: VLM, renderer: Renderer, picture: Picture) -> None:
    requests = [
        request_of(renderer, prompt(renderer, "How many?", picture(60, 80)), 0, seed=1, max_tokens=14),
        request_of(renderer, prompt(renderer, "Count the red circles, please, all of them."), 1, seed=2),
        request_of(renderer, prompt(renderer, "How many?", picture(60, 80)), 2, seed=3, temperature=0.6, max_tokens=3),
        request_of(renderer, prompt(renderer, "Again?", picture(30, 90, 4), picture(90, 30, 5)), 3, temperature=0.0),
    ]
    alone = [finish(engine_of(vlm), request)[0] for request in requests]
    engine = engine_of(vlm)
    done: dict[int, Completion] = {}
    waiting = list(requests)
    for step in range(60):
        if step % 3 == 0 and waiting:
            engine.submit(waiting.pop(0))
            if step == 3:
                engine.submit(waiting.pop(0))
        done |= {completion.id: completion for completion in engine.poll(0)}
    same([done[id] for id in range(4)], alone)


def test_the_seed_decides_the_tokens(one_vlm: VLM, one_renderer: Renderer) -> None:
    row = prompt(one_renderer, "How many?")
    said = [finish(engine_of(one_vlm), request_of(one_renderer, row, seed=seed))[0].token_ids for seed in (1, 1, 2, 3)]
    assert said[0] == said[1]
    assert len(set(said)) == 3


def test_a_longer_limit_only_goes_on(one_vlm: VLM, one_renderer: Renderer) -> None:
    row = prompt(one_renderer, "How many?")
    short, long = (
        finish(engine_of(one_vlm), request_of(one_renderer, row, max_tokens=n, stop_ids=()))[0] for n in (4, 9)
    )
    assert long.token_ids[:4] == short.token_ids
    assert (len(short.token_ids), short.stop_reason) == (4, "length")


def test_a_turn_ends_with_its_end_token_and_keeps_it(one_vlm: VLM, one_renderer: Renderer) -> None:
    row = prompt(one_renderer, "How many?")
    free = finish(engine_of(one_vlm), request_of(one_renderer, row, stop_ids=()))[0].token_ids
    stopped = finish(engine_of(one_vlm), request_of(one_renderer, row, stop_ids=(free[3],)))[0]
    end = free.index(free[3]) + 1
    assert (stopped.token_ids, stopped.stop_reason) == (free[:end], "stop")


def test_nothing_but_what_is_allowed_is_ever_drawn(one_vlm: VLM, one_renderer: Renderer) -> None:
    row = prompt(one_renderer, "How many?")
    allowed = {40, 41, 200}
    banned = tuple(set(range(one_vlm.processor.vocabulary)) - allowed)
    requests = [request_of(one_renderer, row, id, seed=id, banned_ids=banned, max_tokens=12) for id in range(8)]
    drawn = {token for done in finish(engine_of(one_vlm), *requests) for token in done.token_ids}
    assert drawn == allowed


def test_requests_with_different_sampling_share_a_batch(one_vlm: VLM, one_renderer: Renderer) -> None:
    row = prompt(one_renderer, "How many?")
    only = tuple(set(range(one_vlm.processor.vocabulary)) - {77})
    hot, cold, single = finish(
        engine_of(one_vlm),
        request_of(one_renderer, row, 0, temperature=3.0, max_tokens=1, seed=9),
        request_of(one_renderer, row, 1, temperature=0.2, max_tokens=1, seed=9),
        request_of(one_renderer, row, 2, banned_ids=only, max_tokens=1),
    )
    assert (single.token_ids, single.logprobs) == ((77,), (0.0,))
    for done, temperature in [(hot, 3.0), (cold, 0.2)]:
        logits = vlm_logits(one_vlm, row)
        logits[list(one_vlm.processor.banned_ids)] = -torch.inf
        expected = (logits.double() / temperature).log_softmax(-1)[done.token_ids[0]]
        assert done.logprobs == pytest.approx((float(expected),), abs=1e-5)


def vlm_logits(vlm: VLM, row: Row) -> torch.Tensor:
    with torch.no_grad():
        return vlm.model(input_ids=torch.tensor([row.token_ids])).logits[0, -1]


def test_greedy_decoding_tells_the_untempered_log_probability(one_vlm: VLM, one_renderer: Renderer) -> None:
    row = prompt(one_renderer, "How many?")
    (done,) = finish(engine_of(one_vlm), request_of(one_renderer, row, temperature=0.0, max_tokens=1))
    logits = vlm_logits(one_vlm, row)
    logits[list(one_vlm.processor.banned_ids)] = -torch.inf
    assert done.token_ids == (int(logits.argmax()),)
    assert done.logprobs == pytest.approx((float(logits.double().log_softmax(-1).max()),), abs=1e-5)


# Aborting, sleeping, weights.


def test_an_aborted_request_is_not_returned_and_others_go_on(one_vlm: VLM, one_renderer: Renderer) -> None:
    row = prompt(one_renderer, "How many?")
    requests = [request_of(one_renderer, row, id, seed=id, stop_ids=()) for id in range(3)]
    engine = engine_of(one_vlm)
    for request in requests:
        engine.submit(request)
    engine.abort(2)  # still waiting
    engine.poll(0)
    engine.abort(0)  # generating
    engine.abort(99)
    done = [completion for _ in range(30) for completion in engine.poll(0)]
    assert [completion.id for completion in done] == [1]
    same(done, finish(engine_of(one_vlm), requests[1]))
    engine.sleep()  # nothing generates any more


def test_polling_while_asleep_raises(one_vlm: VLM) -> None:
    engine = engine_of(one_vlm)
    engine.sleep()
    with pytest.raises(RuntimeError, match=r"asleep: call wake\(\)"):
        engine.poll(0)
    engine.wake()
    assert engine.poll(0) == []


def test_sleep_drops_every_cache(one_vlm: VLM, one_renderer: Renderer) -> None:
    row = prompt(one_renderer, "How many?")
    engine = engine_of(one_vlm)
    (done,) = finish(engine, request_of(one_renderer, row))
    engine.sleep()
    engine.wake()
    before = engine.prefilled_tokens
    longer = continued(one_renderer, row, done, "Again?")
    finish(engine, request_of(one_renderer, longer))
    assert engine.prefilled_tokens - before == len(longer)


def test_neither_sleep_nor_weights_come_in_the_middle_of_a_turn(one_vlm: VLM, one_renderer: Renderer) -> None:
    engine = engine_of(one_vlm)
    engine.submit(request_of(one_renderer, prompt(one_renderer, "How many?")))
    for call in (engine.sleep, lambda: engine.load_weights([], 1)):
        with pytest.raises(RuntimeError, match="generating"):
            call()


def test_completions_say_how_many_updates_the_weights_had(one_vlm: VLM, one_renderer: Renderer) -> None:
    engine = engine_of(one_vlm)
    row = prompt(one_renderer, "How many?")
    assert finish(engine, request_of(one_renderer, row))[0].weight_version == 0
    engine.load_weights(one_vlm.model.state_dict(keep_vars=True).items(), 7)
    assert finish(engine, request_of(one_renderer, row))[0].weight_version == 7


@pytest.mark.parametrize("change", ["missing", "unknown", "shape"])
def test_weights_that_are_not_the_models_are_refused(one_vlm: VLM, change: str) -> None:
    weights = {name: tensor.clone() for name, tensor in one_vlm.model.state_dict().items()}
    name = "model.language_model.norm.weight"
    tensor = weights.pop(name)
    if change == "unknown":
        weights |= {"model.norm.weight": tensor}
    elif change == "shape":
        weights |= {name: tensor[:1]}  # would be spread over the whole vector
    with pytest.raises((KeyError, ValueError), match=r"norm\.weight"):
        engine_of(one_vlm).load_weights(weights.items(), 1)


def test_new_weights_are_copied_into_a_model_of_ones_own(
    family: str, load_family: Callable[[str], VLM], write_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    trained = load_vlm(write_checkpoint(tmp_path, family, seed=1))
    own = load_vlm(load_family(family).processor.folder)
    engine = engine_of(own)
    renderer = Renderer(own.processor)
    request = request_of(renderer, prompt(renderer, "How many?"))
    before = finish(engine, request)
    engine.load_weights(trained.model.state_dict().items(), 1)
    assert finish(engine, request)[0].token_ids != before[0].token_ids
    same(finish(engine, request), finish(engine_of(trained), request))


def test_a_request_whose_images_are_not_as_many_as_its_placeholders_is_refused(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture
) -> None:
    request = request_of(one_renderer, prompt(one_renderer, "How many?", picture(60, 80)))
    with pytest.raises(ValueError, match="1 image placeholders for 0 images"):
        engine_of(one_vlm).submit(replace(request, images=()))


def test_a_model_left_in_training_mode_generates_as_in_evaluation(one_vlm: VLM, one_renderer: Renderer) -> None:
    engine = engine_of(one_vlm)
    one_vlm.model.train()
    finish(engine, request_of(one_renderer, prompt(one_renderer, "How many?")))
    assert not one_vlm.model.training


def test_expanding_repeats_each_placeholder_and_says_where(one_renderer: Renderer, picture: Picture) -> None:
    first, second = (one_renderer.processor.process(picture(h, 60)) for h in (30, 90))
    ids, spans = expand([1, 9, 2, 3, 9], [first, second], 9)
    assert ids == [1, *[9] * first.tokens, 2, 3, *[9] * second.tokens]
    assert [(s.start, s.length, s.sha256) for s in spans] == [
        (1, first.tokens, first.sha256),
        (3 + first.tokens, second.tokens, second.sha256),
    ]
