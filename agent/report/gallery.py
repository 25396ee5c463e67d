"""All runs of a folder as one table: where each stands, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .document import document
from .folders import Folder, read_folder
from .listing import Marks, Place
from .overview import before_and_after
from .results import POLICIES, differences, duration, mean, usable_differences, usable_rows
from .tokens import visible
from .transcripts import mapping, number

QUIET = 900.0  # seconds without a sign of life after which nobody would call a run running
TAIL = 1 << 20  # bytes of metrics.jsonl in which the newest scores are looked for
State = Literal["finished", "running", "quiet", "unreadable"]


@dataclass(frozen=True)
class Score:
    """A mean as it is shown; `interval`: the 95% one, or what the number is."""

    value: str
    interval: str


@dataclass(frozen=True)
class Row:
    """A line of the table, as long as the files are what they were.

    Attributes:
        about: Environment and algorithm, or who was evaluated.
        finished: Whether its results are there.
        begun, changed: When it was started, and when it last wrote anything; seconds since 1970.
        last: What was written then: "last step", "last episode" or "started".
        step, steps: Training steps done, and asked for; None where nobody knows.
        latest: The last validation, or else the last reward, and where it comes from.
        before, after, gain: Of the tested policy; `verdict` on the gain as `agent.report.results.Difference` has it.
        notes: What could not be read, in words.
        broken: Nothing of it could be read; `notes` say why.
    """

    name: str
    address: str
    kind: str = ""
    about: str = ""
    finished: bool = False
    begun: float = 0.0
    changed: float = 0.0
    last: str = "started"
    step: int | None = None
    steps: int | None = None
    latest: Score | None = None
    before: Score | None = None
    after: Score | None = None
    gain: Score | None = None
    verdict: str = "unclear"
    notes: tuple[str, ...] = ()
    broken: bool = False

    def state(self, now: float) -> State:
        """How it stands at `now`, in seconds since 1970."""
        if self.broken:
            return "unreadable"
        if self.finished:
            return "finished"
        return "running" if now - self.changed < QUIET else "quiet"

    def since(self, now: float) -> str:
        """When it last wrote anything, in words."""
        if not self.changed:
            return ""
        what = "" if self.finished else f"{self.last} "
        return f"{what}{_ago(now - self.changed)}"

    @property
    def share(self) -> float | None:
        """Percent of the steps that are done."""
        if self.step is None or not self.steps:
            return None
        return min(100.0, max(0.0, 100 * self.step / self.steps))


def row_of(place: Place, files: Marks) -> Row:
    """Read a run's line. `files`: as `agent.report.listing.marks` gave them before.

    Raises:
        ConfigError, OSError: the folder is gone, or cannot be read.
    """
    folder = read_folder(place.path, tail=TAIL)
    times = {name: changed / 1e9 for name, _, changed, _ in files}
    begun = times.get("config.yaml", times.get("settings.json", place.path.stat().st_mtime))
    made = _run(folder) if folder.kind == "run" else _evaluation(folder)
    finished = ("report.json" if folder.kind == "run" else "results.json") in times
    # Of what is finished the report is what came last: a page or picture may be made again at any time.
    ends = [times[name] for name in ("report.json", "results.json") if finished and name in times]
    written = [seconds for name, seconds in times.items() if name == "metrics.jsonl" or name.startswith("episodes/")]
    last = "last step" if "metrics.jsonl" in times and made.get("step") else "last episode" if written else "started"
    return Row(
        visible(place.name, 80),
        place.address,
        folder.kind,
        finished=finished,
        begun=begun,
        changed=max(ends or written or [begun]),
        last=last,
        notes=tuple(_first_line(note) for note in folder.notes),
        **made,
    )


def broken_row(place: Place, reason: object) -> Row:
    """The line of a run that cannot be read at all."""
    return Row(visible(place.name, 80), place.address, notes=(_first_line(reason),), broken=True)


def render_gallery(root: Path, rows: Sequence[Row], now: float, tensorboard: str = "", note: str = "") -> str:
    """The table as HTML, newest runs first.

    Args:
        now: Seconds since 1970.
        tensorboard: Where TensorBoard is, if anywhere.
        note: What there is to say of the folder itself.
    """
    states = [row.state(now) for row in rows]
    counts = {state: states.count(state) for state in ("running", "quiet", "finished", "unreadable")}
    return document(
        "gallery.html.jinja",
        styles=("page.css", "gallery.css"),
        scripts=("gallery.js",),
        allowed="connect-src 'self'",  # to ask whether the server is there before loading the page again
        root=visible(root, 200),
        rows=sorted(rows, key=lambda row: (-row.begun, row.name)),
        counts={state: count for state, count in counts.items() if count},
        now=now,
        quiet=round(QUIET / 60),
        tensorboard=tensorboard,
        note=note,
    )


def _run(folder: Folder) -> dict[str, Any]:
    setting = folder.setting
    named = [setting("env.id"), setting("algorithm.family")]
    done = next((line["step"] for line in reversed(folder.metrics)), None)
    asked = number(folder.report.get("steps")) or number(setting("optimizer.steps"))
    return {
        "about": visible(" · ".join(str(each) for each in named if each), 120),
        "step": done,
        "steps": None if asked is None else int(asked),
        "latest": _latest(folder.metrics),
        **_gain(folder.report),
    }


def _latest(metrics: Sequence[Mapping[str, Any]]) -> Score | None:
    for name in ("validation", "reward"):
        for line in reversed(metrics):
            if (value := number(line.get(name))) is not None:
                return Score(f"{value:.3g}", f"{name}, step {line['step']}")
    return None


def _gain(report: Mapping[str, Any]) -> dict[str, Any]:
    rows = usable_rows(report.get("rows"))
    tested = before_and_after(rows)
    if tested is None:
        return {}
    before, after = tested
    known = {"rows": rows, "paired_differences": usable_differences(report.get("paired_differences"))}
    found = next((each for each in differences(known) if each.decoding == after["decoding"]), None)
    gain = {} if found is None else {"gain": Score(found.change, found.interval), "verdict": found.verdict}
    return {"before": _score(before), "after": _score(after), **gain}


def _evaluation(folder: Folder) -> dict[str, Any]:
    rows = usable_rows(folder.report.get("rows"))
    played = next((row for row in rows if row["name"] not in POLICIES), rows[0] if rows else None)
    checkpoints = mapping(folder.config.get("checkpoints"))
    about = [played["name"], played["env_id"]] if played else [*checkpoints][:1]
    return {
        "about": visible(" · ".join(str(each) for each in about if each), 120),
        "after": None if played is None else _score(played),
    }


def _score(row: Mapping[str, Any]) -> Score:
    value, low, high = (mean(row[key], row["metric"]) for key in ("value", "low", "high"))
    return Score(value, f"{low} to {high}")


def _first_line(reason: object) -> str:
    """What went wrong; where exactly, the run's page says."""
    return visible(str(reason).partition(visible("\n"))[0].partition("\n")[0], 200)


def _ago(seconds: float) -> str:
    seconds = max(0.0, seconds)  # a clock elsewhere may be ahead
    if seconds < 2 * 86400:
        return f"{duration(round(seconds)).replace('.0 s', ' s')} ago"
    return f"{seconds // 86400:.0f} days ago"
