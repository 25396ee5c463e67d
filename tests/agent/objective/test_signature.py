"""What a signature declares, and every way in which it can be wrong."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Literal

import pytest
import torch

from agent.errors import ConfigError
from agent.objective.signature import Signature, call, converted, read_signature, spelled

if TYPE_CHECKING:
    from somewhere import Unknown

VOCABULARY = ("scores", "valid")
ALLOWED = "tensors are scores, valid; options stand after `*`, with a default"


def read(function: Any) -> Signature:
    return read_signature(function, "estimator 'mine'", VOCABULARY, "valid")


def complaint(function: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read(function)
    return str(caught.value)


def test_parameters_are_tensors_and_what_stands_after_the_star_is_an_option() -> None:
    def function(
        scores: Unknown,
        valid,
        *,
        rate: float = 0.5,
        count: int = 3,
        switch: bool = True,
        name: str = "a",
        kind: Literal["x", 1] = "x",
    ) -> Unknown: ...

    declared = read(function)
    assert declared.needs == {"scores", "valid"}
    assert declared.options == {
        "rate": (float, 0.5),
        "count": (int, 3),
        "switch": (bool, True),
        "name": (str, "a"),
        "kind": (Literal["x", 1], "x"),
    }
    assert list(declared.options) == ["rate", "count", "switch", "name", "kind"]


def test_annotations_may_be_types_and_not_only_text() -> None:
    def function(valid, *, rate=0.5): ...

    function.__annotations__["rate"] = float
    assert read(function) == Signature(frozenset({"valid"}), {"rate": (float, 0.5)})


def test_annotations_are_read_where_the_function_was_written() -> None:
    """A module of a user has other names than this one, and a wrapper may stand between."""
    names: dict[str, Any] = {}
    exec("from typing import Literal as L\ndef function(valid, *, kind: 'L[\"p\"]' = 'p'): ...", names)

    @functools.wraps(names["function"])
    def wrapper(*given: Any, **named: Any) -> None: ...

    assert read(wrapper).options == {"kind": (Literal["p"], "p")}


def test_a_default_that_is_an_integer_serves_a_float() -> None:
    def function(valid, *, rate: float = 1): ...

    assert read(function).options == {"rate": (float, 1)}


def test_any_callable_with_a_signature_will_do() -> None:
    class Callable:
        def __call__(self, valid, *, rate=2.0): ...

    Callable.__call__.__annotations__["rate"] = float
    assert read(Callable()).options == {"rate": (float, 2.0)}


@pytest.mark.parametrize("strange", [dict, type("Strange", (), {"__call__": print, "__signature__": 3})()])
def test_what_has_no_signature_is_refused(strange: Any) -> None:
    expected = "estimator 'mine' is not a function with a signature that can be read: "
    assert complaint(strange).startswith(expected)
    assert len(complaint(strange)) > len(expected)


def test_a_parameter_outside_of_the_vocabulary_is_refused() -> None:
    def function(points, valid): ...

    assert complaint(function) == f"estimator 'mine' takes `points`, which nothing provides: {ALLOWED}."


def test_a_parameter_outside_of_the_vocabulary_with_a_default_is_told_where_options_stand() -> None:
    def function(valid, rate=1.0): ...

    assert complaint(function) == f"estimator 'mine' takes `rate`, which nothing provides: {ALLOWED}."


def test_without_the_required_tensor_it_is_refused() -> None:
    def function(scores): ...

    assert complaint(function) == f"estimator 'mine' does not take `valid`: every one must; {ALLOWED}."


def test_any_number_of_arguments_is_refused() -> None:
    def positional(valid, *tensors): ...

    def named(valid, **tensors): ...

    assert complaint(positional) == f"estimator 'mine' takes `*tensors`; every parameter must be named: {ALLOWED}."
    assert complaint(named) == f"estimator 'mine' takes `**tensors`; every parameter must be named: {ALLOWED}."


def test_a_parameter_by_position_only_is_refused() -> None:
    def function(valid, /, scores): ...

    expected = "estimator 'mine' takes `valid` by position only; parameters are given by name: remove the `/`."
    assert complaint(function) == expected


def test_a_tensor_among_the_options_is_refused() -> None:
    def function(valid, *, scores=None): ...

    assert (
        complaint(function) == f"estimator 'mine' takes the tensor `scores` after the `*`: move it before; {ALLOWED}."
    )


def test_a_tensor_with_a_default_is_refused() -> None:
    def function(valid, scores=None): ...

    expected = "estimator 'mine' gives the tensor `scores` a default: remove it, tensors are always given."
    assert complaint(function) == expected


def test_an_option_without_a_default_is_refused() -> None:
    def function(valid, *, rate: float): ...

    expected = f"estimator 'mine' has the option `rate` without a default: give it one; {ALLOWED}."
    assert complaint(function) == expected


def test_an_option_without_an_annotation_is_refused() -> None:
    def function(valid, *, rate=0.5): ...

    expected = "estimator 'mine': option `rate` has no annotation; allowed: float, int, bool, str or a Literal of them."
    assert complaint(function) == expected


def test_an_option_of_another_annotation_is_refused() -> None:
    def function(valid, *, rates: list[float] = ()): ...

    assert complaint(function) == (
        "estimator 'mine': option `rates` has the annotation list[float]; allowed: float, int, bool, str or a Literal "
        "of them."
    )


def test_an_annotation_that_cannot_be_read_is_refused() -> None:
    def function(valid, *, rate: Unknown = 0.5): ...

    assert complaint(function) == (
        "estimator 'mine': the annotation of option `rate` cannot be read: 'Unknown' (name 'Unknown' is not defined)."
    )


def test_a_default_that_does_not_fit_is_refused() -> None:
    def function(valid, *, rate: float = "much"): ...

    expected = "estimator 'mine': the default of option `rate` does not fit its annotation: 'much' is not float."
    assert complaint(function) == expected


FITTING = [(0.5, float, 0.5), (2, float, 2.0), (2, int, 2), (False, bool, False), ("a", str, "a")]
FITTING += [("x", Literal["x", "y"], "x"), (1, Literal["x", 1], 1), (True, Literal[True], True)]
OTHERS = [
    (True, float, "True is not float"),
    ("0.5", float, "'0.5' is not float"),
    (None, float, "None is not float"),
    (2.0, int, "2.0 is not int"),
    (True, int, "True is not int"),
    (1, bool, "1 is not bool"),
    (1, str, "1 is not str"),
    ("z", Literal["x", "y"], "'z' is not 'x' | 'y'"),
    (True, Literal["x", 1], "True is not 'x' | 1"),
]


@pytest.mark.parametrize(("value", "annotation", "expected"), FITTING)
def test_a_value_that_fits_is_taken(value: object, annotation: object, expected: object) -> None:
    result = converted(value, annotation)
    assert result == expected and type(result) is type(expected)


@pytest.mark.parametrize(("value", "annotation", "expected"), OTHERS)
def test_a_value_of_another_type_is_not(value: object, annotation: object, expected: str) -> None:
    with pytest.raises(TypeError) as caught:
        converted(value, annotation)
    assert str(caught.value) == expected


def test_annotations_are_spelled_as_a_reader_expects() -> None:
    assert [spelled(kind) for kind in (float, int, bool, str)] == ["float", "int", "bool", "str"]
    assert spelled(Literal["group", "none"]) == "'group' | 'none'"


def test_a_function_is_called_with_what_it_names_and_nothing_else() -> None:
    def function(valid, scores, *, rate: float = 0.5) -> tuple[Any, ...]:
        return valid, scores, rate

    tensors = {"scores": torch.ones(1), "valid": torch.zeros(1), "groups": torch.ones(3)}
    assert call(function, tensors, {"rate": 0.25, "other": 1}) == (tensors["valid"], tensors["scores"], 0.25)
    assert call(function, tensors, {}) == (tensors["valid"], tensors["scores"], 0.5)


def test_signatures_are_values() -> None:
    assert inspect.isclass(Signature) and Signature(frozenset(), {}) == Signature(frozenset(), {})
    with pytest.raises(AttributeError):
        Signature(frozenset(), {}).needs = frozenset("a")
