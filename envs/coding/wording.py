"""What is asked, and how to answer it."""

from __future__ import annotations

from collections.abc import Sequence

from .episode import LABELS

_WAYS = {
    "files": "a Python program in <code>```python ... ```</code> that reads the picture from path_to_input_image.jpg "
    "and writes a better one to path_to_output_image.jpg, which is then the picture",
    "short": "a Python program in <code> </code> that reads the picture from in.png and writes a better one to "
    "out.png, which is then the picture (OpenCV is there)",
}
_PROTOCOL = (
    "The picture may be spoilt. You have {turns} turns. In each one write your thoughts in <think> </think> and then "
    "one of these: what is wrong, as in <problem> {{'rotation90', 'dark'}} </problem>, out of {labels}; {way}; or the "
    "answer as it is printed, in <answer> </answer>."
)
_DIRECT = "Output the thinking process in <think> </think> and the answer as it is printed in <answer> </answer>."


def asked(ask: str, question: str, box: Sequence[int] | None, instructions: str, program: str, turns: int) -> str:
    """The text of the first observation.

    box: what to crop, in thousandths of width and height. turns: with tools; 0: without.
    """
    if ask == "read":
        short, text = "Read.", "Read all that is printed, line by line, with commas between."
    elif ask == "name":
        short = "Name."
        text = f"What is wrong with the picture? Name it, with commas between, out of {', '.join(LABELS)}."
    else:
        text = short = question
        if box:
            where = f"within [{', '.join(map(str, box))}] of the image"
            short = f"{text[:-1]}, {where}?"
            text = f"{short} The coordinates run from 0 to 1000 over its width and height."
    if instructions == "short":
        return short
    if not turns:
        return f"{text} {_DIRECT}"
    return f"{text} {_PROTOCOL.format(turns=turns, labels=', '.join(LABELS), way=_WAYS[program])}"
