"""The suite's verdict comes from what is seen outside: results, decoys, and the next honest program."""

import hashlib
import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from sandbox.contract import ExecResult, Limits
from sandbox.errors import Lost, Stalled
from sandbox.hostile import ATTACKS, Attack, Outcome, run_suite
from sandbox.hostile.decoys import VARIABLE
from sandbox.hostile.prelude import DONE, TARGET
from sandbox.hostile.running import promises
from sandbox.local import LocalSandbox
from sandbox.scripted import ScriptedSandbox

HOLDS = {"backend": "scripted", "hostile code": "held", "user": "another"}
ENDED = ExecResult(status="ok", exit_code=0, stdout=f"refused: x\n{DONE}\n", wall_ms=10.0)
ATTACK = Attack("topic.word", "try something", "code")


class Acting:
    """Answers honest calls truly, with `found` changed as it says, and attacks with `result`, or by raising it."""

    def __init__(self, result: ExecResult | Exception = ENDED, **after: Any) -> None:
        self.result, self.after, self.attacked, self.honest = result, after, False, 0

    def __call__(self, code: str, files: Mapping[str, bytes], limits: Limits) -> ExecResult:
        if "nonce" not in files:
            self.attacked = True
            if isinstance(self.result, Exception):
                raise self.result
            return self.result
        self.honest += 1
        found = {"clock": time.time(), "room": 9, "lane": "1", "strangers": 0, "left": [], "nice": 0}
        if self.attacked:
            found |= self.after
        return ExecResult(
            status="ok",
            stdout=json.dumps(found) + f"\n{DONE}\n",
            wall_ms=5.0,
            files={"answer": hashlib.sha256(files["nonce"]).hexdigest().encode(), "turned.png": b"picture"},
        )


def one(acting: Acting, attack: Attack = ATTACK, isolation: Mapping[str, str] = HOLDS) -> Outcome:
    return run_suite(ScriptedSandbox(acting, isolation), [attack])[0]


def test_an_attack_that_is_refused_is_held() -> None:
    acting = Acting()
    assert replace(one(acting), seconds=0.0) == Outcome("topic.word", "held", lane="1")
    assert acting.honest == 2  # before and after


def test_one_that_gets_through_is_not() -> None:
    outcome = one(Acting(replace(ENDED, stdout=f"GOT IN: there\n{DONE}\n")))
    assert (outcome.status, outcome.message) == ("failed", "GOT IN: there")


def test_one_that_makes_the_sandbox_fail_is_not() -> None:
    assert "Lost: gone" in one(Acting(Lost("gone"))).message


def test_whoever_is_starved_while_an_honest_loop_is_not_has_arranged_it() -> None:
    class Arranging(Acting):
        starved = False

        def __call__(self, code: str, files: Mapping[str, bytes], limits: Limits) -> ExecResult:
            if TARGET in files or (self.starved and code == "while True: pass"):
                raise Stalled("no processor")
            return super().__call__(code, files, limits)

    acting = Arranging()
    outcome = one(acting)
    assert outcome.status == "failed" and "an honest loop was not starved" in outcome.message
    acting.starved = True
    outcome = one(acting)
    assert outcome.status == "undecided" and "as well: no processor" in outcome.message


@pytest.mark.parametrize(
    ("after", "word"),
    [
        ({"nice": 19}, "nice"),
        ({"left": ["/tmp/x"]}, "left"),
        ({"strangers": 1}, "strangers"),
        ({"clock": 0.0}, "clock"),
        ({"room": 1}, "free"),
    ],
)
def test_one_that_changes_what_the_next_program_finds_is_not(after: dict[str, Any], word: str) -> None:
    outcome = one(Acting(**after))
    assert outcome.status == "failed" and word in outcome.message


def test_one_that_spoils_the_next_program_is_not() -> None:
    class Spoilt(Acting):
        def __call__(self, code: str, files: Mapping[str, bytes], limits: Limits) -> ExecResult:
            if self.attacked:
                return ExecResult(status="timeout", reason="x")
            return super().__call__(code, files, limits)

    assert "the next honest program failed" in one(Spoilt()).message


