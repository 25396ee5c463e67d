"""Fields that a server takes, and fields that it turns out not to take."""

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agent.chat.fake import Answer
from agent.errors import ConfigError, ContextOverflow

NEW = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
KNOWN = {"model", "messages", "temperature", "max_tokens", "seed"}


@pytest.mark.parametrize("owner", ["vllm", "sglang"])
def test_open_servers_keep_special_tokens_and_sample_plainly(owner: str, serve: Any, client: Any, say: Any) -> None:
    server = serve("<|box_start|>(1,2),(3,4)<|box_end|><|im_end|>", owned_by=owner)
    assert say(client(server)).text == "<|box_start|>(1,2),(3,4)<|box_end|>"
    (body,) = server.bodies
    assert body["skip_special_tokens"] is False
    assert (body["top_p"], body["top_k"], body["min_p"], body["repetition_penalty"]) == (1.0, -1, 0.0, 1.0)
    say(client(server, extra={"top_k": 5, "skip_special_tokens": True}))
    assert (server.bodies[-1]["top_k"], server.bodies[-1]["skip_special_tokens"]) == (5, True)


@pytest.mark.parametrize("owner", ["openai", "system", "", "vllm-ish"])
def test_hosted_servers_get_no_field_that_they_do_not_know_and_keep_their_words(
    owner: str, serve: Any, client: Any, say: Any
) -> None:
    server = serve("4<|im_end|>", owned_by=owner)
    assert say(client(server)).text == "4<|im_end|>"
    assert server.bodies[0].keys() == KNOWN


@pytest.mark.parametrize(
    ("text", "reason", "left"),
    [
        ("4</s>", "stop", "4"),
        ("4", "stop", "4"),
        ("</s> 4", "stop", "</s> 4"),
        ("4<|im_end|><|im_end|>", "stop", "4<|im_end|>"),
        ("4<|im_end|>", "length", "4<|im_end|>"),
    ],
)
def test_the_end_token_is_taken_off_only_where_it_ends_a_turn(text: str, reason: str, left: str, ask: Any) -> None:
    assert ask(Answer(text, finish_reason=reason), owned_by="vllm").text == left


def test_a_server_that_wants_another_name_for_the_limit_gets_it_from_then_on(
    serve: Any, client: Any, say: Any, error: Any
) -> None:
    def refuses(body: dict[str, Any]) -> Answer | None:
        if "max_tokens" in body:
            return error(400, NEW, param="max_tokens", code="unsupported_parameter")
        return None

    server = serve("a", refuses=refuses)
    chat = client(server, retries=0)
    assert [say(chat).tries, say(chat).tries] == [2, 1]
    assert [body.get("max_completion_tokens") for body in server.bodies] == [None, 9, 9]


@pytest.mark.parametrize(
    "refusal",
    [
        Answer(status=400, body={"error": {"message": "Unrecognized request argument supplied: seed"}}),
        Answer(status=400, body={"error": {"message": "no", "param": "seed", "code": "unsupported_parameter"}}),
        Answer(status=422, body={"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra"}]}),
    ],
)
def test_a_server_that_takes_no_seed_gets_none_from_then_on_and_it_is_said_once(
    refusal: Answer, serve: Any, client: Any, say: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve("a", refuses=lambda body: refusal if "seed" in body else None)
    chat = client(server, retries=0)
    with caplog.at_level(logging.WARNING):
        assert [say(chat).tries, say(chat).tries] == [2, 1]
    assert ["seed" in body for body in server.bodies] == [True, False, False]
    assert caplog.text.count("takes no seed") == 1


def test_both_are_learned_and_by_many_at_once(serve: Any, client: Any, say: Any, error: Any) -> None:
    def refuses(body: dict[str, Any]) -> Answer | None:
        if "max_tokens" in body:
            return error(400, NEW)
        return error(400, "Unknown parameter: 'seed'.") if "seed" in body else None

    server = serve("a", refuses=refuses, delay=0.05)
    chat = client(server, retries=0)
    with ThreadPoolExecutor(16) as threads:
        replies = list(threads.map(lambda _: say(chat), range(16)))
    assert {reply.text for reply in replies} == {"a"} and max(reply.tries for reply in replies) == 3
    assert server.bodies[-1].keys() == KNOWN - {"max_tokens", "seed"} | {"max_completion_tokens"}


def test_a_server_that_goes_on_refusing_ends_the_evaluation(serve: Any, client: Any, say: Any, error: Any) -> None:
    server = serve("a", refuses=lambda body: error(400, "Unknown parameter: 'seed'."))
    with pytest.raises(ConfigError, match=r"Unknown parameter: 'seed'\."):
        say(client(server))
    assert len(server.bodies) == 2


def test_an_answer_that_may_be_too_long_is_no_question_of_names(serve: Any, client: Any, say: Any, error: Any) -> None:
    words = "max_tokens is too large: 9. This model supports at most 8 completion tokens."
    server = serve("a", refuses=lambda body: error(400, words, param="max_tokens", code="integer_above_max_value"))
    with pytest.raises(ConfigError, match="at most 8 completion tokens"):
        say(client(server))
    assert len(server.bodies) == 1


def test_a_context_that_is_too_long_is_no_question_of_names_though_it_names_both(
    serve: Any, client: Any, say: Any, error: Any
) -> None:
    words = "'max_tokens' or 'max_completion_tokens' is too large: 9. This model's maximum context length is 8 tokens"
    server = serve("a", refuses=lambda body: error(400, words, param="max_tokens"))
    with pytest.raises(ContextOverflow):
        say(client(server))
    assert len(server.bodies) == 1
