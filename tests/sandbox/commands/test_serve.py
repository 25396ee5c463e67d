"""`python -m sandbox serve` starts where it may, and nowhere else."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.__main__ import main
from sandbox.contract import MIB, Limits
from sandbox.remote import RemoteSandbox

TOKEN = "a-token-of-some-length"


def test_without_a_token_it_does_not_listen_to_everybody() -> None:
    with pytest.raises(SystemExit, match="--token-env"):
        main(["serve", "--backend", "local"])
    with pytest.raises(SystemExit, match="--token-env"):
        main(["serve", "--backend", "local", "--host", "0.0.0.0"])


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    with pytest.raises(SystemExit, match="NO_SUCH_TOKEN"):
        main(["serve", "--backend", "local", "--token-env", "NO_SUCH_TOKEN"])


def test_a_token_in_a_file_is_held_to_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("sh0rt\n")
    monkeypatch.setenv("A_TOKEN_FILE", str(tmp_path / "token"))
    with pytest.raises(SystemExit, match="at least 16 printable ASCII characters; got 5"):
        main(["serve", "--backend", "local", "--token-env", "A_TOKEN"])
    monkeypatch.setenv("A_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(SystemExit, match=r"none' cannot be read \(No such file"):
        main(["serve", "--backend", "local", "--token-env", "A_TOKEN"])


@pytest.mark.parametrize("asked", [["--port", "70000"], ["--inside", "0"], ["--backend", "http://x"]])
def test_wrong_usage_is_explained(asked: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["serve", "--host", "127.0.0.1", *asked])
    assert stop.value.code == 2


def test_it_serves_until_it_is_stopped() -> None:
    command = [sys.executable, "-m", "sandbox", "serve", "--backend", "local", "--lanes", "1", "--port", "0"]
    with subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--token-env", "THE_TOKEN"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"THE_TOKEN": TOKEN},
    ) as server:
        assert server.stdout is not None
        for line in server.stdout:
            if found := re.match(r"serving local at (http://\S+)", line):
                break
        else:
            pytest.fail("it did not start")
        limits = Limits(
            wall_seconds=10.0,
            cpu_seconds=10,
            memory_bytes=256 * MIB,
            processes=4,
            output_bytes=1000,
            file_bytes=1000,
            files=1,
            files_bytes=1000,
        )
        with RemoteSandbox(found[1], token=TOKEN) as sandbox:
            assert sandbox.exec("print(6 * 7)", {}, limits).stdout == "42\n"
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
