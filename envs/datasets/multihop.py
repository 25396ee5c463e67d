"""Multi-hop questions without pictures: 2WikiMultihopQA, HotpotQA, MuSiQue and Bamboogle, as FlashRAG gives them out.

JSON lines of `id, question, golden_answers`, in `2wikimultihopqa/dev.jsonl` and so on; other fields are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..core.arguments import one_of
from ..core.errors import ArgumentError, DatasetError
from .sample import write_json
from .source import Published, Source, locate, note_size, open_rows

DATASETS = ("2wiki", "hotpotqa", "musique", "bamboogle")
FOLDERS = {"2wiki": "2wikimultihopqa", "hotpotqa": "hotpotqa", "musique": "musique", "bamboogle": "bamboogle"}
TITLES = {"2wiki": "2WikiMultihopQA", "hotpotqa": "HotpotQA", "musique": "MuSiQue", "bamboogle": "Bamboogle"}
PARTS: dict[str, dict[str, int | None]] = {
    "2wiki": {"train": 15_000, "dev": 12_576},
    "hotpotqa": {"train": 90_447, "dev": 7_405},
    "musique": {"train": 19_938, "dev": 2_417},
    "bamboogle": {"test": 125},
}
SPLITS = ("train", "test")


@dataclass(frozen=True)
class MultiHopItem:
    """One question and every answer that counts as right."""

    id: str
    question: str
    golden_answers: tuple[str, ...]
    position: int  # from 0, in the published order


def published(dataset: str) -> Published:
    """How `dataset`, one of DATASETS, is published."""
    folder = FOLDERS[one_of("dataset", dataset, DATASETS)]
    places = {
        part: (f"{folder}/{part}.jsonl", f"{part}.jsonl", f"{dataset}.jsonl", f"{folder}.jsonl", "questions.jsonl")
        if part != "train"
        else (f"{folder}/train.jsonl", "train.jsonl")
        for part in PARTS[dataset]
    }
    return Published(
        TITLES[dataset],
        "RUC-NLPIR/FlashRAG_datasets",
        PARTS[dataset],
        f"The files of {folder}/ are enough: pass data=FOLDER, FOLDER/{folder} or one file.",
        places,
        config=folder,
    )


def load(data: str | None, split: str = "test", dataset: str = "2wiki") -> Sequence[MultiHopItem]:
    """The items of `dataset` in the published order.

    split: "test" is the published dev part, on which results are reported (Bamboogle: its test part); "train" is the
    published train part, which Bamboogle does not have. `data` may be a folder, one JSON lines file, or a hub name.

    Raises:
        ArgumentError: an unknown data set, or a split that it does not have.
        DatasetError: the data are missing or malformed.
    """
    one_of("split", split, SPLITS)
    parts = tuple(published(dataset).parts)
    if split == "train" and "train" not in parts:
        raise ArgumentError(f"{dataset} has no train part: it is a test set of 125 questions; use split='test'")
    _not_another(data, dataset)
    return _read(locate(data, published(dataset), "train" if split == "train" else parts[-1]), dataset)


def _not_another(data: str | None, dataset: str) -> None:
    """A folder of another of the four holds files of the same names: refuse it, rather than score the wrong set."""
    path = Path(data or "")
    folder = path.name if path.is_dir() else path.parent.name
    if folder in FOLDERS.values() and folder != FOLDERS[dataset]:
        raise DatasetError(
            f"{data}: dataset={dataset!r} is asked for, and by its name this is {folder}; pass the folder "
            f"{FOLDERS[dataset]}, or the dataset that this is"
        )


@lru_cache(maxsize=8)
def _read(source: Source, dataset: str) -> tuple[MultiHopItem, ...]:
    rows = open_rows(source, ("id", "question", "golden_answers"))
    note_size(published(dataset), source.part, len(rows))
    return tuple(
        MultiHopItem(row.label("id"), row.text("question"), row.texts("golden_answers"), row.index) for row in rows
    )


def write_sample(folder: str | Path) -> None:
    """Write small synthetic sets in the published format: `2wikimultihopqa/dev.jsonl` and so on."""
    for dataset, parts in PARTS.items():
        for part in parts:
            rows = [
                {
                    "id": f"{part}_{number}",
                    "question": f"Which river runs through the birthplace of author {number} of {dataset} {part}?",
                    "golden_answers": [f"River {dataset} {number}", f"{dataset} {number}"],
                    "metadata": {"type": "compositional"},
                }
                for number in range(12)
            ]
            write_json(Path(folder) / FOLDERS[dataset] / f"{part}.jsonl", rows)
