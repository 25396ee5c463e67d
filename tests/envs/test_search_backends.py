"""Whole episodes of Search through every kind of search: what is seen is the same, and a search that dies is no one's
wrong answer."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest

pytest.importorskip("tantivy")
pytest.importorskip("httpx")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

import envs  # noqa: F401  (registers)
from envs.core.images import image_hash
from envs.search import world_passages
from sandbox.search import SearchUnavailableError, build_index, client
from tests.envs.served import port_of, served

STYLES: dict[str, dict[str, Any]] = {
    "full": {"entities": 240, "size": (160, 160), "hops": (1, 3)},
    "tiny": {"style": "tiny", "hops": (1, 2), "instructions": "short"},
}
SEEDS = range(8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An index over the passages of each style's world."""
    root = tmp_path_factory.mktemp("indexes")
    for style, kwargs in STYLES.items():
        build_index(root / style, world_passages(style, kwargs.get("entities")))
    return {style: root / style for style in STYLES}


@pytest.fixture(scope="module")
def urls(folders: dict[str, Path]) -> Iterator[dict[str, str]]:
    """A service in front of each."""
    with (
        served("search", "serve", str(folders["full"])) as full,
        served("search", "serve", str(folders["tiny"])) as tiny,
    ):
        yield {"full": full[0], "tiny": tiny[0]}


def make(style: str, search: str) -> gymnasium.Env[Any, str]:
    return gymnasium.make("RLLaVA/Search-v0", search=search, max_turns=6, **STYLES[style])


def episodes(env: gymnasium.Env[Any, str]) -> list[Any]:
    """All that is seen and paid when the expert plays, after a search of no use and a turn without an action."""
    seen: list[Any] = []
    for seed in SEEDS:
        observation, info = env.reset(seed=seed)
        script = ["<think>a</think><search>qqqq</search>", "four", *env.unwrapped.solve()]  # type: ignore[attr-defined]
        seen.append((observation["text"], [image_hash(image) for image in observation["images"]], info["tags"]))
        for action in script:
            observation, reward, terminated, truncated, info = env.step(action)
            pictures = [image_hash(image) for image in observation["images"]]
            seen.append(
                (observation["text"], pictures, reward, terminated, truncated, info["metrics"], info["rewards"])
            )
        assert terminated and info["metrics"]["accuracy"] == 1.0 == info["metrics"]["retrieved"]
    return seen


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", ["index", "service"])
def test_every_search_shows_what_the_one_in_memory_shows(
    style: str, kind: str, folders: dict[str, Path], urls: dict[str, str]
) -> None:
    expected = episodes(make(style, "world"))
    assert episodes(make(style, f"index:{folders[style]}" if kind == "index" else urls[style])) == expected
    assert any("Nothing was found." in step[0] for step in expected)
    assert any("1. " in step[0] for step in expected)


def test_a_search_that_is_killed_in_mid_episode_is_nobodys_answer_and_one_that_is_back_goes_on(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PATIENCE", replace(client.PATIENCE, away=0.5))
    with served("search", "serve", str(folders["tiny"])) as (url, process):
        env = make("tiny", url)
        env.reset(seed=0)
        search = env.unwrapped.solve()[0]  # type: ignore[attr-defined]
        process.kill()
        process.wait()
        with pytest.raises(SearchUnavailableError, match=url) as caught:
            env.step(search)
    assert caught.value.infrastructure_failure
    with served("search", "serve", str(folders["tiny"]), *port_of(url)) as (again, _):
        assert again == url
        assert episodes(env) == episodes(make("tiny", "world"))
