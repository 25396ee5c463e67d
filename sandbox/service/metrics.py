"""What can be counted of a service, in Prometheus' form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from ..contract import ExecResult

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """The counters of one service. inside: how many requests it serves now. stats: of the sandbox, if it has any."""

    def __init__(self, inside: Callable[[], float], leases: Callable[[], float], sandbox: object) -> None:
        self._registry = CollectorRegistry()
        self._programs = Counter(
            "sandbox_programs", "Programs that came to a result", ["status"], registry=self._registry
        )
        self._failures = Counter(
            "sandbox_failures", "Requests that failed without a result", ["kind"], registry=self._registry
        )
        self._wall = Histogram("sandbox_wall_seconds", "A program's time", buckets=_SECONDS, registry=self._registry)
        self._queue = Histogram(
            "sandbox_queue_seconds", "Time spent waiting for a lane", buckets=_SECONDS, registry=self._registry
        )
        for name, text, value in (
            ("sandbox_requests_inside", "Requests being served or waiting", inside),
            ("sandbox_leases", "Leases that clients hold", leases),
        ):
            Gauge(name, text, registry=self._registry).set_function(value)
        self._registry.register(_Lanes(sandbox))

    def ran(self, result: ExecResult) -> None:
        """Count a result."""
        self._programs.labels(result.status).inc()
        self._wall.observe(result.wall_ms / 1000)
        self._queue.observe(result.queue_ms / 1000)

    def failed(self, kind: str) -> None:
        """Count a failure."""
        self._failures.labels(kind).inc()

    def text(self) -> bytes:
        """Everything counted, as text."""
        return generate_latest(self._registry)


class _Lanes(Collector):
    """What the sandbox says of itself, read when it is asked for."""

    def __init__(self, sandbox: object) -> None:
        self._sandbox = sandbox

    def collect(self) -> Iterable[Metric]:
        stats = getattr(self._sandbox, "stats", None)
        found = stats() if callable(stats) else {}
        if isinstance(found, Mapping):
            for name, value in found.items():
                if isinstance(value, (int, float)):
                    yield GaugeMetricFamily(f"sandbox_pool_{name}", f"The sandbox's own figure: {name}", value=value)
