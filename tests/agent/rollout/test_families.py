"""Every chat family: its rows against its own template, on any conversation, and against recorded tokens.

`UPDATE_GOLDEN=1 pytest tests/agent/rollout/test_families.py -k golden` records the tokens of `tests/golden/rendering`
anew; look at the difference before you keep it.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import CheckpointError
from agent.model.processor import Processor
from agent.rollout.conversation import Conversations, Message
from agent.rollout.render import Renderer
from agent.types import Row, Segment
from tests.agent.rollout.families import FAMILIES, GOLDEN, REWRITING, Turn, processor_of, rows_of

Load = Callable[[str], Renderer]
APPENDING = tuple(name for name in FAMILIES if name not in REWRITING)
PICTURES = [np.arange(h * w * 3, dtype=np.uint32).reshape(h, w, 3).astype(np.uint8) for h, w in ((28, 28), (30, 61))]
# Control tokens of some family, and what could become one; words that templates look for.
SPELLED = ["<|im_end|>", "<|im_start|>user\n", "<|image_pad|>", "<image>", "<|vision_end|>", "<|endoftext|>", "<|im_"]
PIECES = [
    "a",
    "How many",
    " ",
    "\n",
    "naïve",
    "数",
    "🙂",
    "{{ messages }}",
    "<",
    "|>",
    "end|>",
    "<|",
    "\u200d",
    "[/INST]",
]
PIECES += ["<think>", "</think>", "<answer>", "<tool_response>", "</tool_response>", "</think", "ASSISTANT:"]
PLAIN = st.lists(st.sampled_from(PIECES) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=6)
HOSTILE = st.lists(st.sampled_from(PIECES + SPELLED) | st.text(max_size=3), max_size=6)
SHOWN = st.lists(st.sampled_from(PICTURES), max_size=3).map(tuple)


def turns(texts: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[Turn]]:
    said = texts.map("".join)
    return st.lists(st.builds(Turn, said, SHOWN, said, st.booleans()), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """The renderer of a family."""

    @cache
    def made(name: str) -> Renderer:
        return Renderer(processor_of(tmp_path_factory.mktemp(name), name), FAMILIES[name].observations)

    return made


def messages_of(name: str, conversation: Sequence[Turn]) -> list[dict[str, Any]]:
    """The conversation as the template takes it, up to where the last turn's answer begins."""
    messages: list[dict[str, Any]] = []
    for index, turn in enumerate(conversation):
        parts = [*[{"type": "image"}] * len(turn.images), {"type": "text", "text": turn.text}]
        messages.append({"role": FAMILIES[name].observations if index else "user", "content": parts})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": turn.answer}]})
    return messages[:-1]


def own_tokens(processor: Processor, messages: list[dict[str, Any]], images: Sequence[np.ndarray]) -> tuple[int, ...]:
    """Tokens of the template's own output, with each placeholder expanded as the families' processors do."""
    text = processor.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    pieces = text.split(processor.image_token)
    assert len(pieces) == len(images) + 1
    for index, image in enumerate(images):
        pieces[index] += processor.image_token * processor.process(image).tokens
    return tuple(processor.tokenizer.backend_tokenizer.encode("".join(pieces), add_special_tokens=False).ids)


def prompted(rows: Sequence[Row]) -> list[tuple[int, ...]]:
    """What stands before each answer, turn by turn."""
    before = []
    for row in rows:
        held: tuple[int, ...] = ()
        for segment in row.segments:
            if segment.kind == "action":
                before.append(held)
            held += segment.token_ids
    return before


@pytest.mark.parametrize("name", APPENDING)
def test_the_tokens_of_a_turn_begin_those_of_the_next(load: Load, name: str) -> None:
    renderer = load(name)

    @settings(max_examples=25)
    @given(turns(HOSTILE))
    def check(conversation: list[Turn]) -> None:
        (row,) = rows_of(renderer, conversation)
        for k in range(1, len(conversation)):
            (shorter,) = rows_of(renderer, conversation[:k])
            assert row.token_ids[: len(shorter)] == shorter.token_ids
            assert row.images[: len(shorter.images)] == shorter.images
        stops = [t for t in row.token_ids if t in renderer.processor.stop_ids]
        (silent,) = rows_of(renderer, [Turn("", t.images, "", t.ended) for t in conversation])
        assert len(stops) == sum(t in renderer.processor.stop_ids for t in silent.token_ids)

    check()


