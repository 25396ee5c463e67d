"""One thing of a record is changed at a time: that one is named, and nothing of the other step."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from agent.config_algorithm import DivergenceConfig
from agent.errors import RunDirectoryError
from agent.replay.recording import read_tensors, write_tensors
from tests.agent.replay.recorded_runs import recorded_run, replayed, told

Records = list[dict[str, Any]]
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a critic, a reference, a term and several updates: every kind of number is in its record."""
    return recorded_run(
        tmp_path_factory.mktemp("original"),
        algorithm={"family": "ppo", "epochs": 2, "divergence": DivergenceConfig(0.5), "entropy_coef": 0.01},
        reward={"terms": {"length": {"weight": -0.01}}},
    )


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "run"))


def change_records(run: Path, change: Callable[[Records], None]) -> None:
    path = run / "rollouts" / "step_000001.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    change(records)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def change_tensors(run: Path, change: Callable[[Tensors], None]) -> None:
    path = run / "rollouts" / "step_000001.safetensors"
    (tensors,), around = read_tensors(path)
    change(tensors)
    write_tensors(path, [tensors], around)


def segment(records: Records, trajectory: int, place: int) -> dict[str, Any]:
    """Of its only row: prompt, action, observation, action."""
    return records[trajectory]["rows"][0]["segments"][place]


def action_token(records: Records) -> None:
    tokens = segment(records, 2, 3)["token_ids"]
    tokens[0] = (tokens[0] + 1) % 90


def observation_token(records: Records) -> None:
    tokens = segment(records, 1, 2)["token_ids"]
    tokens[-1] += 1


def reward(records: Records) -> None:
    segment(records, 4, 1)["reward"] += 2**-20


def picture(records: Records) -> None:
    segment(records, 3, 0)["images"][0]["sha256"] = "0" * 64


def dice(records: Records) -> None:
    segment(records, 5, 1)["sampling"]["seed"] += 1


def world(records: Records) -> None:
    records[0]["seed"] += 1


def nudged(name: str) -> Callable[[Records], None]:
    """The second number of a field, by the least that a float32 can tell."""

    def change(records: Records) -> None:
        values = records[3][name]
        values[1] = float(np.nextafter(np.float32(values[1]), np.float32(9)))

    return change


RECORDS: dict[str, tuple[Callable[[Records], Any], str]] = {
    "an action token": (action_token, r"episodes, trajectory 2, turn 1, action, text of its tokens: recorded '"),
    "an observation token": (observation_token, r"episodes, trajectory 1, turn 1, observation, text of its tokens"),
    "a picture": (picture, r"episodes, trajectory 3, turn 0, prompt, picture file 0: recorded '0000"),
    "a reward": (reward, r"episodes, trajectory 4, turn 0, reward: recorded 0\.\d+, now 0\.\d+"),
    "dice": (dice, r"episodes, trajectory 5, turn 0, sampling, seed"),
    "a world": (world, r"episodes, trajectory 0, seed: recorded \d+, now \d+"),
    "an outcome": (
        lambda r: r[0]["outcome"].update(score=2.0),
        r"episodes, trajectory 0, outcome, score: recorded 2\.0",
    ),
    "an end": (
        lambda r: r[1]["outcome"].update(end="truncated"),
        r"episodes, trajectory 1, outcome, end: recorded 'tr",
    ),
    "a measure": (
        lambda r: r[1]["metrics"].update(evenness=0.0),
        r"episodes, trajectory 1, metrics, evenness: recorded 0",
    ),
    "a tag": (lambda r: r[1]["tags"].update(seed="odd"), r"episodes, trajectory 1, tags, seed: recorded 'odd', now"),
    "a term": (
        lambda r: r[2]["terms"].update(length=0.5),
        r"rewards, trajectory 2, term length: recorded 0\.5, now -0",
    ),
    "a score": (lambda r: r[2].update(scored=0.5), r"rewards, trajectory 2, score: recorded 0\.5, now"),
    "an advantage": (nudged("advantages"), r"advantages, trajectory 3, turn 0, advantage of action token 1: recorded"),
    "a return": (nudged("returns"), r"advantages, trajectory 3, turn 0, return of action token 1: recorded"),
    "a log-probability": (
        nudged("trainer_logprobs"),
        r"losses, trajectory 3, turn 0, trainer's log-probability of action token 1: recorded",
    ),
    "an episode": (lambda r: r.pop(), r"episodes, number of episodes: recorded 5, now 6"),
    "left out": (
        lambda r: r[1].update(dropped="why not"),
        r"episodes, trajectory 1, dropped: recorded 'why not', now ''",
    ),
}


