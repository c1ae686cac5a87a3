"""What every component that uses this room tells Prometheus, by the names that client-go gives it."""

from __future__ import annotations

import time
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

_BUCKETS = tuple(10.0**exponent for exponent in range(-8, 2))

_depth = Gauge("workqueue_depth", "Current depth of workqueue", ("name",))
_adds = Counter("workqueue_adds", "Total number of adds handled by workqueue", ("name",))
_retries = Counter("workqueue_retries", "Total number of retries handled by workqueue", ("name",))
_waited = Histogram(
    "workqueue_queue_duration_seconds",
    "How long in seconds an item stays in workqueue before being requested.",
    ("name",),
    buckets=_BUCKETS,
)
_worked = Histogram(
    "workqueue_work_duration_seconds",
    "How long in seconds processing an item from workqueue takes.",
    ("name",),
    buckets=_BUCKETS,
)
_unfinished = Gauge(
    "workqueue_unfinished_work_seconds",
    "How many seconds of work has been done that is in progress and hasn't been observed by work_duration.",
    ("name",),
)
_longest = Gauge(
    "workqueue_longest_running_processor_seconds",
    "How many seconds has the longest running processor for workqueue been running.",
    ("name",),
)
_requests = Counter(
    "rest_client_requests",
    "Number of HTTP requests, partitioned by status code, method, and host.",
    ("code", "method", "host"),
)
_leader = Gauge(
    "leader_election_master_status",
    "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. "
    "'name' is the string used to identify the lease. Please make sure to group by name.",
    ("name",),
)

_request = cache(_requests.labels)


def requested(code: str, method: str, host: str) -> None:
    """A request was answered with this code; `<error>` if it was not answered."""
    _request(code, method, host).inc()


def leading(name: str, leads: bool) -> None:
    """Whether this process holds the lease."""
    _leader.labels(name).set(leads)


class QueueMetrics:
    """The figures of one work queue. Times are those of the monotonic clock."""

    def __init__(self, name: str) -> None:
        self._depth = _depth.labels(name)
        self._adds = _adds.labels(name)
        self._retries = _retries.labels(name)
        self._waited = _waited.labels(name)
        self._worked = _worked.labels(name)
        self._since: dict[object, float] = {}
        self._running: dict[object, float] = {}
        _unfinished.labels(name).set_function(lambda: sum(self._ages()))
        _longest.labels(name).set_function(lambda: max(self._ages(), default=0.0))

    def added(self, key: object, depth: int) -> None:
        """A key was queued."""
        self._adds.inc()
        self._depth.set(depth)
        self._since.setdefault(key, time.monotonic())

    def started(self, key: object, depth: int) -> None:
        """A key was handed out."""
        now = time.monotonic()
        self._depth.set(depth)
        self._waited.observe(now - self._since.pop(key, now))
        self._running[key] = now

    def ended(self, key: object) -> None:
        """The work for a key is done, well or not."""
        now = time.monotonic()
        self._worked.observe(now - self._running.pop(key, now))

    def retried(self) -> None:
        """A key is to be tried again."""
        self._retries.inc()

    def _ages(self) -> list[float]:
        now = time.monotonic()
        return [now - since for since in list(self._running.values())]
