"""The two spaces in Gymnasium's vector environments."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector.utils import create_shared_memory, read_from_shared_memory, write_to_shared_memory
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.core.errors import EnvironmentAuthorError
from envs.core.spaces import Images, UnicodeText


def same(a: Any, b: Any) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=9), min_size=3, max_size=3))
def test_shared_memory_returns_the_texts_written(texts: list[str]) -> None:
    space = UnicodeText(9)
    memory = create_shared_memory(space, 3)
    view = read_from_shared_memory(space, memory, 3)
    for index, text in enumerate(texts):
        write_to_shared_memory(space, index, text, memory)
    assert list(view) == texts


def test_shared_memory_returns_the_pictures_written_last() -> None:
    space = Images(3, 6, max_pixels=49)
    space.seed(3)
    memory = create_shared_memory(space, 2)
    view = read_from_shared_memory(space, memory, 2)
    for _ in range(20):
        values = [space.sample(), space.sample()]
        for index, value in enumerate(values):
            write_to_shared_memory(space, index, value, memory)
        assert all(same(a, b) for a, b in zip(values, view, strict=True))


def test_shared_memory_refuses_what_would_overwrite_a_neighbour() -> None:
    space = UnicodeText(3)
    with pytest.raises(EnvironmentAuthorError, match="outside its space"):
        write_to_shared_memory(space, 0, "abcd", create_shared_memory(space, 2))


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vector_environments_show_what_single_ones_show(mode: str) -> None:
    kwargs = {"layout": "grid", "cells": 2, "cell_px": 14, "objects": (1, 4), "max_turns": 2}
    single = [gymnasium.make("envs:RLLaVA/Counting-v0", **kwargs) for _ in range(2)]
    vector = gymnasium.make_vec("envs:RLLaVA/Counting-v0", num_envs=2, vectorization_mode=mode, **kwargs)
    try:
        kept = []
        for seed in (0, 10):
            expected = [env.reset(seed=seed + k)[0] for k, env in enumerate(single)]
            observed, _ = vector.reset(seed=seed)
            kept.append((expected, observed))
            actions = ("no tags", "<answer></answer>")
            expected = [env.step(action)[0] for env, action in zip(single, actions, strict=True)]
            observed, rewards, terminated, _, _ = vector.step(actions)
            kept.append((expected, observed))
            assert rewards.tolist() == [0.0, 0.0]
            assert not terminated.any()
        assert len({expected[0]["text"] for expected, _ in kept}) > 2
        for expected, observed in kept:  # after all steps: what was returned before must not have changed since
            assert tuple(e["text"] for e in expected) == observed["text"]
            assert all(same(e["images"], o) for e, o in zip(expected, observed["images"], strict=True))
            assert vector.observation_space.contains(observed)
    finally:
        vector.close()
