"""Finding a model behind a URL, and asking it."""

import json
import logging
import re
from typing import Any

import numpy as np
import pytest

from agent.chat import ChatMessage, ChatOptions, ChatServer, ContextOverflow
from agent.chat.fake import Answer
from agent.errors import ConfigError, ObservationError, OutageError

SECRET = "sk-a-key-that-nobody-may-see-0123456789"


def test_a_conversation_is_sent_as_it_is_and_the_answer_comes_back(serve: Any, client: Any) -> None:
    server = serve("<answer>4</answer>")
    picture = np.full((4, 6, 3), 7, dtype=np.uint8)
    messages = [ChatMessage("user", "one", (picture,)), ChatMessage("assistant", "two"), ChatMessage("user", "three")]
    reply = client(server, extra={"top_p": 0.5}).ask(messages, temperature=0.25, max_tokens=11, seed=2**40 + 5)
    assert (reply.text, reply.stop_reason, reply.tries) == ("<answer>4</answer>", "stop", 1)
    assert reply.prompt_tokens > 0 and reply.completion_tokens == len("<answer>4</answer>")
    (body,) = server.bodies
    first, *others = body.pop("messages")
    assert body == {"model": "fake", "temperature": 0.25, "max_tokens": 11, "seed": 5, "top_p": 0.5}
    assert others == [{"role": "assistant", "content": "two"}, {"role": "user", "content": "three"}]
    assert [part["type"] for part in first["content"]] == ["image_url", "text"]
    assert first["content"][1]["text"] == "one"


def test_the_only_model_is_found_and_one_of_several_must_be_named(serve: Any, client: Any, say: Any) -> None:
    assert client(serve("a", models=["one"])).model == "one"
    several = serve("a", models=["one", "two"])
    with pytest.raises(ConfigError, match=r"serves 2 models: one, two\. Name one: --server\.model"):
        client(several)
    assert say(client(several, model="two")).text == "a" and several.bodies[0]["model"] == "two"
    with pytest.raises(ConfigError, match="serves 0 models: none"):
        client(serve("a", models=[]))


def test_a_model_that_is_not_served_is_answered_with_those_that_are(serve: Any, client: Any, say: Any) -> None:
    server = serve("a", models=["one", "two"])
    with pytest.raises(ConfigError, match=r"no chat with a model 'three'.*does not exist.*it serves: one, two"):
        say(client(server, model="three"))
    assert len(server.bodies) == 1


def test_an_address_without_v1_is_told_the_right_one(serve: Any) -> None:
    server = serve("a")
    with pytest.raises(ConfigError, match=rf"has its chat under /v1: give {server.url}$"):
        ChatServer(server.url.removesuffix("/v1"), ChatOptions(retries=0))
    with pytest.raises(ConfigError, match=r"does not list its models: name one with --server\.model"):
        ChatServer(server.url + "/elsewhere", ChatOptions(retries=0))


