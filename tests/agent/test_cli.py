"""The command line: what a mistake is answered with. Each message names the field and what is allowed."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import pytest

from agent.cli import option_names, read_config, read_options, recipe_parser
from agent.config import Config
from agent.errors import ConfigError
from agent.evaluate_command import EvaluateConfig
from agent.recipes import packaged

OWN = "env:\n  id: My/World-v0\n"


@pytest.fixture
def recipe(tmp_path: Path):
    def write(text: str) -> str:
        (tmp_path / "own.yaml").write_text(text)
        return str(tmp_path / "own.yaml")

    return write


def refused(*arguments: str) -> str:
    with pytest.raises(ConfigError) as raised:
        read_config("train", arguments)
    return str(raised.value)


def test_a_recipe_becomes_a_configuration(recipe) -> None:
    config = read_config("train", [recipe(OWN + "optimizer:\n  steps: 7\n  lr: 1e-4\nmodules: [my_world]\n")])
    assert config.env.id == "My/World-v0"
    assert (config.optimizer.steps, config.optimizer.lr, config.modules) == (7, 1e-4, ["my_world"])
    assert is_dataclass(config.rollout)


def test_what_a_recipe_leaves_out_has_its_default(recipe) -> None:
    config = read_config("train", [recipe(OWN)])
    for area in fields(Config):
        if area.name not in ("env", "modules"):
            assert getattr(config, area.name) == get_type_hints(Config)[area.name]()


def test_options_override_the_recipe(recipe) -> None:
    path = recipe(OWN + "optimizer: {steps: 7}\n")
    config = read_config("train", [path, "--optimizer.steps", "9", "--run.name=other", "--env.kwargs.cells", "4"])
    assert (config.optimizer.steps, config.run.name, config.env.kwargs) == (9, "other", {"cells": 4})


def test_sources_of_the_cold_start_are_read_from_a_list(recipe) -> None:
    config = read_config(
        "train", [recipe(OWN + "cold_start:\n  sources:\n    - {kwargs: {ask: describe}, weight: 2}\n")]
    )
    (source,) = config.cold_start.sources
    assert (source.kwargs, source.weight, source.demonstrator) == ({"ask": "describe"}, 2.0, "solve")


@pytest.mark.parametrize("name", sorted(packaged()))
def test_every_packaged_recipe_is_accepted(name: str) -> None:
    assert read_config("train", [name]).env.id


@pytest.mark.parametrize(
    ("option", "nearest"),
    [
        ("--optimizer.step", "--optimizer.steps"),
        ("--optimizer.stps", "--optimizer.steps"),
        ("--optimiser.steps", "--optimizer.steps"),
        ("--model.tiny.hiden", "--model.tiny.hidden"),
        ("--rollout.groupsize", "--rollout.group_size"),
        ("--modles", "--modules"),
        ("--steps", "--env"),
    ],
)
@pytest.mark.parametrize("form", ["apart", "joined"])
def test_an_unknown_option_is_named_with_the_nearest(recipe, option: str, nearest: str, form: str) -> None:
    message = refused(recipe(OWN), *([option, "3"] if form == "apart" else [f"{option}=3"]))
    assert f"unknown option {option};" in message
    assert nearest in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("optimiser: {steps: 3}", ["unknown option optimiser;", "optimizer"]),
        ("optimizer: {stps: 3}", ["unknown option optimizer.stps;", "did you mean optimizer.steps"]),
        ("model: {tiny: {hiden: 32}}", ["unknown option model.tiny.hiden;", "model.tiny.hidden"]),
        ("optimizer.stps: 3", ["unknown option optimizer.stps;", "optimizer.steps"]),
        ("cold_start: {sources: [{}, {demonstrater: solve}]}", ["cold_start.sources[1].demonstrater", "demonstrator"]),
        ("optimizer: 5", ["optimizer takes a mapping of steps, lr", "got int 5"]),
        ("optimizer:", ["optimizer takes a mapping", "got nothing"]),
        ("optimizer: {steps: many}", ["optimizer.steps", "expected int", "many"]),
        ("optimizer: {steps: 3.5}", ["optimizer.steps", "expected int", "3.5"]),
        ("optimizer: {schedule: lineer}", ["optimizer.schedule", "'linear', 'cosine', 'constant'", "lineer"]),
        ("check: {max_gap: autoo}", ["check.max_gap", "autoo", "'auto'"]),
        ("optimizer: {lr: 1}\nrun: {seed: 1}\noptimizer: {steps: 3}", ["'optimizer' stands twice", "line 5"]),
        ("optimizer: {lr: 1, lr: 2}", ["'lr' stands twice"]),
    ],
)
def test_a_mistake_in_a_recipe_is_named(recipe, text: str, told: list[str]) -> None:
    message = refused(recipe(OWN + text + "\n"))
    for part in told:
        assert part in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "a recipe is a mapping"),
        ("- a\n- b\n", "got list"),
        ("only words", "got str 'only words'"),
        ("env: {id: X\n", "not YAML: line 2"),
        ("env: [\n", "not YAML: line"),
        ("a: b: c\n", "not YAML: line 1"),
        ("\x00", "not YAML"),
    ],
)
def test_a_file_that_is_not_a_recipe_is_told_with_its_name(recipe, text: str, told: str) -> None:
    message = refused(recipe(text))
    assert "own.yaml" in message
    assert told in message


def test_a_recipe_that_is_not_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(b"\xff\xfe\x80")
    assert "own.yaml" in refused(str(tmp_path / "own.yaml"))


def test_a_recipe_without_an_environment_names_the_field(recipe) -> None:
    assert "env.id" in refused(recipe("optimizer: {steps: 3}\n"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--optimizer.steps", "many"), "optimizer.steps"),
        (("--optimizer.steps",), "--optimizer.steps"),
        (("--optimizer", "5"), "optimizer"),
        (("--env.kwargs", "5"), "env.kwargs"),
        (("--modules", "my_world"), "modules"),
        (("--optimizer.lr", "null"), "optimizer.lr"),
        (("stray",), "stray"),
    ],
)
def test_an_ill_typed_option_is_named(recipe, arguments: tuple[str, ...], told: str) -> None:
    assert told in refused(recipe(OWN), *arguments)


def test_the_recipe_comes_first(recipe) -> None:
    assert "the recipe comes first" in refused("--optimizer.steps", "3", recipe(OWN))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["-h"], ["counting", "--help"], ["counting", "--run.name", "x", "-h"]]
)
def test_help_is_given_wherever_it_is_asked_for(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read_config("train", arguments)
    assert ended.value.code == 0
    assert "--optimizer.steps" in capsys.readouterr().out


def test_without_a_recipe_the_help_is_shown_and_the_status_is_that_of_wrong_usage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        read_config("train", [])
    assert ended.value.code == 2


def test_every_option_is_explained() -> None:
    actions = {action.dest: action for action in recipe_parser("train")._actions}
    for name in option_names(Config):
        assert name in actions, f"{name} cannot be given"
        assert actions[name].help, f"{name} is not explained in its dataclass's docstring"
        assert "Path to a configuration file" not in actions[name].help or is_area(name)


def is_area(name: str) -> bool:
    kind: type = Config
    for part in name.split("."):
        kind = get_type_hints(kind)[part]
    return is_dataclass(kind)


def test_every_option_of_eval_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_options("eval", ["--help"], EvaluateConfig, "Evaluate.")
    told = capsys.readouterr().out
    for field in fields(EvaluateConfig):
        assert f"--{field.name}" in told
        assert f"{field.name}:" in (EvaluateConfig.__doc__ or "")


def test_an_option_of_a_command_without_recipe_is_checked_too() -> None:
    with pytest.raises(ConfigError, match="unknown option --modell; did you mean --model"):
        read_options("eval", ["--modell", "x", "--model", "x", "--env", "X-v0"], EvaluateConfig, "Evaluate.")
    with pytest.raises(ConfigError, match="dtype"):
        read_options("eval", ["--model", "x", "--env", "X-v0", "--dtype", "int8"], EvaluateConfig, "Evaluate.")
    options = read_options("eval", ["--model", "x", "--env", "X-v0", "--episodes", "5"], EvaluateConfig, "Evaluate.")
    assert (options.model, options.episodes) == ("x", 5)
