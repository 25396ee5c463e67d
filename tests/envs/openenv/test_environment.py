"""The adapter's options, against a server of these tests' own that says what each test wants it to say."""

import base64
import sys
from typing import Any

import numpy as np
import pytest

from envs.core.errors import ArgumentError, EnvironmentAuthorError, EpisodeOrderError, MissingExtraError
from envs.core.images import encode_png
from envs.openenv import OpenEnv
from envs.openenv.session import ServerLostError, Session
from tests.envs.openenv.wire import Message, WireServer, error, guess, observation

NAMES: dict[str, Any] = {"action": "message", "text": "reply", "attempts": 2}


def answering(reset: Message, step: Message | None = None, reward: Any = None, done: Any = False) -> WireServer:
    """A server whose environment always shows the same."""

    def play(state: Message, message: Message) -> Message:
        if message["type"] == "reset":
            return observation(reset)
        return observation(reset if step is None else step, reward, done)

    return WireServer(play)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def encoded(seed: int) -> str:
    return base64.b64encode(encode_png(picture(seed))).decode()


def of_message(text: str) -> dict[str, Any]:
    if text == "nonsense":
        raise ValueError("Say a word that I know.")
    return {"message": text.upper()}


def of_fields(fields: dict[str, Any]) -> str:
    return " and ".join(fields["cards"])


def drawn(fields: dict[str, Any]) -> list[np.ndarray]:
    return [picture(len(fields["cards"]))]


def steps(server: WireServer) -> list[Message]:
    return [message["data"] for message in server.received if message["type"] == "step"]


def resets(server: WireServer) -> list[Message]:
    return [message["data"] for message in server.received if message["type"] == "reset"]


def test_a_server_that_gives_other_worlds_for_one_seed_is_refused_unless_that_is_said() -> None:
    count = iter(range(100))
    with WireServer(lambda state, message: observation({"reply": f"world {next(count)}"})) as server:
        env = OpenEnv(url=server.url, **NAMES)
        with pytest.raises(EnvironmentAuthorError, match=r"siblings.*'seed'.*seed_field.*seeded=False"):
            env.reset(seed=0)
        env.close()
        told = OpenEnv(url=server.url, seeded=False, seed_field=None, **NAMES)
        assert told.reset(seed=0)[0]["text"].startswith("world")
        assert resets(server)[-1] == {}
        told.close()


def test_seeds_are_tried_once_in_a_process() -> None:
    with WireServer(guess) as server:
        for _ in range(3):
            env = OpenEnv(url=server.url, **NAMES)
            env.reset(seed=9)
            env.close()
        assert len(resets(server)) == 3 + 2 * 3


def test_the_seed_goes_into_the_field_named_and_below_the_number_of_worlds() -> None:
    with answering({"reply": "?"}) as server:
        env = OpenEnv(url=server.url, seed_field="level", worlds=10, reset_parameters={"hard": True}, **NAMES)
        env.reset(seed=123)
        assert resets(server)[-1] == {"hard": True, "level": 3}
        env.close()


def test_fields_are_reached_by_paths_and_what_is_no_text_is_shown_as_json() -> None:
    with answering({"messages": [{"content": "hello"}], "reply": {"é": [1]}}) as server:
        for path, text in [("messages.0.content", "hello"), ("messages.1.content", ""), ("reply", '{"é": [1]}')]:
            env = OpenEnv(url=server.url, **NAMES | {"text": path})
            assert env.reset(seed=0)[0]["text"] == text
            env.close()


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_pictures_come_as_they_were_encoded(prefix: str) -> None:
    with answering({"reply": "", "shot": prefix + encoded(1)}, {"reply": "", "shot": None}) as server:
        env = OpenEnv(url=server.url, images="shot", **NAMES)
        (image,) = env.reset(seed=0)[0]["images"]
        assert np.array_equal(image, picture(1))
        assert env.step("a")[0]["images"] == ()
        env.close()


