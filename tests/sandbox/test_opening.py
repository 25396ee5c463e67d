"""From a name to a sandbox."""

import os

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


@pytest.mark.parametrize("name", ["docker", "unix:/run/x", "http://host:80", "https://host"])
def test_what_cannot_be_had_is_never_replaced_and_the_error_names_what_can(name: str) -> None:
    with pytest.raises(Unavailable, match='sandbox="local"'):
        open_sandbox(name)


@pytest.mark.parametrize("name", ["", "Local", "local ", None, 3, "file:/x"])
def test_an_unknown_name_is_refused_with_those_allowed(name: object) -> None:
    with pytest.raises(RequestError, match="docker, local, unix:DIR"):
        open_sandbox(name)  # type: ignore[arg-type]
