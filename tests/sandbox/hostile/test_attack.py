"""Every attack can be held, and every attack can be seen to get through."""

from dataclasses import replace

import pytest

from sandbox.contract import ExecResult
from sandbox.hostile import ATTACKS, TOPICS, Attack, Seen
from sandbox.hostile.attack import complaint, ends_as, hands_out_only, refused
from sandbox.hostile.prelude import DONE, GOT_IN, UNCLEAR

ENDED = ExecResult(status="ok", exit_code=0, stdout=f"refused: x\n{DONE}\n", wall_ms=10.0)
# How an attack that is held may look. Each attack must know at least one of these as held.
HELD = [
    ENDED,
    *(ExecResult(status=status, reason="why") for status in ("timeout", "oom", "error", "signal")),
    ExecResult(status="output_limit", reason="why", stdout="x", stdout_dropped=1 << 30),
    replace(ENDED, stdout=f"RLG1 RLG1\n{DONE}\n"),
    replace(ENDED, stdout=f"\x1b[2J\0\n{DONE}\n"),
    replace(ENDED, files={"bomb.png": b"no picture"}),
    replace(ENDED, files={"honest": b"1"}),
]


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_it_is_python_and_can_be_judged_both_ways(attack: Attack) -> None:
    for code in (attack.program, attack.before, attack.follow_up, attack.then):
        compile(code, attack.name, "exec")
    assert [result for result in HELD if not attack.held(Seen(result))], "no result counts as held"
    for first in (GOT_IN, UNCLEAR):
        for status in ("ok", "error", "timeout", "oom", "signal", "output_limit"):
            through = ExecResult(status=status, stdout=f"{first}there\n{DONE}\n", files={"a.png": b"x", "honest": b"1"})
            assert attack.held(Seen(through)), f"{through} counts as held"


def test_there_are_many_and_no_name_is_taken_twice() -> None:
    assert len(ATTACKS) == sum(len(topic.ATTACKS) for topic in TOPICS) >= 80
    for topic in TOPICS:
        assert {attack.topic for attack in topic.ATTACKS} == {topic.__name__.rpartition(".")[2]}


def test_an_attack_that_broke_off_has_shown_nothing() -> None:
    assert complaint(ENDED) == ""
    for broken in (
        replace(ENDED, stdout="refused: x\n"),
        replace(ENDED, stdout=""),
        replace(ENDED, stdout=f"{DONE}\nmore\n"),
        replace(ENDED, status="error", stderr="NameError"),
        replace(ENDED, stdout=f"{UNCLEAR}x\n{DONE}\n"),
        replace(ENDED, stdout=f"{GOT_IN}x\n{DONE}\n"),
    ):
        assert complaint(broken), broken
        assert refused(Seen(broken))


def test_how_it_may_end_is_named() -> None:
    judge = ends_as("timeout", "ok")
    assert judge(Seen(ExecResult(status="timeout"))) == ""
    assert judge(Seen(ENDED)) == ""
    assert "expected timeout or ok; got error" in judge(Seen(ExecResult(status="error")))
    assert judge(Seen(replace(ENDED, stdout="")))


def test_a_file_too_many_breaks_it() -> None:
    judge = hands_out_only("a")
    assert judge(Seen(replace(ENDED, files={"a": b""}))) == ""
    assert judge(Seen(ENDED)) == ""
    assert "passwd" in judge(Seen(replace(ENDED, files={"a": b"", "passwd": b""})))


def special(name: str, result: ExecResult) -> str:
    return ATTACKS[name].held(Seen(result))


def test_what_was_forged_in_the_output_must_come_back_as_output() -> None:
    good = replace(ENDED, stdout=f"RLG1 x\n{DONE}\n")
    assert special("control.forged-output", good) == ""
    assert special("control.forged-output", replace(good, files={"forged.txt": b"forged"}))
    assert special("control.forged-output", ENDED)


def test_a_name_that_leads_elsewhere_breaks_it() -> None:
    for name in ("../x", "a/../../x", "/etc/x", "a//b", "./a", "a\0b", "a/..", "\ud800"):
        assert special("outputs.names", replace(ENDED, files={name: b""})), name
    for name in ("a", "a/b", "..png", "c:\\con", "line\nbreak", "\u202e"):
        assert special("outputs.names", replace(ENDED, files={name: b""})) == "", name


def test_more_than_was_allowed_breaks_it() -> None:
    assert special("outputs.many", replace(ENDED, files={str(n): b"" for n in range(16)})) == ""
    assert special("outputs.many", replace(ENDED, files={str(n): b"" for n in range(17)}))
    assert special("outputs.huge", replace(ENDED, files={"a": bytes((32 << 20) + 1)}))


def test_a_file_of_the_machine_breaks_it() -> None:
    assert special("outputs.swapped", replace(ENDED, files={"result.png": b"mine"})) == ""
    assert special("outputs.swapped", replace(ENDED, files={"result.png": b"root:x:0:0:"}))


def test_a_call_that_waits_for_what_was_left_breaks_it() -> None:
    assert special("streams.held-open", replace(ENDED, wall_ms=9_000.0)) == ""
    assert special("streams.held-open", replace(ENDED, wall_ms=15_000.0))
