"""Prompts kept once: the sampler tells what a plain pass over each whole row gives, and nothing is run twice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch

import agent.model.attention_parts
import agent.rollout.hf_chunk
from agent.model.forward import hidden_states, next_token_logits
from agent.model.load import VLM, load_vlm
from agent.model.positions import mrope_positions
from agent.rollout.distribution import token_logprobs
from agent.rollout.engine import Completion, Request
from agent.rollout.hf import TransformersEngine, expand
from agent.rollout.hf_copied import CopiedStore
from agent.rollout.hf_own import ROOM, Own
from agent.rollout.hf_seats import Seating
from agent.rollout.hf_shared import NO_TOKENS, Kept, SharedStore
from agent.rollout.render import Renderer
from agent.types import Row, Segment
from tests.agent.checkpoints import write_composed
from tests.agent.rollout.asking import prompt, request_of, same

Picture = Callable[..., np.ndarray]
BOUND, FAULT = 2e-5, 1e-3
TURNS, SIBLINGS = 4, 3


@pytest.fixture(scope="session")
def composed(tmp_path_factory: pytest.TempPathFactory) -> VLM:
    loaded = load_vlm(write_composed(tmp_path_factory.mktemp("composed")))
    loaded.model.eval()
    return loaded


@pytest.fixture(params=["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava"])
def vlm(request: pytest.FixtureRequest, load_family: Callable[[str], VLM], composed: VLM) -> VLM:
    return composed if request.param == "llava" else load_family(request.param)


def engine_of(vlm: VLM) -> TransformersEngine:
    engine = TransformersEngine(vlm.model, vlm.processor.image_token_id, vlm.processor.merge)
    assert isinstance(engine._store, SharedStore)
    return engine


@dataclass
class Game:
    """Siblings of several prompts, of which some join late, over many turns with pictures, of any length."""

    renderer: Renderer
    picture: Picture
    said: list[tuple[Request, Completion]] = field(default_factory=list)

    def opening(self, group: int) -> Row:
        images = [self.picture(40 + 30 * k, 60 + 40 * group, k) for k in range(group % 3)]
        return prompt(self.renderer, "How many red circles are there? " * (1 + 4 * group), *images)

    def request(self, id: int, row: Row, turn: int) -> Request:
        limit = 2 + (5 * id + 3 * turn) % 11
        return request_of(
            self.renderer, row, id, seed=100 * id + turn, max_tokens=limit, stop_ids=tuple(range(0, 99, 9))
        )

    def next(self, row: Row, done: Completion, turn: int) -> Row:
        images = [self.picture(30 + 20 * k, 50 + 10 * done.id, turn + k) for k in range((done.id + turn) % 3)]
        row = row.append(Segment("action", done.token_ids, turn - 1))
        text = "Look again, please. " * (1 + (done.id * turn) % 5)
        return row.append(self.renderer.observation(text, images, turn, done.stop_reason == "stop"))

    def play(self, engine: TransformersEngine) -> list[tuple[Request, Completion]]:
        groups = 4
        rows = {id: self.opening(id % groups) for id in range(groups * SIBLINGS)}
        # The last sibling of each group comes when others have begun; next turns wait for tools of differing speed.
        joins = {id: 0 if id < groups * (SIBLINGS - 1) else 2 + id for id in rows}
        turns = dict.fromkeys(rows, 0)
        asked: dict[int, Request] = {}
        for now in range(400):
            for id in [id for id, at in joins.items() if at <= now]:
                del joins[id]
                asked[id] = self.request(id, rows[id], turns[id])
                engine.submit(asked[id])
            for done in engine.poll(0):
                self.said.append((asked.pop(done.id), done))
                turns[done.id] += 1
                if turns[done.id] == TURNS:
                    engine.release(done.id)
                    continue
                rows[done.id] = self.next(rows[done.id], done, turns[done.id])
                joins[done.id] = now + 1 + (done.id * 7 + turns[done.id]) % 4
            if not asked and not joins:
                assert len(self.said) == TURNS * len(rows)
                assert engine.held()["key-value cache"] == 0
                return self.said
        raise AssertionError("the engine does not finish")


@torch.no_grad()
def gap(vlm: VLM, request: Request, done: Completion) -> float:
    """The largest between what the sampler told and a plain pass over the whole row."""
    ids, spans = expand(request.token_ids, request.images, vlm.processor.image_token_id)
    whole = torch.tensor([[*ids, *done.token_ids]])
    positions = torch.from_numpy(mrope_positions(whole.shape[1], spans, vlm.processor.merge))[:, None]
    hidden = hidden_states(vlm.model, whole, torch.ones_like(whole), positions, request.images)
    logits = next_token_logits(vlm.model, hidden[0, len(ids) - 1 : -1])
    told = token_logprobs(logits, request.sampling.temperature, request.sampling.banned_ids)
    plain = told.gather(-1, torch.tensor(done.token_ids)[:, None])[:, 0]
    return float((plain - torch.tensor(done.logprobs)).abs().max())


def largest(vlm: VLM, said: list[tuple[Request, Completion]]) -> float:
    return max(gap(vlm, request, done) for request, done in said)


def test_log_probabilities_are_those_of_a_plain_pass_over_each_whole_row_and_tokens_those_of_copied_caches(
    vlm: VLM, picture: Picture
) -> None:
    game, engine = Game(Renderer(vlm.processor), picture), engine_of(vlm)
    said = game.play(engine)
    assert largest(vlm, said) <= BOUND
    other = engine_of(vlm)
    other._store = CopiedStore(vlm.model)
    copied = Game(Renderer(vlm.processor), picture).play(other)
    by_turn = {(done.id, len(request.token_ids)): done for request, done in copied}
    same([done for _, done in said], [by_turn[done.id, len(request.token_ids)] for request, done in said])
    assert engine.prefilled_tokens < other.prefilled_tokens


def test_the_same_requests_at_the_same_polls_are_answered_the_same_bit_for_bit(one_vlm: VLM, picture: Picture) -> None:
    one, other = (
        [done for _, done in Game(Renderer(one_vlm.processor), picture).play(engine_of(one_vlm))] for _ in range(2)
    )
    assert one == other


@pytest.mark.parametrize("way", ["by definition", "query by query", "row by row"])
def test_every_way_to_compute_it_gives_the_same(
    one_vlm: VLM, picture: Picture, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "row by row":
        monkeypatch.setattr(agent.rollout.hf_chunk, "MASK", 1)
    else:
        monkeypatch.setattr(agent.model.attention_parts, "_fused", None)
    if way == "query by query":
        monkeypatch.setattr(agent.model.attention_parts, "SCORES", 1)
    assert largest(one_vlm, Game(Renderer(one_vlm.processor), picture).play(engine_of(one_vlm))) <= BOUND


# Faults.


@contextmanager
def other_trunk() -> Iterator[None]:
    """Rows look at the trunk of the row before them."""
    arrange = Seating.arrange
    with patch.object(Seating, "arrange", lambda self, rows: arrange(self, [*rows[-1:], *rows[:-1]])):
        yield


@contextmanager
def shifted_position() -> Iterator[None]:
    step = SharedStore.step
    with patch.object(SharedStore, "step", lambda self, ids, positions: step(self, ids, positions + 1)):
        yield


@contextmanager
def lost_at_a_turn() -> Iterator[None]:
    """The last of the tokens that outlive a row is lost."""
    lot = Own.lot
    with patch.object(Own, "lot", lambda self, row, length: lot(self, row, max(0, length - 1))):
        yield


@contextmanager
def lost_at_a_step() -> Iterator[None]:
    """Each token is written over the one before."""
    with patch.object(Own, "grown", lambda self: None):
        yield


@contextmanager
def unseen_padding() -> Iterator[None]:
    """Rows see columns that only longer ones have."""
    place = Own._place

    def even(self: Own) -> None:
        place(self)
        self.at = torch.full_like(self.at, max(self.lengths, default=0))

    with patch.object(Own, "_place", even):
        yield


@contextmanager
def wrong_prompt() -> Iterator[None]:
    """A sibling that joins late is given another prompt's trunk."""

    def any_trunk(self: SharedStore, key: Any) -> Any:
        trunk = next((trunk for other, trunk in self._known.items() if other != key), None)
        return None if trunk is None else (Kept(trunk, NO_TOKENS), 0, trunk.next_position)

    with patch.object(SharedStore, "prompt", any_trunk):
        yield


