"""What the page says of a folder before any trajectory: results, time, settings, curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import yaml

from .curve import curve_in_words
from .folders import Folder
from .results import differences, duration, mean, phases, result_tables, usable_differences, usable_rows
from .series import series
from .tokens import visible
from .transcripts import mapping, number

CONFIG_LINES = 600


def overview(folder: Folder) -> dict[str, Any]:
    """Everything of a folder but its trajectories, as plain data."""
    report = folder.report
    rows = usable_rows(report.get("rows"))
    known = {"rows": rows, "paired_differences": usable_differences(report.get("paired_differences"))}
    spent = {visible(name, 60): value for name, value in _seconds(report.get("phases")).items()}
    total = number(report.get("seconds")) or sum(spent.values())
    return {
        "title": folder.title,
        "kind": folder.kind,
        "finished": "rows" in report,
        "headline": _headline(known),
        "facts": _facts(folder),
        "versions": [[visible(name, 60), visible(value, 80)] for name, value in folder.versions.items()],
        "config": _config(folder),
        "tables": [asdict(table) for table in result_tables([*rows, *usable_rows(report.get("measures"))])],
        "differences": [asdict(difference) for difference in differences(known)],
        "seconds": duration(total) if total else "",
        "phases": [asdict(phase) for phase in phases({"phases": spent})],
        "series": series(folder.metrics),
        "words": curve_in_words(folder.metrics),
        "levels": _levels(rows),
        "notes": list(folder.notes),
    }


def _seconds(value: object) -> dict[str, float]:
    found = {str(name): number(seconds) for name, seconds in mapping(value).items()}
    return {name: seconds for name, seconds in found.items() if seconds is not None and seconds >= 0}


def _facts(folder: Folder) -> list[list[str]]:
    def said(template: str, *names: str) -> str:
        values = [folder.setting(name) for name in names]
        return "" if None in values else visible(template.format(*values))

    steps = number(folder.report.get("steps")) or number(folder.setting("optimizer.steps"))
    begun = number(folder.report.get("cold_start_steps"))
    facts = {
        "environment": said("{}", "env.id"),
        "model": said("{}", "model.path") or (said("{}", "model") if isinstance(folder.setting("model"), str) else ""),
        "algorithm": said("{}", "algorithm.family")
        + said(", {} advantages", "algorithm.advantage")
        + said(", {} loss", "algorithm.policy_loss"),
        "control": "rewards were shuffled: nothing can be learned" * bool(folder.setting("algorithm.shuffle_rewards")),
        "cold start": f"{begun:.0f} supervised steps" if begun else "",
        "training": (f"{steps:.0f} steps" if steps is not None else "")
        + said(" of {} tasks x {} siblings", "rollout.prompts_per_step", "rollout.group_size"),
        "episodes": said("{}", "episodes"),
        "seed": said("{}", "run.seed") or said("{}", "seed"),
    }
    return [[name, value] for name, value in facts.items() if value]


def _config(folder: Folder) -> str:
    if not folder.config:
        return ""
    lines = yaml.safe_dump(dict(folder.config), sort_keys=False, allow_unicode=True).splitlines()
    shown = [visible(line) for line in lines[:CONFIG_LINES]]
    return "\n".join(shown + ["… (shortened)"] * (len(lines) > CONFIG_LINES))


def _headline(report: Mapping[str, Any]) -> dict[str, str] | None:
    """What a run comes down to: the metric before and after."""
    tested = before_and_after(report["rows"])
    if tested is None:
        return None
    before, after = tested
    decoding = after["decoding"]
    was, became = (mean(row["value"], row["metric"]) for row in (before, after))
    verdict = next((d.verdict for d in differences(report) if d.decoding == decoding), "unclear")
    return {
        "metric": visible(after["metric"]),
        "decoding": visible(decoding),
        "before": was,
        "after": became,
        "verdict": verdict,
    }


def before_and_after(rows: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """The rows of the model before and after reinforcement learning, greedy ones where there are any."""
    named = {(row["name"], row["decoding"]): row for row in rows}
    decodings = [decoding for name, decoding in named if name == "after" and ("before", decoding) in named]
    if not decodings:
        return None
    decoding = "greedy" if "greedy" in decodings else decodings[0]
    return named["before", decoding], named["after", decoding]


def _levels(rows: list[Mapping[str, Any]]) -> list[list[Any]]:
    """Scores that the curve of the reward is seen against: the best baseline's, the expert's."""
    told = [row for row in rows if number(row["value"]) is not None]
    baselines = [row for row in told if row["name"] in ("constant", "random", "blind")]
    best = [max(baselines, key=lambda row: row["value"])] if baselines else []
    experts = [row for row in told if row["name"] == "oracle"][:1]
    return [
        *[[f"best baseline ({visible(row['name'], 40)})", row["value"]] for row in best],
        *[["expert", row["value"]] for row in experts],
    ]
