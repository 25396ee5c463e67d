"""`python -m agent algorithms`: everything that may be chosen is listed, with what it needs."""

import io

from rich.console import Console

from agent.algorithm import FAMILIES
from agent.algorithms_command import algorithms_command
from agent.objective.advantage import ADVANTAGES
from agent.objective.kl import KL_ESTIMATORS
from agent.objective.policy_loss import POLICY_LOSSES
from agent.objective.value import VALUE_LOSSES


def listed(*arguments: str) -> tuple[int, str]:
    told = io.StringIO()
    status = algorithms_command(arguments, Console(file=told))
    return status, told.getvalue()


def test_everything_that_may_be_chosen_stands_in_the_list() -> None:
    status, told = listed()
    assert status == 0
    first = [line.split("│")[1].strip() for line in told.splitlines() if line.startswith("│")]
    for name in (*FAMILIES, *ADVANTAGES, *POLICY_LOSSES):
        assert name in first
    for name in (*KL_ESTIMATORS,):
        assert f"--algorithm.divergence.estimator {name}" in first
    for name in VALUE_LOSSES:
        assert f"--critic.loss {name}" in first


def test_a_line_says_what_is_needed_which_options_there_are_and_where_it_is_from() -> None:
    _, told = listed()
    rows: dict[str, str] = {}
    for line in told.splitlines():
        cells = [cell.strip() for cell in line.split("│")[1:-1]]
        if cells and cells[0]:
            name = cells[0]
        if cells:  # a row of the table may take several lines
            rows[name] = rows.get(name, "") + " " + " ".join(cells[1:])
    assert "a critic" in rows["gae"] and "discount: float = 1.0" in rows["gae"] and "1506.02438" in rows["gae"]
    assert "a greedy episode" in rows["remax"] and "groups of 2" in rows["rloo"]
    assert "clip_low" in told and "dual_clip: float = 0.0" in told


def test_anything_else_is_wrong_usage() -> None:
    assert listed("--help")[0] == 0 and listed("grpo")[0] == 2
