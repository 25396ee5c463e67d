"""An episode in words."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest

from agent.chat import ChatMessage, ContextOverflow
from agent.errors import ConfigError, EnvironmentFault, ObservationError, OutageError
from agent.evaluation.text_episode import Said, TextEpisode
from agent.model.picture_hash import image_sha256

PICTURE = np.full((2, 3, 3), 7, np.uint8)


class Story(gymnasium.Env[Any, str]):
    """Two turns; `restart` rebuilds the prompt after the first, `fault` breaks something."""

    def __init__(self, restart: bool = False, fault: str = "") -> None:
        self.restart, self.fault, self.said = restart, fault, []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.at = (seed, options)
        return {"text": "Once", "images": (PICTURE,)}, {"tags": {"kind": "tale"}}

    def step(self, action: str) -> Any:
        self.said.append(action)
        if self.fault == "raise":
            raise KeyError("plot")
        if self.fault == "outage":
            error = RuntimeError("container lost")
            error.infrastructure_failure = True  # type: ignore[attr-defined]
            raise error
        info: dict[str, Any] = {"metrics": {"f1": 0.5}, "rewards": {"part": 1}, "tags": {"kind": "tale"}}
        if self.restart:
            info["context"] = "restart"
        reward = float("nan") if self.fault == "nan" else 0.25
        return {"text": "upon", "images": (PICTURE, PICTURE + 1)}, reward, len(self.said) == 2, False, info


def heard(
    env: Story, *answers: str | Exception, turns: int = 5
) -> tuple[dict[str, Any], list[list[tuple[str, str, int]]]]:
    """The record, and the conversation that was shown at each turn."""
    shown: list[list[tuple[str, str, int]]] = []

    def speak(_: gymnasium.Env, messages: Sequence[ChatMessage], turn: int) -> Said:
        shown.append([(message.role, message.text, len(message.images)) for message in messages])
        answer = answers[turn]
        if isinstance(answer, Exception):
            raise answer
        return Said(answer, limit=turn == 1, prompt_tokens=10, completion_tokens=2)

    episode = TextEpisode("Story-v0 (task 4, seed 9)")
    episode.play(env, 4, 9, speak, turns)
    return episode.record("Story-v0", 4, 9), shown


def test_the_conversation_grows_by_what_was_said_and_answered() -> None:
    env = Story()
    record, shown = heard(env, "a", "b")
    assert env.at == (9, {"task": 4}) and env.said == ["a", "b"]
    assert shown == [
        [("user", "Once", 1)],
        [("user", "Once", 1), ("assistant", "a", 0), ("user", "upon", 2)],
    ]
    (row,) = record["rows"]
    assert [(s["kind"], s["turn"], s["text"]) for s in row["segments"]] == [
        ("prompt", 0, "Once"),
        ("action", 0, "a"),
        ("observation", 1, "upon"),
        ("action", 1, "b"),
    ]
    assert [s["reward"] for s in row["segments"] if s["kind"] == "action"] == [0.25, 0.25]
    assert [s["stop_reason"] for s in row["segments"] if s["kind"] == "action"] == ["stop", "length"]
    assert record["outcome"] == {"end": "terminated", "score": 0.5, "reason": ""}
    assert (record["metrics"], record["tags"], record["tokens"]) == ({"f1": 0.5}, {"kind": "tale"}, False)
    assert record["usage"] == {"prompt_tokens": 20, "completion_tokens": 4}


def test_a_rebuilt_prompt_begins_a_row_and_a_conversation() -> None:
    record, shown = heard(Story(restart=True), "a", "b")
    assert shown[1] == [("user", "upon", 2)]
    assert [[s["kind"] for s in row["segments"]] for row in record["rows"]] == [["prompt", "action"]] * 2


def test_pictures_are_kept_by_their_hash() -> None:
    episode = TextEpisode("Story")
    episode.play(Story(), None, 0, lambda *_: Said("a"), 5)
    assert set(episode.pictures) == {image_sha256(PICTURE), image_sha256(PICTURE + 1)}
    assert episode.record("S", None, 0)["rows"][0]["segments"][0]["images"] == [{"sha256": image_sha256(PICTURE)}]


def test_turns_that_run_out_truncate() -> None:
    record, shown = heard(Story(), "a", "b", turns=1)
    assert record["outcome"] == {"end": "truncated", "score": 0.25, "reason": "turns"}
    assert len(shown) == 1


def test_a_context_that_is_full_truncates_and_keeps_what_was_earned() -> None:
    record, _ = heard(Story(), "a", ContextOverflow("too long"))
    assert record["outcome"] == {"end": "truncated", "score": 0.25, "reason": "context"}


@pytest.mark.parametrize("fault", ["sandbox", "server"])
def test_an_outage_of_sandbox_or_server_is_a_failed_episode_without_a_score(fault: str) -> None:
    if fault == "sandbox":
        record, _ = heard(Story(fault="outage"), "a", "b")
        assert "container lost" in record["outcome"]["reason"]
    else:
        record, _ = heard(Story(), "a", OutageError("no answer"))
    assert (record["outcome"]["end"], record["outcome"]["score"]) == ("failed", None)


def test_what_the_author_did_wrong_stops_and_names_the_place() -> None:
    with pytest.raises(EnvironmentFault, match=r"Story-v0 \(task 4, seed 9\): step\(\) raised KeyError: 'plot'"):
        heard(Story(fault="raise"), "a")
    with pytest.raises(ObservationError, match=r"turn 0: the reward must be finite, got nan"):
        heard(Story(fault="nan"), "a")


def test_what_no_other_request_would_mend_stops_the_evaluation() -> None:
    with pytest.raises(ConfigError, match="no such model"):
        heard(Story(), ConfigError("no such model"))
