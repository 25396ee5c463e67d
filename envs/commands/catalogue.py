"""python -m envs catalogue [--check]: envs/README.md and its pictures, written from the environments' cards."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from .. import CATALOGUE
from . import baselines, cards, sheet
from .samples import prepared
from .terminal import out

FOLDER = Path(__file__).resolve().parent.parent
README = FOLDER / "README.md"
PICTURES = FOLDER / "catalogue"
MAX_BYTES = 600_000  # of all pictures together

PREFACE = """<!-- Written by `python -m envs catalogue` from the class docstrings and baselines.json. Change those. -->

# Environments

Gymnasium environments whose observation is `{"text": str, "images": tuple of uint8 (H, W, 3)}` and whose action is one
whole turn of a model as text.

```python
import gymnasium

env = gymnasium.make("envs:RLLaVA/Counting-v0", split="test")
observation, info = env.reset(seed=0)
observation, reward, terminated, truncated, info = env.step("<think>two, I think</think><answer>2</answer>")
```

Procedural environments need nothing from the network and never run out of tasks. Published ones play a data set that
you bring: `data=` takes a folder or a file in the published format, or a hub name; without it the published hub name
is read. What is missing is said with what to fetch and where to put it.

    python -m envs list                              the catalogue
    python -m envs check --all                       hold every environment to the contract
    python -m envs play ID                           be the policy
    python -m envs baselines ID                      what guessing scores
    python -m envs score SUITE PREDICTIONS           score predictions in a benchmark's published format

Baselines are means of the primary metric over test tasks in percent, with 95% bootstrap intervals: the expert
(`solve()`), one constant answer, a random one, and the best guess from the question alone.
"""

SAMPLE_NOTE = "The pictures show a synthetic sample in the published format, not the published data."


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "catalogue", help="write envs/README.md and its pictures from the environments' cards"
    )
    command.add_argument("--check", action="store_true", help="only say what is out of date; exit status 1 if anything")
    return command


def run(given: argparse.Namespace) -> int:
    """Write, or check; the exit status."""
    if given.check:
        stale = problems()
        for problem in stale:
            out.print(escape(problem))
        if stale:
            out.print("run `python -m envs catalogue`")
        else:
            out.print(f"{README.name} and its pictures are up to date")
        return 1 if stale else 0
    PICTURES.mkdir(exist_ok=True)
    for path in PICTURES.glob("*.png"):
        path.unlink()
    for env_id in track(CATALOGUE, "pictures", console=Console(stderr=True), transient=True):
        with prepared(env_id, {}) as made:
            sheet.draw(env_id, made.kwargs).save(picture_of(env_id), optimize=True)
    README.write_text(text(), "utf-8")
    size = sum(path.stat().st_size for path in PICTURES.glob("*.png"))
    out.print(f"wrote {README} and {len(CATALOGUE)} pictures, {size / 1000:.0f} kB of at most {MAX_BYTES / 1000:.0f}")
    return 0


def problems() -> list[str]:
    """What is out of date, a sentence each."""
    found = [
        f"{env_id}: the card lacks {lack}" for env_id in CATALOGUE for lack in cards.missing(cards.card_of(env_id))
    ]
    if not README.is_file() or README.read_text("utf-8") != text():
        found.append(f"{README.name} is not what the cards and baselines.json give")
    wanted = {picture_of(env_id) for env_id in CATALOGUE}
    there = set(PICTURES.glob("*.png"))
    found += [f"the picture {path.name} is missing" for path in sorted(wanted - there)]
    found += [f"the picture {path.name} belongs to no environment" for path in sorted(there - wanted)]
    return found


def picture_of(env_id: str) -> Path:
    """Where the contact sheet of an environment is."""
    return PICTURES / f"{_slug(env_id)}.png"


def text() -> str:
    """The whole README."""
    figures = baselines.read()
    lines = [
        "| environment | what it asks | data | expert | constant | random | blind |",
        "|---|---|---|---|---|---|---|",
    ]
    parts = []
    for env_id, entry in CATALOGUE.items():
        scores = figures.get(env_id, {}).get("scores", {})
        cells = " | ".join(_short(scores.get(row)) for row in baselines.ROWS)
        origin = "published" if entry.sample else "procedural"
        lines.append(f"| [{_name(env_id)}](#{_name(env_id).lower()}) | {entry.line} | {origin} | {cells} |")
        parts.append(_section(env_id, figures.get(env_id)))
    return PREFACE + "\n" + "\n".join(lines) + "\n\n" + "\n".join(parts)


def _section(env_id: str, figures: dict[str, Any] | None) -> str:
    entry, card = CATALOGUE[env_id], cards.card_of(env_id)
    parts = [f"## {_name(env_id)}", f"`{env_id}`: {entry.line}"]
    if entry.kwargs:
        parts.append(f"The same class as {_siblings(env_id)}, with `{json.dumps(dict(entry.kwargs))}`.")
    parts.append(f"![Episodes of {_name(env_id)}: picture, question, answer](catalogue/{picture_of(env_id).name})")
    if entry.sample:
        parts.append(SAMPLE_NOTE)
    parts.append(_figures(figures))
    first = next(other for other, e in CATALOGUE.items() if e.entry_point == entry.entry_point)
    if first == env_id:
        parts.append(cards.markdown(card))
    else:
        parts.append(f"Its card is that of [{_name(first)}](#{_name(first).lower()}).")
    return "\n\n".join(parts) + "\n"


def _siblings(env_id: str) -> str:
    entry = CATALOGUE[env_id]
    others = [other for other, e in CATALOGUE.items() if e.entry_point == entry.entry_point and other != env_id]
    return ", ".join(f"`{other}`" for other in others) or f"`{entry.entry_point}`"


def _figures(figures: dict[str, Any] | None) -> str:
    if figures is None:
        return "Baselines: `python -m envs baselines` tells them for data that you bring."
    kwargs = f", with `{json.dumps(figures['kwargs'])}`" if figures["kwargs"] else ""
    head = f"| {figures['metric'].replace('_', ' ')}, {figures['episodes']} test tasks{kwargs} | percent |\n|---|---|"
    names = {"oracle": "expert, `solve()`", "constant": "constant", "random": "random", "blind": "blind"}
    rows = [f"| {names[row]} | {baselines.percent(figures['scores'][row])} |" for row in baselines.ROWS]
    return "\n".join([head, *rows])


def _short(score: dict[str, float] | None) -> str:
    return "" if score is None else f"{100 * score['value']:.1f}"


def _name(env_id: str) -> str:
    return env_id.rsplit("/", 1)[-1]


def _slug(env_id: str) -> str:
    return _name(env_id).lower()
