"""The laws of every sandbox, as checks that can fail: `check_sandbox(sandbox)`.

They hold for any backend, whatever it isolates; attacks on the isolation are another matter. What differs between
machines (whether a network can be cut, say) is read from `sandbox.isolation()` and held to what that promises.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from .conformance_leases import LEASE_LAWS
from .contract import MIB, STATUSES, Sandbox
from .errors import RequestError, Stalled
from .law import LIMITS, BrokenLawError, ended, hold

__all__ = ["LAWS", "LIMITS", "BrokenLawError", "Finding", "check_sandbox"]

STARVED_TRIES = 8


@dataclass(frozen=True)
class Finding:
    """One law and what came of it; `message` is empty if it holds."""

    law: str
    message: str

    @property
    def held(self) -> bool:
        return not self.message


def check_sandbox(sandbox: Sandbox, laws: Mapping[str, Callable[[Sandbox], None]] | None = None) -> list[Finding]:
    """Hold a sandbox to every law (or to some). An exception in a law is its failure, with the exception's text.

    A law is tried again, a few times, when the sandbox says that the machine is starved (`Stalled`).
    """
    return [Finding(law, _try(check, sandbox)) for law, check in (LAWS if laws is None else laws).items()]


def _try(check: Callable[[Sandbox], None], sandbox: Sandbox) -> str:
    """What is wrong, or nothing."""
    for left in range(STARVED_TRIES - 1, -1, -1):
        try:
            check(sandbox)
        except Stalled as error:
            if not left:
                return f"Stalled, {STARVED_TRIES} times: {error}"
        except Exception as error:  # whatever goes wrong is the finding
            return f"{type(error).__name__}: {error}"
        else:
            break
    return ""


def _prints(sandbox: Sandbox) -> None:
    result = ended(sandbox.exec("import sys\nprint('a', 1)\nprint('b', file=sys.stderr)", {}, LIMITS), "ok")
    hold((result.stdout, result.stderr) == ("a 1\n", "b\n"), "both streams apart", result)
    hold((result.exit_code, result.signal) == (0, None), "exit code 0", result)
    hold(result.wall_ms > 0 and result.cpu_ms > 0 and result.queue_ms >= 0, "times in milliseconds", result)
    hold(MIB < result.peak_memory < 1 << 40, "memory in bytes", result)


def _files(sandbox: Sandbox) -> None:
    code = (
        "data = open('in.bin', 'rb').read()\nopen('out.bin', 'wb').write(data[::-1])\nopen('note.txt', 'w').write('x')"
    )
    blob = bytes(range(256)) * 1000
    result = ended(sandbox.exec(code, {"in.bin": blob}, LIMITS), "ok")
    hold(result.files == {"note.txt": b"x", "out.bin": blob[::-1]}, "the two new files", sorted(result.files))
    result = sandbox.exec(code, {"in.bin": blob}, LIMITS, outputs=["*.bin"])
    hold(list(result.files) == ["out.bin"], "what the pattern names", sorted(result.files))
    result = sandbox.exec("open('in.bin', 'ab').write(b'!')", {"in.bin": b"a"}, LIMITS)
    hold(result.files == {"in.bin": b"a!"}, "an input that was changed", result.files)


def _libraries(sandbox: Sandbox) -> None:
    code = (
        "import cv2, numpy as np\nfrom PIL import Image\n"
        "Image.fromarray(np.arange(12, dtype=np.uint8).reshape(2, 2, 3)).save('a.png')\n"
        "image = cv2.rotate(cv2.imread('a.png'), cv2.ROTATE_180)\ncv2.imwrite('b.png', image)\nprint(image[0, 0])"
    )
    result = ended(sandbox.exec(code, {}, LIMITS), "ok")
    hold(result.stdout == "[11 10  9]\n", "the last pixel first, in OpenCV's order", result)


def _errors(sandbox: Sandbox) -> None:
    result = ended(sandbox.exec("x = 1\n\ndef f():\n    return x / 0\n\nf()", {}, LIMITS), "error")
    hold(result.exit_code == 1, "exit code 1", result)
    for part in ("ZeroDivisionError", "line 4, in f", "return x / 0"):
        hold(part in result.stderr, f"{part!r} in the traceback", result.stderr)
    for inside in ("sandbox/", "worker"):
        hold(inside not in result.stderr, "no frame of the sandbox's own in the traceback", result.stderr)
    for code in (
        "def",
        "x = (",
        "\0",
        "'\ud800'",
        "import no_such_module",
        "raise SystemExit(3)",
        "raise KeyboardInterrupt",
    ):
        ended(sandbox.exec(code, {}, LIMITS), "error")
    hold(sandbox.exec("raise SystemExit(3)", {}, LIMITS).exit_code == 3, "the program's own exit code", "another")
    ended(sandbox.exec("raise SystemExit", {}, LIMITS), "ok")
    ended(sandbox.exec("", {}, LIMITS), "ok")


def _signals(sandbox: Sandbox) -> None:
    result = ended(sandbox.exec("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", {}, LIMITS), "signal")
    hold((result.exit_code, result.signal) == (None, 9), "signal 9 and no exit code", result)
    ended(sandbox.exec("import os\nos.abort()", {}, LIMITS), "signal")


def _timeouts(sandbox: Sandbox) -> None:
    short = replace(LIMITS, wall_seconds=0.5)
    sleeping = {
        "sleep": "import time\ntime.sleep(60)",
        "a lock": "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()",
        "a pipe": "import os\nr, w = os.pipe()\nos.read(r, 1)",
        "a signal": "import signal\nsignal.pause()",
        "a stop": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
        "a child": "import subprocess\nsubprocess.run(['sleep', '60'])",
        "ignored signals": "import signal, time\nfor s in range(1, 32):\n  try: signal.signal(s, signal.SIG_IGN)\n"
        "  except OSError: pass\ntime.sleep(60)",
        "closed streams": "import os, time\nos.close(0); os.close(1); os.close(2)\ntime.sleep(60)",
    }
    for code in sleeping.values():
        result = ended(sandbox.exec(code, {}, short), "timeout")
        hold(result.wall_ms >= 499, "the whole time", result)


def _processor_time(sandbox: Sandbox) -> None:
    result = ended(sandbox.exec("while True: pass", {}, replace(LIMITS, cpu_seconds=1)), "timeout")
    hold(result.cpu_ms >= 500, "a second of processor time", result)


def _input(sandbox: Sandbox) -> None:
    hold("EOFError" in ended(sandbox.exec("input()", {}, LIMITS), "error").stderr, "nothing on standard input", "more")


def _memory(sandbox: Sandbox) -> None:
    less = replace(LIMITS, memory_bytes=64 * MIB)
    ended(sandbox.exec("x = bytearray(200 << 20)", {}, less), "oom")
    ended(sandbox.exec("import numpy\nx = numpy.ones(200 << 20, numpy.uint8)", {}, less), "oom")
    ended(sandbox.exec("x = bytearray(20 << 20)", {}, less), "ok")
    caught = "try:\n  x = bytearray(200 << 20)\nexcept MemoryError:\n  print('coped')"
    hold(ended(sandbox.exec(caught, {}, less), "ok").stdout == "coped\n", "a program may cope", "no")


def _output(sandbox: Sandbox) -> None:
    little = replace(LIMITS, output_bytes=100)
    result = ended(sandbox.exec("print('x' * 1000, end='')", {}, little), "ok")
    hold((result.stdout, result.stdout_dropped) == ("x" * 100, 900), "100 kept and 900 dropped", result)
    result = ended(sandbox.exec("while True: print('x' * 100000)", {}, little), "output_limit")
    hold(len(result.stdout) == 100 and result.stdout_dropped > 100_000, "what was dropped is counted", result)
    result = ended(sandbox.exec("import os\nos.write(1, b'\\xff\\x00a')", {}, LIMITS), "ok")
    hold(result.stdout == "\ufffd\0a", "bad bytes replaced", result.stdout)


def _file_limits(sandbox: Sandbox) -> None:
    small = replace(LIMITS, file_bytes=1000, files=2, files_bytes=1500)
    ended(sandbox.exec("with open('a', 'wb') as file: file.write(bytes(1001))", {}, small), "error")
    code = "for name, size in (('a', 900), ('b', 700), ('c', 500), ('d', 10)): open(name, 'wb').write(bytes(size))"
    result = ended(sandbox.exec(code, {}, small), "ok")
    hold(list(result.files) == ["a", "c"], "two files within 1500 bytes, in the order of their names", result)
    hold([name for name, _ in result.files_left_out] == ["b", "d"], "the others named", result.files_left_out)


def _traps(sandbox: Sandbox) -> None:
    code = (
        "import os, socket\nopen('good', 'w').write('1')\nos.symlink('/etc/passwd', 'link')\n"
        "os.symlink('good', 'near')\n"
        "os.symlink('/', 'root')\nos.mkfifo('pipe')\nsocket.socket(socket.AF_UNIX).bind('sock')\n"
        "open('one', 'w').write('2')\nos.link('one', 'two')\nos.mkdir('sub')\nopen('sub/deep', 'w').write('3')\n"
        "os.mkdir('shut')\nopen('shut/in', 'w').write('4')\nos.chmod('shut', 0)\n"
        "open(b'\\xff', 'w').write('5')\nos.truncate(os.open('sparse', os.O_CREAT | os.O_WRONLY), 4 << 20)"
    )
    result = ended(sandbox.exec(code, {}, LIMITS, outputs=["*"]), "ok")
    honest = {"good": b"1", "sub/deep": b"3"}
    hold({k: v for k, v in result.files.items() if k != "shut/in"} == honest, "regular files only", result)


def _fresh(sandbox: Sandbox) -> None:
    leave = "import os, builtins, random\nopen('left', 'w').write('x')\nbuiltins.left = 1\nos.environ['LEFT'] = '1'"
    look = (
        "import os, builtins\nprint(os.listdir('.'), hasattr(builtins, 'left'), sorted(os.environ),"
        " os.environ['HOME'] == os.getcwd(), __name__)"
    )
    for _ in range(3):
        ended(sandbox.exec(leave, {}, LIMITS), "ok")
        result = ended(sandbox.exec(look, {}, LIMITS), "ok")
        hold(result.stdout == "[] False ['HOME', 'PATH'] True __main__\n", "nothing left from before", result.stdout)


def _repeatable(sandbox: Sandbox) -> None:
    code = "import random, numpy\nprint(random.random(), numpy.random.rand(), list({'a', 'b', 'c', 'd', 'e'}))"
    said = {sandbox.exec(code, {}, LIMITS).stdout for _ in range(6)}
    hold(len(said) == 1, "the same from every run", said)


def _descendants(sandbox: Sandbox) -> None:
    # A child in the background, and one that left the session and whose parents are dead.
    code = (
        "import os, time\nif os.fork() == 0:\n  time.sleep(600)\n"
        "if os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0:\n    time.sleep(600)\n  os._exit(0)\nprint('done')"
    )
    result = ended(sandbox.exec(code, {}, LIMITS), "ok")
    hold(result.stdout == "done\n" and result.wall_ms < 15_000, "the end of the program itself", result)
    count = (
        "import os\nme = os.getpid()\nfound = 0\nfor entry in os.listdir('/proc'):\n"
        "  try:\n    if entry.isdigit() and int(open('/proc/' + entry + '/status').read().split('Uid:')[1].split()[0]) "
        "== os.getuid():\n"
        "      line = open('/proc/' + entry + '/stat').read()\n"
        "      found += int(line.rpartition(')')[2].split()[1]) == os.getppid() and int(entry) != me\n"
        "  except OSError: pass\nprint(found)"
    )
    hold(ended(sandbox.exec(count, {}, LIMITS), "ok").stdout == "0\n", "no process left beside the program", "some")


def _threads(sandbox: Sandbox) -> None:
    results: dict[int, str] = {}

    def one(k: int) -> None:
        result = sandbox.exec(f"print(open('n').read(), {k})", {"n": str(k).encode()}, LIMITS)
        results[k] = result.stdout

    threads = [threading.Thread(target=one, args=(k,)) for k in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hold(results == {k: f"{k} {k}\n" for k in range(12)}, "every caller its own answer", results)


def _program_threads(sandbox: Sandbox) -> None:
    code = "import threading, time\ndef f():\n  time.sleep(0.05)\n  print('late')\nthreading.Thread(target=f).start()"
    hold(ended(sandbox.exec(code, {}, LIMITS), "ok").stdout == "late\n", "its threads are waited for", "not")


def _network(sandbox: Sandbox) -> None:
    promise = sandbox.isolation().get("network", "")
    code = (
        "import socket\ntry:\n  s = socket.socket()\n  s.settimeout(3)\n"
        "  s.connect(('192.0.2.1', 9))\nexcept OSError as error:\n  print(error.errno)"
    )
    result = ended(sandbox.exec(code, {}, LIMITS), "ok")
    if promise.startswith("cut"):
        hold(
            result.stdout in ("101\n", "97\n", "1\n", "13\n"),
            "the network unreachable at once, as promised",
            result.stdout,
        )


def _requests(sandbox: Sandbox) -> None:
    for files in ({"../a": b""}, {"a/b": b""}, {"": b""}, {".": b""}, {"a\n": b""}, {"a": "text"}):
        try:
            sandbox.exec("", files, LIMITS)  # type: ignore[arg-type]
        except RequestError:
            continue
        raise BrokenLawError(f"expected RequestError for the files {files!r}; got a result")


def _isolation(sandbox: Sandbox) -> None:
    promise = sandbox.isolation()
    for part in ("backend", "network", "user", "files", "processes", "environment"):
        hold(bool(promise.get(part)), f"a word on {part!r}", promise)


LAWS: dict[str, Callable[[Sandbox], None]] = {
    "a program prints": _prints,
    "files go in and out": _files,
    "the image libraries are there": _libraries,
    "a failing program is a result": _errors,
    "a signal is told from an exit code": _signals,
    "sleeping and waiting time out": _timeouts,
    "processor time is limited": _processor_time,
    "there is nothing to read": _input,
    "memory is limited": _memory,
    "output is capped and counted": _output,
    "files are capped and counted": _file_limits,
    "no trap among the files is followed": _traps,
    "nothing is left from before": _fresh,
    "a program does the same every time": _repeatable,
    "nothing that it started lives on": _descendants,
    "many callers at once": _threads,
    "a program's threads are waited for": _program_threads,
    "the network is as promised": _network,
    **LEASE_LAWS,
    "bad requests are refused": _requests,
    "its isolation can be recorded": _isolation,
}

assert len(STATUSES) == 6  # a new status needs a law that reaches it
