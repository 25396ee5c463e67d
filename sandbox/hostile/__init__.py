"""Hostile programs, to try a sandbox with: `run_suite(sandbox)`, or `python -m sandbox check --backend docker`.

They are made to break in, to use everything up, or to leave something behind. Run them only against a sandbox: against
one that does not hold, they do what they say. Read `attack` first, then `running`; the other files are one topic each.
"""

from . import (
    clocks,
    control,
    daemons,
    disk,
    images,
    ipc,
    kernel,
    leases,
    leftovers,
    loops,
    memory,
    network,
    outputs,
    privileges,
    processes,
    secrets,
    streams,
    supervisor,
)
from .attack import Attack, Seen
from .running import Outcome, run_suite

TOPICS = (
    network,
    control,
    supervisor,
    secrets,
    privileges,
    kernel,
    clocks,
    outputs,
    images,
    streams,
    loops,
    memory,
    disk,
    processes,
    daemons,
    ipc,
    leases,
    leftovers,
)
ATTACKS: dict[str, Attack] = {attack.name: attack for topic in TOPICS for attack in topic.ATTACKS}

__all__ = ["ATTACKS", "Attack", "Outcome", "Seen", "run_suite"]
