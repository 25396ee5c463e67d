"""From a model's text to an action: one parser, total and linear.

Any string gives an `Action` or a `Malformed` that says what was wrong; nothing raises and nothing backtracks. Two
notions are kept apart:

strict   `Action.well_formed`: optional blanks around exactly `<think>...</think>` and then `<VERB>...</VERB>`, nothing
         else, no tag inside the thought. This earns the format score.
lenient  exactly one complete `<VERB>...</VERB>` outside the thought. This is enough to act: a missing thought or text
         outside the tags costs the format score only. Two answers are no answer, or hedging would pay.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

VERBS = ("answer", "search", "code", "problem")


@dataclass(frozen=True)
class Action:
    """What the model did. `content` is the raw text between the verb's tags, `thought` that between think's, if any;
    `problems` lists every breach of the strict form, in plain words."""

    verb: str
    content: str
    thought: str | None
    problems: tuple[str, ...] = ()

    @property
    def well_formed(self) -> bool:
        """Whether the text had the strict form."""
        return not self.problems


@dataclass(frozen=True)
class Malformed:
    """The text holds no action. `message` says what was wrong and what to write, fit to be shown to the model."""

    message: str
    well_formed = False


class _Tag(NamedTuple):
    start: int
    end: int
    name: str
    closing: bool


def parse(text: str, verbs: tuple[str, ...] = ("answer",)) -> Action | Malformed:
    """Read one assistant turn. Only `<think>` and the given verbs are tags; everything else is text."""
    names = "|".join(("think", *verbs))
    tags = [_Tag(m.start(), m.end(), m[2], bool(m[1])) for m in re.finditer(f"<(/?)({names})>", text)]
    closers = _next_closers(tags)
    wanted = " or ".join(f"<{verb}>...</{verb}>" for verb in verbs)

    thoughts: list[str] = []
    acts: list[tuple[str, str]] = []
    unclosed: list[str] = []
    problems: list[str] = []
    reopened = ""
    behind, i = 0, 0  # where the last element ended, and the tag to look at
    while i < len(tags):
        tag, closer = tags[i], closers[i]
        if tag.closing:
            if tag.name == "think" and not thoughts and not acts:
                # Some chat templates write the opening tag into the prompt: what came before is the thought.
                thoughts.append(text[behind : tag.start])
                behind = tag.end
            problems.append(f"</{tag.name}> closes nothing")
            i += 1
            continue
        if closer is None:
            problems.append(f"<{tag.name}> is never closed")
            if tag.name != "think":
                unclosed.append(tag.name)
            i += 1
            continue
        if text[behind : tag.start].strip():
            problems.append(f"there is text before <{tag.name}>, outside the tags")
        content, behind = text[tag.end : tags[closer].start], tags[closer].end
        inside = {tags[k].name for k in range(i + 1, closer)}
        if tag.name == "think":
            thoughts.append(content)
            if inside:
                problems.append("there are tags inside <think>")
            if acts:
                problems.append(f"<think> comes after <{acts[0][0]}>")
        else:
            acts.append((tag.name, content))
            if any(tags[k].name == tag.name for k in range(i + 1, closer)):
                reopened = tag.name
        i = closer + 1
    if text[behind:].strip():
        problems.append("there is text after the last tag")
    if not thoughts:
        problems.append("<think>...</think> is missing")
    if len(thoughts) > 1:
        problems.append("there is more than one <think>")

    if not text.strip():
        return Malformed(f"The text is empty. Write <think>...</think> and then {wanted}.")
    if reopened:
        return Malformed(f"<{reopened}> was opened again before it was closed. Write exactly one {wanted}.")
    if len(acts) + len(unclosed) > 1:
        return Malformed(f"There are {len(acts) + len(unclosed)} actions in one turn. Write exactly one {wanted}.")
    if unclosed:
        return Malformed(f"<{unclosed[0]}> was opened but never closed. End it with </{unclosed[0]}>.")
    if not acts:
        return Malformed(f"There is no {wanted} outside <think>. Write exactly one.")
    verb, content = acts[0]
    if not content.strip():
        return Malformed(f"<{verb}> is empty. Write something between <{verb}> and </{verb}>.")
    return Action(verb, content, thoughts[0] if thoughts else None, tuple(dict.fromkeys(problems)))


def say(thought: str, verb: str, content: str) -> str:
    """The strict form: what `parse` reads as this action without a problem, as experts and baselines say it."""
    return f"<think>{thought}</think><{verb}>{content}</{verb}>"


def say_answer(thought: str, answer: str) -> str:
    """`say` with the verb "answer"."""
    return say(thought, "answer", answer)


def _next_closers(tags: list[_Tag]) -> list[int | None]:
    """For every tag, the index of the next closing tag of its name, or None. One pass from the end: linear."""
    nearest: dict[str, int] = {}
    found: list[int | None] = [None] * len(tags)
    for i in range(len(tags) - 1, -1, -1):
        found[i] = nearest.get(tags[i].name)
        if tags[i].closing:
            nearest[tags[i].name] = i
    return found
