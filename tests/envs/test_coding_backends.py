"""Whole episodes of Coding through every kind of sandbox: what is seen is the same, and a sandbox that dies is no one's
wrong answer."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import gymnasium
import pytest

pytest.importorskip("cv2")
pytest.importorskip("httpx")
pytest.importorskip("uvicorn")

import envs  # noqa: F401  (registers)
from envs.core.images import image_hash
from sandbox.errors import InfrastructureError
from sandbox.opening import close_all
from tests.envs.served import port_of, served
from tests.sandbox.conftest import engine  # noqa: F401  (a fixture)

STYLES: dict[str, dict[str, Any]] = {
    "document": {"size": (160, 160)},
    "tiny": {"style": "tiny", "program": "short", "instructions": "short"},
}
SERVE = ("serve", "--host", "127.0.0.1", "--lanes", "1", "--backend")
SEEDS = range(3)
BACKENDS = ("local", "local service", "docker", "docker service")
# What a program does wrong is told in the same words wherever it ran.
WRONG = (
    "print('hello'); 1 / 0",
    "x = bytearray(1 << 40)",
    "open('/etc/hostname', 'w').write('mine')",
    "import os; os.kill(os.getpid(), 9)",
    "def f(:",
)


@pytest.fixture(scope="module")
def sandboxes(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Names of sandboxes by kind; services are started when they are first asked for."""
    started: dict[str, str] = {"local": "local", "docker": "docker"}
    with ExitStack() as stack:

        def name(kind: str) -> str:
            if kind.startswith("docker"):
                request.getfixturevalue("engine")
            if kind not in started:
                started[kind] = stack.enter_context(served(*SERVE, kind.split()[0]))[0]
            return started[kind]

        yield name
        close_all()  # containers of this module are of no use to others


def make(style: str, sandbox: str, **kwargs: Any) -> gymnasium.Env[Any, str]:
    return gymnasium.make("RLLaVA/Coding-v0", sandbox=sandbox, **STYLES[style], **kwargs)


SLEPT = "The program was stopped: it had not ended after 2 seconds."


def played(env: gymnasium.Env[Any, str], seed: int, script: list[str]) -> list[Any]:
    """All that is seen and paid."""
    observation, info = env.reset(seed=seed)
    seen = [(observation["text"], [image_hash(image) for image in observation["images"]], info["tags"])]
    for action in script or env.unwrapped.solve():  # type: ignore[attr-defined]
        observation, reward, terminated, truncated, info = env.step(action)
        pictures = [image_hash(image) for image in observation["images"]]
        seen.append((observation["text"], pictures, reward, terminated, truncated, info["metrics"], info["rewards"]))
    return seen


@pytest.fixture(scope="module")
def expected(sandboxes: Any) -> dict[str, list[Any]]:
    """What the local sandbox shows."""
    return {style: episodes(make(style, sandboxes("local"), max_turns=9, seconds=60.0)) for style in STYLES}


def episodes(env: gymnasium.Env[Any, str]) -> list[Any]:
    wrong = [f"<think>a</think><code>{code}</code>" for code in WRONG]
    return [played(env, seed, []) for seed in SEEDS] + [played(env, 9, wrong)]


@pytest.mark.parametrize("style", STYLES)
def test_the_expert_solves_every_episode_and_every_mistake_is_told(style: str, expected: dict[str, list[Any]]) -> None:
    *solved, wrong = expected[style]
    assert [(steps[-1][2], steps[-1][3], steps[-1][5]["accuracy"]) for steps in solved] == [(1.0, True, 1.0)] * 3
    assert all(any(step[1] for step in steps[1:]) for steps in solved)  # a program gave a picture
    told = [step[0] for step in wrong[1:]]
    for words, text in zip(("ZeroDivisionError", "memory", "", "signal", "SyntaxError"), told, strict=True):
        assert words.lower() in text.lower() and text
    assert all(step[2:5] == (0.0, False, False) for step in wrong[1:])


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", BACKENDS[1:])
def test_every_sandbox_shows_what_the_local_one_shows(
    kind: str, style: str, sandboxes: Any, expected: dict[str, list[Any]]
) -> None:
    found = episodes(make(style, sandboxes(kind), max_turns=9, seconds=60.0))
    for ours, theirs in zip(found, expected[style], strict=True):
        assert ours == theirs


@pytest.mark.parametrize("kind", BACKENDS)
def test_a_sleeping_program_is_told_so_by_every_sandbox(kind: str, sandboxes: Any) -> None:
    slept = played(
        make("tiny", sandboxes(kind), seconds=2.0), 9, ["<think>a</think><code>import time; time.sleep(9)</code>"]
    )
    assert slept[-1][0] == SLEPT and slept[-1][2:5] == (0.0, False, False)


def test_a_service_that_is_killed_in_mid_episode_is_nobodys_answer_and_one_that_is_back_goes_on(
    sandboxes: Any,
) -> None:
    with served(*SERVE, "local") as (url, process):
        env = make("tiny", url)
        env.reset(seed=0)
        problem, program, _ = env.unwrapped.solve()  # type: ignore[attr-defined]
        env.step(problem)
        process.kill()
        process.wait()
        with pytest.raises(InfrastructureError) as caught:
            env.step(program)
    assert caught.value.infrastructure_failure
    with served(*SERVE, "local", *port_of(url)) as (again, _):
        assert again == url
        assert played(env, 0, [])[-1][2] == 1.0
