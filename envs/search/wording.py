"""What is asked, and how to answer it."""

from __future__ import annotations

_PROTOCOL = (
    "Find out what the picture shows, then look it up. To search, write a few words in <search> </search>; you are "
    "shown passages in <information> </information>. Answer as briefly as possible in <answer> </answer>. Every turn, "
    "think in <think> </think> first, then either search or answer. You have {turns} turns."
)
_THINK = "Output the thinking process in <think> </think> and final answer in <answer> </answer> tags."
_DIRECT = "Answer the question directly. The answer should be very brief."


def asked(ask: str, question: str, instructions: str, tools: bool, turns: int) -> str:
    """The text of the first observation. turns: with searches; 0: without."""
    text = question
    if ask == "describe":
        text = "Describe." if instructions == "short" else "List what there is to see, separated by commas."
    if instructions == "short":
        return text
    return f"{text} {_PROTOCOL.format(turns=turns) if turns else _THINK if tools else _DIRECT}"