@pytest.mark.parametrize(("change", "expected"), RECORDS.values(), ids=RECORDS)
def test_what_was_changed_in_the_trajectories_is_named(
    run: Path, change: Callable[[Records], None], expected: str
) -> None:
    change_records(run, change)
    first, *others = told(replayed(run))
    assert re.match(rf"step 1: {expected}", first), first
    assert not any("step 2" in other for other in others)


def nudge(key: str) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        flat = tensors[key].view(-1)
        flat[0] = torch.nextafter(flat[0], torch.tensor(9.0, dtype=flat.dtype))

    return change


def shorten(tensors: Tensors) -> None:
    tensors["update_1/logprobs/0"] = tensors["update_1/logprobs/0"][1:].clone()


TENSORS: dict[str, tuple[Callable[[Tensors], Any], str]] = {
    "a log-probability": (
        nudge("before/old_logprobs/0"),
        r"losses, trajectory 0, turn 0, trainer's log-probability of action token 0: recorded",
    ),
    "a loss": (nudge("update_1/loss/0"), r"losses, policy loss of update 1, micro-batch 0 \(trajectories 0, 1"),
    "a value loss": (nudge("update_0/value_loss/0"), r"losses, value loss of update 0, micro-batch 0 \(trajectories"),
    "a value": (
        lambda t: t["before/values/0"].add_(0.5),
        r"advantages, trajectory 0, turn 0, (advantage|return) of action token 0",
    ),
    "fewer numbers": (
        shorten,
        r"losses, logprobs of update 1, micro-batch 0: recorded '\(\d+,\) numbers', now '\d+ act",
    ),
    "no numbers": (
        lambda t: t.pop("update_1/entropy/0"),
        r"losses, entropy of update 1, micro-batch 0: recorded 'nothing",
    ),
    "no loss": (
        lambda t: t.pop("update_0/loss/0"),
        r"losses, policy loss of update 0, micro-batch 0: recorded 'nothing'",
    ),
    "too much": (
        lambda t: t.update({"update_7/loss/0": torch.zeros((), dtype=torch.float64)}),
        r"losses, policy loss of update 7, micro-batch 0: recorded '1 numbers', now 'nothing asks for them'",
    ),
}


@pytest.mark.parametrize(("change", "expected"), TENSORS.values(), ids=TENSORS)
def test_what_was_changed_in_the_tensors_is_named(run: Path, change: Callable[[Tensors], None], expected: str) -> None:
    change_tensors(run, change)
    first, *others = told(replayed(run))
    assert re.match(rf"step 1: {expected}", first), first
    assert not any("step 2" in other for other in others)


@pytest.mark.parametrize(
    "key", ["update_0/logprobs/0", "update_1/entropy/0", "update_1/values/0", "before/reference_logprobs/0"]
)
def test_no_number_of_a_model_can_change_without_a_loss_that_changes(run: Path, key: str) -> None:
    change_tensors(run, lambda tensors: tensors[key].add_(0.5))
    lines = told(replayed(run))
    assert lines and all(re.match("step 1: losses, .*(loss|metrics)", line) for line in lines)


def test_a_pixel_of_a_picture_file_is_named_with_the_episode_that_shows_it(run: Path) -> None:
    shown = json.loads((run / "rollouts" / "step_000001.jsonl").read_text().splitlines()[3])
    sha256 = shown["rows"][0]["segments"][0]["images"][0]["sha256"]
    path = run / "rollouts" / "images" / f"{sha256}.png"
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(path)
    (line,) = told(replayed(run))
    assert re.match(
        rf"step 1: episodes, trajectory 3, turn 0, prompt, picture file 0: recorded '{sha256}', now '", line
    )


