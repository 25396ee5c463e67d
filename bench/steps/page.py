"""bench/README.md: everything that results.json holds, as tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from .rows import Results, Row

TITLES = {
    "step": "Whole steps",
    "update": "The update alone",
    "rollout": "Generation alone",
    "gpu": "Two billion parameters on a GPU",
    "agreement": "What is compared is equal work",
    "elsewhere": "Figures of the other benches",
}
TOLD = {
    "step": "A tiny Qwen2-VL of 1.28 million parameters with random weights, 8 prompts x 8 siblings, 32 new tokens, "
    "one picture a prompt, all different; float32. Ours is `agent.train.train` with its defaults over an environment "
    "of one turn whose reward is a hash of what was said, so that every group has a gradient. TRL has the same folder, "
    "worlds, rewards and sampling, no gradient checkpointing, no reference model, and of two sizes of micro-batches "
    "the faster; ours have as many tokens in a micro-batch, and glibc's malloc as our trainer sets it. *sharing: "
    "none*: ours with that option, whose updates run whole rows and whose rollouts run every sibling's prompt.",
    "update": "Without the optimizer's step. Both ways give the same gradient.",
    "rollout": "Nobody may end a turn, so that both ways draw equally many tokens.",
    "gpu": "A Qwen2-VL in the shape of the published 2B one with random weights, bfloat16; seconds by the clock, "
    'memory of the GPU; otherwise as above. `make bench ARGS="--device cuda"`.',
    "agreement": "Asked before anything is timed; where it does not hold nothing is.",
    "elsewhere": "Taken over from their own files, each with its own commit; the pages beside this one say more.",
}
HEAD = """\
# How fast it is, and how that is measured

`make bench` measures everything but the last table, on one thread, in seconds of processor time of the whole process:
each figure is the median over rounds of the medians of a process of its own, in rounds in which all ways take turns.
Memory is the peak above what the process had when the model was loaded. *Ratio*: how many times better ours is;
*operations*: what it would be if matrix products alone counted (`bench/steps/counted.py`); *range*: of the ratio over
the rounds. Rows that were not measured again keep their commit.

`make bench ARGS="--only NAME..."` takes names of rows or of kinds (`agreement`, `steps`, `updates`, `rollouts`,
`curves`, `borrowed`); `--rounds N`; `--quick` shows in minutes that it runs, and writes nothing here unless `--out`
says where. `make bench-profile` says where the time of a step goes: [profile.md](profile.md).
"""


def page(results: Results, pictures: Sequence[str] = ()) -> str:
    """The whole page; pictures: paths of the curves, from the page."""
    lines = [HEAD, f"Last run: commit {results.commit} on {results.machine}.", ""]
    for kind, title in TITLES.items():
        rows = [row for row in results.rows if row.kind == kind]
        if rows:
            lines += [f"## {title}", "", TOLD[kind], "", *table(rows, results), ""]
    if pictures:
        curves = results.curves
        lines += [
            "## Over sizes",
            "",
            f"At commit {curves['commit']} on {curves['machine']}. One size moves; the others stay at 224 pixels, 8 "
            "siblings, 32 tokens and one turn. At each size TRL has the faster of its two sizes of micro-batches, and "
            "ours are as large: where memory leaps, all rows at once began or ceased to be the faster.",
            "",
            *(f"![{Path(name).stem}]({name})\n" for name in pictures),
        ]
    return "\n".join(lines).rstrip() + "\n"


Column = tuple[str, Callable[[Row], str]]


def table(rows: Sequence[Row], results: Results) -> list[str]:
    """Lines of a table, without the columns that are empty in all rows; notes follow."""
    here = (results.commit, results.machine)
    columns: list[Column] = [
        ("what", lambda row: f"`{row.name}`: {row.what}"),
        ("ours", lambda row: f"**{number(row.value)}** {row.unit}"),
        ("baseline", lambda row: "" if row.baseline is None else f"{number(row.baseline)} ({row.against})"),
        ("ratio", lambda row: "" if row.ratio is None else f"**{row.ratio:.2f}**"),
        ("range", lambda row: " to ".join(f"{of:.2f}" for of in row.spread)),
        ("asked for", lambda row: "" if row.floor is None else _demand(row.floor)),
        ("operations", lambda row: "" if row.operations is None else f"{row.operations:.1f}"),
        ("beside", lambda row: "; ".join(f"{name} {number(value)}" for name, value in row.beside.items())),
        ("commit", lambda row: "" if (row.commit, row.machine) == here else f"{row.commit}, {row.machine}"),
    ]
    cells = [[show(row) for _, show in columns] for row in rows]
    kept = [i for i in range(len(columns)) if any(line[i] for line in cells)]
    lines = [
        "| " + " | ".join(columns[i][0] for i in kept) + " |",
        "|---" * len(kept) + "|",
        *("| " + " | ".join(line[i] for i in kept) + " |" for line in cells),
    ]
    notes = [f"- `{row.name}`: {row.note}." for row in rows if row.note]
    return [*lines, *(["", *notes] if notes else [])]


def _demand(floor: float | str) -> str:
    return floor if isinstance(floor, str) else f"at least {floor:g} times"


def number(value: float) -> str:
    """Three or four digits that matter."""
    if value == 0 or abs(value) < 1e-3:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
