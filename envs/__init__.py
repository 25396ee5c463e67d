"""Gymnasium environments whose observation is text and pictures and whose action is text.

Importing this package registers the environments below under Gymnasium's registry and nothing more: entry points are
strings, so no environment is loaded before somebody makes one.

    gymnasium.make("envs:RLLaVA/Counting-v0")        # imports this package first
    import envs; gymnasium.make("RLLaVA/Counting-v0")

`python -m envs list` prints the catalogue, `python -m envs check ID` holds an environment to the contract.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from gymnasium.envs.registration import register, registry


_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Entry(NamedTuple):
    """One line of the catalogue.

    entry_point: where the class is. line: what it asks, in one line. kwargs: keyword arguments that the id stands for.
    sample: for published data, the function that writes a small synthetic set in the published format into a folder,
    as "module:function"; checks and pictures use it where the data are not there.
    check: keyword arguments that checks and pictures are made with (what runs on any machine).
    """

    entry_point: str
    line: str
    kwargs: Mapping[str, Any] = _NOTHING
    sample: str | None = None
    check: Mapping[str, Any] = _NOTHING


# An environment is added by adding a line.
CATALOGUE: dict[str, Entry] = {
    "RLLaVA/Counting-v0": Entry(
        "envs.counting:Counting", "How many large red squares are there? Coloured shapes, flat."
    ),
}

for _id, _entry in CATALOGUE.items():
    # Importing twice (importlib.reload, a second import path) must not make Gymnasium warn of an override.
    if _id not in registry:
        register(id=_id, entry_point=_entry.entry_point, kwargs=dict(_entry.kwargs))
