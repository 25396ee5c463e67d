"""The tokenizer of what is shown, and of its model nothing else: no weights are read, and torch is not imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .folders import Folder
from .tokens import Decode, visible


def find_decoder(folder: Folder) -> tuple[Decode | None, str]:
    """What token ids say by the folder's tokenizer, or None and the reason, in words."""
    from tokenizers import Tokenizer

    reason = "no tokenizer was found"
    if len({path.read_bytes() for path in _of_evaluation(folder)}) > 1:
        return None, "its checkpoints have different tokenizers: token ids are shown beside the recorded texts"
    for candidate in _candidates(folder):
        if not (candidate / "tokenizer.json").is_file():
            continue
        try:
            # The library's own class: transformers', which wraps it, brings seconds of torch with it.
            backend = Tokenizer.from_file(str(candidate / "tokenizer.json"))
        except Exception as error:  # the library raises nothing more exact
            reason = f"{visible(candidate)}: its tokenizer.json cannot be read: {visible(error, 300)}"
            continue

        def decode(ids: Sequence[int], backend: Any = backend) -> str:
            return str(backend.decode(list(ids), skip_special_tokens=False))

        return decode, ""
    return None, f"{reason}: token ids are shown without what they say, beside the recorded texts"


def _candidates(folder: Folder) -> Iterator[Path]:
    """Where a tokenizer may lie: all checkpoints of a run have the same."""
    yield from (path.parent for path in _of_evaluation(folder))
    yield from _of_run(folder.path)
    for name in _named(folder.config):
        yield Path(name)
        yield from _of_run(Path(name))


def _of_evaluation(folder: Folder) -> list[Path]:
    """The tokenizers of the checkpoints that an evaluation played, those that are still there."""
    checkpoints = folder.config.get("checkpoints")
    places = checkpoints.values() if isinstance(checkpoints, Mapping) else ()
    found = [Path(place) / "tokenizer.json" for place in places if isinstance(place, str) and "\0" not in place]
    return [path for path in found if path.is_file()]


def _of_run(path: Path) -> Iterator[Path]:
    yield from sorted((path / "checkpoints").glob("step_*"))
    yield path / "initial_model"


def _named(settings: Any, depth: int = 0) -> Iterator[str]:
    """The values of settings that may name a model's folder."""
    if isinstance(settings, Mapping) and depth < 4:
        for key, value in settings.items():
            if isinstance(value, str) and 0 < len(value) < 1000 and "\0" not in value:
                if key in ("model", "path", "folder", "checkpoint", "run", "policy"):
                    yield value
            else:
                yield from _named(value, depth + 1)
    elif isinstance(settings, list) and depth < 4:
        for each in settings[:100]:
            yield from _named(each, depth + 1)
