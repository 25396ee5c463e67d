"""What an attack is: a program, what to look at afterwards, and the judgement of what was seen from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..contract import MIB, ExecResult, Limits
from .prelude import DONE, GOT_IN, PRELUDE, UNCLEAR

CONTRACT = "contract"  # what every sandbox owes, whatever it isolates
HOSTILE = "hostile code"

LIMITS = Limits(
    wall_seconds=15.0,
    cpu_seconds=15,
    memory_bytes=256 * MIB,
    processes=16,
    output_bytes=MIB,
    file_bytes=32 * MIB,
    files=16,
    files_bytes=32 * MIB,
)


@dataclass(frozen=True)
class Seen:
    """What came back from an attack and from the program that looked around after it, if there was one."""

    attack: ExecResult
    follow_up: ExecResult | None = None


Judgement = Callable[[Seen], str]


def complaint(result: ExecResult) -> str:
    """Empty if every attempt of a program was refused and it came to its end; otherwise what got through, or went
    wrong. A program that broke off before its end proves nothing, so that a slip in an attack is not taken for a wall.
    """
    return passed_through(result) or _unfinished(result)


def passed_through(result: ExecResult) -> str:
    """The first line in which a program says that it got through, or that it cannot tell."""
    for line in result.stdout.splitlines():
        if line.startswith((GOT_IN, UNCLEAR)):
            return line
    return ""


def _unfinished(result: ExecResult) -> str:
    lines = result.stdout.splitlines()
    if result.status == "ok" and lines and lines[-1] == DONE:
        return ""
    return f"the attack did not come to its end, so nothing is shown: {result.status}, {result.stderr[-300:]!r}"


def refused(seen: Seen) -> str:
    """Every attempt was refused."""
    return complaint(seen.attack)


def ends_as(*statuses: str) -> Judgement:
    """The program ended in one of these ways, and said nowhere that it got through. `ok` must be the program's end."""

    def judge(seen: Seen) -> str:
        result = seen.attack
        if result.status not in statuses:
            return f"expected {' or '.join(statuses)}; got {result.status}: {result.reason} {result.stderr[-300:]}"
        return passed_through(result) or (_unfinished(result) if result.status == "ok" else "")

    return judge


def hands_out_only(*names: str) -> Judgement:
    """The program came to its end, and of its files only some of these were handed out."""

    def judge(seen: Seen) -> str:
        strange = sorted(set(seen.attack.files) - set(names))
        return complaint(seen.attack) or (f"handed out, and must not be: {strange!r:.300}" if strange else "")

    return judge


@dataclass(frozen=True)
class Attack:
    """One hostile program.

    name: topic and a word, "network.metadata". tries: one line on what it is after.
    code: the program; it is run after `prelude.PRELUDE`, whose functions it uses to say what became of an attempt.
    held: from what was seen, empty or why it did not hold. What a program says in its own favour is never enough: the
        runner also looks at what its decoys caught, at the machine, and at the next honest program.
    needs: the part of `Sandbox.isolation()` that must promise to hold it; CONTRACT for what every sandbox owes.
    before: a program that somebody else ran earlier in the same place, with before_files.
    follow_up: a program of somebody else's that looks for what was left.
    lease, then: run the attack in a lease that keeps "files" or "variables", and `then` after it in the same lease;
        what is judged is the result of `then`.
    """

    name: str
    tries: str
    code: str
    held: Judgement = refused
    needs: str = HOSTILE
    before: str = ""
    before_files: Mapping[str, bytes] = field(default_factory=dict)
    follow_up: str = ""
    lease: str = ""
    then: str = ""
    limits: Limits = LIMITS
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def topic(self) -> str:
        """What stands before the dot."""
        return self.name.partition(".")[0]

    @property
    def program(self) -> str:
        """The whole text that is run."""
        return whole(self.code)


def whole(code: str) -> str:
    """A program of this package with what it needs in front and its last line behind."""
    return f"{PRELUDE}\n{code.strip()}\nprint({DONE!r}, flush=True)\n"
