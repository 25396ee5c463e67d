"""Rows from measurements that are given: what is compared with what, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
SHAPE = {
    "layers": 2,
    "hidden": 128,
    "channels": 128,
    "weights": 163_840,
    "key_weights": 32_768,
    "vocabulary": 608,
    "vision_layers": 2,
    "vision_hidden": 128,
    "vision_weights": 196_608,
    "patch_inputs": 1176,
    "merge": 2,
}
TOLD = {"prompt": 40, "image_tokens": 4, "shape": SHAPE, "parameters": 1_282_560}


def given(job: Any) -> dict[str, Any]:
    """As a measurement would be if ours took 1 s and 100 MiB, and every other way twice that."""
    if job.kind == "agreement":
        return {"ours": 0.25, "theirs": 0.25, "clipped": 0.25, "gradient": 1e-8, "largest": 0.1}
    ours = job.kind != "trl step" and job.way == "shared"
    seconds = 1.0 if ours else 2.0
    laps = {"cpu": [seconds] * job.measured, "wall": [seconds] * job.measured, "peak": 100.0 * seconds}
    return laps | TOLD | {"trained": 64.0, "length": 31.0, "gradient": 1.5, "drawn": 2048}


def effort(run: Any = given) -> Any:
    from steps.rounds import Effort

    return Effort(rounds=2, tell=lambda _: None, run=run)


def test_every_part_gives_the_rows_that_it_names_and_each_is_twice_as_good() -> None:
    from steps.figures import parts

    named: list[str] = []
    for part in [*parts(), *parts("cuda")]:
        rows = part.measure(effort())
        assert tuple(row.name for row in rows) == part.rows
        named += part.rows
        for row in rows:
            assert row.kind == "agreement" or (row.ratio == 2.0 and row.baseline == 2 * row.value), row
    assert len(set(named)) == len(named)
    wanted = {f"{name}_step_{side}px" for name in ("grpo", "rloo", "ppo") for side in (56, 224, 448)}
    wanted |= {"grpo_step_448px_memory", "update_1024_128_g8", "update_448px_128_g8"}
    wanted |= {"rollout_1024_vs_generate", "rollout_4_turns_vs_prefill", "loss_against_trl"}
    assert wanted <= set(named)


def test_ways_take_turns_within_a_round() -> None:
    from steps.job import Job

    asked: list[str] = []
    jobs = {way: Job("update", way=way) for way in ("shared", "padded")}

    def run(job: Any) -> dict[str, Any]:
        asked.append(job.way)
        return given(job)

    found = effort(run).interleaved(jobs)
    assert asked == ["shared", "padded"] * 2
    assert (found["shared"].seconds, found["padded"].seconds, found["padded"].peak) == (1.0, 2.0, 200.0)


@pytest.mark.parametrize("wrong", [{"ours": 0.2501}, {"gradient": 1e-3}, {"clipped": 0.0}])
def test_nothing_is_compared_where_the_losses_differ(wrong: dict[str, float]) -> None:
    from steps.figures import agreement

    with pytest.raises(ValueError, match="differ"):
        agreement(effort(lambda job: given(job) | wrong))


def test_a_way_that_trains_on_fewer_episodes_is_refused() -> None:
    from steps.figures import whole_step

    with pytest.raises(ValueError, match=r"GRPO trained on 56\.0 of 64"):
        whole_step(effort(lambda job: given(job) | {"trained": 64.0 if job.kind == "trl step" else 56.0}), 56)


def test_updates_with_other_gradients_and_rollouts_of_other_lengths_are_refused() -> None:
    from steps.figures import rollout, update

    def apart(job: Any) -> dict[str, Any]:
        return given(job) | ({"gradient": 1.6, "drawn": 2000} if job.way in ("padded", "generate") else {})

    with pytest.raises(ValueError, match="gradients differ"):
        update(effort(apart), "update_1024_128_g8", 56, "qwen2_vl", "")
    with pytest.raises(ValueError, match="2048 tokens, the other way 2000"):
        rollout(effort(apart))


def test_trl_is_given_the_faster_of_its_micro_batches() -> None:
    from steps.figures import MICRO, whole_step

    def slower_at_once(job: Any) -> dict[str, Any]:
        found = given(job)
        if job.kind == "trl step" and job.rows != MICRO:
            found |= {"cpu": [9.0], "wall": [9.0], "peak": 900.0}
        return found

    row, *_, memory = whole_step(effort(slower_at_once), 56)
    assert row.baseline == 2.0 and f"micro-batches of {MICRO} rows" in row.against
    assert memory.baseline == 200.0 and memory.beside["TRL, all rows at once"] == 900.0


def test_trl_is_measured_as_it_fits_where_all_rows_at_once_do_not() -> None:
    from steps.figures import MICRO, whole_step

    def too_small(job: Any) -> dict[str, Any]:
        if job.kind == "trl step" and job.rows != MICRO:
            raise RuntimeError("out of memory")
        return given(job)

    def far_too_small(job: Any) -> dict[str, Any]:
        if job.kind == "trl step":
            raise RuntimeError("out of memory")
        return given(job)

    assert f"micro-batches of {MICRO} rows" in whole_step(effort(too_small), 56)[0].against
    with pytest.raises(RuntimeError, match="out of memory"):
        whole_step(effort(far_too_small), 56)


def test_ours_have_as_many_tokens_in_a_micro_batch_as_trl(tmp_path: Path) -> None:
    from steps.figures import MICRO, whole_step
    from steps.ours import config_of

    asked: list[Any] = []
    whole_step(effort(lambda job: asked.append(job) or given(job)), 56)  # TRL is as fast with all rows at once
    ours = [job for job in asked if job.kind == "step"]
    assert {job.rows for job in ours} == {0, MICRO} and {job.rows for job in ours if job.way == "plain"} == {0}
    whole, few = (config_of(replace(ours[0], rows=rows), tmp_path).optimizer.micro_batch_tokens for rows in (0, MICRO))
    assert whole == 8 * few


def test_ours_without_sharing_is_measured_where_there_is_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    import steps.figures as figures

    monkeypatch.setattr(figures, "has_plain", lambda: True)
    rows = {row.name: row for row in figures.whole_step(effort(), 56)}
    assert rows["grpo_step_56px"].beside == {figures.PLAIN: 2.0}
    assert rows["ppo_step_56px"].beside == {figures.PLAIN: 2.0}
    monkeypatch.setattr(figures, "has_plain", lambda: False)
    assert figures.whole_step(effort(), 56)[0].beside == {}


def test_figures_of_other_benches_keep_their_own_commit() -> None:
    import json

    from steps.borrowed import SOURCES, borrowed

    rows = {row.name: row for row in borrowed(ROOT / "bench")}
    kept = json.loads((ROOT / "bench" / "sandboxes.json").read_text())
    row = rows["sandbox_print_vs_exec_run"]
    assert row.commit == kept["commit"] and row.machine == kept["machine"]
    assert row.ratio == pytest.approx(row.value / row.baseline, rel=0.02)
    assert {"sandbox_image_vs_exec_run", "search_question_median", "compose_to_report"} <= set(rows)
    assert len(rows) >= len(SOURCES) and borrowed(ROOT / "no such folder") == []


def test_curves_measure_what_several_axes_have_in_common_once() -> None:
    from steps.curves import AXES, BASE, curves

    asked: list[Any] = []

    def run(job: Any) -> dict[str, Any]:
        asked.append(job)
        return given(job)

    kept: list[list[str]] = []
    points: dict[str, list[dict[str, Any]]] = {}

    def keep(found: dict[str, list[dict[str, Any]]]) -> None:
        kept.append(list(found))
        points.update(found)

    curves(replace(effort(run), rounds=1), keep)
    assert kept == [[axis.name for axis in AXES[: i + 1]] for i in range(len(AXES))]  # nothing waits for the end
    assert {name: [point["at"] for point in of] for name, of in points.items()} == {
        axis.name: list(axis.values) for axis in AXES
    }
    assert len([job for job in asked if job == BASE]) == 1
    assert points["turns"][1]["ours"]["seconds"] == 1.0 and "TRL" not in points["turns"][1]
    assert points["side"][0]["TRL"] == {"seconds": 2.0, "MiB": 200.0}
