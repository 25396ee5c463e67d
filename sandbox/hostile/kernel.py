"""The parts of the kernel in which most holes are found, and which no picture program needs."""

from __future__ import annotations

from .attack import Attack, Seen, ends_as

_RUN = """
def in_child(action):
    '''The answer of a call made in a child, as an error number; 255 if it was done. A filter may kill the child.'''
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except OSError as error:
            os._exit(min(error.errno, 254))
        except BaseException:
            os._exit(254)
        os._exit(255)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code == -signal.SIGSYS:
        raise OSError(errno.EPERM, "killed by the filter")
    if code != 255:
        raise OSError(abs(code) or errno.EIO, os.strerror(abs(code)))
def ask(name, *arguments, also=()):
    attempt(name, lambda: in_child(lambda: syscall(name, *arguments)), *also)
"""

_MACHINE = """
import mmap
def machine_code(code):
    area = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40, prot=7)
    area.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    function = ctypes.CFUNCTYPE(ctypes.c_long)(address)
    return function, area
def outcome(code):
    '''What the call answered, in a child: a negative number is an error.'''
    back, forth = os.pipe()
    pid = os.fork()
    if pid == 0:
        function, area = machine_code(code)
        os.write(forth, struct.pack("=q", function()))
        os._exit(0)
    os.close(forth)
    data = os.read(back, 8)
    os.close(back)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if len(data) < 8:
        raise OSError(errno.EPERM, f"the process was killed by signal {-ended}")
    value = struct.unpack("=q", data)[0]
    value = value if value > -4096 and value < 2**31 else ctypes.c_int(value & 0xFFFFFFFF).value
    if -4096 < value < 0:
        raise OSError(-value, os.strerror(-value))
    return value
if platform.machine() != "x86_64":
    say("refused: there is no such interface on this processor")
    print("TRIED ALL", flush=True)
    os._exit(0)
"""


def _or_killed(seen: Seen) -> str:
    return ends_as("ok", "signal")(seen)


