"""What the server tells Prometheus of itself, named as upstream's metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from fairlead.apiserver.kinds import Kind

REGISTRY = CollectorRegistry()
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

_latency = Histogram(
    "apiserver_request_duration_seconds",
    "Response latency in seconds, without watches.",
    ("verb", "resource"),
    buckets=BUCKETS,
    registry=REGISTRY,
)
_requests = Counter(
    "apiserver_request_total",
    "Requests by verb, resource, status.",
    ("verb", "resource", "code"),
    registry=REGISTRY,
)
_watches = Gauge(
    "apiserver_longrunning_requests", "Watches under way.", ("verb", "resource"), registry=REGISTRY
)
_size = Gauge("apiserver_storage_size_bytes", "Bytes that the store takes.", registry=REGISTRY)


class Requests:
    """The count and the latency of requests. A child metric is looked up once for each combination."""

    def __init__(self) -> None:
        self._latency = cache(_latency.labels)
        self._count = cache(_requests.labels)

    def of(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """One request was answered."""
        self._latency(verb, resource).observe(seconds)
        self._count(verb, resource, str(code)).inc()


class Watches:
    """The number of watches under way."""

    @contextmanager
    def open(self, kind: Kind) -> Iterator[None]:
        """A watch lasts as long as the context."""
        gauge = _watches.labels("WATCH", kind.plural)
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()


REQUESTS = Requests()
WATCHES = Watches()


def exposition(store_bytes: int) -> tuple[str, bytes]:
    """Content type and text of `/metrics`."""
    _size.set(store_bytes)
    return CONTENT_TYPE_LATEST, generate_latest(REGISTRY)
