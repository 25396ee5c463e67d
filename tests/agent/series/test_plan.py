"""The file of a series: what it means, and what a mistake in it is answered with."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.series.plan import Series, read_series

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def read(tmp_path: Path):
    def reading(text: str) -> Series:
        (tmp_path / "series.yaml").write_text(text)
        return read_series(tmp_path / "series.yaml", Path("runs"))

    return reading


def test_runs_keep_their_order_and_take_their_names_from_their_recipes(read) -> None:
    series = read("judged: mine\nruns: [{recipe: search}, {recipe: counting, name: mine}, {recipe: paper/geometry}]\n")
    assert [run.name for run in series.runs] == ["search", "mine", "geometry"]
    assert [run.arguments[0] for run in series.runs] == ["search", "counting", "paper/geometry"]
    assert series.judged == "mine"


def test_nothing_is_judged_where_the_file_does_not_say_by_what(read) -> None:
    assert read("runs: [{recipe: counting}]\n").judged is None


def test_options_are_passed_on_as_the_command_line_takes_them(read) -> None:
    (run,) = read("runs: [{recipe: counting, options: {optimizer.steps: 3, model.path: /there}}]\n").runs
    assert run.arguments == (
        "counting",
        "--optimizer.steps=3",
        "--model.path=/there",
        "--run.folder=runs",
        "--run.name=counting",
    )
    assert (run.config.optimizer.steps, run.config.model.path) == (3, "/there")


def test_an_option_inside_a_mapping_leaves_the_recipes_others(read) -> None:
    (run,) = read("runs: [{recipe: search, options: {env.kwargs.search: 'http://search:8001'}}]\n").runs
    (plain,) = read("runs: [{recipe: search}]\n").runs
    assert run.config.env.kwargs == {**plain.config.env.kwargs, "search": "http://search:8001"}
    assert len(plain.config.env.kwargs) > 3


@pytest.mark.parametrize(
    ("option", "value", "arrives"),
    [
        ("env.kwargs.x", "[1, 2]", [1, 2]),
        ("env.kwargs.x", "{a: {b: 1}}", {"a": {"b": 1}}),
        ("env.kwargs.x", "null", None),
        ("env.kwargs.x", "true", True),
        ("env.kwargs.x", "unix:/run/lane", "unix:/run/lane"),
        ("env.kwargs.x", "--dashes", "--dashes"),
        ("env.kwargs.x", "with = and blanks", "with = and blanks"),
        ("env.kwargs", "{only: this}", {"only": "this"}),
        ("cold_start.sources", "[]", []),
        ("optimizer.lr", "1e-4", 1e-4),
    ],
)
def test_any_value_arrives_as_it_was_written(read, option: str, value: str, arrives: object) -> None:
    (run,) = read(f"runs:\n- recipe: search\n  options:\n    {option}: {value}\n").runs
    found: object = run.config
    for part in option.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == arrives and type(found) is type(arrives)


def test_a_recipe_by_its_path_lies_beside_the_file(read, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("env: {id: My/World-v0}\n")
    (run,) = read("runs: [{recipe: own.yaml}]\n").runs
    assert (run.name, run.arguments[0], run.config.env.id) == ("own", str(tmp_path / "own.yaml"), "My/World-v0")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["series.yaml", "a series is a mapping of judged, runs", "nothing"]),
        ("- counting\n", ["line 1", "a series is a mapping", "got list"]),
        ("runs: [{recipe: counting}\n", ["not YAML"]),
        ("jugded: counting\nruns: [{recipe: counting}]\n", ["line 1", "no 'jugded'", "allowed: judged, runs"]),
        ("judged: counting\n", ["runs is a list", "got nothing"]),
        ("runs: []\n", ["line 1", "runs is a list"]),
        ("runs: counting\n", ["line 1", "runs is a list", "'counting'"]),
        ("runs:\n- counting\n", ["line 2", "run 1 is a mapping of name, recipe, options", "got str"]),
        ("runs:\n- recipe: counting\n  option: {}\n", ["line 3", "no 'option'", "allowed: name, recipe, options"]),
        ("runs:\n- name: a\n", ["line 2", "run 1 needs a recipe", "got nothing"]),
        ("runs:\n- name: a\n  recipe: 5\n", ["line 3", "run 1 needs a recipe", "got int 5"]),
        ("runs:\n- recipe: countin\n", ["line 2", "did you mean 'counting'"]),
        ("runs:\n- recipe: nowhere.yaml\n", ["line 2", "no such recipe file"]),
        ("runs:\n- recipe: counting\n  name: a/b\n", ["line 3", "a run's name is also its folder's", "'a/b'"]),
        ("runs:\n- recipe: counting\n  name: ..\n", ["line 3", "a run's name is also its folder's"]),
        ("runs:\n- recipe: counting\n  name: 7\n", ["line 3", "got int 7"]),
        ("runs:\n- recipe: counting\n- recipe: counting\n", ["line 3", "two runs are called 'counting'"]),
        ("runs:\n- recipe: counting\n  recipe: search\n", ["'recipe' stands twice", "line 3"]),
        ("runs:\n- recipe: counting\n  options: 5\n", ["line 3", "options is a mapping", "got int 5"]),
        ("runs:\n- recipe: counting\n  options:\n", ["line 3", "options is a mapping", "got nothing"]),
        ("judged: x\nruns: [{recipe: counting}]\n", ["line 1", "one of the runs: counting", "'x'"]),
        ("judged: [counting]\nruns: [{recipe: counting}]\n", ["line 1", "one of the runs: counting", "got list"]),
        (
            "judged: counting\nruns: [{recipe: counting, options: {evaluation.test_episodes: 0}}]\n",
            ["line 1", "counting is never tested"],
        ),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_line(read, text: str, told: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        read(text)
    for part in told:
        assert part in str(raised.value)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("optimizer.stps: 3", ["line 5", "unknown option optimizer.stps", "did you mean optimizer.steps"]),
        ("optimiser.steps: 3", ["line 5", "did you mean optimizer.steps"]),
        ("optimizer: {steps: 3}", ["line 5", "optimizer is an area", "optimizer.steps"]),
        ("run: {name: x}", ["line 5", "run is an area"]),
        ("run.name: x", ["line 5", "run.name", "give the run a `name`"]),
        ("run.folder: x", ["line 5", "run.folder", "--folder"]),
        ("help: true", ["line 5", "unknown option help"]),
        ("recipe: search", ["line 5", "unknown option recipe"]),
        ("print_config: ''", ["line 5", "unknown option print_config"]),
        ("5: 5", ["line 5", "unknown option 5"]),
        ("optimizer.steps: many", ["line 2", "optimizer.steps", "expected int", "many"]),
        ("optimizer.schedule: lineer", ["'linear', 'cosine', 'constant'"]),
        ("env.kwargs.day: 2025-01-01", ["line 5", "env.kwargs.day", "got date", "stands in quotes"]),
        ("env.kwargs.x: .inf", ["line 5", "env.kwargs.x", "got float inf"]),
        ("env.kwargs.x: '5'", ["line 5", "env.kwargs.x", "'5' would arrive as 5"]),
        ("env.kwargs.x: {1: 2}", ["line 5", "would arrive as"]),
        ("env.kwargs.x.y: 5", ["line 5", "5 would arrive as '5'", "give the whole mapping"]),
    ],
)
def test_a_mistake_in_an_option_is_told_with_the_run(read, option: str, told: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        read(f"runs:\n- recipe: counting\n  options:\n    run.seed: 1\n    {option}\n")
    for part in [*told, "counting"]:
        assert part in str(raised.value)


def test_a_mistake_in_the_last_run_is_told_though_the_first_is_right(read) -> None:
    with pytest.raises(ConfigError, match=r"line 3, search: unknown option optimizer\.stps"):
        read("runs:\n- recipe: counting\n- {recipe: search, options: {optimizer.stps: 3}}\n")


def test_chosen_runs_keep_the_files_order(read) -> None:
    series = read("judged: search\nruns: [{recipe: counting}, {recipe: geometry}, {recipe: search}]\n")
    chosen = series.only(["search", "counting"])
    assert [run.name for run in chosen.runs] == ["counting", "search"]
    assert chosen.judged == "search"


def test_without_the_judged_run_nothing_is_judged(read) -> None:
    assert read("judged: search\nruns: [{recipe: counting}, {recipe: search}]\n").only(["counting"]).judged is None


def test_a_run_that_is_chosen_and_not_there_is_told_with_those_that_are(read) -> None:
    with pytest.raises(ConfigError, match="'geometri'; there are counting, geometry"):
        read("runs: [{recipe: counting}, {recipe: geometry}]\n").only(["counting", "geometri"])


def test_a_series_is_read_without_torch(tmp_path: Path) -> None:
    (tmp_path / "series.yaml").write_text(
        "runs: [{recipe: counting}, {recipe: search, options: {optimizer.stps: 1}}]\n"
    )
    program = (
        "import sys; from agent.__main__ import main; status = main(['series', sys.argv[1]]); "
        "sys.exit(status if 'torch' not in sys.modules else 99)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "series.yaml")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "did you mean optimizer.steps" in done.stderr
