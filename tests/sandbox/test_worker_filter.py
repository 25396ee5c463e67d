"""The filter of system calls: what it decides, call by call, and what the kernel makes of it."""

import errno
import re
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from sandbox.worker_filter import ABSENT, NEWEST, REFUSED, NoFilterError, build

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
ALLOW, KILL = 0x7FFF0000, 0x80000000
CLONE, SOCKET, IOCTL, READ, EXIT = (56, 220), (41, 198), (16, 29), (0, 63), (231, 94)


def decide(program: bytes, architecture: int, number: int, arguments: Sequence[int] = ()) -> int:
    """Run the filter as the kernel would."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *[*arguments, 0, 0, 0, 0, 0, 0][:6])
    steps = list(struct.iter_unpack("=HBBI", program))
    at, value = 0, 0
    while True:
        code, if_true, if_false, k = steps[at]
        at += 1
        if code == 0x06:
            return k
        if code == 0x20:
            (value,) = struct.unpack_from("=I", data, k)
        else:
            true = {0x15: value == k, 0x35: value >= k, 0x45: bool(value & k)}[code]
            at += if_true if true else if_false


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_listed_call_is_refused_by_the_listed_error(machine: str) -> None:
    program, (column, architecture) = build(machine), MACHINES[machine]
    for table, code in ((REFUSED, errno.EPERM), (ABSENT, errno.ENOSYS)):
        for name, numbers in table.items():
            number = numbers[column]
            if number is not None:
                assert decide(program, architecture, number) == 0x50000 | code, name


def test_what_is_not_listed_is_allowed_up_to_the_newest_known(machine: str) -> None:
    program, (column, architecture) = build(machine), MACHINES[machine]
    listed = {numbers[column] for numbers in [*REFUSED.values(), *ABSENT.values(), SOCKET]}
    for number in set(range(NEWEST + 1)) - listed:
        assert decide(program, architecture, number) == ALLOW, number
    for number in (NEWEST + 1, 0x3FFFFFFF):
        assert decide(program, architecture, number) == 0x50000 | errno.ENOSYS


def test_another_architecture_is_killed(machine: str) -> None:
    program, (column, _) = build(machine), MACHINES[machine]
    for foreign in (0x40000003, 0x40000028, *(a for name, (_, a) in MACHINES.items() if name != machine)):
        assert decide(program, foreign, READ[column]) == KILL


def test_the_second_numbering_of_x86_is_killed() -> None:
    program = build("x86_64")
    for number in (0x40000000, 0x40000000 + 101, 0xFFFFFFFF):
        assert decide(program, MACHINES["x86_64"][1], number) == KILL


def test_a_process_may_be_made_but_no_namespace(machine: str) -> None:
    program, (column, architecture) = build(machine), MACHINES[machine]
    thread = 0x00000100 | 0x00000200 | 0x00010000 | 0x00000800 | 17
    assert decide(program, architecture, CLONE[column], [thread]) == ALLOW
    for bit in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert decide(program, architecture, CLONE[column], [thread | bit]) == 0x50000 | errno.EPERM, hex(bit)


def test_sockets_are_for_processes_of_the_program_unless_asked_for(machine: str) -> None:
    program, (column, architecture) = build(machine), MACHINES[machine]
    assert decide(program, architecture, SOCKET[column], [1]) == ALLOW
    for family in (0, 2, 10, 16, 17, 38, 40, 44):
        assert decide(program, architecture, SOCKET[column], [family]) == 0x50000 | errno.EAFNOSUPPORT, family
        assert decide(build(machine, any_socket=True), architecture, SOCKET[column], [family]) == ALLOW, family


@pytest.mark.parametrize("numbers", [(142, 118), (144, 119), (203, 122), (314, 274)])
def test_a_process_sets_its_own_scheduling_and_nobody_elses(machine: str, numbers: tuple[int, int]) -> None:
    program, (column, architecture) = build(machine), MACHINES[machine]
    assert decide(program, architecture, numbers[column], [0, 1, 2]) == ALLOW
    assert decide(program, architecture, numbers[column], [7, 1, 2]) == 0x50000 | errno.EPERM


def test_a_process_sets_its_own_priority_and_nobody_elses(machine: str) -> None:
    program, (column, architecture) = build(machine), MACHINES[machine]
    number = (141, 140)[column]
    assert decide(program, architecture, number, [0, 0, 5]) == ALLOW
    for which, who in ((0, 7), (1, 0), (2, 0), (2, 7)):  # a process, a group, everything of a user
        assert decide(program, architecture, number, [which, who, 5]) == 0x50000 | errno.EPERM


def test_nothing_is_typed_into_a_terminal(machine: str) -> None:
    program, (column, architecture) = build(machine), MACHINES[machine]
    for request in (0x5412, 0x541C, 0x5412 | 7 << 32):  # the kernel takes the low half
        assert decide(program, architecture, IOCTL[column], [0, request]) == 0x50000 | errno.EPERM
    assert decide(program, architecture, IOCTL[column], [0, 0x5401]) == ALLOW


def test_without_tables_there_is_no_filter() -> None:
    with pytest.raises(NoFilterError, match="'riscv64'"):
        build("riscv64")


@pytest.mark.parametrize(
    ("header", "column"),
    [("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", 0), ("/usr/include/asm-generic/unistd.h", 1)],
)
def test_the_numbers_are_those_of_the_kernels_headers(header: str, column: int) -> None:
    if not Path(header).is_file():
        pytest.skip(f"{header} is not installed")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\s*$", Path(header).read_text(), re.MULTILINE)
    numbers = {name: int(number) for name, number in found}
    ours = {name: pair[column] for name, pair in [*REFUSED.items(), *ABSENT.items()]}
    ours |= {"clone": CLONE[column], "socket": SOCKET[column], "ioctl": IOCTL[column]}
    newer = {"statmount", "listmount", "open_tree_attr"}  # than these headers
    assert {name: ours[name] for name in ours if name not in newer and ours[name] is not None} == {
        name: numbers[name] for name in ours if name not in newer and ours[name] is not None
    }


PROBE = """
import ctypes, os, socket, subprocess, sys, threading
from sandbox.worker_filter import build, install
from sandbox.worker_kernel import gain_nothing
gain_nothing()
install(build(os.uname().machine))
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    value = getattr(libc, name)(*arguments)
    print(name, value if value >= 0 else ctypes.get_errno())
call("shmget", 0, 4096, 0o1600)
call("ptrace", 0, 0, 0, 0)
call("unshare", 0x10000000)
call("syscall", 425, 1, 0)
call("memfd_create", b"x", 0)
for family in (socket.AF_INET, socket.AF_NETLINK, 40):
    try:
        socket.socket(family)
    except OSError as error:
        print("socket", error.errno)
a, b = socket.socketpair()
a.send(b"pair")
print(b.recv(9), subprocess.run(["echo", "child"], capture_output=True).stdout)
thread = threading.Thread(target=print, args=["thread"]); thread.start(); thread.join()
"""


def test_the_kernel_enforces_it_and_honest_programs_do_not_notice() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == [
        f"shmget {errno.EPERM}",
        f"ptrace {errno.EPERM}",
        f"unshare {errno.EPERM}",
        f"syscall {errno.ENOSYS}",
        f"memfd_create {errno.ENOSYS}",
        *[f"socket {errno.EAFNOSUPPORT}"] * 3,
        "b'pair' b'child\\n'",
        "thread",
        "",
    ]
