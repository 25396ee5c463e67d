"""The published runs: their numbers are those of the paper, their environments are there, and they train."""

import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.__main__ import main
from agent.cli import read_config
from agent.config import Config, ElsewhereConfig
from agent.model.boxes import with_boxes
from agent.recipes import packaged
from agent.rollout.environments import EnvironmentSpec, import_modules, make_environment
from agent.run import run
from envs import CATALOGUE
from tests.agent.run_fixtures import quiet

pytest.importorskip("tantivy")  # what is searched
pytest.importorskip("pyarrow")  # what the hub's tables are read with

# RLLaVA (arXiv 2512.21450). Sizes of the published sets: their publishers'.
PUBLISHED: dict[str, dict[str, Any]] = {
    "paper/counting": {
        "model.path": "Qwen2-VL-2B-Instruct",
        "env.id": "RLLaVA/CLEVRCount-v0",
        "env.kwargs.format_weight": 0.5,
        "rollout.group_size": 4,
        "rollout.max_turns": 1,
        "evaluation.test_episodes": 200,
        "elsewhere": {"SuperCLEVR": ("RLLaVA/SuperCLEVR-v0", 200, 0, 256)},
    },
    "paper/geometry": {
        "env.id": "RLLaVA/Geometry3K-v0",
        "env.kwargs.format_weight": 0.1,
        "rollout.group_size": 5,
        "rollout.max_turns": 1,
        "evaluation.test_episodes": 601,
        "evaluation.validation_episodes": 300,
        "elsewhere": {},
    },
    "paper/grounding": {
        "model.path": "Qwen2-VL-7B-Instruct",
        "env.id": "RLLaVA/RefCOCO-v0",
        "rollout.group_size": 5,
        "rollout.max_turns": 1,
        "optimizer.steps": 300,
        "elsewhere": {
            f"{title} {part}": ("RLLaVA/RefCOCO-v0", 0, 0, 0)
            for title, parts in (
                ("RefCOCO", ("testB", "val")),
                ("RefCOCO+", ("testA", "testB", "val")),
                ("RefCOCOg", ("test", "val")),
            )
            for part in parts
        },
    },
    "paper/mat_search": {
        "model.path": "Qwen2.5-VL-3B-Instruct",
        "env.id": "RLLaVA/Search-v0",
        "rollout.group_size": 5,
        "rollout.max_turns": 3,
        "rollout.max_episode_tokens": 2048,
        "rollout.max_row_tokens": 4096 + 2048,
        "elsewhere": {
            "MAT-Search": ("RLLaVA/MATSearch-v0", 150, 5, 2048),
            "MAT-Search, strict": ("RLLaVA/MATSearch-v0", 150, 5, 2048),
            "MAT-Search without tools": ("RLLaVA/MATSearch-v0", 150, 0, 0),
        },
    },
    "paper/mat_coding": {
        "model.path": "Qwen2.5-VL-3B-Instruct",
        "env.id": "RLLaVA/Coding-v0",
        "rollout.group_size": 8,
        "rollout.max_turns": 5,
        "elsewhere": {
            "MAT-Coding": ("RLLaVA/MATCoding-v0", 200, 5, 1024),
            "MAT-Coding, strict": ("RLLaVA/MATCoding-v0", 200, 5, 1024),
            "MAT-Coding without tools": ("RLLaVA/MATCoding-v0", 200, 0, 0),
        },
    },
}
ALL = {
    "rollout.prompts_per_step": 16,
    "rollout.temperature": 1.0,
    "algorithm.family": "grpo",
    "algorithm.divergence.coef": 0.01,
    "algorithm.divergence.estimator": "k3",
    "algorithm.divergence.where": "loss",
    "algorithm.policy_loss_options": {"clip_low": 0.2, "clip_high": 0.2, "dual_clip": 3.0},
    "optimizer.lr": 1e-6,
    "optimizer.max_grad_norm": 1.0,
    "evaluation.sampled": False,
}
FAMILIES = {"paper/counting": "qwen2_vl", "paper/grounding": "qwen2_vl"}  # the others: qwen2_5_vl
SMALL = [
    "--model.gradient_checkpointing=false",
    "--model.device=cpu",
    "--rollout.prompts_per_step=1",
    "--rollout.group_size=2",
    "--rollout.max_turn_tokens=6",
    "--rollout.max_row_tokens=4096",
    "--rollout.threads=2",
    "--optimizer.steps=1",
    "--evaluation.validate_every=1",
    "--evaluation.validation_episodes=1",
    "--evaluation.test_episodes=1",
]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Arguments by which an environment of published data is made here, from a small set in the published format."""
    from sandbox.search import Passage, build_index

    folder = tmp_path_factory.mktemp("published")
    build_index(folder / "index", [Passage("1", "Rivers", "River 3 runs through the city of emblem number 3.")])

    def arguments(env_id: str, kwargs: dict[str, Any]) -> dict[str, Any]:
        found = dict(kwargs)
        if sample := CATALOGUE[env_id].sample:
            place = folder / env_id.replace("/", "_")
            if not place.exists():
                module, _, function = sample.partition(":")
                getattr(importlib.import_module(module), function)(place)
            found["data"] = str(place)
        if "sandbox" in found:
            found["sandbox"] = "local"
        if "search" in found:
            found["search"] = f"index:{folder / 'index'}"
        return found

    return arguments


def small(name: str, samples: Callable[..., dict[str, Any]], *options: str) -> Config:
    """The recipe over small sets in the published format; every other number as the options say."""
    config = read_config("train", [name, *options])

    def there(other: ElsewhereConfig) -> ElsewhereConfig:
        return replace(other, kwargs=samples(other.id, other.kwargs), episodes=2, max_turn_tokens=7)

    env = replace(config.env, kwargs=samples(config.env.id, config.env.kwargs))
    elsewhere = [there(other) for other in config.evaluation.elsewhere]
    return replace(config, env=env, evaluation=replace(config.evaluation, elsewhere=elsewhere))


def specs(config: Config) -> Iterator[EnvironmentSpec]:
    """Every environment that the recipe makes."""
    env = config.env
    for own in (env.train, env.validation, env.test):
        yield EnvironmentSpec(env.id, {**env.kwargs, **own})
    for changes in config.evaluation.variants.values():
        yield EnvironmentSpec(env.id, {**env.kwargs, **env.test, **changes})
    for other in config.evaluation.elsewhere:
        yield EnvironmentSpec(other.id, other.kwargs)


def option(config: Config, path: str) -> Any:
    found: Any = config
    for part in path.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    return found


def test_these_are_the_published_runs() -> None:
    assert {name for name in packaged() if name.startswith("paper/")} == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_numbers_are_the_published_ones(name: str) -> None:
    config = read_config("train", [name])
    expected = ALL | PUBLISHED[name]
    elsewhere = expected.pop("elsewhere")
    assert {path: option(config, path) for path in expected} == expected
    others = {o.name: (o.id, o.episodes, o.max_turns, o.max_turn_tokens) for o in config.evaluation.elsewhere}
    assert others == elsewhere


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_number_that_is_ours_says_so(name: str) -> None:
    """Options that decide what is learned and are not in the published table are marked in the recipe."""
    lines = packaged()[name].read_text().splitlines()
    told = [line for line in lines if "# ours" in line or "# Ours" in line]
    for ours in ("weight_decay", "beta2", "schedule", "aggregation"):
        assert any(line.strip().startswith(f"{ours}:") for line in told), ours
    for published in ("lr", "group_size", "temperature", "max_grad_norm"):
        assert not any(line.strip().startswith(f"{published}:") for line in told), published


@pytest.mark.parametrize("name", PUBLISHED)
def test_its_environments_are_made_from_data_in_the_published_format(
    name: str, samples: Callable[..., dict[str, Any]]
) -> None:
    config = small(name, samples)
    import_modules(config.modules)
    config = with_boxes_of(config)
    played = list(map(make_environment, specs(config)))
    assert len(played) == 3 + len(config.evaluation.variants) + len(config.evaluation.elsewhere)
    for env in played:
        observation, _ = env.reset(seed=0)
        assert observation["text"] and len(observation["images"]) == 1
        env.close()


def with_boxes_of(config: Config) -> Config:
    """The recipe as its own family's model would fill it, where it asks for boxes."""
    unit = {"kind": "relative_1000", "syntax": "tokens", "factor": 28, "min_pixels": 3136, "max_pixels": 12845056}

    def filled(kwargs: dict[str, Any]) -> dict[str, Any]:
        return kwargs | {"boxes": unit} if "boxes" in kwargs else kwargs

    others = [replace(other, kwargs=filled(other.kwargs)) for other in config.evaluation.elsewhere]
    env = replace(config.env, kwargs=filled(config.env.kwargs))
    return replace(config, env=env, evaluation=replace(config.evaluation, elsewhere=others))


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_it_trains_a_small_model_of_that_family_and_tests_it_everywhere(
    name: str, write_checkpoint: Callable[..., Path], samples: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    checkpoint = write_checkpoint(tmp_path / "model", FAMILIES.get(name, "qwen2_5_vl"))
    options = [*SMALL, "--run.folder", str(tmp_path), "--model.path", str(checkpoint)]
    if name == "paper/mat_search":
        options.append("--rollout.max_episode_tokens=12")
    config = small(name, samples, *options)
    assert with_boxes(config).env.kwargs.get("boxes", {}).get("kind", "relative_1000") == "relative_1000"
    report = run(config, quiet()[0]).report
    assert report is not None
    rows = {row["name"]: row for row in report["rows"]}
    for other in config.evaluation.elsewhere:
        assert {f"{who}, {other.name}" for who in ("before", "after", "oracle", "constant")} <= rows.keys()
        assert rows[f"after, {other.name}"]["env_id"] == other.id
        assert rows[f"oracle, {other.name}"]["value"] == pytest.approx(1.0)
    assert {f"after, {variant}" for variant in config.evaluation.variants} <= rows.keys()
    metrics = [json.loads(line) for line in (tmp_path / config.run.name / "metrics.jsonl").read_text().splitlines()]
    assert len(metrics) == 1 and metrics[0]["gap/largest"] < 1e-4


@pytest.mark.parametrize("name", PUBLISHED)
def test_its_memory_can_be_planned(
    name: str, write_checkpoint: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = write_checkpoint(tmp_path / "model", FAMILIES.get(name, "qwen2_5_vl"))
    options = ["--model.path", str(checkpoint), "--pictures", "320x480", "--device-memory", "80GiB", "--json"]
    assert main(["plan", name, *options]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["fits"] and told["dtype"] == "bfloat16"
