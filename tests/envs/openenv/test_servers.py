"""Episodes on a server: ours and, where it is installed, openenv-core's own."""

from collections.abc import Callable
from typing import Any

import gymnasium
import pytest

import envs  # noqa: F401
from envs.core.conformance import check_env
from envs.openenv.session import ServerLostError
from tests.envs.openenv.guess import LONGEST, Guess

ID = "RLLaVA/OpenEnv-v0"
OPTIONS: dict[str, Any] = {"action": "message", "text": "reply", "attempts": 3}


def secret(seed: int) -> str:
    logic = Guess()
    logic.reset(seed)
    return str(logic.secret)


def wrong(seed: int) -> str:
    return "8" if secret(seed) != "8" else "9"


def test_every_part_of_the_adapter_on_one_server(start_server: Callable[[int], str]) -> None:
    """One test, as openenv-core takes ten seconds to start: each paragraph is a property of its own."""
    env = gymnasium.make(ID, url=start_server(2), timeout=2.0, **OPTIONS).unwrapped
    # The seed is the server's: the same world again, another for another seed.
    first, info = env.reset(seed=5)
    assert first == {"text": Guess().reset(5)["reply"], "images": ()} and info == {"tags": {"refused": 0}}
    assert env.reset(seed=5)[0] == first != env.reset(seed=6)[0]
    # Observation, reward and end are the server's.
    assert env.step(wrong(6))[:4] == ({"text": "no", "images": ()}, 0.0, False, False)
    assert env.step(secret(6))[:4] == ({"text": "yes", "images": ()}, 1.0, True, False)
    # A seed of 63 bits reaches a server whose generator takes 32.
    env.reset(seed=(1 << 62) + 5)
    assert env.step(secret(((1 << 62) + 5) % (1 << 31)))[2]
    # What the server refuses is an observation without reward, counted, and the episode goes on.
    env.reset(seed=5)
    observation, *rest = env.step("raise")
    assert observation["text"] == "that move is not allowed"
    assert rest == [0.0, False, False, {"turn": 1, "tags": {"refused": 1}}]
    observation, *_, info = env.step("x" * (LONGEST + 1))
    assert f"message: String should have at most {LONGEST} characters" in observation["text"]
    assert info["tags"] == {"refused": 2}
    assert env.step(secret(5))[1:3] == (1.0, True)
    # A session that an action breaks ends its episode, which counts; the next one has a new session.
    env.reset(seed=5)
    *_, reward, terminated, truncated, info = env.step("break the session")
    assert (reward, terminated, truncated, info["truncated"]) == (0.0, False, True, "refused")
    assert env.reset(seed=5)[0] == first
    # A step that takes too long is the action's, for the server answers others.
    observation, reward, terminated, truncated, info = env.step("sleep")
    assert "no answer within 2 seconds" in observation["text"]
    assert (reward, terminated, truncated, info["truncated"]) == (0.0, False, True, "refused")
    # Sessions are as many as the server allows, and are given back.
    env.reset(seed=5)
    second, third = (gymnasium.make(env.spec) for _ in range(2))
    second.reset(seed=5)
    with pytest.raises(ServerLostError, match=r"no episode could be begun in 3 attempts.*max_concurrent_envs"):
        third.reset(seed=5)
    second.close()
    assert third.reset(seed=5)[0] == first
    # What breaks the server is nobody's answer: the episode is lost.
    with pytest.raises(ServerLostError, match="the connection broke in a step") as lost:
        env.step("kill the server")
    assert lost.value.infrastructure_failure
    third.close()


def test_the_contract_holds(start_server: Callable[[int], str]) -> None:
    report = check_env(ID, url=start_server(8), max_turns=2, **OPTIONS)
    assert report.ok, str(report)
    for law in ("same seed", "same elsewhere", "replay", "nothing", "garbage"):
        assert report[law].status == "passed"
