"""The same completions through both losses, and measurements as they are: in processes, with real trainers."""

from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_same_completions_have_the_same_loss_and_gradient(tmp_path: Path) -> None:
    from steps.agreement import compared
    from steps.job import Job

    found = compared(Job("agreement", prompts=2, group=4, tokens=8, warm=0, measured=1), tmp_path)
    assert abs(found["ours"] - found["theirs"]) <= 1e-5 and found["gradient"] <= 1e-5
    assert abs(found["theirs"]) > 1e-3 and found["largest"] > 1e-3 and found["clipped"] > 0


@pytest.mark.slow
def test_ours_and_trls_steps_are_of_equal_size(tmp_path: Path) -> None:
    from steps.job import Job
    from steps.worker import measured

    sizes = {"prompts": 2, "group": 4, "tokens": 8, "warm": 1, "measured": 2}
    ours, theirs = measured(Job("step", **sizes)), measured(Job("trl step", **sizes))
    for found in (ours, theirs):
        assert len(found["cpu"]) == len(found["wall"]) == 2 and min(found["cpu"]) > 0 and found["peak"] > 0
        assert found["trained"] == 8 and 6 < found["length"] <= 8
    assert ours["parameters"] == theirs["parameters"]
    assert 1.27e6 < ours["parameters"] < 1.29e6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "ways"),
    [("update", ("shared", "padded")), ("rollout", ("shared", "generate")), ("turns", ("shared", "forgotten"))],
)
def test_both_ways_do_the_same(kind: str, ways: tuple[str, str], tmp_path: Path) -> None:
    from steps.job import Job
    from steps.worker import work

    sizes = {"prompt": 64, "prompts": 1, "group": 3, "tokens": 6, "turns": 3 if kind == "turns" else 1}
    one, other = (work(Job(kind, way=way, warm=0, measured=1, **sizes), tmp_path / way) for way in ways)  # type: ignore[arg-type]
    assert one["prompt"] == other["prompt"] == 64
    if kind == "update":
        assert one["gradient"] == pytest.approx(other["gradient"], rel=1e-4) and one["gradient"] > 1e-3
    else:
        assert one["drawn"] == other["drawn"] == 18 * sizes["turns"]


@pytest.mark.slow
def test_a_job_that_fails_says_why() -> None:
    from steps.job import Job
    from steps.worker import measured

    with pytest.raises(RuntimeError, match="no room"):
        measured(Job("rollout", side=448, prompt=10))
