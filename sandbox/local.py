"""Programs as processes of this machine: for machines without a container engine.

It keeps honest mistakes in check: limits, a fresh folder, no inherited environment, everything killed and deleted at
the end, and as root another user, and a cut network and a read-only file system where the kernel or bubblewrap provide
them. It does not hold against hostile code, and says so.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Mapping

from .errors import RequestError, Unavailable
from .lane import Lane
from .local_worker import LocalWorker, bubblewrap_works, describe
from .pool import QUEUE_SECONDS, LanePool, check_lanes


class LocalSandbox(LanePool):
    """A sandbox of worker processes on this machine (Linux only). See `sandbox.contract.Sandbox`.

    Args:
        lanes: programs that run at the same time; by default two per processor. A lane is a worker, which is started
            when it is first needed.
        network: "none" cuts the network off where that is possible, and says so where it is not; "host" leaves it.
        bubblewrap: run the workers in bubblewrap, so that programs see the file system read-only and no other
            process. None: if it is installed and works.
        queue_seconds: the longest time that a call waits for a free lane.

    Raises:
        RequestError: an argument is not allowed.
        Unavailable: not Linux, or the image libraries are not installed.
    """

    def __init__(
        self,
        *,
        lanes: int | None = None,
        network: str = "none",
        bubblewrap: bool | None = None,
        queue_seconds: float = QUEUE_SECONDS,
    ) -> None:
        self.lanes = check_lanes(lanes, 2 * (os.cpu_count() or 1))
        if network not in ("none", "host"):
            raise RequestError(f"network must be 'none' or 'host'; got {network!r}")
        if not sys.platform.startswith("linux") or not hasattr(os, "pidfd_open"):
            raise Unavailable('sandbox="local" needs Linux 5.3 or later; on other systems use a container engine')
        missing = [name for name in ("numpy", "PIL", "cv2") if importlib.util.find_spec(name) is None]
        if missing:
            raise Unavailable(
                f"programs expect {', '.join(missing)}, not installed here: pip install 'rllava-gym[sandbox]'"
            )
        source = _Processes(self.lanes, network, bubblewrap)
        super().__init__(source, warm=0, max_uses=None, queue_seconds=queue_seconds)


class _Processes:
    """Where the lanes come from."""

    where = "processes of this machine"

    def __init__(self, lanes: int, network: str, bubblewrap: bool | None) -> None:
        self._lanes, self._network, self._bubblewrap = lanes, network, bubblewrap

    def wanted(self) -> int:
        return self._lanes

    def start(self) -> Lane:
        scratch = tempfile.mkdtemp(prefix="rllava-sandbox-")
        return LocalWorker(scratch, cut=self._network == "none", wrap=self._wrap())

    def stop(self, lane: Lane) -> None:
        assert isinstance(lane, LocalWorker)
        lane.stop()

    def describe(self, hello: Mapping[str, object]) -> dict[str, str]:
        facts = describe(hello, self._network, self._wrap())
        _say_once(facts)
        return facts

    def close(self) -> None:
        pass

    def _wrap(self) -> bool:
        return bubblewrap_works() if self._bubblewrap is None else self._bubblewrap


_said: set[int] = set()


def _say_once(facts: Mapping[str, str]) -> None:
    """Tell a person, once in a process, what does not hold."""
    if os.getpid() in _said:
        return
    _said.add(os.getpid())
    weak = [f"  {part}: {words}" for part, words in facts.items() if words.startswith("NOT ")]
    lines = [
        'sandbox="local" runs model-written programs as processes of this machine. It does NOT hold hostile code.',
        *weak,
    ]
    print("\n".join(lines), file=sys.stderr, flush=True)
