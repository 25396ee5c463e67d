"""What has been freed is of use to others, and to the next step; each case in a process of its own, as the settings are
the process's."""

import os
import subprocess
import sys

import pytest

GLIBC = "CS_GNU_LIBC_VERSION" in os.confstr_names and "glibc" in (os.confstr("CS_GNU_LIBC_VERSION") or "")
glibc = pytest.mark.skipif(not GLIBC, reason="arenas are glibc's")

THREADS = """
import sys
from pathlib import Path
from threading import Event, Thread
from agent.allocator import settle_allocator

def resident():
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in line)

if sys.argv[1] == "share":
    print(settle_allocator(), file=sys.stderr)
before, over, kept = resident(), Event(), []

def work(done):
    blocks = [b"x" * (60_000 + place) for place in range(200)]
    kept.append(b"y" * 60_000)  # above the others, so that they stay where they are when they are freed
    blocks.clear()
    done.set()
    over.wait()

for _ in range(16):  # one after the other, and all of them live on
    done = Event()
    Thread(target=work, args=(done,)).start()
    done.wait()
print((resident() - before) // 1024)
over.set()
"""


def left_behind(way: str, **variables: str) -> tuple[int, str]:
    """MiB that 16 threads, each of which needs 12 MiB in its turn, leave to the process; and what the call said."""
    unset = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    run = subprocess.run(
        [sys.executable, "-c", THREADS, way], capture_output=True, text=True, env=unset | variables, check=True
    )
    return int(run.stdout), run.stderr.strip()


@glibc
def test_threads_use_what_others_have_freed() -> None:
    shared, said = left_behind("share")
    assert said == "True" and shared < 60 < 120 < left_behind("default")[0]


@glibc
def test_what_the_user_set_stays() -> None:
    found, said = left_behind("share", MALLOC_ARENA_MAX="32")
    assert said == "True" and found > 120


STEPS = """
import sys
import resource
from agent.allocator import settle_allocator

if sys.argv[1] == "share":
    assert settle_allocator()

def step():
    blocks = [b"x" * (5 * 2**20) for _ in range(8)]

step()
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 10)
"""


def taken_anew(way: str, **variables: str) -> int:
    """Pages that the system hands out in a step of eight blocks of 5 MiB, which are 10,240 pages."""
    unset = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", STEPS, way]
    return int(subprocess.run(command, capture_output=True, text=True, env=unset | variables, check=True).stdout)


@glibc
def test_a_step_finds_the_memory_of_the_last_one() -> None:
    assert taken_anew("share") < 100
    assert taken_anew("share", MALLOC_MMAP_THRESHOLD_=str(2**20)) > 5000  # the user says otherwise
