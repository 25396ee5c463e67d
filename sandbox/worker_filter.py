"""The system calls that a program may not make: a seccomp filter, in classic BPF, written out.

It comes on top of a container's own filter and is meant for programs that nobody vouches for. It refuses what lets a
program reach the kernel's less tried parts (io_uring, bpf, perf, userfaultfd, key rings), other processes (ptrace),
namespaces and mounts, and what outlives a process (System V and POSIX IPC, memory files). Sockets are for processes of
the program's own (AF_UNIX), and a process sets its own scheduling and nobody else's. What is not in the list is
allowed; calls that are newer than the list do not exist.

The kernel cannot take a filter back, and whatever a program starts inherits it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Sequence

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)

_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF_LD|W|ABS, BPF_JMP|J..|K, BPF_RET|K
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # where struct seccomp_data has them; arguments have eight bytes each
_X32 = 0x40000000
NEWEST = 470  # system calls above this number came after the list was written
# CLONE_NEW: mount, cgroup, host name, IPC, user, process and network namespaces.
_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
_TYPE_INTO_A_TERMINAL = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX

# name: (number on x86-64, number on arm64); None where it does not exist.
Numbers = tuple[int | None, int | None]

# A library takes another way when it is told that these do not exist.
ABSENT: dict[str, Numbers] = {
    "clone3": (435, 435),  # its flags are in memory, where no filter can read them
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "memfd_create": (319, 279),  # memory that no process is seen to have
    "memfd_secret": (447, 447),
    "userfaultfd": (323, 282),
}

REFUSED: dict[str, Numbers] = {
    # System V IPC and POSIX message queues: they outlive their maker.
    "shmget": (29, 194),
    "shmctl": (31, 195),
    "shmat": (30, 196),
    "shmdt": (67, 197),
    "semget": (64, 190),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "semop": (65, 193),
    "msgget": (68, 186),
    "msgctl": (71, 187),
    "msgrcv": (70, 188),
    "msgsnd": (69, 189),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "mq_timedsend": (242, 182),
    "mq_timedreceive": (243, 183),
    "mq_notify": (244, 184),
    "mq_getsetattr": (245, 185),
    # Other processes' memory and files.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    # Mounts.
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "open_tree_attr": (467, 467),
    # Namespaces; those of clone are looked at below.
    "unshare": (272, 97),
    "setns": (308, 268),
    # Key rings outlive a process, too.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # Parts of the kernel where mistakes are found.
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "lookup_dcookie": (212, 18),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "remap_file_pages": (216, 234),
    "vmsplice": (278, 75),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "personality": (135, 92),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    "_sysctl": (156, None),
    # The machine.
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "create_module": (174, None),
    "get_kernel_syms": (177, None),
    "query_module": (178, None),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "nfsservctl": (180, 42),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "ioprio_set": (251, 30),
    "iopl": (172, None),
    "ioperm": (173, None),
}

# Allowed, but not with every argument.
_CLONE: Numbers = (56, 220)
_SOCKET: Numbers = (41, 198)
_IOCTL: Numbers = (16, 29)
# How the caller itself is scheduled, which is process 0 to these. The kernel would let it set the janitor's as well.
_OWN_SCHEDULING: dict[str, Numbers] = {
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
}
_SETPRIORITY: Numbers = (141, 140)  # what kind of number, and the number: 0 and 0 for the caller

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column, AUDIT_ARCH


class NoFilterError(Exception):
    """There is no filter for this kind of processor, or the kernel does not take it."""


def build(machine: str, *, any_socket: bool = False) -> bytes:
    """The filter for a processor as `os.uname().machine` names it, in the kernel's form.

    any_socket: let programs make sockets of every family; for those that may use a network.

    Raises:
        NoFilterError: there are no tables for this processor.
    """
    if machine not in _MACHINES:
        raise NoFilterError(f"there is no system call filter for {machine!r}; there is one for {', '.join(_MACHINES)}")
    column, architecture = _MACHINES[machine]
    steps = [_step(_LOAD, _ARCHITECTURE), _step(_EQUAL, architecture, 1, 0), _end(_KILL), _step(_LOAD, _NUMBER)]
    if machine == "x86_64":  # the same calls under other numbers
        steps += [_step(_AT_LEAST, _X32, 0, 1), _end(_KILL)]
    steps += [_step(_AT_LEAST, NEWEST + 1, 0, 1), _error(errno.ENOSYS)]
    for table, code in ((ABSENT, errno.ENOSYS), (REFUSED, errno.EPERM)):
        for number in sorted(pair[column] or -1 for pair in table.values()):
            if number >= 0:
                steps += [_step(_EQUAL, number, 0, 1), _error(code)]
    steps += _when(_CLONE[column], 0, [_step(_ANY_BIT, _NAMESPACES, 0, 1), _error(errno.EPERM)])
    terminal = [step for code in _TYPE_INTO_A_TERMINAL for step in (_step(_EQUAL, code, 0, 1), _error(errno.EPERM))]
    steps += _when(_IOCTL[column], 1, terminal)
    own = [_step(_EQUAL, 0, 1, 0), _error(errno.EPERM)]
    for numbers in _OWN_SCHEDULING.values():
        steps += _when(numbers[column], 0, own)
    steps += _when(_SETPRIORITY[column], 0, [*own, _step(_LOAD, _ARGUMENTS + 8), *own])
    if not any_socket:
        steps += _when(_SOCKET[column], 0, [_step(_EQUAL, socket.AF_UNIX, 1, 0), _error(errno.EAFNOSUPPORT)])
    return b"".join([*steps, _end(_ALLOW)])


def install(program: bytes) -> None:
    """Put this process under the filter, for good. It must have given up gaining rights (no_new_privs) before.

    Raises:
        OSError: the kernel refused it.
    """
    buffer = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: a count, six bytes of padding, a pointer.
    fprog = ctypes.create_string_buffer(struct.pack("=H6xQ", len(program) // 8, ctypes.addressof(buffer)), 16)
    set_seccomp, mode_filter = 22, 2
    if _libc.prctl(set_seccomp, mode_filter, ctypes.addressof(fprog), 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"the kernel refused the system call filter: {os.strerror(number)}")


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _end(action: int) -> bytes:
    return _step(_RETURN, action)


def _error(number: int) -> bytes:
    return _end(_ERRNO | number)


def _when(number: int | None, argument: int, then: Sequence[bytes]) -> list[bytes]:
    """For one call: look at the low half of an argument, go through `then`, and allow it if that did not return."""
    body = [_step(_LOAD, _ARGUMENTS + 8 * argument), *then, _end(_ALLOW)]
    return [_step(_EQUAL, number or 0, 0, len(body)), *body]