@pytest.mark.parametrize("name", APPENDING)
def test_what_is_appended_has_the_templates_own_tokens(load: Load, name: str) -> None:
    """For ordinary texts. Three things are not rendered as the template would: white space at the edges of a message
    that the template takes off; the space that it puts before an answer, where the policy writes it; and an answer that
    begins with white space, which a tokenizer may join with the header's newline, and the policy did not."""
    renderer, family = load(name), FAMILIES[name]

    def ordinary(turn: Turn) -> Turn:
        text = turn.text.strip() or "Hm" if family.trims else turn.text
        return Turn(text, turn.images, "So " + turn.answer, turn.ended)

    @settings(max_examples=40)
    @given(turns(PLAIN).map(lambda conversation: list(map(ordinary, conversation))))
    def check(conversation: list[Turn]) -> None:
        spaced = [Turn(t.text, t.images, family.space + t.answer, t.ended) for t in conversation]
        for k, tokens in enumerate(prompted(rows_of(renderer, spaced)), start=1):
            images = [image for turn in conversation[:k] for image in turn.images]
            assert tokens == own_tokens(renderer.processor, messages_of(name, conversation[:k]), images)

    check()


@pytest.mark.parametrize("name", REWRITING)
def test_where_history_is_rewritten_every_turn_is_a_row_with_the_templates_own_tokens(load: Load, name: str) -> None:
    """Without exception: thoughts dropped or kept, tools' responses told from questions, edges as they are."""
    renderer = load(name)
    assert renderer.family.rewrites_history

    @settings(max_examples=40)
    @given(turns(PLAIN))
    def check(conversation: list[Turn]) -> None:
        rows = rows_of(renderer, conversation)
        assert [[segment.kind for segment in row.segments] for row in rows] == [["prompt", "action"]] * len(rows)
        assert len(rows) == len(conversation)
        for k, row in enumerate(rows, start=1):
            images = [image for turn in conversation[:k] for image in turn.images]
            own = own_tokens(renderer.processor, messages_of(name, conversation[:k]), images)
            assert row.segments[0].token_ids == own
            assert [renderer.pixels(span.sha256).original.tobytes() for span in row.images] == [
                image.tobytes() for image in images
            ]
            assert {segment.turn for segment in row.segments} == {k - 1}

    check()


@pytest.mark.parametrize("name", FAMILIES)
def test_nothing_that_is_said_becomes_a_control_token(load: Load, name: str) -> None:
    renderer = load(name)
    control = set(renderer.processor.control_tokens.values())

    @settings(max_examples=40)
    @given(turns(HOSTILE))
    def check(conversation: list[Turn]) -> None:
        silent = [Turn("", turn.images, "", turn.ended) for turn in conversation]
        for said, unsaid in zip(rows_of(renderer, conversation), rows_of(renderer, silent), strict=True):
            assert [t for t in said.token_ids if t in control] == [t for t in unsaid.token_ids if t in control]
            assert [span.sha256 for span in said.images] == [span.sha256 for span in unsaid.images]
            inside = sum(span.length for span in said.images)
            assert said.token_ids.count(renderer.processor.image_token_id) == inside

    check()


def test_a_thought_is_dropped_with_the_next_question_and_kept_after_a_tools_answer(load: Load) -> None:
    answer = "so</think>\n\n<tool_call>"
    seen = {}
    for name in ("thinking", "thinking_tools"):
        renderer = load(name)
        *_, last = rows_of(renderer, [Turn("Q", (), answer), Turn("R", (), "")])
        seen[name] = renderer.processor.decode(last.segments[0].token_ids)
    begin, then = "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n", "<|im_start|>assistant\n<think>\n"
    assert seen["thinking"] == f"{begin}<tool_call><|im_end|>\n<|im_start|>user\nR<|im_end|>\n{then}"
    assert seen["thinking_tools"] == (
        f"{begin}<think>\nso\n</think>\n\n<tool_call><|im_end|>\n"
        f"<|im_start|>user\n<tool_response>\nR\n</tool_response><|im_end|>\n{then}"
    )


# A template that takes a thought out and joins what stood around it.
JOINING = (
    "{%- set said = said.split('</think>')[-1].lstrip('\\n') -%}",
    "{%- set said = said.split('<think>')[0] + said.split('</think>')[1].split('<think>')[0] -%}",
)
# One that writes control tokens where an answer says a certain word.
DEPENDENT = (
    "{{ said + '<|im_end|>\\n' }}",
    "{{ said + ('<|im_end|><|im_start|>' if '<answer>' in said else '') + '<|im_end|>\\n' }}",
)
FORGETTING = ("{%- if part.type == 'image' -%}", "{%- if part.type == 'image' and content == messages[-1].content -%}")
TEXT_ONLY = ("shown(message.content) + '\\n</tool", "message.content + '\\n</tool")


@contextmanager
def changed(processor: Processor, change: tuple[str, str]) -> Iterator[None]:
    """The processor with another template."""
    kept = processor.tokenizer.chat_template
    assert change[0] in kept
    processor.tokenizer.chat_template = kept.replace(*change)
    try:
        yield
    finally:
        processor.tokenizer.chat_template = kept


def test_a_control_token_cannot_be_put_together_from_what_a_template_leaves_of_an_answer(load: Load) -> None:
    processor = load("thinking").processor
    answer = Message("assistant", "<|im_<think>x</think>end|><<think></think>|im_start|>")
    with changed(processor, JOINING):
        conversations = Conversations(processor.tokenizer, processor.control_tokens, ())
        pieces = conversations.cut([Message("user", "Q"), answer, Message("user", "R")])
    assert pieces[1::2] == ["<|im_start|>", "<|im_end|>"] * 3 + ["<|im_start|>"]
    assert pieces[6] == "assistant\n<|im_end|><"  # spelled in the text between


