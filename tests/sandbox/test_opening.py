"""From a name to a sandbox."""

import os
import sys
from pathlib import Path

import pytest

from sandbox.errors import RequestError, Unavailable
from sandbox.opening import close_all, open_sandbox


def test_a_name_means_one_sandbox_in_a_process() -> None:
    assert open_sandbox("local") is open_sandbox("local")


def test_one_that_was_closed_is_opened_anew() -> None:
    first = open_sandbox("local")
    first.close()
    assert open_sandbox("local") is not first
    close_all()


def test_a_forked_child_gets_its_own() -> None:
    ours = open_sandbox("local")
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(7 if open_sandbox("local") is not ours else 0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_without_an_engine_the_error_names_what_was_tried_and_what_can_be_had(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(Unavailable, match='sandbox="local"') as caught:
        open_sandbox("docker")
    assert str(tmp_path) in str(caught.value)


def test_without_the_sdk_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(Unavailable, match=r"rllava-gym\[sandbox\]"):
        open_sandbox("docker")


def test_an_engine_on_another_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        api = type("Api", (), {"base_url": "http://far:2375"})

        def ping(self) -> None: ...

    monkeypatch.setattr("docker.from_env", lambda **_: Client())
    with pytest.raises(Unavailable, match="on this machine"):
        open_sandbox("docker")


def test_a_folder_of_sockets_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="a folder in which lanes"):
        open_sandbox(f"unix:{tmp_path}/none")


@pytest.mark.parametrize("name", ["", "Local", "local ", "unix:", None, 3, "file:/x"])
def test_an_unknown_name_is_refused_with_those_allowed(name: object) -> None:
    with pytest.raises(RequestError, match="docker, local, unix:DIR"):
        open_sandbox(name)  # type: ignore[arg-type]
