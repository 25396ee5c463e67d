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
    "RLLaVA/CountingCLEVR-v0": Entry(
        "envs.counting:Counting",
        "How many small metal things are there? Solids in the look of CLEVR.",
        kwargs={"look": "clevr"},
    ),
    "RLLaVA/Search-v0": Entry(
        "envs.search:Search", "In which year was the town whose arms are shown founded? Found by searching."
    ),
    "RLLaVA/MATSearch-v0": Entry(
        "envs.mat_search:MATSearch",
        "Questions about pictures that need a search. Published data.",
        sample="envs.datasets.mat_search:write_sample",
        check={"tools": False},
    ),
    "RLLaVA/MultiHop-v0": Entry(
        "envs.multihop:MultiHop",
        "Questions in words that need several searches. Published data.",
        sample="envs.datasets.multihop:write_sample",
        check={"tools": False},
    ),
    "RLLaVA/CLEVRCount-v0": Entry(
        "envs.clevr_count:CLEVRCount",
        "How many things are in a picture of CLEVR? Published data.",
        sample="envs.datasets.clevr_count:write_sample",
    ),
    "RLLaVA/SuperCLEVR-v0": Entry(
        "envs.clevr_count:SuperCLEVR",
        "How many vehicles are there, for a model that learned on CLEVR? Published data.",
        sample="envs.datasets.super_clevr:write_sample",
    ),
    "RLLaVA/Geometry3K-v0": Entry(
        "envs.geometry3k:Geometry3K",
        "Find x in a diagram from a school book. Published data.",
        sample="envs.datasets.geometry3k:write_sample",
    ),
    "RLLaVA/Geometry3KRedrawn-v0": Entry(
        "envs.geometry3k_redrawn:Geometry3KRedrawn",
        "Geometry3K's problems over diagrams drawn again from their coordinates. Published data.",
        sample="envs.datasets.inter_gps:write_sample",
    ),
    "RLLaVA/RefCOCO-v0": Entry(
        "envs.refcoco:RefCOCO",
        "Where in the photograph is what the expression refers to? Published data.",
        sample="envs.datasets.refcoco:write_sample",
    ),
    "RLLaVA/Grounding-v0": Entry(
        "envs.grounding:Grounding", "Where is the second red circle from the left? Phrases that denote one object."
    ),
    "RLLaVA/GroundingCLEVR-v0": Entry(
        "envs.grounding:Grounding",
        "Where is the metal cube behind the small sphere? Solids in 3-D, in the look of CLEVR.",
        kwargs={"look": "clevr"},
    ),
    "RLLaVA/Coding-v0": Entry(
        "envs.coding:Coding",
        "What is the total? Spoilt pictures of documents, mended by the model's own programs.",
        check={"sandbox": "local"},
    ),
    "RLLaVA/MATCoding-v0": Entry(
        "envs.mat_coding:MATCoding",
        "Questions about pictures that must be mended or cropped by a program. Published data.",
        sample="envs.datasets.mat_coding:write_sample",
        check={"sandbox": "local"},
    ),
    "RLLaVA/Geometry-v0": Entry("envs.geometry:Geometry", "Find x. Twenty-odd kinds of problems over drawn diagrams."),
}

# Environments of other people behind this package's contract. Not in the catalogue: without a server nothing is there.
ADAPTERS: dict[str, Entry] = {
    "RLLaVA/OpenEnv-v0": Entry("envs.openenv:OpenEnv", "Whatever an OpenEnv server offers."),
}

for _id, _entry in {**CATALOGUE, **ADAPTERS}.items():
    # Importing twice (importlib.reload, a second import path) must not make Gymnasium warn of an override.
    if _id not in registry:
        register(id=_id, entry_point=_entry.entry_point, kwargs=dict(_entry.kwargs))