def test_one_that_reaches_a_decoy_is_not_whatever_it_says() -> None:
    class Reaching(Acting):
        def __call__(self, code: str, files: Mapping[str, bytes], limits: Limits) -> ExecResult:
            if TARGET in files:
                with socket.create_connection(("127.0.0.1", json.loads(files[TARGET])["tcp"])) as visit:
                    visit.recv(100)
            return super().__call__(code, files, limits)

    assert "a decoy outside was reached" in one(Reaching()).message


def test_one_that_brings_a_secret_out_is_not_whatever_it_says() -> None:
    class Leaking(Acting):
        def __call__(self, code: str, files: Mapping[str, bytes], limits: Limits) -> ExecResult:
            self.result = replace(ENDED, files={"a": os.environ[VARIABLE].encode()}) if TARGET in files else ENDED
            return super().__call__(code, files, limits)

    assert "a secret of the machine outside came back in 'a'" in one(Leaking()).message


def test_what_is_found_afterwards_counts() -> None:
    class Leaving(Acting):
        def __call__(self, code: str, files: Mapping[str, bytes], limits: Limits) -> ExecResult:
            if "look" in code:
                return replace(ENDED, stdout=f"GOT IN: a leftover\n{DONE}\n")
            return super().__call__(code, files, limits)

    outcome = one(Leaving(), replace(ATTACK, follow_up="look()"))
    assert outcome.message == "afterwards: GOT IN: a leftover"


def test_the_program_before_runs_before_with_its_own_files() -> None:
    seen: list[tuple[str, set[str]]] = []

    class Noting(Acting):
        def __call__(self, code: str, files: Mapping[str, bytes], limits: Limits) -> ExecResult:
            if "nonce" not in files:
                seen.append((code.splitlines()[-2], set(files)))
            return super().__call__(code, files, limits)

    assert one(Noting(), replace(ATTACK, before="first()", before_files={"given": b""})).status == "held"
    assert seen == [("first()", {"given"}), ("code", {TARGET})]


def test_what_is_not_promised_is_not_tried() -> None:
    acting = Acting()
    outcome = one(acting, isolation={"hostile code": "NOT held", "network": "NOT cut", "user": "another"})
    assert (outcome.status, outcome.message) == ("not promised", "hostile code: NOT held")
    assert not acting.attacked


def test_a_promise_is_what_does_not_begin_with_not() -> None:
    weak = {"hostile code": "NOT held", "network": "cut", "disk": "NOT limited", "files": ""}
    kept = [needs for needs in ("contract", "network", "disk", "files", "ipc", "hostile code") if promises(weak, needs)]
    assert kept == ["contract", "network"]
    assert promises({"hostile code": "held"}, "anything")


def test_one_failure_is_not_held_against_the_attacks_after_it() -> None:
    attacks = [replace(ATTACK, name="topic.first"), replace(ATTACK, name="topic.second")]
    found = run_suite(ScriptedSandbox(Acting(nice=19), HOLDS), attacks)
    assert [outcome.status for outcome in found] == ["failed", "held"]


SAMPLE = [
    "loops.ignored",
    "streams.binary-flood",
    "streams.terminal",
    "control.forged-output",
    "daemons.twice-forked",
    "outputs.symbolic-links",
    "outputs.names",
    "memory.bytes",
    "disk.deep",
    "leftovers.own-folder",
]


def test_a_sample_of_them_is_held_by_local_and_what_it_does_not_promise_is_not_run() -> None:
    chosen = [ATTACKS[name] for name in [*SAMPLE, "kernel.io-uring", "supervisor.everyone"]]
    with LocalSandbox(lanes=1) as sandbox:
        found = run_suite(sandbox, chosen)
    assert [(outcome.attack, outcome.message) for outcome in found if outcome.status == "failed"] == []
    assert [outcome.attack for outcome in found if outcome.status == "held"] == SAMPLE