FAULTS = (other_trunk, shifted_position, lost_at_a_turn, lost_at_a_step, unseen_padding, wrong_prompt)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_far_beyond_the_bound(one_vlm: VLM, picture: Picture, fault: Any) -> None:
    game = Game(Renderer(one_vlm.processor), picture)
    with fault():
        said = game.play(engine_of(one_vlm))
    assert largest(one_vlm, said) > FAULT


# What is kept, and for how long.


def test_a_sibling_computes_nothing_as_long_as_anybody_holds_its_prompt(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture
) -> None:
    row = prompt(one_renderer, "How many?", picture(60, 80))
    engine = engine_of(one_vlm)

    def ask(id: int) -> Completion:
        engine.submit(request_of(one_renderer, row, id, seed=id, max_tokens=3, stop_ids=()))
        done = [completion for _ in range(5) for completion in engine.poll(0)]
        return done[0]

    first = ask(0)
    assert engine.prefilled_tokens == len(row)
    ask(1)  # the first has finished, and waits for its tool
    engine.release(1)
    following = row.append(Segment("action", first.token_ids, 0))
    following = following.append(one_renderer.observation("Again?", [], 1, False))
    engine.submit(request_of(one_renderer, following, 0, max_tokens=9, stop_ids=()))
    engine.poll(0)
    before = engine.prefilled_tokens
    same([ask(2)], [first_of(one_vlm, request_of(one_renderer, row, 2, seed=2, max_tokens=3, stop_ids=()))])
    assert engine.prefilled_tokens == before  # the first is in its second turn
    engine.abort(0)
    for id in (0, 2):
        engine.release(id)
    ask(3)
    assert engine.prefilled_tokens == before + len(row)  # nobody held it any more


