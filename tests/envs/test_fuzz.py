"""Whatever a model may write, no environment raises, and no score leaves [0, 1].

`ENVS_FUZZ_CASES` says how many texts each environment is given; `make verify-environments` gives 10,000.
"""

import os
from typing import Any

import gymnasium
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from envs import CATALOGUE
from envs.commands.samples import prepared

CASES = int(os.environ.get("ENVS_FUZZ_CASES", "100"))

ANYTHING = st.text(st.characters(), max_size=80)  # lone surrogates too
TAGS = [
    f"<{slash}{name}>"
    for name in ("think", "answer", "search", "code", "problem", "information")
    for slash in ("", "/")
]
FRAGMENTS = [
    *TAGS,
    *(
        "<|im_end|>",
        "<|box_start|>",
        "<image>",
        "<answer",
        "answer>",
        "<ANSWER>",
        "< answer >",
        "```python\n",
        "```",
        "\n",
        " ",
    ),
    *(
        "yes",
        "No",
        "4",
        "-4.5",
        "1e999",
        "nan",
        "\u0664",
        "\u00bd",
        "9" * 60,
        "0x10",
        "red 2, blue 1",
        "{'blur', 'dark'}",
    ),
]
SOUP = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=6), max_size=14).map("".join)

NUMBER = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(repr),
    st.integers(-5, 1200).map(str),
    st.sampled_from(["", "+7", "007", "1,000", "1/2", "\u0667", "\u2163", "1_000", "١٢", "inf", "--3", "3.", ".5"]),
)
BOX = st.tuples(NUMBER, NUMBER, NUMBER, NUMBER, st.sampled_from([
    "[{}, {}, {}, {}]", "({},{}),({},{})", '{{"bbox_2d": [{}, {}, {}, {}]}}', "<|box_start|>({},{}),({},{})<|box_end|>",
    "[[{}, {}, {}, {}]]", "[{} {} {} {}]", "x1={} y1={} x2={} y2={}",
])).map(lambda parts: parts[4].format(*parts[:4]))  # fmt: skip
LATEX = st.recursive(
    NUMBER
    | st.sampled_from(["x", "\\pi", "\\alpha", "30^\\circ", "\\infty", "\\text{cm}", "50\\%", "e", "i", "\\degree"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda p: "\\frac{" + p[0] + "}{" + p[1] + "}"),
        inner.map(lambda p: "\\sqrt{" + p + "}"),
        inner.map(lambda p: "\\sqrt[3]{" + p),
        inner.map(lambda p: "\\boxed{" + p + "}"),
        st.tuples(inner, st.sampled_from(["+", "-", "\\times", "=", ",", "/", "\\pm", "<"]), inner).map(" ".join),
    ),
    max_leaves=4,
)
STATEMENTS = [
    "import cv2, numpy as np",
    "img = cv2.imread('path_to_input_image.jpg')",
    "img = cv2.rotate(img, cv2.ROTATE_90_CLOCKWISE)",
    "img = img[10:20, 5:50]",
    "img = img[0:0]",
    "cv2.imwrite('path_to_output_image.jpg', img)",
    "open('path_to_output_image.jpg', 'wb').write(b'no picture')",
    "print('x' * 100000)",
    "print('\\ud800')",
    "raise SystemExit(3)",
    "import os; os._exit(0)",
    "1 / 0",
    "def f(:",
    "\x00",
]
CODE = st.lists(st.sampled_from(STATEMENTS), max_size=4).map(lambda lines: "```python\n" + "\n".join(lines) + "\n```")
CONTENT = st.one_of(ANYTHING, NUMBER, BOX, LATEX, st.sampled_from(FRAGMENTS))


def said(verb: str, content: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(ANYTHING, content).map(lambda p: f"<think>{p[0]}</think>\n<{verb}>{p[1]}</{verb}>")


PLAIN = [
    ANYTHING,
    SOUP,
    LATEX.map(lambda text: f"So it is $\\boxed{{{text}}}$."),
    said("answer", CONTENT),
    said("search", CONTENT),
    said(
        "problem",
        st.lists(st.sampled_from(["'blur'", "'crop'", "'none'", "'nothing'", "}"])).map(", ".join).map("{{{}}}".format),
    ),
]
TEXTS = st.one_of(*PLAIN)
# A program runs in a process of its own: a case in ten is enough, and all that a run has time for.
WITH_CODE = st.integers(0, 9).flatmap(lambda k: said("code", CODE) if k == 0 else TEXTS)


@pytest.mark.parametrize("env_id", list(CATALOGUE))
def test_no_text_makes_an_environment_raise(env_id: str) -> None:
    with prepared(env_id, {}) as made:
        env = gymnasium.make(env_id, disable_env_checker=True, **made.kwargs)
        base: Any = env.unwrapped
        episodes, over = 0, True

        @settings(
            max_examples=CASES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
        )
        @given(WITH_CODE if "oding" in env_id else TEXTS)
        def play(text: str) -> None:
            nonlocal episodes, over
            if over:
                env.reset(seed=episodes)
                episodes, over = episodes + 1, False
            observation, reward, terminated, truncated, info = env.step(text)
            over = terminated or truncated
            assert env.observation_space.contains(observation)
            assert 0.0 <= reward <= 1.0
            assert all(0.0 <= value <= 1.0 for value in info["metrics"].values())
            assert base.primary_metric in info["metrics"]

        play()
        env.close()
