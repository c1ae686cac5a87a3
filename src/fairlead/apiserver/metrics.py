"""What the server tells Prometheus of itself, named as upstream's metrics.

Counting is on the path of every request, so it is additions to plain numbers; what Prometheus wants is made of them
when it asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from fairlead.apiserver.kind import Kind
from fairlead.apiserver.requests import RequestInfo

BUCKETS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
)  # fmt: skip
"""Upstream's, in seconds."""

VERBS = {"create": "POST", "update": "PUT"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE")
MUTATING = ("POST", "PUT", "PATCH", "DELETE")

REQUEST = ("verb", "group", "version", "resource", "subresource", "scope", "component")
KIND = ("group", "version", "resource")

Labels = tuple[str, ...]


@dataclass(slots=True)
class Latency:
    """How long requests of one sort took."""

    total: float = 0.0
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))

    def add(self, seconds: float) -> None:
        """One more."""
        self.total += seconds
        self.counts[bisect_left(BUCKETS, seconds)] += 1

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bound and count up to it, as Prometheus wants it."""
        found, sum_ = [], 0
        for bound, count in zip((*BUCKETS, float("inf")), self.counts, strict=True):
            sum_ += count
            found.append((str(float(bound)) if bound < float("inf") else "+Inf", float(sum_)))
        return found


class Metrics:
    """The counts of one server."""

    def __init__(self, queued: Callable[[], int]) -> None:
        """`queued` counts the requests that wait."""
        self._queued = queued
        self._objects: Mapping[Kind, int] = {}
        self._size = 0
        self._requests: dict[tuple[Labels, int], int] = {}
        self._latency: dict[Labels, Latency] = {}
        self._watches: dict[Labels, int] = {}
        self._in_flight = {"mutating": 0, "readOnly": 0}
        self._events: dict[Kind, int] = {}
        self._sizes: dict[Kind, int] = {}
        self._rejected = 0
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def began(self, method: str) -> None:
        """A request that is not a watch is under way."""
        self._in_flight["mutating" if method in MUTATING else "readOnly"] += 1

    def ended(self, method: str) -> None:
        """It is answered."""
        self._in_flight["mutating" if method in MUTATING else "readOnly"] -= 1

    def answered(self, labels: Labels, code: int, seconds: float) -> None:
        """A request got its answer; a watch its last frame, and how long it took is not noted."""
        key = (labels, code)
        self._requests[key] = self._requests.get(key, 0) + 1
        if labels[0] != "WATCH":
            latency = self._latency.get(labels)
            if latency is None:
                latency = self._latency[labels] = Latency()
            latency.add(seconds)

    def rejected(self) -> None:
        """A request was turned away, its user's queue being full."""
        self._rejected += 1

    def sent(self, kind: Kind, events: int, size: int) -> None:
        """So many events of so many bytes went to watchers."""
        self._events[kind] = self._events.get(kind, 0) + events
        self._sizes[kind] = self._sizes.get(kind, 0) + size

    @contextmanager
    def watch(self, labels: Labels) -> Iterator[None]:
        """A watch lasts as long as the context."""
        self._watches[labels] = self._watches.get(labels, 0) + 1
        try:
            yield
        finally:
            self._watches[labels] -= 1

    def exposition(self, objects: Mapping[Kind, int], size: int) -> tuple[str, bytes]:
        """Content type and text of `/metrics`, with the objects of each kind and the bytes that the store takes."""
        self._objects, self._size = objects, size
        return CONTENT_TYPE_LATEST, generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """For the registry, which would collect to know the names."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """All of it as Prometheus' families."""
        total = CounterMetricFamily("apiserver_request", "Requests by what they were for and their status.",
                                    labels=(*REQUEST, "code"))  # fmt: skip
        for (labels, code), count in self._requests.items():
            total.add_metric((*labels, str(code)), count)
        yield total
        latency = HistogramMetricFamily("apiserver_request_duration_seconds", "Latency without watches.",
                                        labels=REQUEST)  # fmt: skip
        for labels, one in self._latency.items():
            latency.add_metric(labels, one.buckets(), one.total)
        yield latency
        running = GaugeMetricFamily("apiserver_longrunning_requests", "Watches under way.", labels=REQUEST)
        for labels, count in self._watches.items():
            running.add_metric(labels, count)
        yield running
        now = GaugeMetricFamily("apiserver_current_inflight_requests", "Other requests under way.",
                                labels=("request_kind",))  # fmt: skip
        for kind, count in self._in_flight.items():
            now.add_metric((kind,), count)
        yield now
        yield from self._watch_events()
        yield from self._queues()
        yield from self._stored()

    def _watch_events(self) -> Iterable[Metric]:
        events = CounterMetricFamily("apiserver_watch_events", "Events sent to watchers.", labels=KIND)
        sizes = CounterMetricFamily("apiserver_watch_events_sizes_bytes", "Their bytes.", labels=KIND)
        for kind, count in self._events.items():
            events.add_metric(_kind(kind), count)
            sizes.add_metric(_kind(kind), self._sizes[kind])
        yield events
        yield sizes

    def _queues(self) -> Iterable[Metric]:
        waiting = GaugeMetricFamily("apiserver_flowcontrol_current_inqueue_requests", "Requests that wait.",
                                    labels=("priority_level",))  # fmt: skip
        waiting.add_metric(("global-default",), self._queued())
        yield waiting
        rejected = CounterMetricFamily("apiserver_flowcontrol_rejected_requests", "Requests turned away.",
                                       labels=("priority_level", "reason"))  # fmt: skip
        rejected.add_metric(("global-default", "queue-full"), self._rejected)
        yield rejected

    def _stored(self) -> Iterable[Metric]:
        objects = GaugeMetricFamily(
            "apiserver_storage_objects", "Objects in the store.", labels=("resource",)
        )
        resources = GaugeMetricFamily("apiserver_resource_objects", "The same.", labels=("group", "resource"))
        for kind, count in self._objects.items():
            objects.add_metric((kind.qualified,), count)
            resources.add_metric((kind.resource.group, kind.plural), count)
        yield objects
        yield resources
        size = GaugeMetricFamily("apiserver_storage_size_bytes", "Bytes that the store takes.",
                                 labels=("storage_cluster_id",))  # fmt: skip
        size.add_metric(("0",), self._size)
        yield size


def labels_of(info: RequestInfo, kind: Kind | None) -> Labels:
    """What a request counts as. Paths that lead to nothing count alike, so that nobody can make up labels."""
    if kind is None:
        return (info.method if info.method in METHODS else "other", "", "", "", "", "", "apiserver")
    scope = "resource" if info.name or info.verb == "create" else "namespace" if info.namespace else "cluster"
    verb = VERBS.get(info.verb) or info.verb.upper() or (info.method if info.method in METHODS else "other")
    subresource = info.subresource
    if subresource and subresource != "status" and all(p.name != subresource for p in kind.subresources):
        subresource = ""
    return verb, info.group, info.version, info.resource, subresource, scope, "apiserver"


def _kind(kind: Kind) -> Labels:
    return kind.resource.group, kind.resource.version, kind.plural