def test_a_logged_number_is_named(run: Path) -> None:
    path = run / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["kl/k3"] += 1e-9
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (line,) = told(replayed(run))
    assert line.startswith("step 2: losses, kl/k3 in metrics.jsonl: recorded ")


def change_config(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = run / "config.yaml"
    content = yaml.safe_load(path.read_text())
    change(content["config"])
    path.write_text(yaml.safe_dump(content))


def test_an_environment_that_is_another_now_is_named_with_the_first_episode_and_turn(run: Path) -> None:
    change_config(run, lambda config: config["env"]["kwargs"].update(fault="constant"))
    first, *_ = told(replayed(run))
    assert re.match(r"step 1: episodes, trajectory 0, turn 0, reward: recorded [\d.]+, now 0\.5", first), first


def test_an_episode_that_ends_earlier_now_is_named(run: Path) -> None:
    change_config(run, lambda config: config["env"]["kwargs"].update(turns=1))
    assert told(replayed(run))[0].endswith("observation of row 0: recorded 'there', now 'the episode was over'")


def test_an_environment_that_raises_now_is_named(run: Path) -> None:
    change_config(run, lambda config: config["env"]["kwargs"].update(fault="raise"))
    assert "the author forgot something" in told(replayed(run))[0]


def test_an_infrastructure_that_fails_now_is_told_as_what_could_not_be_checked(run: Path) -> None:
    change_config(run, lambda config: config["env"]["kwargs"].update(fault="always sandbox"))
    (first, second) = told(replayed(run))
    assert re.match(r"step 1: episodes not checked: 6 could not be repeated: .* BrokenSandboxError", first), first
    assert second.startswith("step 2: episodes not checked")


def test_another_clip_is_named_by_the_loss_that_it_changes(run: Path) -> None:
    change_config(
        run, lambda config: config["algorithm"].update(policy_loss_options={"clip_low": 0.0, "clip_high": 0.0})
    )
    assert re.match(r"step 1: losses, (policy loss of update 1|clip_fraction)", told(replayed(run))[0])


def test_a_run_without_tensors_says_what_could_not_be_checked_and_checks_the_rest(run: Path) -> None:
    (run / "rollouts" / "step_000001.safetensors").unlink()
    assert told(replayed(run)) == [
        "step 1: losses not checked: what the models said was not recorded (the run is of an earlier version)",
        "step 1: advantages not checked: they need more than scores, and what the models said was not recorded (the "
        "run is of an earlier version)",
    ]
    change_records(run, reward)
    assert "reward" in told(replayed(run))[0]


def test_tensors_that_are_damaged_are_told(run: Path) -> None:
    path = run / "rollouts" / "step_000002.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    assert re.search(
        r"step 2: losses not checked: .*step_000002.safetensors cannot be read", " ".join(told(replayed(run)))
    )


def test_a_step_that_was_recorded_and_not_logged_is_told(run: Path) -> None:
    (run / "metrics.jsonl").unlink()
    assert told(replayed(run)) == [
        f"step {step}: metrics not checked: metrics.jsonl has no line of this step" for step in (1, 2)
    ]


def test_a_step_of_another_machine_is_compared_up_to_rounding_and_says_so(run: Path) -> None:
    path = run / "rollouts" / "step_000001.safetensors"
    (tensors,), around = read_tensors(path)
    nudge("update_1/loss/0")(tensors)
    write_tensors(path, [tensors], replace(around, device="cuda of another kind"))
    first, second = replayed(run)
    assert told([first, second]) == [] and not second.near
    assert first.near.startswith("cuda of another kind, torch ")
    tensors["update_1/loss/0"] += 0.01
    write_tensors(path, [tensors], replace(around, device="cuda of another kind"))
    (line,) = told(replayed(run))
    assert line.startswith("step 1: losses, policy loss of update 1")


@pytest.mark.parametrize("content", ["", "{", '{"env_id": 3}\n'], ids=["empty", "half a line", "something else"])
def test_trajectories_that_cannot_be_read_are_explained(run: Path, content: str) -> None:
    (run / "rollouts" / "step_000001.jsonl").write_text(content)
    with pytest.raises(RunDirectoryError, match=r"step_000001\.jsonl (is empty|cannot be read)"):
        replayed(run)
