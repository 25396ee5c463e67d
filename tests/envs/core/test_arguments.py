"""Checks of keyword arguments."""

from typing import Any

import pytest

from envs.core import arguments
from envs.core.errors import ArgumentError


@pytest.mark.parametrize("value", [0, 10, True, 2.0, "3", None, float("nan")])
def test_what_is_no_whole_number_in_range_is_refused(value: Any) -> None:
    with pytest.raises(ArgumentError, match="cells must be a whole number from 1 to 9; got"):
        arguments.whole("cells", value, 1, 9)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "0.5", True, None])
def test_what_is_no_number_in_range_is_refused(value: Any) -> None:
    with pytest.raises(ArgumentError, match="share must be a number from 0 to 1; got"):
        arguments.real("share", value, 0, 1)


@pytest.mark.parametrize("value", ["green", 1, None, []])
def test_an_unknown_name_is_refused_with_those_allowed(value: Any) -> None:
    with pytest.raises(ArgumentError, match="colour must be one of 'red', 'blue'; got"):
        arguments.one_of("colour", value, ("red", "blue"))


@pytest.mark.parametrize("value", [(1,), (1, 2, 3), "12", 5, (0, 5), (1, 10), None])
def test_what_is_no_pair_in_range_is_refused(value: Any) -> None:
    with pytest.raises(ArgumentError, match="objects"):
        arguments.whole_pair("objects", value, 1, 9)


def test_a_pair_out_of_order_is_refused_only_where_order_counts() -> None:
    assert arguments.whole_pair("size", [4, 2], 1, 9) == (4, 2)
    with pytest.raises(ArgumentError, match="lowest exceeds"):
        arguments.whole_pair("objects", [4, 2], 1, 9, ordered=True)


def test_a_count_means_the_first_names() -> None:
    assert arguments.names("shapes", 2, ("a", "b", "c")) == ("a", "b")
    assert arguments.names("shapes", ["c", "a"], ("a", "b", "c")) == ("c", "a")


@pytest.mark.parametrize("value", [0, 4, [], "a", ["a", "a"], ["d"], [1], True, None, {"a"}])
def test_names_that_are_unknown_double_or_none_are_refused(value: Any) -> None:
    with pytest.raises(ArgumentError, match="shapes"):
        arguments.names("shapes", value, ("a", "b", "c"))