def test_a_server_without_a_list_is_asked_for_the_named_model(serve: Any, client: Any, say: Any) -> None:
    server = serve("a")
    server.url += "/elsewhere"
    with pytest.raises(ConfigError, match="does not list its models"):
        say(client(server, model="fake"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("host:8000/v1", "is no address of a chat server: expected http://host:port/v1"),
        ("ftp://host/v1", "is no address"),
        ("http:///v1", "is no address"),
        ("http://host:99999/v1", "address is none"),
        ("http://host/v1/chat/completions", "without /chat/completions: http://host/v1$"),
        (f"http://user:{SECRET}@host/v1", r"holds more than host.*--server\.api_key_env"),
        (f"https://host/v1?key={SECRET}", r"holds more than host"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused_without_repeating_a_secret(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        ChatServer(url, ChatOptions())
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, r"--server\.concurrency: must be at least 1"),
        ({"timeout": 0.0}, r"--server\.timeout"),
        ({"retries": -1}, r"--server\.retries"),
        ({"requests_per_minute": -1.0}, r"--server\.requests_per_minute"),
        ({"tokens_per_minute": float("nan")}, r"--server\.tokens_per_minute"),
        ({"extra": {"seed": 1, "stream": True}}, r"--server\.extra: seed, stream cannot be set there"),
    ],
)
def test_an_option_out_of_range_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ChatServer("http://127.0.0.1:9/v1", ChatOptions(**options))


def test_a_web_page_and_another_service_are_no_chat_servers(serve: Any, client: Any) -> None:
    other = serve("a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(other), "__call__", _page)
        with pytest.raises(ConfigError, match="does not list its models"):
            client(other)
        patch.setattr(type(other), "__call__", _other_json)
        with pytest.raises(ConfigError, match="is no list of models: is that a chat server"):
            client(other)
        patch.setattr(type(other), "__call__", _redirect)
        with pytest.raises(ConfigError, match=r"sends elsewhere \(307: location: https://there/v1/models\)"):
            client(other)


async def _page(self: Any, scope: Any, receive: Any, send: Any) -> None:
    await _raw(send, 200, b"<!doctype html><p>Welcome")


async def _other_json(self: Any, scope: Any, receive: Any, send: Any) -> None:
    await _raw(send, 200, b'{"status": "ok"}')


async def _redirect(self: Any, scope: Any, receive: Any, send: Any) -> None:
    await _raw(send, 307, b"", [(b"location", b"https://there/v1/models")])


async def _raw(send: Any, status: int, content: bytes, headers: Any = ()) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": content})


def test_nobody_at_the_address_is_an_outage_after_the_retries() -> None:
    with pytest.raises(OutageError, match=r"GET http://127\.0\.0\.1:9/v1 \(ConnectError.*tries: 3\. --server\.retries"):
        ChatServer("http://127.0.0.1:9/v1", ChatOptions(retries=2))


def test_a_key_is_sent_where_it_is_set_and_its_variable_named_where_it_is_not(
    serve: Any, client: Any, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve("a", key=SECRET)
    with pytest.raises(ConfigError, match=r"wants a key \(401: Incorrect.*environment variable OPENAI_API_KEY"):
        client(server)
    with pytest.raises(ConfigError, match=r"wants a key.*--server\.api_key_env NAME"):
        client(server, api_key_env="")
    monkeypatch.setenv("OTHER_KEY", f" {SECRET}\n")
    assert say(client(server, api_key_env="OTHER_KEY")).text == "a"
    monkeypatch.setenv("OTHER_KEY", "wrong")
    with pytest.raises(ConfigError, match="refuses the key in the environment variable OTHER_KEY"):
        client(server, api_key_env="OTHER_KEY")


def test_the_key_stands_in_no_log_no_error_and_no_repr(
    serve: Any,
    client: Any,
    say: Any,
    in_turn: Any,
    error: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    caplog.set_level(logging.DEBUG)
    # A server that repeats what it was sent, in every way.
    answers = [error(status, f"You sent Bearer {SECRET}") for status in (500, 429, 400, 401, 404, 418)]
    told = []
    for answer in [*answers, Answer(status=200, body=f"Bearer {SECRET}"), Answer(message={"content": 5, "x": SECRET})]:
        chat = client(serve(answer, key=SECRET), retries=1)
        with pytest.raises((ConfigError, OutageError)) as caught:
            say(chat)
        seen: BaseException | None = caught.value
        while seen is not None:
            told += [str(seen), repr(seen)]
            seen = seen.__cause__ or seen.__context__
        told += [repr(chat), str(chat), repr(chat._http), repr(chat._options)]
    assert any("[key]" in words for words in told)
    monkeypatch.setenv("OPENAI_API_KEY", f"{SECRET}\nü")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY has characters that no key has") as refused:
        client(serve("a"))
    captured = capfd.readouterr()
    assert len(caplog.records) > 10
    assert SECRET not in "\n".join([*told, str(refused.value), caplog.text, captured.out, captured.err])


def test_pictures_that_are_none_are_refused_before_anything_is_sent(serve: Any, client: Any, say: Any) -> None:
    server = serve("a")
    chat = client(server)
    for picture in (np.zeros((4, 4)), np.zeros((0, 4, 3), np.uint8), "picture"):
        with pytest.raises(ObservationError, match="an image must"):
            say(chat, "text", picture)
    assert server.bodies == []


def test_answers_that_leave_no_room_for_a_prompt_are_refused(serve: Any, client: Any, say: Any) -> None:
    server = serve("a")
    server.more_of_models = {"max_model_len": 100}
    chat = client(server)
    assert chat.max_model_len == 100 and say(chat, max_tokens=99).text == "a"
    with pytest.raises(ConfigError, match="answers of 100 tokens leave no room for a prompt in the 100 tokens"):
        say(chat, max_tokens=100)


def test_a_context_that_is_too_long_is_told_apart_and_the_server_goes_on(
    serve: Any, client: Any, say: Any, error: Any
) -> None:
    def script(messages: list[Any]) -> Any:
        long = len(messages[0]["content"]) > 10
        return error(400, "This model's maximum context length is 8 tokens.", code=400) if long else "a"

    server = serve(script)
    chat = client(server)
    with pytest.raises(ContextOverflow, match="does not fit into the context of 'fake'"):
        say(chat, "a long question")
    assert say(chat, "short").text == "a" and len(server.bodies) == 2


def test_a_closed_server_answers_nobody(serve: Any, client: Any, say: Any) -> None:
    chat = client(serve("a"))
    chat.close()
    with pytest.raises(OutageError, match="is not asked any more"):
        say(chat)


def test_text_that_has_no_utf_8_form_is_sent_with_question_marks(serve: Any, client: Any, say: Any) -> None:
    server = serve("a")
    say(client(server), "a\ud800b")
    assert server.bodies[0]["messages"][0]["content"] == "a?b"


def test_without_httpx_the_extra_is_named(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.delitem(sys.modules, "agent.chat.http")
    with pytest.raises(ConfigError, match=r"pip install 'rllava-gym\[remote\]'"):
        ChatServer(serve("a").url, ChatOptions())


def test_options_become_command_line_options_with_help() -> None:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(ChatOptions, "server")
    read = parser.parse_args(["--server.concurrency", "3", "--server.extra", "{chat_template_kwargs: {a: false}}"])
    assert ChatOptions(**vars(read.server)) == ChatOptions(concurrency=3, extra={"chat_template_kwargs": {"a": False}})
    words = re.sub(r"\s+", " ", parser.format_help())
    assert all(f"--server.{name}" in words for name in ChatOptions.__dataclass_fields__)
    assert "Requests in flight at once." in words and json.dumps(SECRET) not in words
