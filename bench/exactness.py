"""Whether the policy is trained on exactly what it sampled, and saw: random episodes of many turns and pictures.

    python bench/exactness.py [--episodes 1000] [--out FOLDER]

Tiny models of each family play random episodes (tests/agent/exactness/storm.py: up to 8 turns and 8 pictures of
different sizes, hostile Unicode, control tokens spelled out, restarts, limits that cut) through the real driver and
engine at temperature 1. Everything is then compared with what the engine was asked and answered: token ids, masks,
pictures and their tensors exactly, log-probabilities within the bound. Their weights are random, so they say bytes that
are no text: encoding it again would give other tokens nearly always, and that is counted too.

Then faults are planted, one in one row at a time; each must exceed the bound or be refused when the batch is built.
Writes bench/exactness.json and bench/exactness.md, and ends with status 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from made_on import commit, machine
from rich.progress import Progress

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # the random environment and the checks are the tests'

from tests.agent.exactness.faults import NONE, TOLD, Outcome, plant  # noqa: E402
from tests.agent.exactness.play import APPENDING, FAMILIES, SIBLINGS, load, play, waves  # noqa: E402
from tests.agent.exactness.tally import BOUND, Tally  # noqa: E402

SEED = 0
WAVE = 40  # episodes that are played together
FAULTY = 12  # episodes in which each fault is planted


def measure(episodes: int) -> tuple[dict[str, Tally], dict[str, dict[str, Outcome]]]:
    """Tallies and faults of each family."""
    tallies, faults = {}, {}
    with Progress() as progress, tempfile.TemporaryDirectory() as folder:
        bar = progress.add_task("episodes", total=episodes)
        for number, family in enumerate(FAMILIES):
            vlm, tally = load(family, Path(folder) / family), Tally()
            share = episodes // len(FAMILIES) + (number < episodes % len(FAMILIES))
            progress.update(bar, description=family)
            for wave in waves(f"{family} {SEED}", share, WAVE):
                tally.add(play(vlm, wave))
                progress.advance(bar, len(wave.specs))
            tally.end(vlm)
            tallies[family] = tally
            if family in APPENDING:
                progress.update(bar, description=f"{family}, faults")
                faults[family] = plant(vlm, SEED, FAULTY)
    return tallies, faults


def wrong(tallies: dict[str, Tally], faults: dict[str, dict[str, Outcome]]) -> list[str]:
    """What should not be, in words."""
    said = [f"{f}, {check}: {e}" for f, t in tallies.items() for check, found in t.errors.items() for e in found]
    for family, by in faults.items():
        for name, outcome in by.items():
            control = name in (NONE, TOLD)
            if not outcome.tried or outcome.noticed != (0 if control else outcome.tried):
                said.append(f"{family}: {name}: noticed in {outcome.noticed} of {outcome.tried} rows")
    return said


def markdown(found: dict[str, Any], tallies: dict[str, Tally], faults: dict[str, dict[str, Outcome]]) -> str:
    """The page."""

    def line(name: str, cells: list[str]) -> str:
        return f"| {name} | " + " | ".join(cells) + " |"

    def counts(name: str) -> list[str]:
        return [f"{tally.counts[name]:,}" for tally in tallies.values()] + [
            f"{sum(tally.counts[name] for tally in tallies.values()):,}"
        ]

    every = list(tallies.values())
    differ = [(t.counts["differ"], t.counts["turns"]) for t in every]
    differ.append((sum(d for d, _ in differ), sum(n for _, n in differ)))
    header = ["| | " + " | ".join([*tallies, "all"]) + " |", "|---|" + "---|" * (len(tallies) + 1)]
    lines = [
        "# Exactness over many turns",
        "",
        f"`make verify-exactness` at commit {found['commit']} on {found['machine']}, {found['seconds']:.0f} s: random "
        f"episodes in groups of {SIBLINGS} siblings, in rounds and overlapped, at temperature 1 in float32 on one "
        "thread.",
        "",
        *header,
        line("episodes", counts("episodes")),
        line("turns (actions)", counts("turns")),
        line("most turns in an episode", [str(t.most["turns"]) for t in every] + [""]),
        line("context windows (rows)", counts("rows")),
        line("pictures in them", counts("images")),
        line("most pictures in an episode", [str(t.most["images"]) for t in every] + [""]),
        line("pictures processed", counts("processed")),
        line("sampled tokens", counts("tokens")),
        line("turns that the policy ended", counts("stopped")),
    ]
    ends = sorted({end for tally in every for end in tally.ends})
    lines += [line(end, [str(t.ends[end]) for t in every] + [str(sum(t.ends[end] for t in every))]) for end in ends]
    lines += [
        line("actions that encoding again would change", [f"{100 * d / max(1, n):.0f}%" for d, n in differ]),
    ]
    lines += [
        line(
            f"errors: {check}",
            [str(len(t.errors[check])) for t in every] + [str(sum(len(t.errors[check]) for t in every))],
        )
        for check in every[0].errors
    ]
    lines += [
        line("largest gap, nats", [f"{t.largest:.1e}" for t in every] + [f"{max(t.largest for t in every):.1e}"]),
        line("mean gap, nats", [f"{t.mean:.1e}" for t in every] + [""]),
        line(
            "largest gap to transformers itself, nats",
            [f"{t.own_largest:.1e}" for t in every] + [f"{max(t.own_largest for t in every):.1e}"],
        ),
        "",
        f"The gap is that of a sampled token's log-probability between sampler and trainer; the bound is {BOUND:.0e}. "
        "Tokens of a probability below 1e-6 to both are not compared "
        f"({sum(t.counts['rare'] for t in every)} of these). Transformers itself: its own forward pass over each whole "
        "row, without a cache, with positions of its own "
        "making. Trajectories that failed count everywhere but in what is trained. The template of the last model "
        "rewrites earlier turns: each turn is a row of its own, and its prompt is the template's own rendering.",
        "",
        f"Faults, each planted in every row of {FAULTY} episodes in which it can occur, one row at a time: the least "
        "gap that it gave (the largest of the row's tokens). Refused: the batch could not be built.",
        "",
        "| fault | rows | refused | noticed | " + " | ".join(f"least gap, {family}" for family in faults) + " |",
        "|---|---|---|---|" + "---|" * len(faults),
    ]
    for name in next(iter(faults.values())):
        by = [outcomes[name] for outcomes in faults.values()]
        tried, refused, noticed = (sum(getattr(o, what) for o in by) for what in ("tried", "refused", "noticed"))
        # Of the controls the largest gap says more: it must stay below the bound.
        chosen = max if name in (NONE, TOLD) else min
        gaps = [f"{'at most ' if chosen is max else ''}{chosen(o.gaps):.1e}" if o.gaps else "refused" for o in by]
        lines.append(line(name, [str(tried), str(refused), str(noticed), *gaps]))
    return "\n".join(lines) + "\n"


def plain(outcome: Outcome) -> dict[str, Any]:
    """For JSON, which has no infinity."""
    gaps = [gap if math.isfinite(gap) else str(gap) for gap in sorted(outcome.gaps)]
    return {"tried": outcome.tried, "refused": outcome.refused, "noticed": outcome.noticed, "gaps": gaps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=1000, help="over all families together")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    tallies, faults = measure(given.episodes)
    found: dict[str, Any] = {"commit": commit(), "machine": machine(), "seconds": time.perf_counter() - started}
    text = markdown(found, tallies, faults)
    print(text)
    found |= {
        "bound": BOUND,
        "families": {family: vars(tally) | {"mean": tally.mean} for family, tally in tallies.items()},
    }
    found["faults"] = {family: {name: plain(o) for name, o in by.items()} for family, by in faults.items()}
    (given.out / "exactness.md").write_text(text)
    (given.out / "exactness.json").write_text(json.dumps(found, indent=1) + "\n")
    if said := wrong(tallies, faults):
        raise SystemExit("\n".join(said[:20]))


if __name__ == "__main__":
    main()
