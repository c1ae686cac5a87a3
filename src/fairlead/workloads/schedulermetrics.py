"""What the scheduler tells Prometheus, by the names of kube-scheduler's metrics (upstream: scheduler/metrics).

The numbers of pods that wait are counted when they are asked for; each other figure costs some microseconds a try.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

Result = Literal["scheduled", "unschedulable", "error"]

PROFILE = "default-scheduler"

_TIMES = tuple(0.001 * 2**n for n in range(15))
_WAITS = tuple(0.01 * 2**n for n in range(20))

_attempts = Counter(
    "scheduler_schedule_attempts",
    "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, "
    "while 'error' means an internal scheduler problem.",
    ("result", "profile"),
)
_duration = Histogram(
    "scheduler_scheduling_attempt_duration_seconds",
    "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
    ("result", "profile"),
    buckets=_TIMES,
)
_algorithm = Histogram(
    "scheduler_scheduling_algorithm_duration_seconds",
    "Scheduling algorithm latency in seconds",
    buckets=_TIMES,
)
_victims = Histogram(
    "scheduler_preemption_victims",
    "Number of selected preemption victims",
    buckets=tuple(2.0**n for n in range(7)),
)
_preemptions = Counter("scheduler_preemption_attempts", "Total preemption attempts in the cluster till now")
_pending = Gauge(
    "scheduler_pending_pods",
    "Number of pending pods, by the queue type. 'active' means number of pods in activeQ; 'backoff' means number "
    "of pods in backoffQ; 'unschedulable' means number of pods in unschedulablePods that the scheduler attempted "
    "to schedule and failed; 'gated' is the number of unschedulable pods that the scheduler never attempted to "
    "schedule because they are gated.",
    ("queue",),
)
_tries = Histogram(
    "scheduler_pod_scheduling_attempts",
    "Number of attempts to successfully schedule a pod.",
    buckets=tuple(2.0**n for n in range(5)),
)
_waited = Histogram(
    "scheduler_pod_scheduling_sli_duration_seconds",
    "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might involve "
    "multiple scheduling attempts.",
    ("attempts",),
    buckets=_WAITS,
)

_attempt = cache(_attempts.labels)
_took = cache(_duration.labels)
_waits = cache(_waited.labels)


def tried(result: Result, since: float) -> None:
    """A pod was tried, beginning at `since` on the monotonic clock, and this came of it."""
    _attempt(result, PROFILE).inc()
    _took(result, PROFILE).observe(time.monotonic() - since)


def decided(since: float) -> None:
    """A node was found for a pod; the search began at `since`."""
    _algorithm.observe(time.monotonic() - since)


def bound(tries: int, since: float) -> None:
    """A pod has its node after so many tries; it came to wait at `since`."""
    _tries.observe(tries)
    _waits(str(tries) if tries < 15 else "15+").observe(time.monotonic() - since)


def preemption_tried() -> None:
    """It was asked whether other pods would have to go."""
    _preemptions.inc()


def preempted(victims: int) -> None:
    """So many pods have to go for one."""
    _victims.observe(victims)


def waiting(count: Callable[[], Mapping[str, int]] | None) -> None:
    """From now on `count` says how many pods are in each queue; None: no pod waits here."""
    for queue in ("active", "backoff", "unschedulable", "gated"):

        def number(queue: str = queue) -> float:
            return count()[queue] if count is not None else 0

        _pending.labels(queue).set_function(number)


waiting(None)
