"""The shell between the ledger and the kernel: changes of one turn of the event loop become one transaction."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import time
from collections.abc import Iterator
from datetime import datetime

from prometheus_client import Histogram

from fairlead.client.informer import Change
from fairlead.client.retry import Backoff
from fairlead.objects.core_v1 import Node as ApiNode
from fairlead.objects.core_v1 import Service
from fairlead.process import Health
from fairlead.proxy import metrics
from fairlead.proxy.connections import Connections
from fairlead.proxy.conntrack import noting
from fairlead.proxy.dataplane import Dataplane, Refused, Selected
from fairlead.proxy.family import IPV4, Family
from fairlead.proxy.healthchecks import HealthChecks
from fairlead.proxy.ledger import Ledger
from fairlead.proxy.resources import TRIGGER_TIME, EndpointSlice
from fairlead.proxy.selection import Node

log = logging.getLogger("fairlead.proxy")

ZONE = "topology.kubernetes.io/zone"

LOOK = 0.5
"""Seconds between looks at whether somebody else harmed our table."""


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Without the collector of cycles, which would walk through all that is made again and again: a third of the time.

    Nothing that is made here has cycles. What there is at the end is not looked at later either.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
            gc.freeze()


def seen(node: ApiNode | None, name: str, family: Family) -> Node:
    """What a node's object says of the node; one without an object has no addresses and no zone.

    The primary address is the first InternalIP of the family, or the first ExternalIP where it has none
    (kube-proxy: GetNodeHostIPs, component-helpers).
    """
    if node is None:
        return Node(name)
    listed = node.status.addresses if node.status is not None else ()
    packed = [
        address
        for kind in ("InternalIP", "ExternalIP")
        for each in listed
        if each.type == kind and (address := family.pack(each.address)) is not None
    ]
    return Node(name, tuple(packed[:1]), node.metadata.labels.get(ZONE, ""))


class Proxier:
    """One family's Services in one kernel. Informers call the `..._changed` methods, in the event loop."""

    def __init__(
        self,
        ledger: Ledger,
        dataplane: Dataplane,
        health: Health,
        *,
        mode: str = "nftables",
        interval: float = 0.0,
        healthchecks: HealthChecks | None = None,
    ) -> None:
        """`mode` is what health and log call it; `interval` is the least number of seconds between commits."""
        self.ledger = ledger
        self.dataplane = dataplane
        self._health = health
        self._connections = Connections(dataplane.family)
        self._healthchecks = healthchecks
        self._mode, self._interval = mode, interval
        self._work = mode if dataplane.family is IPV4 else f"{mode} for {dataplane.family.address_type}"
        """What health calls it."""
        self._synced = -math.inf
        self._label = dataplane.family.address_type
        self._service_changes = metrics.SERVICE_CHANGES.labels(self._label)
        self._endpoint_changes = metrics.ENDPOINT_CHANGES.labels(self._label)
        self._started = False
        self._scheduled: asyncio.Handle | None = None
        self._doubtful = True
        """Whether the dataplane may be wrong about the kernel, so that it has to be read."""
        self._backoff = Backoff()
        self._readdressed = False
        """Whether the node's addresses are news to the dataplane."""
        self._triggers: list[float] = []

    def service_changed(self, change: Change[Service]) -> None:
        """A Service came, changed or went."""
        self.ledger.service_changed(change.key, change.new)
        self._service_changes.inc()
        self._schedule()

    def slice_changed(self, change: Change[EndpointSlice]) -> None:
        """A slice came, changed or went."""
        self.ledger.slice_changed(change.key, change.old, change.new)
        self._endpoint_changes.inc()
        if self._started and change.new is not None:
            moment = change.new.metadata.annotations.get(TRIGGER_TIME)
            if moment:
                try:
                    self._triggers.append(datetime.fromisoformat(moment).timestamp())
                except ValueError:
                    log.warning("slice %s: %s is no time: %r", change.key, TRIGGER_TIME, moment)
        self._schedule()

    def node_changed(self, change: Change[ApiNode]) -> None:
        """This node's own object came, changed or went; without one there are no node ports."""
        before = self.ledger.node
        node = seen(change.new, before.name, self.dataplane.family)
        if node == before:
            return
        self.ledger.node_changed(node)
        self._readdressed = True
        self._schedule()

    def start(self) -> None:
        """The informers have synced: from now on the kernel follows. The first transaction is made at once.

        Raises `dataplane.Unusable` where this kernel or this process can never do it.
        """
        self._started = True
        self.sync()

    def close(self) -> None:
        """Lets the kernel keep everything as it is."""
        self.dataplane.close()
        self._connections.close()

    def _schedule(self) -> None:
        if self._started and self._scheduled is None:
            metrics.LAST_QUEUED.labels(self._label).set_to_current_time()
            loop = asyncio.get_running_loop()
            wait = self._synced + self._interval - time.monotonic() if self._interval else 0
            self._scheduled = loop.call_later(wait, self.sync) if wait > 0 else loop.call_soon(self.sync)

    def sync(self) -> None:
        """Brings the kernel to what the ledger wants. On failure everything is compared anew, after a while."""
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        began = time.perf_counter()
        try:
            doubtful, self._doubtful = self._doubtful, True
            if self._readdressed:
                self.dataplane.node_changed(self.ledger.node.addresses)
                self._readdressed = False
            if doubtful:
                self._connections.restart()
                changes: dict[str, Selected] = {}
                with uncollected():
                    self.dataplane.rebuild(noting(self.ledger.everything, changes))
            else:
                changes = self.ledger.changes()
                self.dataplane.commit(changes)
        except (OSError, Refused) as error:
            delay = self._backoff.next()
            log.error("%s; reading the kernel and trying again in %.1f s", error, delay)
            if self._mode in metrics.SYNC_FAILURES:
                metrics.SYNC_FAILURES[self._mode].labels(self._label).inc()
            self._health.fails(self._work, str(error))
            self._scheduled = asyncio.get_running_loop().call_later(delay, self.sync)
            return
        self._doubtful = False
        self._backoff.reset()
        self._health.has(self._work)
        self._connections.changed(changes)
        if self._healthchecks is not None:
            self._healthchecks.look(self.ledger, self.ledger.keys() if doubtful else changes)
        self._observe(began, metrics.FULL_DURATION if doubtful else metrics.PARTIAL_DURATION)

    def _observe(self, began: float, kind: Histogram) -> None:
        took = time.perf_counter() - began
        for duration in (metrics.SYNC_DURATION, kind):
            duration.labels(self._label).observe(took)
        self._synced = time.monotonic()
        metrics.LAST_SYNC.labels(self._label).set_to_current_time()
        now = time.time()
        for moment in self._triggers:
            metrics.PROGRAMMING_DURATION.labels(self._label).observe(max(0.0, now - moment))
        self._triggers.clear()

    async def watch(self) -> None:
        """Mends what others do to our table, and tidies it, until cancelled."""
        while True:
            await asyncio.sleep(LOOK)
            if self._doubtful:
                continue
            try:
                if self.dataplane.harmed():
                    log.warning(
                        "somebody changed or removed what is ours in %s; putting it right", self._mode
                    )
                    self._doubtful = True
                    self.sync()
                else:
                    self.dataplane.tidy()
            except OSError as error:
                log.error("%s; reading the kernel again", error)
                self._doubtful = True
                self.sync()
