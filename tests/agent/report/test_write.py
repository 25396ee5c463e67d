"""What a finished run leaves beside its numbers."""

from pathlib import Path

from agent.config import Config, EnvironmentConfig, RunConfig
from agent.report import write_report
from agent.run_directory import RunDirectory
from tests.agent.report.recorded import decode, trajectory, write


def finished(folder: Path) -> RunDirectory:
    return RunDirectory(Config(EnvironmentConfig("Some/Env-v0"), run=RunConfig(name="a run", folder=str(folder))))


def test_a_run_leaves_a_picture_and_a_page_with_its_settings(tmp_path: Path) -> None:
    directory = finished(tmp_path)
    directory.begin(0)
    directory.log(1, {"reward": 0.5})
    write(directory.path, "evaluations/before_greedy", [trajectory()])
    write_report(directory, {"seconds": 1.0, "rows": []}, decode)
    directory.close()
    html = (directory.path / "report.html").read_text(encoding="utf-8")
    assert (directory.path / "learning_curve.png").exists()
    assert "<h1>a run</h1>" in html and "Some/Env-v0" in html and "gymnasium" in html


def test_a_run_without_steps_leaves_a_page_without_a_picture(tmp_path: Path) -> None:
    directory = finished(tmp_path)
    write_report(directory, {"seconds": 1.0, "rows": []}, decode)
    directory.close()
    assert "Learning curve" not in (directory.path / "report.html").read_text(encoding="utf-8")
    assert not (directory.path / "learning_curve.png").exists()
    assert [path.name for path in directory.path.iterdir() if "partial" in path.name] == []
