"""A recorded trajectory as the page has it: a line of the table, and the whole, to be unpacked when somebody looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from .pictures import Pictures
from .segments import hashes, shown_segment
from .tokens import Speller, visible
from .transcripts import FileKind, mapping, number, numbers, segments, token_ids

TEXT = 400  # characters of what the policy wrote that the table shows and searches
SEGMENTS = 400
TOKENS = 12_000
CHARACTERS = 120_000
FACTS = 40


@dataclass(frozen=True)
class Entry:
    """A line of the table. `seed`, `task`: as text, since a script's numbers end at 2^53. `stop`: how the last turn
    ended; `text`: the beginning of what the policy wrote; `block`: the number of its data block, None without one."""

    id: str
    file: int
    line: int
    env: str
    task: str
    seed: str
    policy: str
    score: float | None
    advantage: float | None
    end: str
    reason: str
    stop: str
    turns: int
    tokens: int
    text: str
    block: int | None


@dataclass(frozen=True)
class Trained:
    """What of a run's rollouts is trained, as its configuration says: of each trajectory `last_only` the last turn,
    and nothing of truncated ones where they are dropped (`drop_truncated`)."""

    last_only: bool = False
    drop_truncated: bool = False

    def reason_against(self, record: Mapping[str, Any], kind: FileKind) -> str:
        """Why nothing of a trajectory is trained; empty where it is."""
        if kind == "evaluation":
            return "an evaluation trains nothing"
        if mapping(record.get("outcome")).get("end") == "failed":
            return "the infrastructure failed"
        if record.get("dropped"):
            return f"dropped: {visible(record['dropped'])}"
        if self.drop_truncated and mapping(record.get("outcome")).get("end") == "truncated":
            return "truncated, and this run leaves truncated ones out of its loss"
        return ""


def entry(record: Mapping[str, Any], id: str, file: int, line: int, block: int | None) -> Entry:
    """The line of the table; whatever is missing in the record is empty in it."""
    actions = [segment for _, _, segment in segments(record) if segment.get("kind") == "action"]
    outcome = mapping(record.get("outcome"))
    stops = [mapping(action.get("sampling")).get("stop_reason") for action in actions]
    wrote = " ".join(str(action.get("text") or "")[:TEXT] for action in actions[:TEXT])
    sample = "" if record.get("sample") in (None, 0) else f", sample {record['sample']}"
    return Entry(
        id=id,
        file=file,
        line=line,
        env=visible(record.get("env_id"), 80),
        task="" if record.get("task") is None else visible(record["task"], 40),
        seed=visible(record.get("seed"), 40),
        policy=visible(f"{record.get('policy') or ''}{sample}", 80),
        score=number(outcome.get("score")),
        advantage=_advantage(record),
        end=visible(outcome.get("end"), 20),
        reason=visible(outcome.get("reason") or "", 200),
        stop=visible(next((stop for stop in reversed(stops) if stop), ""), 20),
        turns=len(actions),
        tokens=sum(len(token_ids(action)) for action in actions),
        text=visible(wrote[:TEXT], TEXT),
        block=block,
    )


def whole(
    record: Mapping[str, Any], folder: Path, kind: FileKind, speller: Speller, pictures: Pictures, trained: Trained
) -> dict[str, Any]:
    """All that the page shows of a trajectory whose pictures lie under `folder`/images."""
    found = segments(record)
    shown = found[:SEGMENTS]
    tokens, characters = (max(64, total // max(1, len(shown))) for total in (TOKENS, CHARACTERS))
    names: dict[str, int] = {}
    seen: list[list[Any]] = []
    parts = []
    last = max((i for i, (_, _, s) in enumerate(found) if s.get("kind") == "action"), default=-1)
    turn = found[last][2].get("turn") if found else None
    for (row, position, segment), columns in zip(shown, _columns(record, found), strict=False):
        new = [sha256 for sha256 in dict.fromkeys(hashes(segment)) if sha256 not in names]
        for sha256 in new:
            names[sha256] = len(names) + 1
            picture = pictures.picture(folder, sha256)
            seen.append([picture.block, picture.note, picture.width, picture.height, picture.tiny])
        called = [f"image {names[sha256]}" for sha256 in hashes(segment)]
        part = shown_segment(segment, speller, called, columns, tokens, characters)
        part["new"] = [names[sha256] for sha256 in new]
        part["begins"] = row + 1 if row and not position else 0
        part["trained"] = part["kind"] == "action" and not (trained.last_only and segment.get("turn") != turn)
        parts.append(part)
    return {
        "segments": parts,
        "left_out": len(found) - len(shown),
        "pictures": seen,
        "untrained": trained.reason_against(record, kind),
        "spelled": speller.knows,
        "text_only": record.get("tokens") is False,
        "advantage": record.get("advantage"),
        "facts": {name: _facts(record.get(name)) for name in ("rewards", "metrics", "tags")},
        "reason": visible(mapping(record.get("outcome")).get("reason") or "", 4000),
    }


def _columns(record: Mapping[str, Any], found: list[tuple[int, int, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """For each segment, what is known of its tokens. Lists over all actions are cut into theirs."""
    counts = [len(token_ids(s)) if s.get("kind") == "action" else 0 for _, _, s in found]
    advantages = numbers(record.get("advantages"), sum(counts))
    trainer = numbers(record.get("trainer_logprobs"), sum(counts))
    columns: list[dict[str, Any]] = []
    position = 0
    for (_, _, segment), count in zip(found, counts, strict=True):
        own: dict[str, Any] = {}
        here = slice(position, position + count)
        position += count
        if count and (logprobs := numbers(segment.get("logprobs"), count)) is not None:
            own["logprobs"] = logprobs
            if trainer is not None:
                pairs = zip(logprobs, trainer[here], strict=True)
                own["gaps"] = [None if ours is None or theirs is None else ours - theirs for ours, theirs in pairs]
        if count and advantages is not None:
            own["advantages"] = advantages[here]
        columns.append(own)
    return columns


def _advantage(record: Mapping[str, Any]) -> float | None:
    """Of the whole trajectory; where each token has its own, their mean."""
    of_tokens = record.get("advantages")
    if isinstance(of_tokens, list) and of_tokens:
        known = [value for value in map(number, of_tokens) if value is not None]
        return sum(known) / len(known) if known else None
    return number(record.get("advantage"))


def _facts(value: object) -> list[list[str]]:
    """Names and values, as text: a name such as __proto__ must not become a property of something in a script."""
    items = mapping(value).items()
    shown = [[visible(key, 60), _fact(each)] for key, each in islice(items, FACTS)]
    return [*shown, ["and", f"{len(items) - FACTS} more"]] if len(items) > FACTS else shown


def _fact(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else visible(value, 300)
