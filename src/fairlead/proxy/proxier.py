"""The shell between the ledger and the kernel: changes of one turn of the event loop become one transaction."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import datetime

from fairlead.client.informer import Change
from fairlead.client.retry import Backoff
from fairlead.objects.core_v1 import Node as ApiNode
from fairlead.objects.core_v1 import Service
from fairlead.process import Health
from fairlead.proxy import metrics
from fairlead.proxy.ledger import Ledger
from fairlead.proxy.libnftables import RulesetRefused
from fairlead.proxy.nftables import Nftables
from fairlead.proxy.resources import TRIGGER_TIME, EndpointSlice
from fairlead.proxy.selection import Node

log = logging.getLogger("fairlead.proxy")

LOOK = 0.5
"""Seconds between looks at whether somebody else harmed our table."""


class Proxier:
    """One family's Services in one kernel. Informers call the `..._changed` methods, in the event loop."""

    def __init__(self, ledger: Ledger, dataplane: Nftables, health: Health) -> None:
        self.ledger = ledger
        self.dataplane = dataplane
        self._health = health
        self._label = dataplane.family.address_type
        self._service_changes = metrics.SERVICE_CHANGES.labels(self._label)
        self._endpoint_changes = metrics.ENDPOINT_CHANGES.labels(self._label)
        self._started = False
        self._scheduled: asyncio.Handle | None = None
        self._doubtful = True
        """Whether `dataplane.applied` may be wrong, so that the kernel has to be read."""
        self._backoff = Backoff()
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
        status = change.new.status if change.new is not None else None
        texts = [a.address for a in status.addresses if a.type == "InternalIP"] if status is not None else []
        packed = (self.dataplane.family.pack(text) for text in texts)
        self.ledger.node_changed(Node(self.ledger.node.name, tuple(a for a in packed if a is not None)))
        self._schedule()

    def start(self) -> None:
        """The informers have synced: from now on the kernel follows. The first transaction is made at once.

        Raises `libnftables.NftablesMissing` where this kernel or this process can never do it.
        """
        self._started = True
        self.sync()

    def _schedule(self) -> None:
        if self._started and self._scheduled is None:
            metrics.LAST_QUEUED.labels(self._label).set_to_current_time()
            self._scheduled = asyncio.get_running_loop().call_soon(self.sync)

    def sync(self) -> None:
        """Brings the kernel to what the ledger wants. On failure everything is compared anew, after a while."""
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        began = time.perf_counter()
        try:
            if self._doubtful:
                self.dataplane.adopt(self.ledger.slots())
                desired = self.ledger.everything(self.dataplane.applied)
            else:
                desired = self.ledger.changes()
            self._doubtful = True
            self.dataplane.commit(desired)
        except (OSError, RulesetRefused) as error:
            delay = self._backoff.next()
            log.error("%s; reading the kernel and trying again in %.1f s", error, delay)
            metrics.SYNC_FAILURES.labels(self._label).inc()
            self._health.fails("nftables", str(error))
            self._scheduled = asyncio.get_running_loop().call_later(delay, self.sync)
            return
        self._doubtful = False
        self._backoff.reset()
        self._health.has("nftables")
        self._observe(began)

    def _observe(self, began: float) -> None:
        metrics.SYNC_DURATION.labels(self._label).observe(time.perf_counter() - began)
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
                    log.warning("somebody changed or removed our nftables table; putting it right")
                    self._doubtful = True
                    self.sync()
                else:
                    self.dataplane.tidy()
            except OSError as error:
                log.error("%s; reading the kernel again", error)
                self._doubtful = True
                self.sync()
