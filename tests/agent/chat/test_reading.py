"""From what a server answers to what a model said."""

import logging
from typing import Any

import pytest

from agent.chat.fake import Answer
from agent.errors import ConfigError


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("stop", "stop"),
        ("eos_token", "stop"),
        ("length", "length"),
        ("MAX_TOKENS", "length"),
        ("content_filter", "stop"),
    ],
)
def test_a_finish_reason_is_stop_or_length(reason: str, expected: str, ask: Any) -> None:
    reply = ask(Answer("some", finish_reason=reason))
    assert (reply.text, reply.stop_reason) == ("some", expected)


def test_an_answer_that_was_withheld_counts_as_the_turn_and_is_said(ask: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert ask(Answer(None, finish_reason="content_filter")).text == ""
    assert "filter withheld an answer" in caplog.text


@pytest.mark.parametrize("answer", [Answer(None, finish_reason="tool_calls"), Answer(message={"tool_calls": [{}]})])
def test_an_answer_that_a_tool_parser_cut_up_ends_the_evaluation(answer: Answer, ask: Any) -> None:
    with pytest.raises(ConfigError, match=r"text is lost\. Start the server without a tool parser"):
        ask(answer)


def test_a_finish_reason_that_nobody_knows_is_named(ask: Any) -> None:
    with pytest.raises(ConfigError, match="a reason that is not known here: 'vanished'"):
        ask(Answer("a", finish_reason="vanished"))


TEXT = {"type": "text", "text": "a"}


@pytest.mark.parametrize(
    ("message", "reason", "text"),
    [
        ({"content": None}, "stop", ""),
        ({"content": "a"}, "stop", "a"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "stop", "ab"),
        ({"content": "a", "reasoning_content": "t"}, "stop", "<think>t</think>a"),
        ({"content": "\n\na", "reasoning_content": "\nt\n"}, "stop", "<think>\nt\n</think>\n\na"),
        ({"content": "a", "reasoning": "t"}, "stop", "<think>t</think>a"),
        ({"content": "a", "reasoning_content": None, "reasoning": None}, "stop", "a"),
        ({"content": None, "reasoning_content": "t"}, "stop", "<think>t</think>"),
        ({"content": None, "reasoning_content": "t"}, "length", "<think>t"),
        ({"content": "a", "reasoning_content": "t"}, "length", "<think>t</think>a"),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "t"}]},
                    {"type": "text", "text": "a"},
                ]
            },
            "stop",
            "<think>t</think>a",
        ),
    ],
)
def test_the_text_is_the_whole_turn(message: dict[str, Any], reason: str, text: str, ask: Any) -> None:
    assert ask(Answer(None, finish_reason=reason, message=message)).text == text


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None, "completion_tokens": "7"}, [1]])
def test_tokens_that_are_not_told_are_none(usage: Any, ask: Any) -> None:
    choice = {"message": {"content": "a"}, "finish_reason": "stop"}
    reply = ask(Answer(body={"choices": [choice], "usage": usage}))
    assert (reply.prompt_tokens, reply.completion_tokens) == (0, 0)
