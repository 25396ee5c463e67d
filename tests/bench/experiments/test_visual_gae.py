"""The user's estimator: against numbers worked out by hand, and against the package's own where they must agree."""

import torch

from agent.objective.advantages_gae import gae
from agent.objective.plugin import check_options, resolve_estimator
from bench.experiments.visual_gae import visual_gae

# Three action tokens; the second begins a turn whose observation shows two pictures, the third one in words alone.
REWARDS = torch.tensor([[0.0, 0.5, 1.0]])
VALUES = torch.tensor([[0.2, 0.4, 0.6]])
IMAGES = torch.tensor([[1, 2, 0]])
MASK, VALID = torch.ones(1, 3, dtype=torch.bool), torch.tensor([True])
OPTIONS = {
    "discount": 0.5,
    "gae_lambda": 0.5,
    "picture_discount": 0.25,
    "picture_lambda": 0.8,
    "whiten": False,
}


def test_a_transition_across_pictures_has_its_own_discount() -> None:
    advantages, returns, valued = visual_gae(REWARDS, VALUES, IMAGES, MASK, VALID, **OPTIONS)
    # Last: 1 - 0.6 = 0.4. Before it, words: 0.5 + 0.5 x 0.6 - 0.4 + 0.25 x 0.4 = 0.5.
    # First, a picture lies behind it: 0 + 0.25 x 0.4 - 0.2 + 0.25 x 0.8 x 0.5 = 0.
    torch.testing.assert_close(advantages, torch.tensor([[0.0, 0.5, 0.4]]))
    torch.testing.assert_close(returns, torch.tensor([[0.2, 0.9, 1.0]]))
    assert valued.all()


def test_pictures_of_the_prompt_discount_nothing() -> None:
    without = visual_gae(REWARDS, VALUES, torch.tensor([[0, 2, 0]]), MASK, VALID, **OPTIONS)
    torch.testing.assert_close(without, visual_gae(REWARDS, VALUES, IMAGES, MASK, VALID, **OPTIONS))


def test_with_one_discount_for_both_it_is_plain_gae() -> None:
    generator = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(4, 7, generator=generator), torch.randn(4, 7, generator=generator)
    images = torch.randint(0, 3, (4, 7), generator=generator)
    mask = torch.arange(7) < torch.tensor([7, 3, 1, 5])[:, None]
    valid = torch.tensor([True, True, True, False])
    mine = visual_gae(
        rewards, values, images, mask, valid, discount=0.9, gae_lambda=0.8, picture_discount=0.9, picture_lambda=0.8
    )
    theirs = gae(rewards, values, mask, valid, torch.zeros(4, dtype=torch.bool), None, discount=0.9, gae_lambda=0.8)
    torch.testing.assert_close(mine, theirs)


def test_what_stands_in_a_broken_trajectory_or_behind_the_end_changes_nothing() -> None:
    mask, valid = torch.tensor([[True, True, False], [True, True, True]]), torch.tensor([True, False])
    numbers = torch.tensor([[0.5, 1.0, 9.0], [9.0, 9.0, 9.0]])
    images = torch.tensor([[1, 1, 1], [1, 1, 1]])
    found = visual_gae(numbers, numbers, images, mask, valid, **OPTIONS)
    other = numbers.masked_fill(~(mask & valid[:, None]), float("inf"))
    torch.testing.assert_close(visual_gae(other, other, images * 7, mask, valid, **OPTIONS), found)


def test_it_is_found_by_the_path_that_a_recipe_gives() -> None:
    estimator = resolve_estimator("bench.experiments.visual_gae:visual_gae")
    assert estimator.needs == {"rewards", "values", "images_before", "mask", "valid"}
    assert check_options(estimator, {"picture_discount": 0.5})["picture_lambda"] == 0.9
