"""What is played: ids, recipes and runs, with what the options say."""

from pathlib import Path
from typing import Any

import gymnasium
import pytest
import yaml

from agent.config import RolloutConfig
from agent.errors import ConfigError
from agent.evaluation.benchmark import Benchmark, arguments_of, of_environments, of_run, with_model_boxes
from agent.evaluation.options import EvaluateConfig, LimitsConfig
from agent.rollout.environments import EnvironmentSpec
from tests.agent.guessing import Guessing


class Tooled(Guessing):
    def __init__(self, split: str = "train", tools: bool = True, search: str = "", boxes: Any = None) -> None:
        super().__init__(split)
        self.tools = tools


class Simple(Guessing):
    def __init__(self, tasks: int = 5) -> None:
        super().__init__(tasks=tasks)


class Anything(Guessing):
    def __init__(self, **more: Any) -> None:
        super().__init__()


for kind in (Tooled, Simple, Anything):
    gymnasium.register(f"Test/{kind.__name__}-v0", kind)


def benchmarks(env: str, **options: Any) -> list[Benchmark]:
    return of_environments(EvaluateConfig("oracle", env, modules=[], **options))


def test_an_id_is_played_in_its_test_split_by_the_default_limits() -> None:
    (one,) = benchmarks("Test/Tooled-v0")
    assert (one.name, one.split, one.spec.kwargs) == ("Test/Tooled-v0", "test", {"split": "test"})
    assert one.sizes == RolloutConfig()


def test_the_tools_are_taken_away_where_the_environment_has_some() -> None:
    (one,) = benchmarks("Test/Tooled-v0")
    assert one.played("no tool").kwargs == {"split": "test", "tools": False}
    assert benchmarks("Test/Simple-v0")[0].variants == {}
    assert benchmarks("Test/Tooled-v0", no_tool=False)[0].variants == {}
    assert benchmarks("Test/Tooled-v0", kwargs={"tools": False})[0].variants == {}


def test_splits_are_played_one_by_one_and_an_environment_without_any_has_only_the_test() -> None:
    assert [b.split for b in benchmarks("Test/Tooled-v0", split="train, test")] == ["train", "test"]
    assert benchmarks("Test/Simple-v0")[0].spec.kwargs == {}
    with pytest.raises(ConfigError, match="--split train: Test/Simple-v0 has no splits"):
        benchmarks("Test/Simple-v0", split="train")


def test_tools_are_named_for_those_that_take_them_and_arguments_for_all() -> None:
    one, other = benchmarks("Test/Tooled-v0,Test/Simple-v0", search="index:x", sandbox="local")
    assert one.spec.kwargs == {"split": "test", "search": "index:x"} and other.spec.kwargs == {}
    assert benchmarks("Test/Simple-v0", kwargs={"tasks": 3})[0].spec.kwargs == {"tasks": 3}


def test_arguments_are_those_of_the_class_and_none_where_it_takes_any() -> None:
    assert arguments_of("Test/Simple-v0") == {"tasks"}
    assert arguments_of("Test/Anything-v0") is None
    assert "cells" in (arguments_of("envs:RLLaVA/Counting-v0") or ())


def test_a_packaged_recipe_brings_arguments_limits_and_variants() -> None:
    (one,) = benchmarks("search")
    assert (one.spec.kwargs["style"], one.spec.kwargs["split"], one.sizes.max_turn_tokens) == ("tiny", "test", 16)
    assert one.played("without search").kwargs["search"] == "none"
    assert one.measures == ("accuracy", "searched", "retrieved")


def test_what_is_given_goes_over_what_a_recipe_says() -> None:
    (one,) = benchmarks("search", rollout=LimitsConfig(max_turns=2), measures=["format", "accuracy"])
    assert (one.sizes.max_turns, one.sizes.max_turn_tokens) == (2, 16)
    assert one.measures == ("accuracy", "searched", "retrieved", "format")


def test_a_run_is_played_as_it_tests_itself(tmp_path: Path) -> None:
    config = {
        "env": {"id": "Test/Tooled-v0", "kwargs": {"search": "a"}, "test": {"split": "test", "boxes": 1}},
        "rollout": {"max_turns": 3, "of another version": 1},
        "evaluation": {"variants": {"blindfold": {"search": "none"}}, "measures": ["right"]},
        "run": {"name": "mine"},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"config": config}))
    (one,) = of_run(tmp_path, EvaluateConfig("x", modules=[]))
    assert (one.name, one.sizes.max_turns, one.measures) == ("mine", 3, ("right",))
    assert one.spec.kwargs == {"search": "a", "split": "test", "boxes": 1}
    assert one.played("blindfold").kwargs["search"] == "none"


@pytest.mark.parametrize("text", ["[", "config: {}", "config: {env: {id: 1, nonsense: 2}, rollout: {}}", ""])
def test_a_run_whose_configuration_cannot_be_read_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml cannot be read .* say where to play: --env ID"):
        of_run(tmp_path, EvaluateConfig("x", modules=[]))


@pytest.mark.parametrize(
    ("episodes", "whole", "count", "tasks"),
    [(0, False, None, 512), (0, False, 40, 40), (0, False, 4000, 512), (0, True, 4000, 4000), (7, True, 40, 7)],
)
def test_how_many_tasks_are_played(episodes: int, whole: bool, count: int | None, tasks: int) -> None:
    made = Benchmark("b", "test", EnvironmentSpec("E-v0"), RolloutConfig(), episodes=episodes, whole=whole)
    assert made.tasks(count) == tasks


def test_boxes_that_nobody_says_are_asked_for() -> None:
    made = Benchmark("b", "test", EnvironmentSpec("E-v0", {"boxes": "auto"}), RolloutConfig())
    with pytest.raises(ConfigError, match="boxes: auto is known for a checkpoint alone"):
        with_model_boxes(made, None)
