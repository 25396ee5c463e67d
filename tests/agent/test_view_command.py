"""`python -m agent view`: what it writes, serves and refuses."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.view_command import view_command
from tests.agent.report.recorded import Held
from tests.agent.report.told import write_told

pytestmark = pytest.mark.usefixtures("_from_the_root")


@pytest.fixture
def _from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes find the package where the tests found it."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@contextmanager
def viewing(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], list[str], int]]:
    """The command in a process of its own: the process, the lines that it printed first, and its port."""
    command = [sys.executable, "-m", "agent", "view", *map(str, arguments)]
    # Whoever runs these tests in the background of a script has Ctrl-C ignored, and so would a child.
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        lines = []
        while not (lines and lines[-1].startswith("http")):
            line = process.stdout.readline()
            assert line, lines
            lines.append(line.strip())
        address = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/ \(Ctrl-C ends it\)", lines[-1])
        assert address is not None, lines
        yield process, lines[:-1], int(address[1])
    finally:
        process.kill()
        process.communicate()


def get(port: int, path: str, host: str = "localhost") -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Host": host})
    response = connection.getresponse()
    found = response.status, response.read().decode()
    connection.close()
    return found


def test_the_page_of_a_run_is_written_into_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_told(tmp_path / "told")
    assert view_command([str(run)]) == 0
    assert Held((run / "report.html").read_text()).overview["title"] == "told"
    assert f"{run / 'report.html'} (0." in capsys.readouterr().out


def test_one_run_is_written_and_served_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    run = write_told(tmp_path / "told")
    with viewing(run, "--serve") as (process, lines, port):
        assert get(port, "/") == (200, (run / "report.html").read_text())
        assert lines[-1].startswith(str(run / "report.html")) and get(port, "/told/")[0] == 404
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


@pytest.mark.parametrize("signalled", [signal.SIGTERM, signal.SIGINT])
def test_a_folder_of_runs_is_served_until_a_signal_ends_it(tmp_path: Path, signalled: signal.Signals) -> None:
    write_told(tmp_path / "runs/told")
    with viewing(tmp_path / "runs", "--serve", 0) as (process, lines, port):
        assert "/told/" in get(port, "/")[1] and Held(get(port, "/told/")[1]).entries and lines == []
        process.send_signal(signalled)
        assert process.wait(10) == 0
    assert not (tmp_path / "runs/told/report.html").exists()


def test_sigterm_ends_the_service_of_one_run_as_well(tmp_path: Path) -> None:
    with viewing(write_told(tmp_path / "told"), "--serve") as (process, _, _):
        process.terminate()
        assert process.wait(10) == 0


def test_a_folder_that_is_not_there_yet_is_served_all_the_same(tmp_path: Path) -> None:
    with viewing(tmp_path / "runs", "--serve", "--tensorboard", "http://127.0.0.1:6006/") as (_, lines, port):
        assert lines == [f"{tmp_path / 'runs'}: no such folder yet; its runs are shown as soon as it is there"]
        page = get(port, "/")[1]
        assert "There is no run yet." in page and 'href="http://127.0.0.1:6006/"' in page
        write_told(tmp_path / "runs/told")
        assert "/told/" in get(port, "/")[1]


def test_on_another_address_it_says_who_can_read_and_answers_to_its_names_alone(tmp_path: Path) -> None:
    arguments = (tmp_path, "--serve", 0, "--host", "0.0.0.0", "--names", "box.example, 10.0.0.7")
    with viewing(*arguments) as (_, lines, port):
        (line,) = lines
        assert f"whoever reaches port {port} there can read all of this" in line
        assert line.endswith("127.0.0.1, localhost, box.example, 10.0.0.7")
        answers = {host: get(port, "/", host)[0] for host in ("localhost", "BOX.example:80", "10.0.0.7", "0.0.0.0")}
        assert list(answers.values()) == [200, 200, 200, 404] and get(port, "/health", "0.0.0.0") == (200, "ok")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{}/runs"], "neither a run"),
        (["{}/missing"], "no such folder"),
        (["{}/file", "--serve"], "no such folder"),
        (["{}/told", "{}/runs", "--serve"], "neither a run"),
        (["{}/told", "--host", "0.0.0.0"], "add --serve PORT"),
        (["{}/told", "--names", "box"], "add --serve PORT"),
        (["{}/told", "--tensorboard", "http://box/"], "add --serve PORT"),
        (["{}/told", "--serve", "--tensorboard", "http://box/"], "which a single page does not have"),
        (["{}/runs", "--serve", "--output", "x.html"], "nothing is written"),
        (["{}/runs", "--serve", "--host", "192.0.2.1"], "another --host"),
        (["{}/told", "--output", "{}/missing/x.html"], "is no folder"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_to_do(tmp_path: Path, arguments: list[str], message: str) -> None:
    write_told(tmp_path / "told")
    (tmp_path / "runs").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=message):
        view_command([argument.format(tmp_path) for argument in arguments])
    assert not (tmp_path / "told/report.html").exists() or "--tensorboard" not in arguments


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--serve", "65536"),
        ("--serve", "http"),
        ("--host", "box"),
        ("--host", "::"),
        ("--host", "1.2.3"),
        ("--names", ""),
        ("--names", "a,,b"),
        ("--names", "box:80"),
        ("--names", "*"),
        ("--names", "<b>"),
        ("--tensorboard", "javascript:alert(1)"),
        ("--tensorboard", "//box/"),
        ("--tensorboard", "http://"),
        ("--tensorboard", "http://box:x/"),
        ("--tensorboard", "http://box/ \n"),
    ],
)
def test_a_value_that_an_option_does_not_take_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        view_command([str(tmp_path), option, value])
    told = capsys.readouterr().err
    assert ended.value.code == 2 and f"argument {option}: " in told and "got '" in told


def test_the_signal_means_afterwards_what_it_meant_before(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ConfigError):
        view_command([str(tmp_path / "runs"), "--serve", "--output", os.devnull])
    assert signal.getsignal(signal.SIGTERM) is before
