"""Siblings that share nothing: every one runs its own prompt and pictures, and is answered as if they shared all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.config import Config, EnvironmentConfig
from agent.config_engine import EngineConfig
from agent.model.load import VLM
from agent.rollout.engines import make_rollout_engine
from agent.rollout.hf import TransformersEngine
from agent.rollout.hf_copied import CopiedStore
from agent.rollout.hf_shared import SharedStore
from agent.rollout.render import Renderer
from agent.types import Segment
from tests.agent.rollout.asking import finish, prompt, request_of, same

Picture = Callable[..., np.ndarray]


def engine_of(vlm: VLM, sharing: str) -> TransformersEngine:
    """As a recipe with this option has it."""
    config = Config(EnvironmentConfig("Test/None-v0"), engine=EngineConfig(sharing=sharing))  # type: ignore[arg-type]
    engine = make_rollout_engine(config, vlm, Path(), "cpu", "float32")
    assert isinstance(engine, TransformersEngine)
    return engine


@pytest.fixture
def patches(one_vlm: VLM, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many patches each call of the vision tower was given."""
    seen: list[int] = []
    base: Any = one_vlm.model.base_model
    plain = base.get_image_features

    def counted(pixels: Any, **options: Any) -> Any:
        seen.append(len(pixels))
        return plain(pixels, **options)

    monkeypatch.setattr(base, "get_image_features", counted)
    return seen


def test_by_option_rows_are_apart_or_share_a_store(one_vlm: VLM) -> None:
    kinds = {"auto": SharedStore, "tree": SharedStore, "prefix": SharedStore, "none": CopiedStore}
    for sharing, kind in kinds.items():
        engine = engine_of(one_vlm, sharing)
        assert isinstance(engine._store, kind)
        assert engine.apart == (sharing == "none")
        assert engine.sharing == ""  # nothing hinders the model


def test_every_sibling_runs_its_prompt_and_draws_what_it_would_have_drawn(
    vlm: VLM, renderer: Renderer, picture: Picture
) -> None:
    rows = [prompt(renderer, "How many? " * (1 + k), *[picture(60, 80)] * k) for k in range(3)]
    asked = [request_of(renderer, row, 4 * k + n, seed=4 * k + n) for k, row in enumerate(rows) for n in range(4)]
    apart, shared = engine_of(vlm, "none"), engine_of(vlm, "auto")
    same(finish(apart, *asked), finish(shared, *asked))
    assert shared.prefilled_tokens == sum(map(len, rows))
    assert apart.prefilled_tokens == 4 * sum(map(len, rows))


def test_every_sibling_encodes_its_picture(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture, patches: list[int]
) -> None:
    row = prompt(one_renderer, "How many?", picture(60, 80))
    asked = [request_of(one_renderer, row, id, seed=id, max_tokens=2) for id in range(3)]
    (one,) = (len(image.pixels) for image in one_renderer.pictures(row))
    for sharing, times in (("auto", 1), ("none", 3)):
        patches.clear()
        finish(engine_of(one_vlm, sharing), *asked)
        assert sum(patches) == times * one


def test_a_sibling_that_joins_late_takes_nothing_from_those_that_run(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture
) -> None:
    row = prompt(one_renderer, "How many?", picture(60, 80))
    first, late = (request_of(one_renderer, row, id, seed=id, stop_ids=()) for id in (0, 1))
    told = {}
    for sharing, times in (("auto", 1), ("none", 2)):
        engine = engine_of(one_vlm, sharing)
        engine.submit(first)
        engine.poll(0)
        told[sharing] = finish(engine, late)
        assert engine.prefilled_tokens == times * len(row)
    same(told["none"], told["auto"])


def test_a_next_turn_still_computes_only_what_is_new(one_vlm: VLM, one_renderer: Renderer, picture: Picture) -> None:
    row = prompt(one_renderer, "How many?", picture(60, 80))
    told = {}
    for sharing in ("auto", "none"):
        engine = engine_of(one_vlm, sharing)
        (done,) = finish(engine, request_of(one_renderer, row, 0))
        longer = row.append(Segment("action", done.token_ids, 0))
        longer = longer.append(one_renderer.observation("Again?", [], 1, done.stop_reason == "stop"))
        before = engine.prefilled_tokens
        told[sharing] = finish(engine, request_of(one_renderer, longer, 0))
        # The last token that was drawn was never run.
        assert engine.prefilled_tokens - before == len(longer) - len(row) - len(done.token_ids) + 1
    same(told["none"], told["auto"])
