"""A service as a user starts it: a process of its own, which a test may kill."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def served(*command: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`python -m sandbox COMMAND --port 0`: its address and its process, which is gone at the end."""
    arguments = [sys.executable, "-m", "sandbox", *command, *(() if "--port" in command else ("--port", "0"))]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said: list[str] = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("serving "):
                yield line.split()[-1], process
                return
        raise AssertionError(f"{' '.join(arguments)} ended with {process.wait()}: {''.join(said)}")
    finally:
        process.terminate()
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()


def port_of(url: str) -> Sequence[str]:
    """The options that start a service at the same address once more."""
    return ["--port", url.rpartition(":")[2]]