ATTACKS = (
    Attack(
        "kernel.io-uring",
        "set up a ring for system calls that no filter sees",
        _RUN + "ask('io_uring_setup', 8, ctypes.create_string_buffer(120))\nask('io_uring_register', 0, 0, 0, 0)\n",
        held=_or_killed,
    ),
    Attack(
        "kernel.bpf",
        "load a program into the kernel",
        _RUN
        + """
code = struct.pack("=BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)
text, license = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
request = struct.pack("=IIQQIIQII", 1, 2, ctypes.addressof(text), ctypes.addressof(license), 0, 0, 0, 0, 0)
ask("bpf", 5, request + bytes(72), 120)
ask("bpf", 0, struct.pack("=IIIII", 2, 4, 4, 1, 0) + bytes(100), 72)
""",
        held=_or_killed,
    ),
    Attack(
        "kernel.perf",
        "watch the processor's counters",
        _RUN
        + """
for kind, config, exclude in ((1, 0, 0), (1, 2, 0x60), (0, 0, 0x60), (2, 0, 0)):
    request = struct.pack("=IIQQQQQ", kind, 112, config, 0, 0, 0, exclude) + bytes(112)
    ask("perf_event_open", request[:112], 0, -1, -1, 0, also=(errno.ENOENT, errno.EOPNOTSUPP))
""",
        held=_or_killed,
    ),
    Attack(
        "kernel.faults",
        "handle page faults itself, which stops the kernel where it likes",
        _RUN + "for flags in (0, 1, 0o2000000, 0o2000001):\n    ask('userfaultfd', flags)\n"
        "attempt('open /dev/userfaultfd', lambda: os.open('/dev/userfaultfd', os.O_RDWR), errno.ENOENT)\n",
        held=_or_killed,
    ),
    Attack(
        "kernel.modules",
        "load code into the kernel, or another kernel",
        _RUN
        + """
blob = ctypes.create_string_buffer(b"\\x7fELF" + bytes(4096))
ask("init_module", blob, 4096, b"\\0")
ask("finit_module", os.open(os.__file__, os.O_RDONLY), b"\\0", 0)
ask("delete_module", b"dummy\\0", 0)
ask("kexec_load", 0, 0, 0, 0)
ask("kexec_file_load", os.open(os.__file__, os.O_RDONLY), -1, 1, b"\\0", 4)
ask("reboot", 0xFEE1DEAD, 672274793, 0, 0)
""",
        held=_or_killed,
    ),
    Attack(
        "kernel.rare",
        "calls that only system software makes",
        _RUN
        + """
ask("acct", 0)
ask("fanotify_init", 0, 0)
ask("vhangup")
ask("iopl", 3)
ask("ioperm", 0x80, 1, 1)
ask("memfd_secret", 0)
ask("migrate_pages", 0, 64, bytes(8), bytes(8))
ask("move_pages", os.getppid(), 0, 0, 0, 0, 0, also=(errno.ESRCH,))
ask("mount_setattr", -100, b"/", 0, struct.pack("=4Q", 0, 0, 0, 0), 32)
ask("modify_ldt", 1, struct.pack("=4I", 0, 0, 0xFFFFF, 0x51), 16)
""",
        held=_or_killed,
    ),
    Attack(
        "kernel.keys",
        "use the kernel's store of keys",
        _RUN + "ask('keyctl', 0, -3, 1, 0, 0)\nask('keyctl', 1, 0, 0, 0, 0)\n"
        "ask('add_key', b'user\\0', b'x\\0', b'x', 1, -3)\nask('request_key', b'user\\0', b'x\\0', 0, 0)\n",
        held=_or_killed,
    ),
    Attack(
        "kernel.tracing",
        "trace its own child, by which a filter can be led around",
        _RUN + "ask('ptrace', 0, 0, 0, 0)\npid = os.fork()\nif pid == 0:\n    time.sleep(5)\n    os._exit(0)\n"
        "attempt('attach to a child', lambda: syscall('ptrace', 16, pid, 0, 0))\nos.kill(pid, 9)\nos.wait()\n",
        held=_or_killed,
    ),
    Attack(
        "kernel.personality",
        "turn protections of its memory off",
        _RUN + "for flag in (0x0040000, 0x0400000, 0x0100000, 0x0200000):\n    ask('personality', flag)\n",
        held=_or_killed,
    ),
    Attack(
        "kernel.x32",
        "make forbidden calls under the numbers of another interface",
        _MACHINE
        + """
buffer = ctypes.create_string_buffer(256)
address = struct.pack("=Q", ctypes.addressof(buffer))
for name, number, first in (("io_uring_setup", 425, 8), ("unshare", 272, 0x10000000), ("keyctl", 250, 0),
                            ("bpf", 321, 5), ("ptrace", 521, 0), ("userfaultfd", 323, 1), ("shmget", 29, 0),
                            ("perf_event_open", 298, 0), ("add_key", 248, 0), ("getpid", 39, 0)):
    code = b"\\x48\\xc7\\xc0" + struct.pack("=I", 0x40000000 | number)    # mov rax, number
    code += b"\\x48\\xbf" + struct.pack("=Q", first)                       # mov rdi, first
    code += b"\\x48\\xbe" + address                                       # mov rsi, buffer
    code += b"\\x31\\xd2\\x4d\\x31\\xd2\\x4d\\x31\\xc0"                       # rdx = r10 = r8 = 0
    code += b"\\x0f\\x05\\xc3"                                             # syscall; ret
    attempt(f"x32 {name}", lambda: outcome(code))
""",
        held=_or_killed,
    ),
    Attack(
        "kernel.i386",
        "make forbidden calls through the interface of 32-bit programs",
        _MACHINE
        + """
low = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40, prot=3)
address = ctypes.addressof(ctypes.c_char.from_buffer(low))
for name, number, first, second in (("io_uring_setup", 425, 8, address), ("unshare", 310, 0x10000000, 0),
                                    ("keyctl", 288, 0, -3 & 0xFFFFFFFF), ("ipc", 117, 23, 0x77), ("ptrace", 26, 0, 0),
                                    ("userfaultfd", 374, 1, 0), ("shmget", 395, 0x77, 4096), ("mount", 21, 0, 0)):
    code = b"\\x53\\xb8" + struct.pack("=I", number) + b"\\xbb" + struct.pack("=I", first)   # push rbx; eax, ebx
    code += b"\\xb9" + struct.pack("=I", second & 0xFFFFFFFF) + b"\\xba\\0\\x10\\0\\0\\xbe\\xb6\\x03\\0\\0\\x31\\xff"
    code += b"\\xcd\\x80\\x5b\\xc3"                                                         # int 0x80; pop rbx; ret
    attempt(f"i386 {name}", lambda: outcome(code))
""",
        held=_or_killed,
    ),
    Attack(
        "kernel.filter-undone",
        "lift, replace or outvote the filter of system calls",
        _RUN
        + """
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
allow = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000))
program = Filter(1, ctypes.addressof(allow))
libc.prctl(22, 2, ctypes.byref(program), 0, 0)  # a filter that allows everything; the strictest still counts
ask("io_uring_setup", 8, ctypes.create_string_buffer(120))
ask("unshare", 0x10000000, also=(errno.ENOSPC,))
ask("ptrace", 0, 0, 0, 0)
if libc.prctl(39, 0, 0, 0, 0) == 0:
    got("new privileges are allowed")
attempt("turn the filter off", lambda: libc.prctl(22, 0, 0, 0, 0) and (_ for _ in ()).throw(
    OSError(ctypes.get_errno() or errno.EINVAL, "prctl")), errno.EINVAL)
""",
        held=_or_killed,
    ),
)
