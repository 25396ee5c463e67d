"""Curves of groups."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from agent.compare.draw import band, curves_of, draw_comparison
from agent.compare.groups import benchmarks, grouped
from agent.compare.runs import read_run
from agent.evaluate import bootstrap_interval
from tests.agent.compare.written import write_run


def test_the_mean_and_its_interval_over_seeds_at_each_place() -> None:
    found = band([{1.0: 0.0, 2.0: 1.0}, {1.0: 0.5, 2.0: 0.0}, {1.0: 1.0, 2.0: 0.5}])
    assert (found.at, found.mean) == ((1.0, 2.0), (0.5, 0.5))
    assert (found.low[0], found.high[0]) == bootstrap_interval([0.0, 0.5, 1.0])


def test_one_run_has_no_band() -> None:
    found = band([{1.0: 0.25, 2.0: 1.0}])
    assert (found.mean, found.low, found.high) == ((0.25, 1.0), (), ())


def test_the_mean_ends_where_the_shortest_ends_and_lies_on_the_lines_between_points() -> None:
    found = band([{0.0: 0.0, 10.0: 1.0, 20.0: 9.0}, {0.0: 0.0, 5.0: 1.0, 10.0: 2.0}])
    assert (found.at, found.mean) == ((0.0, 5.0, 10.0), (0.0, 0.75, 1.5))


@pytest.mark.parametrize("curves", [[], [{1.0: 0.0}, {2.0: 0.0}]])
def test_what_has_no_place_in_common_has_no_mean(curves: list[dict[float, float]]) -> None:
    assert band(curves).at == ()


def test_a_curve_is_over_steps_or_over_episodes(tmp_path: Path) -> None:
    (group,) = grouped([read_run(write_run(tmp_path, "a", rollout={"prompts_per_step": 3, "group_size": 2}))], {})
    ((_, steps),), ((_, episodes),) = (curves_of(group, "validation", by) for by in (False, True))
    assert list(steps) == [10, 20, 30, 40] and list(episodes) == [60, 120, 180, 240]


def test_groups_seeds_unfinished_runs_and_several_environments_are_drawn(tmp_path: Path) -> None:
    paths = [write_run(tmp_path, f"a{seed}", seed) for seed in (0, 1)]
    paths.append(write_run(tmp_path, "a2", 2, validations=(0.1,), after=None))
    paths.append(write_run(tmp_path, "b", env_id="Other$-v0", optimizer={"lr": 0.5}))
    target = tmp_path / "compare.png"
    assert draw_comparison(benchmarks(grouped([read_run(path) for path in paths], {})), target)
    with Image.open(BytesIO(target.read_bytes())) as image:
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 20


def test_nothing_is_drawn_where_no_run_has_a_curve(tmp_path: Path) -> None:
    found = benchmarks(grouped([read_run(write_run(tmp_path, "a", validations=()))], {}))
    assert not draw_comparison(found, tmp_path / "compare.png")
    assert not (tmp_path / "compare.png").exists()
