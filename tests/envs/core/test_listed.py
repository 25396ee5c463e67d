"""Environments over a published list, on a toy list of words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from envs.core.env import Prompt, Response
from envs.core.errors import ArgumentError, DatasetError
from envs.core.listed import Listed
from envs.core.spaces import Images

WORDS = {"validation": ("ant", "bee"), "test": ("cat", "dog", "eel", "fox")}


class Words(Listed[str]):
    splits = ("validation", "test")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(images=Images(1, 8), **kwargs)
        self.loaded: list[str] = []

    def load(self, split: str) -> Sequence[str]:
        self.loaded.append(split)
        return () if self.data == "empty" else WORDS[split]

    def observe(self, world: str) -> Prompt:
        return Prompt(world, (np.zeros((2, 2, 3), dtype=np.uint8),))

    def respond(self, world: str, text: str) -> Response:
        return Response(True, float(text == world), {}, {"accuracy": float(text == world)})


def test_task_i_is_item_i_of_the_published_order() -> None:
    env = Words()
    shown = [env.reset(seed=9, options={"task": i})[0]["text"] for i in range(env.num_tasks())]
    assert tuple(shown) == WORDS["test"]


def test_a_seed_names_an_item_and_all_items_come() -> None:
    env = Words()
    shown = [env.reset(seed=seed)[0]["text"] for seed in range(64)]
    assert shown == [env.reset(seed=seed)[0]["text"] for seed in range(64)]
    assert set(shown) == set(WORDS["test"])


def test_another_split_has_other_items_and_its_own_length() -> None:
    env = Words(split="validation")
    assert (env.num_tasks(), env.num_tasks("test")) == (2, 4)
    assert env.reset(seed=0)[0]["text"] in WORDS["validation"]


def test_a_split_is_loaded_once_and_only_when_needed() -> None:
    env = Words()
    assert env.loaded == []
    for seed in range(3):
        env.reset(seed=seed)
    env.num_tasks()
    assert env.loaded == ["test"]


def test_a_number_beyond_the_list_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"from 0 to 3; got 4"):
        Words().reset(options={"task": 4})


def test_an_empty_split_is_refused_by_its_name() -> None:
    with pytest.raises(DatasetError, match="the split 'test' of empty holds no item"):
        Words(data="empty").reset(seed=0)


@pytest.mark.parametrize("data", ["", "  ", 3])
def test_data_must_be_a_name_or_a_path(data: Any) -> None:
    with pytest.raises(ArgumentError, match="data must be a folder, a file or a hub name"):
        Words(data=data)


def test_the_world_is_the_hash_of_the_item() -> None:
    env = Words()
    keys = [env.reset(options={"task": i})[1]["world"] for i in (0, 1, 0)]
    assert keys[0] == keys[2] != keys[1]
