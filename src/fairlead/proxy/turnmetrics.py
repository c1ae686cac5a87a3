"""What one family's proxy tells Prometheus of the changes that come and of the turns that take them into the kernel."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.proxy import metrics
from fairlead.proxy.resources import TRIGGER_TIME

log = logging.getLogger("fairlead.proxy")


@dataclass(frozen=True, slots=True)
class Taken:
    """What a turn takes up: how many changes the kernel does not have yet, and when the first part of them began."""

    services: int
    slices: int
    triggers: int
    """How many of the moments at which pods changed it is about."""
    began: float
    """`time.perf_counter()` at its beginning."""
    full: bool
    """Whether everything is compared with what the kernel holds."""


class TurnMetrics:
    """Counts what comes until a turn has taken it."""

    def __init__(self, mode: str, label: str) -> None:
        """`label` is the value of `ip_family`."""
        self._mode, self._label = mode, label
        self._services = self._slices = 0
        self._triggers: list[float] = []
        metrics.SERVICES_PENDING.labels(label).set_function(lambda: self._services)
        metrics.ENDPOINTS_PENDING.labels(label).set_function(lambda: self._slices)
        # Made once: `labels` is a lookup with a lock for every change otherwise.
        self._service_changes = metrics.SERVICE_CHANGES.labels(label)
        self._endpoint_changes = metrics.ENDPOINT_CHANGES.labels(label)

    def service_came(self) -> None:
        """A change of a Service."""
        self._services += 1

    def slice_came(self, meta: ObjectMeta | None) -> None:
        """A change of a slice; `meta` where it is of interest when the pods changed that it is about."""
        self._slices += 1
        moment = meta.annotations.get(TRIGGER_TIME) if meta is not None else None
        if moment:
            try:
                self._triggers.append(datetime.fromisoformat(moment).timestamp())
            except ValueError:
                log.warning("slice %s: %s is no time: %r", _key(meta), TRIGGER_TIME, moment)

    def queued(self) -> None:
        """A turn is to come."""
        metrics.LAST_QUEUED.labels(self._label).set_to_current_time()

    def take(self, *, full: bool) -> Taken:
        """A turn begins."""
        return Taken(self._services, self._slices, len(self._triggers), time.perf_counter(), full)

    def failed(self, taken: Taken) -> None:
        """It was refused: what it took up is pending still."""
        if self._mode in metrics.SYNC_FAILURES:
            metrics.SYNC_FAILURES[self._mode].labels(self._label).inc()
        if self._mode == "iptables" and not taken.full:
            metrics.PARTIAL_FAILURES.labels(self._label).inc()

    def done(self, taken: Taken, without_local: Mapping[str, int]) -> None:
        """The kernel has it. `without_local` are the Service ports that lack an endpoint of this node, by policy."""
        self._services -= taken.services
        self._slices -= taken.slices
        self._service_changes.inc(taken.services)
        self._endpoint_changes.inc(taken.slices)
        took = time.perf_counter() - taken.began
        kind = metrics.FULL_DURATION if taken.full else metrics.PARTIAL_DURATION
        for duration in (metrics.SYNC_DURATION, kind):
            duration.labels(self._label).observe(took)
        metrics.LAST_SYNC.labels(self._label).set_to_current_time()
        for policy, count in without_local.items():
            metrics.NO_LOCAL_ENDPOINTS.labels(self._label, policy).set(count)
        now = time.time()
        for moment in self._triggers[: taken.triggers]:
            metrics.PROGRAMMING_DURATION.labels(self._label).observe(max(0.0, now - moment))
        del self._triggers[: taken.triggers]

    def untidy(self) -> None:
        """What nothing leads to any more could not be removed."""
        if self._mode == "nftables":
            metrics.CLEANUP_FAILURES.labels(self._label).inc()


def _key(meta: ObjectMeta | None) -> str:
    return f"{meta.namespace}/{meta.name}" if meta is not None else ""
