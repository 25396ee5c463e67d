"""Checking keyword arguments at construction, so that a recipe with a typing error fails before a run starts.

Every function returns the accepted value in its normal form (lists from YAML become tuples) or raises `ArgumentError`
that names the argument, what came and what is allowed.
"""

from collections.abc import Sequence

from .errors import ArgumentError


def one_of(name: str, value: object, allowed: Sequence[str]) -> str:
    """`value`, one of the strings `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        raise ArgumentError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}")
    return value


def whole(name: str, value: object, low: int, high: int) -> int:
    """`value`, a whole number in [low, high]. Booleans are refused: `cells=True` is a mistake, not 1."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ArgumentError(f"{name} must be a whole number from {low} to {high}; got {value!r}")
    return value


def real(name: str, value: object, low: float, high: float) -> float:
    """`value`, a number in [low, high]; NaN is refused."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ArgumentError(f"{name} must be a number from {low} to {high}; got {value!r}")
    return float(value)


def whole_pair(name: str, value: object, low: int, high: int, ordered: bool = False) -> tuple[int, int]:
    """`value`, two whole numbers in [low, high]; with `ordered` the first may not exceed the second."""
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise ArgumentError(f"{name} must be two whole numbers from {low} to {high}; got {value!r}")
    first, second = whole(f"{name}[0]", value[0], low, high), whole(f"{name}[1]", value[1], low, high)
    if ordered and first > second:
        raise ArgumentError(f"{name} must be (lowest, highest); got {value!r}, whose lowest exceeds its highest")
    return first, second


def names(name: str, value: object, allowed: Sequence[str]) -> tuple[str, ...]:
    """Different names out of `allowed`: a list of them, or a count n that means the first n."""
    if isinstance(value, int) and not isinstance(value, bool):
        return tuple(allowed[: whole(name, value, 1, len(allowed))])
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise ArgumentError(
            f"{name} must be a count from 1 to {len(allowed)}, or names out of {', '.join(allowed)}; got {value!r}"
        )
    for entry in value:
        one_of(f"each entry of {name}", entry, allowed)
    if len(set(value)) != len(value):
        raise ArgumentError(f"{name} must not name anything twice; got {value!r}")
    return tuple(value)
