"""Which trajectories are shown, and what is said about each."""

from dataclasses import replace
from pathlib import Path

from agent.report.samples import Section, sections
from agent.types import Outcome, Row
from tests.agent.report.recorded import action, decode, observation, prompt, trajectory, write


def only(run: Path) -> Section:
    (section,) = sections(run, decode)
    return section


def test_the_same_task_stands_side_by_side_before_and_after(tmp_path: Path) -> None:
    write(tmp_path, "evaluations/before_greedy", [trajectory(task=i, score=0.0) for i in range(3)])
    write(tmp_path, "evaluations/after_greedy", [trajectory(task=i, score=1.0) for i in (2, 1, 0)])
    tasks = only(tmp_path).tasks
    assert [task.title for task in tasks] == ["Task 0", "Task 1", "Task 2"]
    assert {task.scores for task in tasks} == {"0 → 1"}


def test_a_task_that_was_not_tested_afterwards_is_shown_alone(tmp_path: Path) -> None:
    write(tmp_path, "evaluations/before_greedy", [trajectory()])
    (task,) = only(tmp_path).tasks
    assert [shown.name for shown in task.trajectories] == ["before"]


def test_sampled_transcripts_are_shown_where_greedy_ones_are_missing(tmp_path: Path) -> None:
    write(tmp_path, "evaluations/before_sampled", [trajectory()])
    assert "sampled decoding" in only(tmp_path).explanation


def test_a_prompt_that_all_share_is_shown_once(tmp_path: Path) -> None:
    write(tmp_path, "evaluations/before_greedy", [trajectory(prompt("Q"), action("A"))])
    write(tmp_path, "evaluations/after_greedy", [trajectory(prompt("Q"), action("B"))])
    (task,) = only(tmp_path).tasks
    assert task.shared is not None and task.shared.kind == "prompt"
    assert [[s.kind for s in shown.segments] for shown in task.trajectories] == [["action"], ["action"]]


def test_prompts_that_differ_are_shown_with_their_trajectories(tmp_path: Path) -> None:
    write(tmp_path, "rollouts/step_000001", [trajectory(prompt("one")), trajectory(prompt("two"))], advantages=[0, 0])
    (task,) = only(tmp_path).tasks
    assert task.shared is None and [s.kind for s in task.trajectories[0].segments] == ["prompt"]


def test_groups_whose_scores_differ_come_first(tmp_path: Path) -> None:
    scores = {0: (1.0, 1.0), 1: (0.0, 0.0), 2: (0.0, 1.0), 3: (1.0, 1.0)}
    recorded = [trajectory(task=task, score=score) for task, both in scores.items() for score in both]
    write(tmp_path, "rollouts/step_000025", recorded, advantages=[0.5] * len(recorded))
    assert [task.title for task in only(tmp_path).tasks] == ["Task 2", "Task 0"]


def test_the_first_and_the_last_recorded_step_are_shown(tmp_path: Path) -> None:
    for step in (1, 50, 100):
        write(tmp_path, f"rollouts/step_{step:06d}", [trajectory()], advantages=[0.0])
    assert [section.title for section in sections(tmp_path, decode)] == ["Training step 1", "Training step 100"]


def test_siblings_beyond_the_eighth_are_counted(tmp_path: Path) -> None:
    write(tmp_path, "rollouts/step_000001", [trajectory() for _ in range(11)], advantages=[0.0] * 11)
    (task,) = only(tmp_path).tasks
    assert len(task.trajectories) == 8 and task.more == 3


def test_an_advantage_has_its_sign_and_direction(tmp_path: Path) -> None:
    recorded = [trajectory(score=score) for score in (1.0, 0.0, 0.5)]
    write(tmp_path, "rollouts/step_000001", recorded, advantages=[1.25, -1.25, 0.0])
    shown = only(tmp_path).tasks[0].trajectories
    assert [(each.advantage, each.direction) for each in shown] == [
        ("+1.25", "up"),
        ("-1.25", "down"),
        ("+0.00", "flat"),
    ]


def test_a_failed_trajectory_has_no_score_and_no_advantage(tmp_path: Path) -> None:
    write(tmp_path, "rollouts/step_000001", [trajectory(score=None, reason="container lost")], advantages=[0.0])
    (shown,) = only(tmp_path).tasks[0].trajectories
    assert (shown.score, shown.advantage, shown.end, shown.reason) == ("none", "", "failed", "container lost")


def test_a_trajectory_that_failed_before_its_first_prompt_is_shown(tmp_path: Path) -> None:
    broken = replace(trajectory(), rows=(), outcome=Outcome("failed", None, "no container"))
    write(tmp_path, "evaluations/before_greedy", [broken])
    (shown,) = only(tmp_path).tasks[0].trajectories
    assert shown.segments == ()


def test_many_turns_are_cut_with_a_count(tmp_path: Path) -> None:
    segments = [prompt()]
    for turn in range(40):
        segments += [action("a", turn), observation("o", turn)]
    write(tmp_path, "evaluations/before_greedy", [trajectory(*segments)])
    (shown,) = only(tmp_path).tasks[0].trajectories
    assert len(shown.segments) + shown.left_out == 80 and shown.left_out > 0


def test_a_rebuilt_prompt_says_that_a_context_begins(tmp_path: Path) -> None:
    first = trajectory()
    write(tmp_path, "evaluations/before_greedy", [replace(first, rows=(*first.rows, Row((prompt("again", turn=1),))))])
    (shown,) = only(tmp_path).tasks[0].trajectories
    assert shown.segments[-1].title == "prompt, turn 1, context 2 begins"


def test_a_picture_is_shown_where_it_comes_first(tmp_path: Path) -> None:
    first = trajectory(prompt(pictures=["a" * 64]), action())
    again = Row((prompt(pictures=["a" * 64, "b" * 64], turn=1),))
    write(tmp_path, "evaluations/before_greedy", [replace(first, rows=(*first.rows, again))])
    (task,) = only(tmp_path).tasks
    assert task.shared is not None
    assert [picture.number for picture in task.shared.pictures] == [1]
    assert [picture.number for picture in task.trajectories[0].segments[-1].pictures] == [2]


def test_a_missing_or_broken_picture_is_said_to_be_missing(tmp_path: Path) -> None:
    write(tmp_path, "evaluations/before_greedy", [trajectory(prompt(pictures=["a" * 64, "b" * 64]), action())])
    (tmp_path / "evaluations/images" / f"{'a' * 64}.png").unlink()
    (tmp_path / "evaluations/images" / f"{'b' * 64}.png").write_bytes(b"\x89PNG\r\n\x1a\nnot a picture")
    shared = only(tmp_path).tasks[0].shared
    assert shared is not None and all("cannot be shown" in picture.note for picture in shared.pictures)


def test_a_tiny_picture_is_enlarged_by_a_whole_number_and_a_large_one_reduced(tmp_path: Path) -> None:
    for side, width, tiny in ((42, 168, True), (1000, 448, False), (300, 300, False)):
        run = tmp_path / str(side)
        write(run, "evaluations/before_greedy", [trajectory(prompt(pictures=["a" * 64]), action())], side=side)
        shared = only(run).tasks[0].shared
        assert shared is not None
        assert (shared.pictures[0].width, shared.pictures[0].tiny) == (width, tiny)
        assert shared.pictures[0].note == f"{side} x {side} pixels"
