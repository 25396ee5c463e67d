"""The laws of leases: what is kept from program to program, what is not, and what is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .contract import MIB, Sandbox
from .errors import Lost, RequestError
from .law import LIMITS, BrokenLawError, ended, hold


def _lease_of_files(sandbox: Sandbox) -> None:
    with sandbox.lease() as session:
        result = ended(session.exec("x = 1\nopen('a', 'w').write('1')\nopen('b', 'w').write('2')", {}, LIMITS), "ok")
        hold(result.files == {"a": b"1", "b": b"2"}, "both files", result.files)
        code = "import os\nprint(sorted(os.listdir('.')), 'x' in globals())\nopen('b', 'a').write('!')"
        result = ended(session.exec(code, {"c": b"3"}, LIMITS), "ok")
        hold(result.stdout == "['a', 'b', 'c'] False\n", "files kept, variables not", result.stdout)
        hold(result.files == {"b": b"2!"}, "only what changed", result.files)
        result = ended(session.exec("open('b', 'w').write('3!')", {"c": b"4"}, LIMITS), "ok")
        hold(result.files == {"b": b"3!"}, "a change that leaves size and time alike", result.files)
        result = ended(session.exec("print(open('c').read())", {}, LIMITS, outputs=["*"]), "ok")
        hold((result.stdout, result.files) == ("4\n", {}), "an input may be replaced", result)
        hold(not result.variables_lost and not result.files_lost, "nothing lost", result)
    with sandbox.lease() as session:
        result = ended(session.exec("import os\nprint(os.listdir('.'))", {}, LIMITS), "ok")
        hold(result.stdout == "[]\n", "nothing left from the lease before", result.stdout)
        result = ended(session.exec("open('a', 'w').write('1')", {}, LIMITS), "ok")
        hold(result.files == {"a": b"1"}, "a file, whatever the lease before had", result.files)


def _lease_after_a_mess(sandbox: Sandbox) -> None:
    """What a program does to its folder is no failure of the sandbox in the next program."""
    shut = "import os\nos.mkdir('in.bin')\nopen('in.bin/x', 'w').close()\nos.chmod('in.bin', 0)\nos.chmod('.', 0)"
    gone = "import os, shutil\nhere = os.getcwd()\nos.chdir('/')\ntry:\n  os.rename(here, here + '2')\n"
    gone += "except OSError: pass"
    link = gone + "\ntry:\n  os.symlink('/', here)\nexcept OSError: pass"
    for code in (shut, gone, link):
        with sandbox.lease() as session:
            ended(session.exec(code, {}, LIMITS), "ok")
            result = ended(session.exec("print(open('in.bin').read())", {"in.bin": b"x"}, LIMITS), "ok")
            hold(result.stdout == "x\n", "the input", result.stdout)


def _lease_of_variables(sandbox: Sandbox) -> None:
    with sandbox.lease("variables") as session:
        ended(session.exec("import math\nx = [1]\ndef f(): return x\nopen('a', 'w').write('1')", {}, LIMITS), "ok")
        result = ended(session.exec("x.append(2)\nprint(f(), math.pi > 3, __name__)", {"b": b""}, LIMITS), "ok")
        hold(result.stdout == "[1, 2] True __main__\n", "variables, functions and modules", result.stdout)
        hold(result.files == {}, "no file twice", result.files)
        hold(result.cpu_ms > 0 and result.wall_ms > 0 and result.peak_memory > MIB, "figures of its own", result)
        result = ended(session.exec("print('before')\n1 / 0", {}, LIMITS), "error")
        hold(result.stdout == "before\n" and "ZeroDivisionError" in result.stderr, "what it printed", result)
        hold(
            ended(session.exec("raise SystemExit(3)", {}, LIMITS), "error").exit_code == 3,
            "its own exit code",
            "another",
        )
        result = ended(session.exec("import os\nprint(x, sorted(os.listdir('.')) == ['a', 'b'])", {}, LIMITS), "ok")
        hold(result.stdout == "[1, 2] True\n" and not result.variables_lost, "all of it, after an error", result)
        result = ended(session.exec("if os.fork():\n  os.wait()\n  print(x)", {}, LIMITS), "ok")
        hold(result.stdout == "[1, 2]\n", "a child that comes to the program's end to end there", result.stdout)
        ended(session.exec("print('x' * 1000)", {}, replace(LIMITS, output_bytes=100)), "ok")
        ended(session.exec("y = bytearray(800 << 20)", {}, LIMITS), "oom")
        hold(
            ended(session.exec("print(x)", {}, LIMITS), "ok").stdout == "[1, 2]\n", "variables after a refusal", "none"
        )


def _lost_variables(sandbox: Sandbox) -> None:
    deaths = {
        "timeout": "import time\ntime.sleep(60)",
        "output_limit": "while True: print('x' * 100000)",
        "signal": "import os\nos.kill(os.getpid(), 9)",
        "error": "import os\nos._exit(3)",
    }
    with sandbox.lease("variables") as session:
        result = ended(session.exec("x = 1\nopen('a', 'w').write('1')", {}, LIMITS), "ok")
        hold(not result.variables_lost, "nothing to be lost", result)
        for status, code in deaths.items():
            ended(session.exec(code, {}, replace(LIMITS, wall_seconds=1.0, output_bytes=100)), status)
            result = ended(session.exec("print('x' in globals(), open('a').read())\nx = 1", {}, LIMITS), "ok")
            hold(result.variables_lost and result.stdout == "False 1\n", "variables lost, and files not", result)
            result = ended(session.exec("print(x)", {}, LIMITS), "ok")
            hold(not result.variables_lost, "said once", result)
        # Between two programs, by what an earlier one left running.
        code = "import threading, os\nthreading.Timer(0.05, os._exit, [0]).start()"
        ended(session.exec(code, {}, LIMITS), "ok")
        results = [session.exec("import time\ntime.sleep(0.3)\nprint(1)", {}, LIMITS) for _ in range(2)]
        hold({r.status for r in results} <= {"ok", "error"}, "a result, and no failure of the sandbox", results)
        hold([r.variables_lost for r in results].count(True) == 1, "said by the next one", results)
        try:
            session.exec("", {}, replace(LIMITS, processes=LIMITS.processes + 1))
        except RequestError:
            pass
        else:
            raise BrokenLawError("expected RequestError for a limit of the process that changed; got a result")


def _lease_is_over(sandbox: Sandbox) -> None:
    leave = (
        "import os, time\nopen('/tmp/left', 'w').close() if os.access('/tmp', os.W_OK) else 0\n"
        "if os.fork() == 0:\n  os.setsid()\n  time.sleep(600)\nprint('done')"
    )
    look = "import os\nprint(os.path.exists('/tmp/left'))\ntry: os.unlink('/tmp/left')\nexcept OSError: pass"
    wiped = "wiped" in sandbox.isolation().get("files", "")
    for state in ("files", "variables"):
        with sandbox.lease(state) as session:
            ended(session.exec(leave, {}, LIMITS), "ok")
        session.close()
        try:
            session.exec("", {}, LIMITS)
        except Lost:
            pass
        else:
            raise BrokenLawError("expected Lost from a lease that is over; got a result")
        said = ended(sandbox.exec(look, {}, LIMITS), "ok").stdout
        hold(said == "False\n" or not wiped, "nothing left, as promised", said)
    try:
        sandbox.lease("everything")
    except RequestError:
        return
    raise BrokenLawError("expected RequestError for an unknown state; got a lease")


LEASE_LAWS: dict[str, Callable[[Sandbox], None]] = {
    "a lease keeps files": _lease_of_files,
    "no mess stands in the next program's way": _lease_after_a_mess,
    "a lease may keep variables": _lease_of_variables,
    "lost variables are told": _lost_variables,
    "a lease leaves nothing": _lease_is_over,
}