def test_several_pictures_come_in_order_and_too_many_are_refused() -> None:
    with answering({"reply": "", "shot": [encoded(1), encoded(2)]}) as server:
        env = OpenEnv(url=server.url, images="shot", **NAMES)
        images = env.reset(seed=0)[0]["images"]
        assert [np.array_equal(image, picture(seed)) for image, seed in zip(images, (1, 2), strict=True)] == [True] * 2
        env.close()
        with pytest.raises(EnvironmentAuthorError, match="max_images"):
            OpenEnv(url=server.url, images="shot", max_images=1, **NAMES).reset(seed=0)


@pytest.mark.parametrize("shot", ["not base64!", base64.b64encode(b"no picture").decode(), 5])
def test_what_is_no_picture_is_the_fault_of_its_author(shot: Any) -> None:
    with answering({"reply": "", "shot": shot}) as server, pytest.raises(EnvironmentAuthorError, match="'shot' must"):
        OpenEnv(url=server.url, images="shot", **NAMES).reset(seed=0)


def test_functions_say_how_actions_and_observations_are_made() -> None:
    mine = {"action": f"{__name__}:of_message", "text": f"{__name__}:of_fields", "images": f"{__name__}:drawn"}
    with answering({"cards": ["ace", "king"]}) as server:
        env = OpenEnv(url=server.url, constants={"kind": "play"}, **mine)
        shown, _ = env.reset(seed=0)
        assert shown["text"] == "ace and king" and np.array_equal(shown["images"][0], picture(2))
        env.step("queen")
        assert steps(server) == [{"kind": "play", "message": "QUEEN"}]
        observation, reward, terminated, truncated, info = env.step("nonsense")
        assert (observation["text"], reward, terminated, truncated) == ("Say a word that I know.", 0.0, False, False)
        assert info["tags"] == {"refused": 1} and len(steps(server)) == 1
        env.close()


def test_with_a_verb_only_what_stands_in_its_tags_reaches_the_server() -> None:
    with answering({"reply": "?"}) as server:
        env = OpenEnv(url=server.url, verb="answer", instructions="Play.", **NAMES)
        assert env.reset(seed=0)[0]["text"] == "Play.\n\n?"
        assert env.step("<think>hm</think><answer> left </answer>")[0]["text"] == "?"
        assert "There is no <answer>" in env.step("left")[0]["text"]
        assert steps(server) == [{"message": "left"}]
        env.close()


def test_an_episode_is_truncated_when_its_turns_run_out_and_then_takes_no_more() -> None:
    with answering({"reply": "?"}, reward=True) as server:
        env = OpenEnv(url=server.url, max_turns=2, **NAMES)
        env.reset(seed=0)
        assert env.step("a")[1:4] == (1.0, False, False)
        *_, terminated, truncated, info = env.step("b")
        assert (terminated, truncated, info["truncated"]) == (False, True, "turns")
        with pytest.raises(EpisodeOrderError):
            env.step("c")
        env.close()


@pytest.mark.parametrize("reward", ["much", float("nan"), [1]])
def test_a_reward_that_is_no_finite_number_is_the_fault_of_its_author(reward: Any) -> None:
    with answering({"reply": "?"}, reward=reward) as server:
        env = OpenEnv(url=server.url, **NAMES)
        env.reset(seed=0)
        with pytest.raises(EnvironmentAuthorError, match="finite number or None"):
            env.step("a")
        env.close()


def test_a_reset_that_fails_on_the_server_stops_the_run_and_is_not_tried_again() -> None:
    with WireServer(lambda state, message: error("EXECUTION_ERROR", "no data set")) as server:
        with pytest.raises(EnvironmentAuthorError, match="no data set") as failure:
            OpenEnv(url=server.url, **NAMES).reset(seed=0)
        assert not getattr(failure.value, "infrastructure_failure", False)
        assert len(server.received) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"action": "massage"}, r"Action has no field massage; it has message, metadata"),
        ({"action": "metadata"}, r"also needs message"),
        ({"constants": {"speed": 1}}, r"Action has no field speed"),
        ({"text": "answer"}, r"Observation has no field 'answer'; it has reply"),
        ({"images": "shot"}, r"Observation has no field 'shot'"),
    ],
)
def test_names_of_fields_that_the_server_does_not_have_are_told_with_those_it_has(
    options: dict[str, Any], message: str
) -> None:
    with WireServer(guess) as server, pytest.raises(ArgumentError, match=message):
        OpenEnv(url=server.url, **NAMES | options).reset(seed=0)


