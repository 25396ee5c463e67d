"""What a person sees: a line now and then without a terminal, bars with one, and messages exactly as they are."""

import io

import pytest
from rich.console import Console

from agent.progress import LINE_EVERY, Progress


@pytest.fixture(params=[False, True], ids=["file", "terminal"])
def shown(request: pytest.FixtureRequest):
    told = io.StringIO()
    progress = Progress(Console(file=told, width=100, force_terminal=request.param, color_system=None))
    yield progress, told
    progress.stop()


def test_a_message_with_brackets_is_shown_as_it_is(shown) -> None:
    """A policy writes [/b] or [red], and rich would take it for markup: an error, or a hole in the message."""
    progress, told = shown
    progress.warn("after 'x[/b]' came '[red]' in runs/[old]")
    assert "after 'x[/b]' came '[red]' in runs/[old]" in told.getvalue()


def test_a_long_message_without_a_terminal_is_not_broken_into_lines() -> None:
    told = io.StringIO()
    progress = Progress(Console(file=told, width=40))
    progress.warn("/a/long/path/" * 10)
    assert "/a/long/path/" * 10 in told.getvalue()
    progress.stop()


def test_without_a_terminal_a_line_is_printed_now_and_then_and_at_validations() -> None:
    told = io.StringIO()
    progress = Progress(Console(file=told, width=100))
    progress.phase("training", 60)
    for step in range(1, 61):
        progress.step(step, {"reward": 0.25} | ({"validation": 0.5} if step == 30 else {}))
    progress.stop()
    lines = told.getvalue().splitlines()
    assert lines[0] == "training: 60 steps"
    assert [line.split(":")[0] for line in lines[1:]] == [
        f"training step {step}" for step in (LINE_EVERY, 30, 2 * LINE_EVERY)
    ]
    assert "validation 0.500" in lines[2]


def test_a_terminal_shows_the_phase_and_how_far_it_is() -> None:
    told = io.StringIO()
    progress = Progress(Console(file=told, width=100, force_terminal=True, color_system=None))
    progress.phase("training", 10, done=4)
    progress.step(7, {"reward": 0.125})
    progress.stop()
    assert "training" in told.getvalue()
    assert "7/10" in told.getvalue()
    assert "reward 0.125" in told.getvalue()


def test_a_step_before_any_phase_and_a_second_phase_are_fine(shown) -> None:
    progress, _ = shown
    progress.step(1, {})
    progress.advance()
    progress.phase("test", 2)
    progress.advance()
    progress.phase("training", 3)
    progress.step(3, {"loss": float("nan")})
