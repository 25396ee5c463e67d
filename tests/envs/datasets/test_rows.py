"""Fields of rows: what is accepted, and what is named by file, row and field."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.core.errors import DatasetError
from envs.datasets.rows import MAX_TEXT, Row, Rows


class OneRow(Rows):
    """A table of one row, which it calls FILE, row 12."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __len__(self) -> int:
        return 1

    def names(self, i: int) -> Sequence[str]:
        return tuple(self._values)

    def values(self, i: int) -> Mapping[str, Any]:
        return self._values

    def heavy(self, i: int, name: str) -> Any:
        return self._values[name]

    def where(self, i: int) -> str:
        return "FILE, row 12"


def row(**values: Any) -> Row:
    return next(iter(OneRow(values)))


READERS: dict[str, Callable[[Row], Any]] = {
    "text": lambda r: r.text("f"),
    "texts": lambda r: r.texts("f"),
    "label": lambda r: r.label("f"),
    "count": lambda r: r.count("f"),
    "numbers": lambda r: r.numbers("f", 2),
    "box": lambda r: r.box("f"),
    "one_of": lambda r: r.one_of("f", ("simple", "hard")),
}


@pytest.mark.parametrize(
    ("reader", "value", "read"),
    [
        ("text", " a ", " a "),
        ("texts", ["a", "b"], ("a", "b")),
        ("label", "dev_0", "dev_0"),
        ("label", 7, "7"),
        ("count", 4, 4),
        ("count", "4", 4),
        ("count", " <answer> 04 </answer> ", 4),
        ("numbers", [1, 2.5], (1.0, 2.5)),
        ("numbers", "[1, 2.5]", (1.0, 2.5)),
        ("box", [0, 0, 1, 2], (0.0, 0.0, 1.0, 2.0)),
        ("one_of", "hard", "hard"),
    ],
)
def test_a_good_field_is_read(reader: str, value: Any, read: Any) -> None:
    assert READERS[reader](row(f=value)) == read


@pytest.mark.parametrize(
    ("reader", "value", "expected"),
    [
        ("text", None, "a text that is not blank; got NoneType None"),
        ("text", " \n", "a text that is not blank"),
        ("text", 4, "a text that is not blank; got int 4"),
        ("text", ["a"], "a text"),
        ("text", "\ud800", "UTF-8; got str"),
        ("text", "a" * (MAX_TEXT + 1), f"at most {MAX_TEXT} characters"),
        ("texts", "a", "a list of one or more texts"),
        ("texts", [], "a list of one or more texts"),
        ("texts", ["a", ""], "texts that are not blank"),
        ("texts", ["a", None], "texts that are not blank; got NoneType"),
        ("label", True, "a text"),
        ("label", 1.5, "a text"),
        ("count", True, "a whole number"),
        ("count", -1, "a whole number, at least 0; got int -1"),
        ("count", 4.0, "a whole number"),
        ("count", "four", "a whole number"),
        ("count", "\u0664", "a whole number"),
        ("count", "4" * 19, "a whole number"),
        ("count", "", "a whole number"),
        ("numbers", [1], "a list of 2 finite numbers"),
        ("numbers", [1, True], "a list of 2 finite numbers"),
        ("numbers", [1, "2"], "a list of 2 finite numbers"),
        ("numbers", [1, float("nan")], "a list of 2 finite numbers"),
        ("numbers", [1, float("inf")], "a list of 2 finite numbers"),
        ("numbers", [1, 10**400], "a list of 2 finite numbers"),
        ("numbers", "1, 2", "a list of 2 numbers"),
        ("numbers", "[" * 20000, "a list of 2 numbers"),
        ("numbers", None, "a list of 2 finite numbers"),
        ("box", [0, 0, 0, 2], "x1 < x2 and y1 < y2"),
        ("box", [50, 60, 20, 30], "not x, y, width, height"),
        ("box", [5, 60, 20, 60], "x1 < x2 and y1 < y2"),
        ("box", [0, 0, 1], "a list of 4 finite numbers"),
        ("one_of", "easy", "one of simple, hard; got str 'easy'"),
        ("one_of", ["hard"], "one of simple, hard"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(reader: str, value: Any, expected: str) -> None:
    with pytest.raises(DatasetError) as caught:
        READERS[reader](row(f=value))
    assert str(caught.value).startswith("FILE, row 12, field 'f': expected ")
    assert expected in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("reader", [*READERS, "picture"])
def test_a_missing_field_is_named_with_the_fields_that_there_are(reader: str) -> None:
    read = READERS.get(reader, lambda r: r.picture("f"))
    with pytest.raises(DatasetError, match=r"^FILE, row 12, field 'f': it is missing; the row has 'g', 'h'$"):
        read(row(g=1, h=2))


def test_a_picture_is_no_null() -> None:
    with pytest.raises(DatasetError, match=r"^FILE, row 12, field 'f': expected a picture; got NoneType None$"):
        row(f=None).picture("f")


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(ANY, st.sampled_from(sorted(READERS)))
def test_whatever_a_field_holds_it_is_read_or_named(value: Any, reader: str) -> None:
    said = "FILE, row 12, field 'f': "
    try:
        READERS[reader](row(f=value))
    except DatasetError as error:
        said = str(error)
    assert said.startswith("FILE, row 12, field 'f': ") and said.isascii()
