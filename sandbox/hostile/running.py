"""Running attacks one after the other in the same sandbox, and judging each by what is seen from outside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from ..contract import ExecResult, Sandbox
from ..errors import SandboxError, Stalled
from . import honest
from .attack import CONTRACT, HOSTILE, LIMITS, Attack, Seen, complaint, whole
from .decoys import Decoys
from .honest import DishonestError, Honest
from .prelude import TARGET

STARVED_TRIES, STARVED_SECONDS = 8, 30.0  # for a machine that is busy with other things
CONTROLS = 3
T = TypeVar("T")
HELD, FAILED, NOT_PROMISED, UNDECIDED = "held", "failed", "not promised", "undecided"


@dataclass(frozen=True)
class Outcome:
    """What came of one attack, why, and in which lane the next program ran.

    status: "held"; "failed"; "not promised", and so not run; "undecided", as the machine was too busy to run an honest
        loop either.
    """

    attack: str
    status: str
    message: str = ""
    seconds: float = 0.0
    lane: str = ""


def promises(isolation: Mapping[str, str], needs: str) -> bool:
    """Whether a sandbox says that it holds this. One that holds hostile code holds everything."""
    if needs == CONTRACT or _kept(isolation, HOSTILE):
        return True
    return _kept(isolation, needs)


def _kept(isolation: Mapping[str, str], part: str) -> bool:
    words = isolation.get(part, "")
    return bool(words) and not words.startswith("NOT")


def run_suite(
    sandbox: Sandbox, attacks: Iterable[Attack], notice: Callable[[Outcome], None] = lambda outcome: None
) -> list[Outcome]:
    """Run each attack that the sandbox promises to hold; after each, an honest program must find all as it was.

    sandbox: best one with a single lane, so that every attack comes upon what the others left.
    notice: called with each outcome as soon as there is one.

    Raises:
        DishonestError: the honest program fails before any attack was made.
        SandboxError: the sandbox fails before any attack was made.
    """
    isolation = sandbox.isolation()
    shared = not _kept(isolation, "user")
    first = _honest(sandbox, shared)
    found = []
    with Decoys() as decoys:
        for attack in attacks:
            if not promises(isolation, attack.needs):
                outcome = Outcome(
                    attack.name, NOT_PROMISED, f"{attack.needs}: {isolation.get(attack.needs, 'nothing')}"
                )
            else:
                began = time.monotonic()
                try:
                    message, after = _one(sandbox, attack, decoys, first, shared)
                    status = FAILED if message else HELD
                except _StarvedError as error:
                    message, after, status = str(error), None, UNDECIDED
                if message:  # or every later attack would be blamed for this one
                    first = after or first
                outcome = Outcome(
                    attack.name,
                    status,
                    message,
                    time.monotonic() - began,
                    after.lane if after else "",
                )
            found.append(outcome)
            notice(outcome)
    return found


def _one(sandbox: Sandbox, attack: Attack, decoys: Decoys, first: Honest, shared: bool) -> tuple[str, Honest | None]:
    """Why an attack was not held, or nothing; and what the honest call after it found."""
    files = {TARGET: decoys.target, **attack.files}
    message, results = "", []
    try:
        if attack.before:
            results.append(_patiently(sandbox, whole(attack.before), attack.before_files, attack))
        results += (
            _leased(sandbox, attack, files) if attack.lease else [_patiently(sandbox, attack.program, files, attack)]
        )
        seen = Seen(results[-1])
        if attack.follow_up:
            follow_up = _patiently(sandbox, whole(attack.follow_up), {TARGET: decoys.target}, None)
            results.append(follow_up)
            seen = Seen(seen.attack, follow_up)
            said = complaint(follow_up)
            message = f"afterwards: {said}" if said else ""
        message = attack.held(seen) or message
    except Stalled as error:
        if _starved(sandbox, attack):
            raise _StarvedError(f"an honest loop is starved as well: {error}") from None
        message = f"an honest loop was not starved, so the program arranged for this: {error}"
    except SandboxError as error:
        message = f"the sandbox failed, which a program must never cause: {type(error).__name__}: {error}"
    message = message or decoys.caught(results)
    try:
        after = _honest(sandbox, shared)
        changed = honest.difference(first, after)
        if not changed and honest.slower(first, after):
            after = _honest(sandbox, shared)
            changed = honest.slower(first, after)
    except (DishonestError, SandboxError) as error:
        return message or f"the next honest program failed: {type(error).__name__}: {error}", None
    if changed and not message:
        message = f"the next honest program found: {changed}"
    return message or decoys.caught([]), after


def _patiently(sandbox: Sandbox, code: str, files: Mapping[str, bytes], attack: Attack | None) -> ExecResult:
    """One call, repeated while the sandbox says that the machine is starved. An attack that can have that said
    whenever it likes has its failures forgotten, so it is believed a few times only."""
    limits = LIMITS if attack is None else attack.limits
    return _again(lambda: sandbox.exec(code, files, limits))


def _leased(sandbox: Sandbox, attack: Attack, files: Mapping[str, bytes]) -> list[ExecResult]:
    """The results of both programs of an attack within a lease. A starved machine takes the lease's state with it."""

    def both() -> list[ExecResult]:
        with sandbox.lease(attack.lease) as session:
            return [session.exec(code, files, attack.limits) for code in (attack.program, whole(attack.then))]

    return _again(both)


def _starved(sandbox: Sandbox, attack: Attack) -> bool:
    """Whether an honest loop is starved in the same time: then the machine is to blame, and nothing is shown."""
    limits = replace(attack.limits, wall_seconds=min(attack.limits.wall_seconds, 2.0))
    for _ in range(CONTROLS):
        try:
            sandbox.exec("while True: pass", {}, limits)
        except Stalled:
            return True
        except SandboxError:
            return False
    return False


class _StarvedError(Exception):
    """The machine is too busy to show anything."""


def _honest(sandbox: Sandbox, shared: bool) -> Honest:
    return _again(lambda: honest.call(sandbox, shared))


def _again(action: Callable[[], T]) -> T:
    began = time.monotonic()
    for _ in range(STARVED_TRIES - 1):
        try:
            return action()
        except Stalled:
            if time.monotonic() > began + STARVED_SECONDS:
                break
    return action()
