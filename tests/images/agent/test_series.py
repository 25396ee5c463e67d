"""The series that the agent's image ships, read by today's command against today's recipes."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.cli import read_config
from agent.series.plan import read_series

IMAGE = Path(__file__).parents[3] / "images" / "agent"
FILES = sorted((IMAGE / "series").glob("*.yaml"))
COLD_STARTS = Path("/opt/rllava/cold_starts")  # where the image has them
SERVICES = {"search": {"search": "http://search:8001"}, "coding": {"sandbox": "unix:/run/lane"}}


def series(path: Path):
    return read_series(path, Path("runs"))


def test_there_is_a_short_series_and_a_full_one() -> None:
    assert {path.stem for path in FILES} >= {"short", "full"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_series_is_accepted_and_counting_judges_it(path: Path) -> None:
    assert series(path).judged == "counting"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_tools_are_the_services_beside_the_agent(path: Path) -> None:
    for run in series(path).runs:
        for name, address in SERVICES.get(run.name, {}).items():
            assert run.config.env.kwargs[name] == address


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_cold_start_that_a_series_begins_with_is_shipped(path: Path) -> None:
    for run in series(path).runs:
        if run.config.model.path != "tiny":
            shipped = Path(run.config.model.path).relative_to(COLD_STARTS)
            assert (IMAGE / "cold_starts" / shipped / "config.json").is_file()
            assert run.config.cold_start.sources == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_counting_has_all_steps_of_the_packaged_recipe(path: Path) -> None:
    (run,) = [run for run in series(path).runs if run.name == "counting"]
    packaged = read_config("train", ["counting"])
    same = replace(
        run.config,
        model=packaged.model,
        cold_start=packaged.cold_start,
        engine=packaged.engine,
        run=packaged.run,
    )
    assert same == packaged


def test_the_full_series_is_all_five_tasks_from_nothing() -> None:
    runs = series(IMAGE / "series" / "full.yaml").runs
    assert [run.name for run in runs] == ["counting", "geometry", "grounding", "search", "coding"]
    for run in runs:
        assert run.config.model.path == "tiny" and run.config.cold_start.sources
