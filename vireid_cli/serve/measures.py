"""Metrics of the server in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class ServerMetrics:
    """Counters of one server, with a registry of their own.

    Args:
        sizes: Function that returns the number of rows per index.
    """

    def __init__(self, sizes: Callable[[], Mapping[str, int]]) -> None:
        self.registry = CollectorRegistry()
        self._sizes = sizes
        self.requests = Counter(
            "vireid_requests", "Requests by route and status.", ("route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "vireid_request_seconds",
            "Time of a request.",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batches = Histogram(
            "vireid_batch_items", "Items of a batch.", ("work",), buckets=SIZES, registry=self.registry
        )
        self.active = Gauge("vireid_active_requests", "Requests in progress.", registry=self.registry)
        self.refused_connections = Counter(
            "vireid_refused_connections", "Connections that a limit closed.", registry=self.registry
        )
        self._rows = Gauge("vireid_index_records", "Records of an index.", ("index",), registry=self.registry)

    def text(self) -> bytes:
        """All metrics."""
        for name, rows in self._sizes().items():
            self._rows.labels(name).set(rows)
        return generate_latest(self.registry)
