"""Rotations of several steps at once are those of each step by itself."""

from typing import Any

import pytest
import torch
from torch import Tensor

from agent.model.forward import has_mrope
from agent.model.load import VLM
from agent.model.rotations import TOKENS, Rotations, most_steps

LIKE = torch.zeros(3, 1, 8)
POSITIONS = torch.tensor([4, 40, 11])


class Asked:
    """A rotary embedding that writes down what it was asked for; its angles are the positions."""

    def __init__(self, rope_type: str = "default") -> None:
        self.rope_type = rope_type
        self.shapes: list[torch.Size] = []

    def __call__(self, like: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        self.shapes.append(positions.shape)
        turned = (positions[0] if positions.ndim == 3 else positions)[..., None].to(like.dtype)
        return turned, -turned


def walked(rotations: Rotations, rotary: Any, steps: int, start: int = 0, axes: int = 3) -> list[tuple[Tensor, ...]]:
    return [rotations.next(rotary, LIKE, POSITIONS + start + step, axes) for step in range(steps)]


def test_every_step_is_given_its_own_positions() -> None:
    for step, (cosines, sines) in enumerate(walked(Rotations(), Asked(), 500)):
        assert cosines.shape == (3, 1, 1)
        assert torch.equal(cosines[:, 0, 0], (POSITIONS + step).float()) and torch.equal(sines, -cosines)


def test_a_families_rotations_are_the_same_bit_for_bit(vlm: VLM) -> None:
    rotary, axes = vlm.model.base_model.language_model.rotary_emb, 3 if has_mrope(vlm.model) else 0
    for step, found in enumerate(walked(Rotations(), rotary, 40, axes=axes)):
        ids = (POSITIONS + step)[:, None]
        for each, expected in zip(found, rotary(LIKE, ids.expand(3, -1, -1) if axes else ids), strict=True):
            assert torch.equal(each, expected)


def test_steps_at_once_double_up_to_a_bound() -> None:
    rotary = Asked()
    walked(Rotations(), rotary, 127 + 128 + 170 + 1)
    assert [shape[-1] for shape in rotary.shapes] == [1, 2, 4, 8, 16, 32, 64, 128, 170, 170]


def test_what_is_held_is_bounded_over_all_rows() -> None:
    assert [most_steps(rows) for rows in (1, 3, 512, 513, 10_000)] == [TOKENS, 170, 1, 1, 1]


def test_after_rows_have_joined_or_left_positions_count_again() -> None:
    rotations, rotary = Rotations(), Asked()
    walked(rotations, rotary, 4)
    rotations.forget()
    found = walked(rotations, rotary, 2, start=100)
    assert [int(cosines[1]) for cosines, _ in found] == [140, 141]
    assert [shape[-1] for shape in rotary.shapes] == [1, 2, 4, 1, 2]


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_rotations_that_depend_on_the_farthest_position_are_asked_for_one_by_one(kind: str) -> None:
    rotary = Asked(kind)
    walked(Rotations(), rotary, 5)
    assert rotary.shapes == [(3, 3, 1)] * 5


def test_positions_of_one_axis_have_no_dimension_for_it() -> None:
    rotary = Asked()
    walked(Rotations(), rotary, 1, axes=0)
    assert rotary.shapes == [(3, 1)]
