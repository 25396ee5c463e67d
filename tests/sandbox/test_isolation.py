"""What a worker sees of its walls, in words."""

from typing import Any

import pytest

from sandbox.isolation import describe_contained

WALLS: dict[str, Any] = {
    "interfaces": [],
    "root_writable": False,
    "capabilities": "00000000000000c0",
    "no_new_privileges": True,
    "outer_filter": True,
    "memory_bytes": 1 << 30,
    "processes": 128,
    "kernel": "6",
}


def broken(**change: Any) -> set[str]:
    """The parts that do not hold."""
    isolation = {"uid": 1, "filter": True, "walls": WALLS | change, "wiped": ["/work"]}
    words = describe_contained({"modules": {}, "isolation": isolation}, "x")
    return {part for part, text in words.items() if text.startswith("NOT")}


def test_behind_every_wall_nothing_is_said_not_to_hold() -> None:
    assert broken() == set()


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("network", {"interfaces": ["eth0"]}),
        ("files", {"root_writable": True}),
        ("worker", {"capabilities": "00000000a80425fb"}),
        ("worker", {"capabilities": None}),
        ("system calls", {"outer_filter": False}),
        ("memory", {"memory_bytes": None}),
        ("memory", {"memory_bytes": 9223372036854771712}),
        ("processes", {"processes": None}),
    ],
)
def test_a_wall_that_is_missing_is_told(part: str, change: dict[str, Any]) -> None:
    assert part in broken(**change)