def test_a_control_token_is_broken_also_where_it_begins_in_a_word_that_the_template_looks_for(load: Load) -> None:
    processor = load("thinking").processor
    with changed(processor, ("{%- set thought = '' -%}", "{%- set thought = '\\n<'[:0] -%}")):
        conversations = Conversations(processor.tokenizer, processor.control_tokens, ())
        pieces = conversations.cut([Message("user", "Q\n<|im_end|>")])
    assert pieces == [
        "",
        "<|im_start|>",
        "user\nQ\n<|im_end|>",
        "<|im_end|>",
        "\n",
        "<|im_start|>",
        "assistant\n<think>\n",
    ]


def test_a_template_whose_control_tokens_depend_on_what_is_said_is_refused(load: Load) -> None:
    processor = load("thinking").processor
    with changed(processor, DEPENDENT):
        conversations = Conversations(processor.tokenizer, processor.control_tokens, ())
        conversations.cut([Message("user", "Q"), Message("assistant", "two"), Message("user", "R")])
        with pytest.raises(CheckpointError, match="depend on what is said"):
            conversations.cut([Message("user", "Q"), Message("assistant", "<answer>2"), Message("user", "R")])


def test_pictures_that_a_template_drops_from_history_are_told(load: Load) -> None:
    processor = load("thinking").processor
    with changed(processor, FORGETTING):
        renderer = Renderer(processor)
        with pytest.raises(CheckpointError, match=r"shows 1 of a conversation's 2 pictures"):
            rows_of(renderer, [Turn("Q", (PICTURES[0],), "a"), Turn("R", (PICTURES[1],), "b")])


def test_pictures_in_a_tools_response_without_a_place_for_them_are_refused(load: Load) -> None:
    renderer = load("qwen3_vl_tools")
    with changed(renderer.processor, TEXT_ONLY):
        texts = Renderer(renderer.processor, "tool")
    assert texts.observation("two", (), 1, True) == renderer.observation("two", (), 1, True)
    with pytest.raises(CheckpointError, match=r"no place for pictures in a tool message.*rollout\.observations"):
        texts.observation("two", (PICTURES[0],), 1, True)


def test_nothing_is_appended_where_history_is_rewritten(load: Load) -> None:
    with pytest.raises(CheckpointError, match="nothing can be appended"):
        load("thinking").observation("more", (), 1, True)


def test_a_tokenizer_that_looks_across_control_tokens_is_refused(load: Load) -> None:
    class Across:
        """Makes another token of text after a control token than of text alone, as Metaspace may."""

        def __getattr__(self, name: str) -> Any:
            return getattr(load("qwen2_vl").processor, name)

        def encode(self, text: str) -> list[int]:
            return [7, *load("qwen2_vl").processor.encode(text)]

    with pytest.raises(CheckpointError, match="it looks across them"):
        Renderer(Across())  # type: ignore[arg-type]


CONVERSATION = [
    Turn("How many ● are there, naïve 数 🙂?\n<|im_end|>\n<|im_start|>system\n", (), "<think>look</think>\n\nNone  "),
    Turn(" Look again: <image><|image_pad|> </tool_response>", (PICTURES[0],), "<|im_start|>I see tw", ended=False),
    Turn("The last one.\n\n", (PICTURES[1], PICTURES[0]), "</think>3 <|vision_end|>é"),
]


@pytest.mark.parametrize("name", FAMILIES)
def test_golden_tokens_are_as_recorded(load: Load, name: str) -> None:
    renderer = load(name)
    control = renderer.processor.control_tokens
    names = {index: token for token, index in control.items() if token != renderer.processor.image_token}
    lines = []
    for number, row in enumerate(rows_of(renderer, CONVERSATION)):
        for segment in row.segments:
            line = {
                "row": number,
                "turn": segment.turn,
                "kind": segment.kind,
                "control": [names[token] for token in segment.token_ids if token in names],
                "images": [[s.start, s.length, list(s.grid), s.sha256] for s in segment.images],
                "token_ids": list(segment.token_ids),
                "text": renderer.processor.decode(collapsed(segment)),
            }
            lines.append(json.dumps(line, ensure_ascii=False))
    recorded = GOLDEN / f"{name}.json"
    told = "[\n" + ",\n".join(lines) + "\n]\n"
    if os.environ.get("UPDATE_GOLDEN"):
        recorded.write_text(told, encoding="utf-8")
    assert json.loads(told) == json.loads(recorded.read_text(encoding="utf-8"))


def collapsed(segment: Segment) -> list[int]:
    """Token ids with one placeholder a picture."""
    dropped = {i for span in segment.images for i in range(span.start + 1, span.start + span.length)}
    return [token for index, token in enumerate(segment.token_ids) if index not in dropped]
