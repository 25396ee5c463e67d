"""An environment on a server trains with this project's own trainer, by a recipe."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.__main__ import main
from tests.envs.openenv.wire import Message, WireServer, error, guess

RECIPE: dict[str, Any] = {
    "env": {"id": "RLLaVA/OpenEnv-v0"},
    "modules": ["envs"],
    "model": {
        "path": "tiny",
        "device": "cpu",
        "tiny": {"hidden": 32, "feed_forward": 64, "layers": 1, "vision_layers": 1, "vocabulary": 300},
    },
    "rollout": {"prompts_per_step": 2, "group_size": 3, "max_turn_tokens": 4, "max_row_tokens": 200, "max_turns": 3},
    "optimizer": {"steps": 1, "lr": 0.003},
    "evaluation": {"validate_every": 0, "test_episodes": 0},
    "run": {"name": "guess", "save_every": 1},
}


def trained(folder: Path, server: WireServer, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The trajectories of the only step."""
    kwargs = {"url": server.url, "action": "message", "text": "reply", "max_turns": 2, "attempts": 1}
    (folder / "guess.yaml").write_text(yaml.safe_dump(RECIPE | {"env": RECIPE["env"] | {"kwargs": kwargs}}))
    monkeypatch.chdir(folder)
    monkeypatch.setattr("agent.run.write_report", lambda *_: None)
    assert main(["train", "guess.yaml"]) == 0
    recorded = (folder / "runs" / "guess" / "rollouts" / "step_000001.jsonl").read_text().splitlines()
    return [json.loads(line) for line in recorded]


def test_a_step_of_training_plays_two_turns_with_each_sibling_in_the_same_world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WireServer(guess) as server:
        episodes = trained(tmp_path, server, monkeypatch)
    assert len(episodes) == 6
    assert [episode["outcome"]["end"] for episode in episodes] == ["truncated"] * 6
    assert [[s["kind"] for s in episode["rows"][0]["segments"]] for episode in episodes] == [
        ["prompt", "action", "observation", "action"]
    ] * 6
    prompts = [tuple(episode["rows"][0]["segments"][0]["token_ids"]) for episode in episodes]
    assert len(set(prompts[:3])) == len(set(prompts[3:])) == 1 and prompts[0] != prompts[3]


def test_episodes_that_a_server_broke_are_dropped_and_never_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepped = iter(range(1000))

    def failing(state: Message, message: Message) -> Message | None:
        if message["type"] == "step" and next(stepped) == 3:
            return None
        if message["type"] == "step" and message["data"]["message"] == "":
            return error("EXECUTION_ERROR", "say something")
        return guess(state, message)

    with WireServer(failing) as server:
        episodes = trained(tmp_path, server, monkeypatch)
    outcomes = [episode["outcome"] for episode in episodes]
    assert sorted(outcome["end"] for outcome in outcomes) == ["failed"] + ["truncated"] * 5
    (failed,) = [outcome for outcome in outcomes if outcome["end"] == "failed"]
    assert failed["score"] is None and "ServerLostError" in failed["reason"]
