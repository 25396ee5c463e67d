"""Rows that join and leave one running batch are answered as if each were alone, in either store."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import agent.rollout.hf
from agent.model.load import VLM
from agent.rollout.engine import Completion, Request, SamplingParams
from agent.rollout.hf import TransformersEngine
from agent.rollout.hf_copied import CopiedStore
from agent.rollout.hf_shared import SharedStore
from agent.rollout.render import Renderer
from agent.types import Row, Segment

Picture = Callable[..., np.ndarray]
TURNS = 3


STORES = {"shared": SharedStore, "copied": CopiedStore}


def engine_of(vlm: VLM, store: str = "shared") -> TransformersEngine:
    engine = TransformersEngine(vlm.model, vlm.processor.image_token_id, vlm.processor.merge)
    assert isinstance(engine._store, SharedStore) and not engine.sharing
    engine._store = STORES[store](vlm.model)
    return engine


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@dataclass
class Player:
    """An episode played by hand: turn k is `words[k]` words and `pictures[k]` pictures long."""

    id: int
    temperature: float
    limits: list[int]
    words: list[int]
    pictures: list[int]
    row: Row | None = None
    said: list[Completion] = field(default_factory=list)

    def request(self, renderer: Renderer, picture: Picture) -> Request:
        turn = len(self.said)
        text = "How many red circles are there? " * self.words[turn]
        images = [picture(30 + 25 * k, 40 + 30 * turn, self.id % 3) for k in range(self.pictures[turn])]
        if self.row is None:
            self.row = Row((renderer.prompt(text, images),))
        else:
            last = self.said[-1]
            self.row = self.row.append(Segment("action", last.token_ids, turn - 1))
            self.row = self.row.append(renderer.observation(text, images, turn, last.stop_reason == "stop"))
        processor = renderer.processor
        # An end that comes often enough: a third of the vocabulary.
        stops = tuple(range(0, 256, 3)) if self.id % 2 else processor.stop_ids
        sampling = SamplingParams(
            self.temperature, self.limits[turn], 100 * self.id + turn, stops, processor.banned_ids
        )
        return Request(self.id, self.id, self.row.collapsed, tuple(renderer.pictures(self.row)), sampling)


def alone(vlm: VLM, request: Request) -> Completion:
    engine = engine_of(vlm)
    engine.submit(request)
    while not (done := engine.poll(0)):
        pass
    return done[0]


def agrees(ours: Completion, theirs: Completion) -> None:
    assert (ours.token_ids, ours.stop_reason) == (theirs.token_ids, theirs.stop_reason)
    np.testing.assert_allclose(ours.logprobs or (), theirs.logprobs or (), atol=1e-4)


PLAYER = st.builds(
    Player,
    id=st.just(0),
    temperature=st.sampled_from([0.0, 0.7, 1.0]),
    limits=st.lists(st.integers(1, 12), min_size=TURNS, max_size=TURNS),
    words=st.lists(st.integers(0, 5), min_size=TURNS, max_size=TURNS),
    pictures=st.lists(st.integers(0, 2), min_size=TURNS, max_size=TURNS),
)


def test_any_pattern_of_arrivals_gives_what_each_request_gives_alone(
    load_family: Callable[[str], VLM], picture: Picture, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    """Episodes of three turns come, wait for their tools, continue, are aborted and released at any time."""
    monkeypatch.setattr(agent.rollout.hf, "FEW_ROWS", 2)  # so that rows leave also where nobody joins

    @settings(max_examples=12)
    @given(
        st.sampled_from(["qwen2_vl", "qwen2_5_vl", "qwen3_vl"]),
        st.lists(
            st.tuples(PLAYER, st.lists(st.integers(0, 6), min_size=TURNS, max_size=TURNS)), min_size=2, max_size=7
        ),
        st.sets(st.integers(0, 6), max_size=2),
    )
    def check(family: str, coming: list[tuple[Player, list[int]]], dropped: set[int]) -> None:
        vlm = load_family(family)
        renderer, engine = Renderer(vlm.processor), engine_of(vlm, store)
        players = [Player(k, p.temperature, p.limits, p.words, p.pictures) for k, (p, _) in enumerate(coming)]
        joins = {k: waits[0] for k, (_, waits) in enumerate(coming)}  # the poll before which each submits its next turn
        asked: dict[int, Request] = {}
        pairs: list[tuple[Request, Completion]] = []
        for now in range(200):
            for k in [k for k, at in joins.items() if at <= now]:
                del joins[k]
                asked[k] = players[k].request(renderer, picture)
                engine.submit(asked[k])
            for done in engine.poll(0):
                assert done.id not in dropped or now < 5
                pairs.append((asked.pop(done.id), done))
                players[done.id].said.append(done)
                turn = len(players[done.id].said)
                if turn == TURNS:
                    engine.release(done.id)
                else:
                    joins[done.id] = now + 1 + coming[done.id][1][turn]
            if now == 4:
                for k in dropped:
                    engine.abort(k)
                    engine.release(k)
                    joins.pop(k, None)
                    asked.pop(k, None)
        assert not asked and not joins
        assert {p.id for p in players if len(p.said) < TURNS} <= dropped
        for request, done in pairs:
            agrees(done, alone(vlm, request))

    check()


def requests_of(renderer: Renderer, count: int, limit: Callable[[int], int], **sampling: object) -> list[Request]:
    banned = (*renderer.processor.banned_ids, *renderer.processor.stop_ids)
    return [
        Request(
            k,
            k,
            Row((renderer.prompt("How many? " * (1 + k % 3), ()),)).collapsed,
            (),
            SamplingParams(1.0, limit(k), k, (), banned),
        )
        for k in range(count)
    ]


def test_a_step_is_one_forward_pass_whenever_the_rows_joined(one_vlm: VLM, one_renderer: Renderer, store: str) -> None:
    tokens: list[int] = []
    first = one_vlm.model.base_model.language_model.layers[0].mlp.gate_proj
    hook = first.register_forward_pre_hook(lambda module, args: tokens.append(args[0].shape[:-1].numel()))
    engine = engine_of(one_vlm, store)
    for request in requests_of(one_renderer, 5, lambda k: 20):
        engine.submit(request)
        engine.poll(0)
    tokens.clear()
    engine.poll(0)
    hook.remove()
    assert tokens == [5]


def test_rows_that_have_finished_are_not_computed_any_more(one_vlm: VLM, one_renderer: Renderer, store: str) -> None:
    engine = engine_of(one_vlm, store)
    for request in requests_of(one_renderer, 64, lambda k: 3 if k % 2 else 40):
        engine.submit(request)
    sizes = []
    for _ in range(10):
        engine.poll(0)
        assert engine._batch is not None
        sizes.append(len(engine._batch.logits))
    assert (sizes[0], sizes[-1]) == (64, 32)


def test_columns_that_only_finished_rows_needed_are_dropped_when_others_join(
    one_vlm: VLM, one_renderer: Renderer
) -> None:
    long = Row((one_renderer.prompt("How many circles are there? " * 30, ()),))
    first, second, third = requests_of(one_renderer, 3, lambda k: (2, 30, 5)[k])
    first = Request(0, 0, long.collapsed, (), first.sampling)
    engine = engine_of(one_vlm, "copied")
    assert isinstance(engine._store, CopiedStore)
    for request in (first, second):
        engine.submit(request)
    for _ in range(3):
        engine.poll(0)
    assert engine._store.mask.shape[1] > len(long)
    engine.submit(third)
    engine.poll(0)
    # The longest that is left, with what it has drawn.
    assert engine._store.mask.shape[1] == max(len(second.token_ids) + 4, len(third.token_ids) + 1)


def test_columns_in_the_middle_may_be_dropped_too(one_vlm: VLM, one_renderer: Renderer) -> None:
    # Two next turns join together: one with a long past and little new, one with a short past and much new. Once the
    # second has left, nobody needs the columns between the first one's past and its new tokens.
    engine = engine_of(one_vlm, "copied")
    assert isinstance(engine._store, CopiedStore)
    rows = [Row((one_renderer.prompt("How many circles are there? " * words, ()),)) for words in (12, 1)]
    opening = requests_of(one_renderer, 3, lambda k: 2)
    first = [Request(k, k, row.collapsed, (), opening[k].sampling) for k, row in enumerate(rows)]
    for request in first:
        engine.submit(request)
    done = {completion.id: completion for _ in range(2) for completion in engine.poll(0)}
    for k, words in enumerate((1, 12)):
        rows[k] = rows[k].append(Segment("action", done[k].token_ids, 0))
        rows[k] = rows[k].append(one_renderer.observation("Look again. " * words, [], 1, False))
    limits = [request.sampling for request in requests_of(one_renderer, 2, lambda k: (12, 2)[k])]
    staying, leaving = (Request(k, k, row.collapsed, (), limits[k]) for k, row in enumerate(rows))
    told = []
    for now, joining in enumerate([[staying, leaving], [], [], [opening[2]], *[[]] * 12]):
        for request in joining:
            engine.submit(request)
        told += engine.poll(0)
        if now == 3:
            assert int(engine._store.mask.sum(1).max()) == engine._store.mask.shape[1]
    agrees(next(completion for completion in told if completion.id == 0), alone(one_vlm, staying))


def test_the_cache_of_a_finished_turn_outlives_the_row(one_vlm: VLM, one_renderer: Renderer, store: str) -> None:
    waiting, *others = requests_of(one_renderer, 4, lambda k: 2 if k == 0 else 12)
    engine = engine_of(one_vlm, store)
    engine.submit(waiting)
    engine.submit(others[0])
    done = [completion for _ in range(3) for completion in engine.poll(0)]
    for request in others[1:]:
        engine.submit(request)
    engine.poll(0)
    assert engine._batch is not None and waiting not in [row.request for row in engine._batch.rows]
    row = Row((one_renderer.prompt("How many? ", ()), Segment("action", done[0].token_ids, 0)))
    row = row.append(one_renderer.observation("Again?", [], 1, False))
    before = engine.prefilled_tokens
    request = Request(0, 0, row.collapsed, (), others[0].sampling)
    engine.submit(request)
    told = [completion for _ in range(40) for completion in engine.poll(0) if completion.id == 0]
    assert engine.prefilled_tokens - before == len(row.segments[-1].token_ids) + 1
    agrees(told[0], alone(one_vlm, request))


@pytest.mark.parametrize("image", [True, False])
def test_a_sibling_that_joins_later_shares_the_prompt_of_one_that_is_generating(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture, image: bool, store: str
) -> None:
    row = Row((one_renderer.prompt("How many?", [picture(60, 80)] if image else []),))
    images = tuple(one_renderer.pictures(row))
    stop = one_renderer.processor.stop_ids
    siblings = [Request(k, k, row.collapsed, images, SamplingParams(1.0, 12, k, (), stop)) for k in range(3)]
    engine = engine_of(one_vlm, store)
    done = []
    for request in siblings:
        engine.submit(request)
        done += engine.poll(0)
    # A copied cache does not hold the logits after the prompt: its last token is run again.
    assert engine.prefilled_tokens == len(row) + (2 if store == "copied" else 0)
    done += [completion for _ in range(20) for completion in engine.poll(0)]
    for completion in done:
        agrees(completion, alone(one_vlm, siblings[completion.id]))
    assert len(done) == 3


def test_nothing_is_kept_once_every_episode_is_released(one_vlm: VLM, one_renderer: Renderer, store: str) -> None:
    engine = engine_of(one_vlm, store)
    requests = requests_of(one_renderer, 3, lambda k: 2 + k)
    for request in requests:
        engine.submit(request)
    while len(requests) > len(engine._past):
        engine.poll(0)
    assert engine._batch is not None
    for request in requests:
        engine.release(request.episode)
    assert engine._batch is None
    assert engine.held()["key-value cache"] == 0
