"""What a program writes to its standard streams, and what it does to them."""

from __future__ import annotations

from .attack import CONTRACT, LIMITS, Attack, Seen, ends_as, passed_through


def _soon(seen: Seen) -> str:
    """The program's own end counts, not that of whoever still holds its streams."""
    if seen.attack.wall_ms > 10_000:
        return f"the call took {seen.attack.wall_ms:.0f} ms, although the program ended at once"
    return ends_as("ok")(seen)


def _in_time(seen: Seen) -> str:
    """As soon, but the flood may win against the end of the program."""
    late = seen.attack.wall_ms > 10_000
    return "the call waited for the process that was left" if late else passed_through(seen.attack)


def _anyhow(seen: Seen) -> str:
    """Without its streams a program cannot say how it ended; it is enough that there is a result in time."""
    return f"got {seen.attack.status}" if seen.attack.status in ("timeout", "oom") else passed_through(seen.attack)


def _capped(seen: Seen) -> str:
    kept = max(len(seen.attack.stdout), len(seen.attack.stderr))
    return f"{kept} characters were kept" if kept > LIMITS.output_bytes else ends_as("output_limit")(seen)


def _as_written(seen: Seen) -> str:
    if "\x1b[2J" not in seen.attack.stdout or "\0" not in seen.attack.stdout:
        return f"the output is not what was written: {seen.attack.stdout[:200]!r}"
    return passed_through(seen.attack)


ATTACKS = (
    Attack(
        "streams.binary-flood",
        "random bytes without end on both streams",
        "block = os.urandom(1 << 16)\nwhile True:\n    os.write(1, block)\n    os.write(2, block)",
        held=_capped,
        needs=CONTRACT,
    ),
    Attack(
        "streams.one-line",
        "a line that never ends",
        "while True:\n    os.write(2, b'x' * 65536)",
        held=_capped,
        needs=CONTRACT,
    ),
    Attack(
        "streams.lines",
        "line breaks without end from several processes",
        """
for _ in range(4):
    if os.fork() == 0:
        break
while True:
    os.write(1, b"\\n" * 4096)
""",
        held=_capped,
        needs=CONTRACT,
    ),
    Attack(
        "streams.terminal",
        "bytes that command a terminal, end a string or are no text",
        r"""
os.write(1, b"\x1b[2J\x1b]0;owned\x07\x1b[?1049h\0\xff\xfe\xed\xa0\x80\r\n")
os.write(1, "\u202e\u2028\ufeff".encode())
print("\ud800")
""",
        held=_as_written,
        needs=CONTRACT,
    ),
    Attack(
        "streams.held-open",
        "a process that keeps the streams open after the program's end",
        """
if os.fork() == 0:
    os.setsid()
    time.sleep(600)
""",
        held=_soon,
        needs=CONTRACT,
    ),
    Attack(
        "streams.written-later",
        "a process that writes on after the program's end",
        """
def flood():
    while True:
        os.write(1, b"later" * 1000)
        time.sleep(0.001)
background(flood)
""",
        held=_in_time,
        needs=CONTRACT,
    ),
    Attack(
        "streams.closed",
        "its streams closed, and replaced by what raises at every touch",
        """
class Bad:
    def __getattr__(self, name):
        raise RuntimeError(name)
for fd in (0, 1, 2):
    os.close(fd)
sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = Bad()
sys.excepthook = None
raise SystemExit
""",
        held=_anyhow,
        needs=CONTRACT,
    ),
    Attack(
        "streams.exhausted",
        "the pipes filled and left, with every descriptor swapped for another",
        """
for fd in (1, 2):
    os.set_blocking(fd, False)
    try:
        while True:
            os.write(fd, b"y" * 4096)
    except BlockingIOError:
        pass
os.dup2(1, 0)
os.dup2(2, 3)
os._exit(0)
""",
        held=_anyhow,
        needs=CONTRACT,
    ),
    Attack(
        "streams.nested-text",
        "text that breaks whoever parses it: very deep JSON, very long numbers",
        """
sys.stdout.write('{"a":' * 10000 + "[" * 5000 + "1" * 10000 + "\\n")
sys.stderr.write("Traceback (most recent call last):\\n" * 500 + "MemoryError\\n")
""",
        needs=CONTRACT,
    ),
)
