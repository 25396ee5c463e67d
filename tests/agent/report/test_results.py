"""Results in words and bars."""

import math
from io import StringIO

import pytest
from rich.console import Console

from agent.report import results_table
from agent.report.results import (
    change,
    differences,
    duration,
    mean,
    phases,
    result_tables,
    usable_differences,
    usable_rows,
)


def row(
    name: str = "after", value: float = 0.5, metric: str = "accuracy", env_id: str = "Some/Env-v0"
) -> dict[str, object]:
    numbers = {"value": value, "low": value - 0.1, "high": value + 0.1}
    return {"name": name, "env_id": env_id, "decoding": "none", "metric": metric, **numbers, "episodes": 4, "seed": 0}


def printed(rows: list[dict[str, object]]) -> str:
    console = Console(file=StringIO(), width=120)
    console.print(results_table(rows))
    return console.file.getvalue()


def test_metrics_are_percentages_and_returns_are_not() -> None:
    assert (mean(0.5, "accuracy"), mean(-21.0, "return")) == ("50.0%", "-21")
    assert (change(0.5, "accuracy"), change(3.0, "return")) == ("+50.0 points", "+3")


def test_a_mean_of_no_episodes_is_none_and_has_no_bar() -> None:
    (table,) = result_tables([row(value=math.nan)])
    assert table.rows[0].mean == "none" and table.rows[0].bar is None


def test_bars_of_a_metric_share_the_scale_from_0_to_1() -> None:
    (table,) = result_tables([row("before", 0.2), row("after", 0.8)])
    assert [(r.bar.low, r.bar.value, r.bar.high) for r in table.rows if r.bar] == [(10, 20, 30), (70, 80, 90)]


def test_negative_returns_have_a_scale_that_holds_0() -> None:
    (table,) = result_tables([row(value=-1.9, metric="return")])
    assert (table.left, table.right) == ("-2", "0") and table.rows[0].bar is not None


def test_each_environment_and_metric_has_its_table() -> None:
    tables = result_tables([row(env_id="A"), row(env_id="B"), row(env_id="A", metric="format"), row(env_id="A")])
    assert [(t.env_id, t.metric, len(t.rows)) for t in tables] == [
        ("A", "accuracy", 2),
        ("B", "accuracy", 1),
        ("A", "format", 1),
    ]


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.1, 0.3, "better"), (-0.3, -0.1, "worse"), (-0.1, 0.3, "unclear")]
)
def test_a_difference_counts_only_where_its_interval_leaves_0_out(low: float, high: float, verdict: str) -> None:
    found = {"decoding": "none", "value": (low + high) / 2, "low": low, "high": high}
    (difference,) = differences({"rows": [row()], "paired_differences": [found]})
    assert difference.verdict == verdict and difference.bar is not None and difference.bar.zero == 50


def test_no_difference_at_all_is_drawn_at_0() -> None:
    found = {"decoding": "none", "value": 0.0, "low": 0.0, "high": 0.0}
    (difference,) = differences({"paired_differences": [found]})
    assert difference.bar is not None and difference.bar.value == 50


def test_time_is_said_as_people_say_it() -> None:
    assert [duration(s) for s in (8.44, 200, 7500)] == ["8.4 s", "3 min 20 s", "2 h 5 min"]
    assert [phase.share for phase in phases({"phases": {"test": 1.0, "training": 4.0}})] == [25, 100]


def test_the_terminal_table_names_environments_only_where_they_differ() -> None:
    assert "environment" not in printed([row()])
    two = printed([row(env_id="A"), row(env_id="B")])
    assert "environment" in two and "│ A " in two and "│ B " in two and "measure" not in two


def test_the_terminal_table_names_measures_only_where_they_differ() -> None:
    table = printed([row(metric="f1"), row(metric="tool")])
    assert "measure" in table and "│ f1 " in table and "│ tool " in table and "environment" not in table
    assert "no results" in printed([])


def test_brackets_in_names_are_not_taken_for_markup() -> None:
    assert "[red]x[/bold]" in printed([row("[red]x[/bold]")])


def test_rows_that_do_not_say_what_was_measured_are_left_out_and_a_missing_number_is_none() -> None:
    (known,) = usable_rows([{"name": "after", "env_id": "A", "metric": "f1", "value": None}, {"name": "lost"}, 3])
    (table,) = result_tables([known])
    assert (table.rows[0].mean, table.rows[0].bar, table.rows[0].decoding) == ("none", None, "")
    assert usable_rows("rows") == [] and usable_differences([{"value": 1.0}]) == []
