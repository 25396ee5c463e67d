"""The containers of compose.yaml, driven by the words of the README's quick start, and disturbed on purpose."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def quick_start() -> list[str]:
    """The commands of the README's section "With Docker", in order, without their comments."""
    readme = (ROOT / "README.md").read_text()
    found = re.search(r"^## With Docker\n.*?```sh\n(.*?)```", readme, re.MULTILINE | re.DOTALL)
    assert found is not None, "README.md has no section '## With Docker' with a block of commands"
    lines = [line.split(" #")[0].strip() for line in found[1].replace("\\\n", " ").splitlines()]
    return [line for line in lines if line]


class Stack:
    """The project of compose.yaml on this machine.

    Args:
        environment: Over this process's, for every command.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self.environment = {**os.environ, **(environment or {})}

    def run(self, words: str | Sequence[str], seconds: float = 600.0) -> subprocess.CompletedProcess[str]:
        """A command to its end, its output captured. A string is a line of the README's."""
        command = words.split() if isinstance(words, str) else list(words)
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )

    def compose(self, *words: str, seconds: float = 600.0) -> str:
        """The output of `docker compose ...`.

        Raises:
            RuntimeError: it failed; with its last words.
        """
        ended = self.run(["docker", "compose", *words], seconds)
        if ended.returncode:
            raise RuntimeError(f"docker compose {' '.join(words)}: status {ended.returncode}\n{ended.stderr[-3000:]}")
        return ended.stdout

    def start(self, line: str, log: Path) -> subprocess.Popen[bytes]:
        """A command that goes on, such as `docker compose up`; what it says goes to a file."""
        with log.open("wb") as file:
            return subprocess.Popen(
                line.split(), cwd=ROOT, env=self.environment, stdout=file, stderr=subprocess.STDOUT, process_group=0
            )

    def ids(self, *services: str, every: bool = False) -> list[str]:
        """Containers of services; every: those that ended too."""
        return self.compose("ps", "-q", *(["-a"] if every else []), *services).split()

    def inspect(self, *ids: str) -> list[dict[str, Any]]:
        return json.loads(self.run(["docker", "inspect", *ids]).stdout) if ids else []

    def state(self, service: str) -> dict[str, Any]:
        """The state of a service's only container, {} while there is none."""
        found = self.inspect(*self.ids(service, every=True))
        return found[0]["State"] if found else {}

    def wait_for(self, service: str, seconds: float) -> int:
        """Until the service's container has ended; its exit status.

        Raises:
            TimeoutError: it has not ended by then.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            state = self.state(service)
            if state.get("Status") == "exited":
                return int(state["ExitCode"])
            time.sleep(1.0)
        raise TimeoutError(f"{service} has not ended within {seconds:.0f} s:\n{self.logs(service)}")

    def logs(self, service: str) -> str:
        return self.run(["docker", "compose", "logs", "--no-log-prefix", "--tail", "60", service]).stdout

    def file(self, path: str) -> str:
        """A file in the volume of runs, "" where it is not there."""
        ended = self.run(["docker", "compose", "exec", "-T", "view", "cat", f"runs/{path}"])
        return ended.stdout if ended.returncode == 0 else ""

    def first_step(self, run: str, seconds: float) -> float:
        """Seconds of waiting until a run has its first trained step.

        Raises:
            TimeoutError: it has none by then.
        """
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            for container in self.ids("agent"):
                ended = self.run(["docker", "exec", container, "head", "-n", "1", f"runs/{run}/metrics.jsonl"])
                if ended.stdout.endswith("\n"):
                    return time.monotonic() - began
            time.sleep(0.5)
        raise TimeoutError(f"no step of {run} within {seconds:.0f} s:\n{self.logs('agent')}")


def crash(stack: Stack, container: str) -> bool:
    """Kill a container's first process as the kernel would: the engine takes it for a crash, and its restart policy
    holds, which `docker kill` would switch off. False if it was not running."""
    (found,) = stack.inspect(container)
    pid = int(found["State"]["Pid"])
    if not pid:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


class Trouble:
    """Within `with Trouble(stack) as trouble:` an executor dies every so many seconds, and the search service once, in
    the middle of the run that searches.

    Attributes:
        executors, searches: How many died.
    """

    def __init__(self, stack: Stack, every: float = 20.0) -> None:
        self._stack, self._every = stack, every
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self.executors = self.searches = 0

    def __enter__(self) -> Trouble:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _go_on(self) -> None:
        turn, due = 0, time.monotonic() + self._every
        while not self._ended.wait(2.0):
            with suppress(subprocess.TimeoutExpired, RuntimeError, ValueError):
                if not self.searches and len(self._stack.file("search/metrics.jsonl").splitlines()) >= 2:
                    self.searches += sum(crash(self._stack, container) for container in self._stack.ids("search"))
                if time.monotonic() >= due:
                    due += self._every
                    lanes = sorted(self._stack.ids("executor"))
                    if lanes:
                        self.executors += crash(self._stack, lanes[turn % len(lanes)])
                    turn += 1
