"""What a finished run leaves beside its numbers."""

from pathlib import Path

from agent.config import Config, EnvironmentConfig, RunConfig
from agent.report import write_report
from agent.run_directory import RunDirectory
from tests.agent.report.recorded import Held, decode, trajectory, write


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
    told = Held(html).overview
    assert "<title>a run:" in html and told["title"] == "a run" and ["environment", "Some/Env-v0"] in told["facts"]
    assert "gymnasium" in dict(told["versions"]) and told["finished"] and told["series"]["values"] == {"reward": [0.5]}


def test_a_run_without_steps_leaves_a_page_without_a_picture(tmp_path: Path) -> None:
    directory = finished(tmp_path)
    write_report(directory, {"seconds": 1.0, "rows": []}, decode)
    directory.close()
    assert Held((directory.path / "report.html").read_text(encoding="utf-8")).overview["series"]["steps"] == []
    assert not (directory.path / "learning_curve.png").exists()
    assert [path.name for path in directory.path.iterdir() if "partial" in path.name] == []
