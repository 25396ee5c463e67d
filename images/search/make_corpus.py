"""The passages that the image ships: those of the tiny world that agent/recipes/search.yaml asks about.

python images/search/make_corpus.py        writes images/search/corpus.jsonl, from the repository's root
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from envs.search import world_passages

WORLD = {"style": "tiny", "entities": 70, "world_seed": 0}
CORPUS = Path(__file__).with_name("corpus.jsonl")


def lines() -> str:
    """The file's content: a passage a line, `{"id", "title", "text"}`, in the order of the world."""
    return "".join(json.dumps(asdict(passage)) + "\n" for passage in world_passages(**WORLD))


if __name__ == "__main__":
    CORPUS.write_text(lines(), encoding="utf-8")
