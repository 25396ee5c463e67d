"""The commands of the package."""

import subprocess
import sys

import pytest

from sandbox.__main__ import COMMANDS, main


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert {"check", "serve", "reap", "search"} <= set(COMMANDS)
    assert all(f"\n{name} " in text for name in COMMANDS)


@pytest.mark.parametrize("given", [[], ["chek"]])
def test_what_is_no_command_is_refused(given: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(given)
    assert stop.value.code == 2


def test_a_command_gets_what_stands_behind_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def note(arguments: list[str]) -> int:
        seen.append(arguments)
        return 7

    monkeypatch.setitem(COMMANDS, "search", note)
    assert main(["search", "build", "--help"]) == 7
    assert seen == [["build", "--help"]]


def test_serving_lanes_of_others_needs_nothing_but_the_http_service() -> None:
    # What an image for it would lack. It gets as far as to refuse: everything is imported by then.
    code = (
        "import sys\n"
        "for name in ('rich', 'docker', 'httpx', 'numpy', 'PIL', 'cv2', 'tantivy'): sys.modules[name] = None\n"
        "from sandbox.__main__ import main\nimport sandbox.socket_lane\nmain(['serve', '--backend', 'unix:/nowhere'])\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1 and ended.stderr.startswith("serve: without a token the service listens only at")