def first_of(vlm: VLM, request: Request) -> Completion:
    engine = engine_of(vlm)
    engine.submit(request)
    return next(done for _ in range(50) for done in engine.poll(0))


@pytest.mark.parametrize("way", ["forget", "sleep", "weights"])
def test_a_prompt_that_was_forgotten_is_run_again(one_vlm: VLM, one_renderer: Renderer, way: str) -> None:
    row = prompt(one_renderer, "How many?")
    engine = engine_of(one_vlm)
    engine.submit(request_of(one_renderer, row, max_tokens=1))
    engine.poll(0)
    assert isinstance(engine._store, SharedStore)
    held = engine._store.rows[0]  # as a traceback might
    if way == "forget":
        engine.forget()
    elif way == "sleep":
        engine.sleep()
        engine.wake()
    else:
        engine.load_weights(one_vlm.model.state_dict(keep_vars=True).items(), 1)
    assert engine.held()["key-value cache"] == 0
    engine.submit(request_of(one_renderer, row, 1, max_tokens=1))
    engine.poll(0)
    assert held.length == len(row) and engine.prefilled_tokens == 2 * len(row)


def test_what_is_held_counts_a_prompt_once_whoever_continues_it(one_vlm: VLM, one_renderer: Renderer) -> None:
    row = prompt(one_renderer, "How many red circles are there? " * 40)

    def held(siblings: int, polls: int, limit: int = 40) -> int:
        engine = engine_of(one_vlm)
        for id in range(siblings):
            engine.submit(request_of(one_renderer, row, id, seed=id, max_tokens=limit, stop_ids=()))
        for _ in range(polls):
            engine.poll(0)
        return engine.held()["key-value cache"]

    text = one_vlm.model.config.get_text_config()
    token = 2 * text.num_hidden_layers * text.num_key_value_heads * (text.hidden_size // text.num_attention_heads) * 4
    prompt_bytes, logits = len(row) * token, text.vocab_size * 4
    own = held(2, 1) - held(1, 1)
    assert held(1, 1) == prompt_bytes + logits + own
    assert held(8, 1) == prompt_bytes + logits + 8 * own
    assert own == ROOM * token
    assert held(1, 40) <= prompt_bytes + logits + 60 * token


def test_nothing_that_a_row_does_not_need_stays(one_vlm: VLM, one_renderer: Renderer) -> None:
    engine = engine_of(one_vlm)
    rows = [prompt(one_renderer, f"{k} " + "How many? " * (1 + 9 * k)) for k in range(6)]
    for id, row in enumerate(rows):
        engine.submit(request_of(one_renderer, row, id, max_tokens=2 if id else 60, stop_ids=()))
    for _ in range(4):
        engine.poll(0)
    for id in range(1, 6):
        engine.release(id)
    engine.submit(request_of(one_renderer, rows[0], 9, max_tokens=9, stop_ids=()))
    engine.poll(0)
    assert isinstance(engine._store, SharedStore)
    assert len(engine._store._known) == 1
    assert sum(stack.columns for stack in engine._store.seating.stacks) == len(rows[0])


def test_a_model_that_cannot_share_says_why_and_generates_the_same(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharing = engine_of(one_vlm)
    request = request_of(one_renderer, prompt(one_renderer, "How many?", picture(60, 80)))
    told = first_of(one_vlm, request)
    assert sharing.sharing == ""
    monkeypatch.setattr(one_vlm.model.config.get_text_config(), "_attn_implementation", "eager")
    engine = TransformersEngine(one_vlm.model, one_vlm.processor.image_token_id, one_vlm.processor.merge)
    assert "eager" in engine.sharing and isinstance(engine._store, CopiedStore)
    engine.submit(request)
    same([next(done for _ in range(50) for done in engine.poll(0))], [told])


def test_of_what_an_environment_answered_only_the_last_tokens_go_through_the_last_layer(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture
) -> None:
    engine, layers = engine_of(one_vlm), one_vlm.model.base_model.language_model.layers
    row = prompt(one_renderer, "How many?", picture(60, 80))
    asked = [request_of(one_renderer, row, id, seed=id, max_tokens=3, stop_ids=()) for id in range(4)]
    for request in asked:
        engine.submit(request)
    done = {completion.id: completion for _ in range(5) for completion in engine.poll(0)}
    for id in range(4):
        following = row.append(Segment("action", done[id].token_ids, 0))
        text = "Look again, please. " * (3 + id)
        following = following.append(one_renderer.observation(text, [picture(30, 50, id)], 1, False))
        engine.submit(request_of(one_renderer, following, id, max_tokens=9, stop_ids=()))
    counts: dict[int, list[int]] = {0: [], len(layers) - 1: []}
    hooks = [
        layers[place].mlp.register_forward_pre_hook(lambda _, given, found=found: found.append(given[0].shape[1]))
        for place, found in counts.items()
    ]
    before = engine.prefilled_tokens
    engine.poll(0)
    for hook in hooks:
        hook.remove()
    new = engine.prefilled_tokens - before
    assert [found[0] for found in counts.values()] == [new, 4] and new > 100
