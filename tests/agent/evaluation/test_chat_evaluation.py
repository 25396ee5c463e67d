"""Evaluating a chat server: many at once, faults that change nothing, and going on after a break."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agent.chat.fake import Answer, FakeChatServer, Faults, served
from tests.agent.evaluation.playing import evaluate, results, transcripts

SENT_AGAIN = Faults(error=0.04, busy=0.02, cut=0.02, broken=0.02)


def said(messages: list[dict[str, Any]]) -> str:
    """An answer that depends on the task alone: its number, and how far the conversation has come."""
    (words,) = [part["text"] for part in messages[0]["content"] if part["type"] == "text"]
    return f"{words} {len(messages)}"


def ask(server: FakeChatServer, output: Path, *options: str, episodes: int = 8) -> int:
    pauses = ["--server.retries", "12", "--baselines", "[]"]
    return evaluate(server.url, "--output", str(output), "--episodes", str(episodes), *pauses, *options)


def test_transcripts_of_a_chat_server_are_words_and_pictures_and_say_so(tmp_path: Path) -> None:
    with served(FakeChatServer(said)) as server:
        assert ask(server, tmp_path, episodes=2) == 0
    (first, _) = transcripts(tmp_path, "127.0.0.1")
    segments = first["rows"][0]["segments"]
    assert [(s["kind"], s["text"]) for s in segments] == [
        ("prompt", "even 0"),
        ("action", "even 0 1"),
        ("observation", "more"),
        ("action", "even 0 3"),
    ]
    assert first["tokens"] is False and not any("token_ids" in s for s in segments)
    assert (tmp_path / "episodes" / "images" / f"{segments[0]['images'][0]['sha256']}.png").is_file()
    assert "transcripts of chat servers have texts and pictures, and no token ids" in results(tmp_path)["notes"]


def test_a_server_that_fails_a_tenth_of_its_requests_changes_nothing_but_the_time(tmp_path: Path) -> None:
    found = []
    for name, faults in (("well", Faults()), ("ill", SENT_AGAIN)):
        with served(FakeChatServer(said, faults=faults)) as server:
            assert ask(server, tmp_path / name, "--server.concurrency", "64", episodes=50) == 0
            assert server.most_in_flight <= 64
        rows = results(tmp_path / name)
        found.append([{**row, "name": ""} for row in rows["rows"]])
        told = transcripts(tmp_path / name, "127.0.0.1")
        assert len(told) == 50
        found[-1].append([record["rows"] for record in told])
    assert found[0] == found[1]


def test_an_evaluation_killed_in_the_middle_goes_on_and_asks_for_no_ended_episode_again(tmp_path: Path) -> None:
    with served(FakeChatServer(said)) as server:
        assert ask(server, tmp_path / "whole", episodes=40) == 0
        whole, asked = results(tmp_path / "whole"), len(server.bodies)
        port = int(server.url.rpartition(":")[2].removesuffix("/v1"))
    with served(FakeChatServer(said, delay=0.05), port=port) as slow:
        command = [sys.executable, "-m", "agent", "eval", "--model", slow.url, "--env", "Test/Parity-v0"]
        command += ["--modules", "[tests.agent.run_fixtures]", "--episodes", "40", "--baselines", "[]"]
        command += ["--rollout.max_turn_tokens", "4", "--rollout.max_turns", "2", "--server.retries", "12"]
        command += ["--server.concurrency", "4", "--output", str(tmp_path / "cut"), "--device", "cpu"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": os.getcwd()})
        lines = 0
        for _ in range(1200):
            lines = sum(path.read_bytes().count(b"\n") for path in (tmp_path / "cut").glob("episodes/*.jsonl"))
            if lines >= 20 or process.poll() is not None:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert 20 <= lines < 40
    with served(FakeChatServer(said), port=port) as again:
        kept = sum(path.read_bytes().count(b"\n") for path in (tmp_path / "cut").glob("episodes/*.jsonl"))
        assert ask(again, tmp_path / "cut", "--server.concurrency", "4", episodes=40) == 0
        assert len(again.bodies) == asked - 2 * kept  # two turns each
    assert results(tmp_path / "cut")["rows"] == whole["rows"]


def test_a_server_that_is_gone_ends_the_evaluation_and_what_was_played_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def dies(messages: list[dict[str, Any]]) -> str | Answer:
        return said(messages) if "even 0" in json.dumps(messages) else Answer(status=503, body={})

    with served(FakeChatServer(dies)) as server:
        assert ask(server, tmp_path, "--server.retries", "0", "--server.concurrency", "1", episodes=30) == 1
        assert len(server.bodies) <= 2 + 9
    assert "8 episodes in a row were not answered" in capsys.readouterr().err
    assert transcripts(tmp_path, "127.0.0.1")[0]["outcome"]["end"] == "terminated"


def test_a_conversation_beyond_the_servers_context_is_truncated_and_not_failed(tmp_path: Path) -> None:
    def full(messages: list[dict[str, Any]]) -> str | Answer:
        if len(messages) == 1:
            return said(messages)
        told = "This model's maximum context length is 8 tokens. However, you requested 9 tokens"
        return Answer(status=400, body={"error": {"message": told, "code": "context_length_exceeded"}})

    with served(FakeChatServer(full)) as server:
        assert ask(server, tmp_path, episodes=3) == 0
    assert results(tmp_path)["ends"][0]["ends"] == {"truncated: context": 3}


def test_episodes_have_a_token_limit_of_their_own(tmp_path: Path) -> None:
    limits: list[int] = []

    def seen(body: dict[str, Any]) -> None:
        limits.append(body["max_tokens"])

    with served(FakeChatServer(said, refuses=seen)) as server:
        options = ("--rollout.max_turn_tokens", "50", "--rollout.max_episode_tokens", "51")
        assert ask(server, tmp_path, *options, "--server.concurrency", "1", episodes=1) == 0
    assert limits[0] == 50 and 1 <= limits[1] < 50


def test_what_a_server_counted_is_summed_up(tmp_path: Path) -> None:
    with served(FakeChatServer(said)) as server:
        assert ask(server, tmp_path, episodes=3) == 0
    (used,) = results(tmp_path)["usage"]
    assert used["completion_tokens"] > 0 and used["prompt_tokens"] > used["completion_tokens"]
