"""Results as numbers and lines."""

import math
from typing import Any

from agent.tracking.results import result_lines, result_numbers
from tests.agent.tracking.shown import REPORT


def test_each_mean_has_a_name_of_its_own() -> None:
    assert result_numbers(REPORT) == {
        "test/blind/accuracy": 0.125,
        "test/before/greedy/accuracy": 0.25,
        "test/after/greedy/accuracy": 0.75,
        "test/gain/greedy": 0.5,
    }


def test_what_is_not_a_number_is_left_out_and_said() -> None:
    row: dict[str, Any] = {**REPORT["rows"][0], "value": math.nan, "low": math.nan, "high": math.nan, "episodes": 0}
    assert result_numbers({"rows": [row]}) == {}
    assert "blind: accuracy none" in result_lines({"rows": [row]})