def test_a_server_without_the_route_of_schemas_is_taken_at_its_word() -> None:
    with WireServer(guess, schema=None) as server:
        env = OpenEnv(url=server.url, **NAMES)
        assert env.reset(seed=0)[0]["text"]
        env.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "127.0.0.1:8000"}, "address of an OpenEnv server"),
        ({"url": None}, "address of an OpenEnv server"),
        ({"action": ""}, "action must name a field"),
        ({"text": "nowhere:f"}, "text: 'nowhere:f' cannot be imported"),
        ({"text": "math:pi"}, "it must be a function"),
        ({"verb": "<answer>"}, "verb must be"),
        ({"max_turns": 0}, "max_turns"),
        ({"timeout": -1}, "timeout"),
    ],
)
def test_arguments_that_are_not_allowed_are_refused_before_a_server_is_asked(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        OpenEnv(**{"url": "http://127.0.0.1:1"} | NAMES | options)


def test_numbered_tasks_are_refused() -> None:
    env = OpenEnv(url="http://127.0.0.1:1", **NAMES)
    with pytest.raises(ArgumentError, match="tasks of a server have no numbers"):
        env.reset(options={"task": 3})


def test_an_address_where_something_else_answers_is_a_mistake_and_not_a_failure() -> None:
    with WireServer(guess) as server, pytest.raises(ArgumentError, match=r"answers HTTP 404.*without the path"):
        OpenEnv(url=server.url + "/web", **NAMES).reset(seed=0)


def test_a_server_that_is_not_there_is_tried_with_growing_pauses_and_is_then_lost() -> None:
    with WireServer(guess) as server:
        url = server.url
    pauses: list[float] = []
    session = Session(url, timeout=1.0, attempts=4, sleep=pauses.append)
    with pytest.raises(ServerLostError, match="in 4 attempts: ConnectionRefusedError") as lost:
        session.reset({})
    assert pauses == [0.0, 0.5, 1.0, 2.0] and lost.value.infrastructure_failure


def test_a_session_that_the_server_closed_between_episodes_is_opened_again() -> None:
    with WireServer(guess) as server:
        pauses: list[float] = []
        session = Session(server.url, timeout=5.0, attempts=1, sleep=pauses.append)
        first = session.reset({"seed": 4})
        port = server.port
        server.stop()
        server.start(port)
        assert session.reset({"seed": 4}) == first
        assert pauses == [0.0, 0.0, 0.0]
        session.close()


def test_when_nobody_answers_any_more_a_slow_step_is_not_blamed_on_the_action(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with WireServer(guess) as server:
        env = OpenEnv(url=server.url, **NAMES | {"timeout": 0.2})
        env.reset(seed=0)

        def unreachable(self: Session, route: str) -> bytes:
            raise ConnectionRefusedError

        monkeypatch.setattr(Session, "_get", unreachable)
        with pytest.raises(ServerLostError, match="to nobody"):
            env.step("sleep")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets", None)
    with pytest.raises(MissingExtraError, match=r"rllava-gym\[openenv\]"):
        OpenEnv(url="http://127.0.0.1:1", **NAMES)


def test_text_that_has_no_utf8_form_reaches_neither_server_nor_policy() -> None:
    with answering({"reply": "a\ud800"}) as server:
        env = OpenEnv(url=server.url, **NAMES)
        assert env.reset(seed=0)[0]["text"] == "a?"
        env.step("b\udfff")
        assert steps(server) == [{"message": "b?"}]
        env.close()
