"""The page of a run: one file that needs no network and runs no script, whatever the transcripts in it say."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .curve import DARK, LIGHT, curve_in_words, draw_learning_curve
from .results import Difference, Phase, ResultTable, differences, duration, mean, phases, result_tables
from .samples import Section, sections
from .tokens import SHADES, Decode, visible

HERE = Path(__file__).parent
CONFIG_LINES = 400


@dataclass(frozen=True)
class Curve:
    """The learning curve, as data: URIs for wide and narrow, light and dark, and in words."""

    wide: str
    wide_dark: str
    narrow: str
    narrow_dark: str
    words: str


@dataclass(frozen=True)
class Headline:
    """What the run comes down to: the metric before and after."""

    metric: str
    decoding: str
    before: str
    after: str
    verdict: str


@dataclass(frozen=True)
class Page:
    """All that the template is given."""

    title: str
    headline: Headline | None
    facts: Mapping[str, str]
    versions: Mapping[str, str]
    config: str
    tables: tuple[ResultTable, ...]
    differences: tuple[Difference, ...]
    seconds: str
    phases: tuple[Phase, ...]
    curve: Curve | None
    sections: tuple[Section, ...]


def render_page(run: Path, metrics: Sequence[Mapping[str, Any]], report: Mapping[str, Any], decode: Decode) -> str:
    """The page as HTML.

    Args:
        run: The run directory: its configuration, evaluations and rollouts are read, whichever there are.
        metrics: The lines of metrics.jsonl.
        report: What report.json holds.
        decode: What token ids say.
    """
    jinja = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = (HERE / "page.css").read_text(encoding="utf-8")
    # Nothing may load or run but this very style sheet and embedded pictures; escaping is the first line of defence,
    # this is the second.
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{_digest(style)}'; base-uri 'none'; form-action 'none'"
    )
    return jinja.get_template("page.html.jinja").render(
        page=_page(run, metrics, report, decode), style=style, policy=policy, shades=SHADES
    )


def _digest(text: str) -> str:
    return b64encode(sha256(text.encode("utf-8")).digest()).decode("ascii")


def _page(run: Path, metrics: Sequence[Mapping[str, Any]], report: Mapping[str, Any], decode: Decode) -> Page:
    path = run / "config.yaml"
    recorded = (yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None) or {}
    config = recorded.get("config") or {}
    lines = yaml.safe_dump(config, sort_keys=False, allow_unicode=True).splitlines() if config else []
    shown = [visible(line) for line in lines[:CONFIG_LINES]] + (["… (shortened)"] if len(lines) > CONFIG_LINES else [])
    return Page(
        title=visible(_setting(config, "run.name") or run.name),
        headline=_headline(report),
        facts=_facts(config, report),
        versions={visible(name): visible(value) for name, value in (recorded.get("versions") or {}).items()},
        config="\n".join(shown),
        tables=result_tables([*report.get("rows", ()), *report.get("measures", ())]),
        differences=differences(report),
        seconds=duration(report.get("seconds", 0.0)),
        phases=phases(report),
        curve=_curve(metrics, report),
        sections=sections(run, decode),
    )


def _setting(config: Mapping[str, Any], name: str) -> Any:
    """A field by its dotted name; None where an older or another configuration has no such field."""
    value: Any = config
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _facts(config: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, str]:
    def said(template: str, *names: str) -> str:
        values = [_setting(config, name) for name in names]
        return "" if None in values else visible(template.format(*values))

    facts = {
        "environment": said("{}", "env.id"),
        "model": said("{}", "model.path"),
        "algorithm": said("{}", "algorithm.family")
        + said(", {} advantages", "algorithm.advantage")
        + said(", {} loss", "algorithm.policy_loss"),
        "control": "rewards were shuffled: nothing can be learned"
        * bool(_setting(config, "algorithm.shuffle_rewards")),
        "training": visible(f"{report['steps']} steps" if "steps" in report else "")
        + said(" of {} tasks x {} siblings", "rollout.prompts_per_step", "rollout.group_size"),
        "seed": said("{}", "run.seed"),
    }
    return {name: value for name, value in facts.items() if value}


def _headline(report: Mapping[str, Any]) -> Headline | None:
    rows = {(row["name"], row["decoding"]): row for row in report.get("rows", ())}
    decodings = [decoding for name, decoding in rows if name == "after" and ("before", decoding) in rows]
    if not decodings:
        return None
    decoding = "greedy" if "greedy" in decodings else decodings[0]
    before, after = rows["before", decoding], rows["after", decoding]
    was, became = (mean(row["value"], row["metric"]) for row in (before, after))
    verdict = next((d.verdict for d in differences(report) if d.decoding == decoding), "unclear")
    return Headline(visible(after["metric"]), visible(decoding), was, became, verdict)


def _curve(metrics: Sequence[Mapping[str, Any]], report: Mapping[str, Any]) -> Curve | None:
    drawings = []
    for size in ((7.5, 4.2), (4.2, 4.6)):
        for theme in (LIGHT, DARK):
            buffer = BytesIO()
            if not draw_learning_curve(metrics, report, buffer, theme, size):
                return None
            drawings.append("data:image/png;base64," + b64encode(buffer.getvalue()).decode("ascii"))
    wide, wide_dark, narrow, narrow_dark = drawings
    return Curve(wide, wide_dark, narrow, narrow_dark, curve_in_words(metrics))
