"""A segment as the page shows it: its tokens one by one, with what is known of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Any

from .tokens import Speller, visible, visible_lines
from .transcripts import mapping, mappings, number, token_ids

# (start, length, name of the picture) of a run of placeholders, in the segment's tokens.
Span = tuple[int, int, str]

STOPS = {"stop": "ended by itself", "length": "cut by the token limit"}
KINDS = ("prompt", "action", "observation")


def spans(segment: Mapping[str, Any], length: int) -> list[Span]:
    """Where its pictures stand among `length` tokens; none of those that stand nowhere."""
    found: list[Span] = []
    end = 0
    for image in mappings(segment.get("images")):
        start, count = image.get("start"), image.get("length")
        if isinstance(start, int) and isinstance(count, int) and end <= start < start + count <= length:
            found.append((start, count, _size(image, count)))
            end = start + count
    return found


def hashes(segment: Mapping[str, Any]) -> list[str]:
    """The names of its pictures, in order."""
    return [str(image.get("sha256")) for image in mappings(segment.get("images"))]


def shown_segment(
    segment: Mapping[str, Any],
    speller: Speller,
    names: Sequence[str],
    columns: Mapping[str, Sequence[float | None]],
    tokens: int,
    characters: int,
) -> dict[str, Any]:
    """What the page needs of a segment.

    Args:
        names: What its pictures are called, in order.
        columns: Numbers of its tokens ("logprobs", "advantages", "gaps"), each as long as its tokens.
        tokens, characters: How many of them may be shown: of a longer segment, beginning and end.

    Returns:
        "texts" and, for each of them, "ids" and the columns. A text is a string, or a mapping: {"image": name, "size"},
        {"piece": place, "text"} or {"cut": tokens left out}. "text" is the whole, where tokens cannot be spelled.
    """
    ids = token_ids(segment)
    kind = segment.get("kind")
    shown: dict[str, Any] = {
        "kind": kind if kind in KINDS else "other",
        "turn": number(segment.get("turn")),
        "count": len(ids),
        "reward": segment.get("reward") if kind == "action" else None,
        "sampled": _sampled(mapping(segment.get("sampling"))),
    }
    if not speller.knows or not ids:
        shown["text"] = visible_lines(segment.get("text") or "", characters)
    if ids:
        shown |= _columns(ids, spans(segment, len(ids)), names, speller, columns, tokens)
    return shown


def _columns(
    ids: Sequence[int],
    found: Sequence[Span],
    names: Sequence[str],
    speller: Speller,
    columns: Mapping[str, Sequence[float | None]],
    limit: int,
) -> dict[str, Any]:
    units = _units(len(ids), found)
    cut = None
    if len(units) > limit:
        head = limit * 3 // 4
        cut = (head, sum(length for _, length, _ in units[head : len(units) - limit + head]))
        units = units[:head] + units[len(units) - limit + head :]
    plain = [start for start, _, picture in units if picture is None]
    said = dict(zip(plain, _spelled(plain, ids, speller), strict=True))
    texts: list[Any] = []
    for start, _, picture in units:
        if picture is not None:
            texts.append({"image": names[picture] if picture < len(names) else "image", "size": found[picture][2]})
        elif said[start].piece:
            texts.append({"piece": said[start].piece, "text": said[start].text})
        else:
            texts.append(said[start].text)
    shown: dict[str, Any] = {"texts": texts, "ids": [ids[start] for start, _, _ in units]}
    shown |= {name: [_short(values[start]) for start, _, _ in units] for name, values in columns.items()}
    if cut is not None:
        shown["texts"].insert(cut[0], {"cut": cut[1]})
        for name in ("ids", *columns):
            shown[name].insert(cut[0], None)
    return shown


def _units(length: int, found: Sequence[Span]) -> list[tuple[int, int, int | None]]:
    """(start, tokens, picture) of what is shown as one: single tokens, and whole runs of placeholders."""
    units: list[tuple[int, int, int | None]] = []
    position = 0
    for picture, (start, count, _) in enumerate(found):
        units += [(i, 1, None) for i in range(position, start)]
        units.append((start, count, picture))
        position = start + count
    return units + [(i, 1, None) for i in range(position, length)]


def _spelled(positions: Sequence[int], ids: Sequence[int], speller: Speller) -> list[Any]:
    """Tokens that stand side by side are spelled together: some make a character only so."""
    said: list[Any] = []
    begin = 0
    for i in range(1, len(positions) + 1):
        if i == len(positions) or positions[i] != positions[i - 1] + 1:
            said += speller.spell([ids[p] for p in positions[begin:i]])
            begin = i
    return said


def _size(image: Mapping[str, Any], length: int) -> str:
    grid = image.get("grid")
    if not (isinstance(grid, list) and len(grid) == 3 and all(isinstance(n, int) and 0 < n < 2**20 for n in grid)):
        return f"{length} tokens"
    frames, rows, columns = grid
    merge = max(1, isqrt(max(1, frames * rows * columns // length)))
    sides = [*([frames] if frames > 1 else []), rows // merge, columns // merge]
    exact = frames * (rows // merge) * (columns // merge) == length
    return ("x".join(map(str, sides)) + " = " if exact else "") + f"{length} tokens"


def _sampled(how: Mapping[str, Any]) -> list[str]:
    if not how:
        return []
    temperature = number(how.get("temperature"))
    greedy = " (greedy)" if temperature == 0 else ""
    banned = how.get("banned_ids")
    return [
        STOPS.get(str(how.get("stop_reason")), visible(how.get("stop_reason"), 40)),
        f"temperature {'unknown' if temperature is None else f'{temperature:g}'}{greedy}",
        f"at most {visible(how.get('max_tokens'), 20)} tokens",
        f"{len(banned) if isinstance(banned, list) else 0} token ids banned",
        f"weights after {visible(how.get('weight_version'), 20)} updates",
        f"seed {visible(how.get('seed'), 40)}",
    ]


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
