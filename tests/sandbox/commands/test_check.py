"""`python -m sandbox check` prints a line for each, counts, and says by its exit status how it went."""

import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from sandbox.__main__ import main
from sandbox.commands import check
from sandbox.conformance import LAWS
from sandbox.contract import ExecResult, Sandbox
from sandbox.hostile import ATTACKS, Attack
from sandbox.scripted import ScriptedSandbox


def scripted(sandbox: Sandbox, laws: list[str], attacks: Sequence[Attack] = ()) -> tuple[int, str]:
    out = Console(file=io.StringIO(), highlight=False, soft_wrap=True)
    status = check.check(sandbox, "scripted", {law: LAWS[law] for law in laws}, attacks, out)
    return status, out.file.getvalue()  # type: ignore[attr-defined]


def test_a_law_that_holds_and_one_that_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    sandbox = ScriptedSandbox(
        lambda *a: ExecResult(
            status="ok", exit_code=0, stdout="a 1\n", stderr="b\n", wall_ms=1, cpu_ms=1, peak_memory=9**9
        )
    )
    law = "a program prints"
    status, text = scripted(sandbox, [law])
    assert status == 0 and f"ok   {law}" in text and "1 passed, 0 failed" in text
    status, text = scripted(sandbox, [law, "there is nothing to read"])
    assert status == 1 and "FAIL there is nothing to read" in text and "1 passed, 1 failed" in text


def test_a_sandbox_that_fails_an_honest_program_fails() -> None:
    status, text = scripted(
        ScriptedSandbox(lambda *a: ExecResult(status="error", reason="[x]")), [], [ATTACKS["loops.c"]]
    )
    assert status == 1 and "FAIL an honest program" in text and "0 passed, 1 failed" in text


def test_local_keeps_its_own_laws_and_says_what_it_does_not_promise(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--only", "a program prints", "--only", "loops.sleep", "--only", "kernel.io-uring"]
    assert main(["check", "--backend", "local", *asked]) == 3
    text = capsys.readouterr().out
    assert "ok   a program prints" in text
    assert "ok   loops.sleep" in text
    assert "-    kernel.io-uring" in text and "hostile code: NOT held" in text
    assert "2 passed, 0 failed, 1 not promised (local, 1 lane used, " in text
    assert main(["check", "--backend", "local", "--conformance", "--only", "a program prints"]) == 0


def test_everything_can_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--list"]) == 0
    text = capsys.readouterr().out
    assert f"{len(LAWS)} laws, {len(ATTACKS)} attacks" in text
    assert all(name in text for name in [*LAWS, *ATTACKS])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--backend", "local", "--only", "no such"], "--list names them"),
        (["--only", "loops.*"], "--backend must name"),
        (["--backend", "local", "--hostile", "--conformance"], "not allowed with"),
    ],
)
def test_wrong_usage_is_explained(asked: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["check", *asked])
    assert stop.value.code == 2 and said in capsys.readouterr().err


def test_an_unknown_backend_is_named() -> None:
    with pytest.raises(SystemExit, match="docker, local, unix:DIR"):
        main(["check", "--backend", "podman", "--only", "loops.sleep"])
