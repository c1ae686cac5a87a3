"""The shell between the ledger and the kernel: changes of one turn of the event loop become one transaction."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fairlead.client.informer import Change
from fairlead.client.retry import Backoff
from fairlead.objects.core_v1 import Node as ApiNode
from fairlead.objects.core_v1 import Service
from fairlead.process import Health
from fairlead.proxy.connections import Connections
from fairlead.proxy.conntrack import noting
from fairlead.proxy.dataplane import Dataplane, Refused, Selected, Unusable
from fairlead.proxy.healthchecks import HealthChecks
from fairlead.proxy.ledger import Ledger
from fairlead.proxy.ownnode import seen
from fairlead.proxy.resources import EndpointSlice
from fairlead.proxy.turnmetrics import Taken, TurnMetrics

log = logging.getLogger("fairlead.proxy")

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


@dataclass(frozen=True, slots=True)
class Turn:
    """One transaction on its way."""

    changes: dict[str, Selected]
    work: Callable[[], None]
    """Tells the dataplane. Raises `dataplane.Unusable`, `dataplane.Refused`, OSError."""
    readdressed: bool
    """Whether it tells the node's addresses."""
    taken: Taken
    """For the metrics."""


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
        apart: bool = False,
        healthchecks: HealthChecks | None = None,
    ) -> None:
        """`mode` is what health and log call it; `interval` is the least number of seconds between commits.

        With `apart` the kernel is told in a thread, so that the event loop goes on meanwhile.
        """
        self.ledger = ledger
        self.dataplane = dataplane
        self._health = health
        self._connections = Connections(dataplane.family)
        self._healthchecks = healthchecks
        self._mode, self._interval, self._apart = mode, interval, apart
        # One of its own, which is in the network namespace of the thread that first gives it something to do.
        self._thread = ThreadPoolExecutor(1) if apart else None
        self._work = f"{mode} for {dataplane.family.address_type}"
        """What health calls it."""
        self.in_place = asyncio.Event()
        """Set when the kernel has had all that it should have for the first time."""
        self._synced = -math.inf
        self._metrics = TurnMetrics(mode, dataplane.family.address_type)
        self._started = False
        self._tried = False
        """Whether a turn was made: what is missing at the first ends the proxy; what is missing later, as while a
        package is upgraded, may come back."""
        self._task: asyncio.Task[None] | None = None
        """The turn that is under way in a thread."""
        self._again = False
        """Whether something changed since it began."""
        self._scheduled: asyncio.Handle | None = None
        self._doubtful = True
        """Whether the dataplane may be wrong about the kernel, so that it has to be read."""
        self._backoff = Backoff()
        self._readdressed = False
        """Whether the node's addresses are news to the dataplane."""

    def service_changed(self, change: Change[Service]) -> None:
        """A Service came, changed or went."""
        self.ledger.service_changed(change.key, change.new)
        self._metrics.service_came()
        self._schedule()

    def slice_changed(self, change: Change[EndpointSlice]) -> None:
        """A slice came, changed or went."""
        self.ledger.slice_changed(change.key, change.old, change.new)
        # When the pods changed that were there at the start says nothing of how long it took to follow.
        self._metrics.slice_came(change.new.metadata if self._started and change.new is not None else None)
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

    async def begin(self) -> None:
        """The same as `start`, in a thread where that is wanted; waits for the first transaction, which may fail."""
        if not self._apart:
            self.start()
            return
        self._started = True
        task = self._task = asyncio.create_task(self._sync_apart())
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task})
            raise

    def close(self) -> None:
        """Lets the kernel keep everything as it is."""
        if self._thread is not None:
            self._thread.shutdown()
        self.dataplane.close()
        self._connections.close()

    def _schedule(self) -> None:
        if not self._started:
            return
        if self._busy:
            self._again = True
        elif self._scheduled is None:
            self._metrics.queued()
            loop = asyncio.get_running_loop()
            wait = self._synced + self._interval - time.monotonic() if self._interval else 0
            self._scheduled = loop.call_later(wait, self._go) if wait > 0 else loop.call_soon(self._go)

    @property
    def _busy(self) -> bool:
        return self._task is not None and not self._task.done()

    def _go(self) -> None:
        """A turn, here or in a thread."""
        if not self._apart:
            self.sync()
        elif self._busy:
            self._again = True
        else:
            self._task = asyncio.create_task(self._sync_apart())

    def sync(self) -> None:
        """Brings the kernel to what the ledger wants. On failure everything is compared anew, after a while."""
        self._doubtful = self._doubtful or self._harmed()
        with uncollected() if self._doubtful else contextlib.nullcontext():
            turn = self._turn()
            try:
                turn.work()
            except (OSError, Refused, Unusable) as error:
                self._failed(turn, error)
                return
        self._done(turn)

    async def _sync_apart(self) -> None:
        """The same, but the thread has only the dataplane: what it is told is gathered before."""
        self._doubtful = self._doubtful or self._harmed()
        with uncollected() if self._doubtful else contextlib.nullcontext():
            turn = self._turn()
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, turn.work)
            except (OSError, Refused, Unusable) as error:
                self._failed(turn, error)
                return
        self._done(turn)
        if self._again:
            self._again = False
            # When this task is done.
            asyncio.get_running_loop().call_soon(self._schedule)

    def _turn(self) -> Turn:
        """Takes up what changed."""
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        doubtful, self._doubtful = self._doubtful, True
        addresses = self.ledger.node.addresses if self._readdressed else None
        self._readdressed = False
        taken = self._metrics.take(full=doubtful)
        changes: dict[str, Selected] = {}
        if doubtful:
            self._connections.restart()
            everything = noting(self.ledger.everything, changes)
            if self._apart:
                listed = list(everything())
                everything = listed.__iter__
        else:
            changes = self.ledger.changes()

        def work() -> None:
            if addresses is not None:
                self.dataplane.node_changed(addresses)
            if doubtful:
                self.dataplane.rebuild(everything)
            else:
                self.dataplane.commit(changes)

        return Turn(changes, work, addresses is not None, taken)

    def _failed(self, turn: Turn, error: Exception) -> None:
        if isinstance(error, Unusable) and not self._tried:
            raise error
        self._tried = True
        delay = self._backoff.next()
        log.error("%s; reading the kernel and trying again in %.1f s", error, delay)
        self._metrics.failed(turn.taken)
        self._health.fails(self._work, str(error))
        self._readdressed = self._readdressed or turn.readdressed
        if self._scheduled is not None:
            self._scheduled.cancel()
        self._scheduled = asyncio.get_running_loop().call_later(delay, self._go)

    def _done(self, turn: Turn) -> None:
        self._doubtful, self._tried = False, True
        self._backoff.reset()
        self._health.has(self._work)
        self.in_place.set()
        self._connections.changed(turn.changes)
        if turn.taken.full:
            self._connections.found_again(self._has)
        if self._healthchecks is not None:
            self._healthchecks.look(self.ledger, self.ledger.keys() if turn.taken.full else turn.changes)
        self._synced = time.monotonic()
        self._metrics.done(turn.taken, self.ledger.without_local())

    def _has(self, protocol: int, address: bytes, port: int) -> bool:
        return self.ledger.owner((protocol, address, port)) is not None

    async def watch(self) -> None:
        """Mends what others do to our table, and tidies it, until cancelled; then waits for what is under way."""
        try:
            while True:
                await asyncio.sleep(LOOK)
                if not self._doubtful and not self._busy:
                    self._look()
        finally:
            if self._task is not None:
                await asyncio.wait({self._task})

    def _look(self) -> None:
        if self._harmed() or not self._tidied():
            self._doubtful = True
            self._go()

    def _harmed(self) -> bool:
        """Whether the kernel is not as it was left.

        Asked before each turn, too: a dataplane knows its own changes by how the kernel is after them, and would take
        for its own what somebody else did just before.
        """
        try:
            harmed = self.dataplane.harmed()
        except (OSError, Refused, Unusable) as error:
            log.error("%s; reading the kernel again", error)
            return True
        if harmed:
            log.warning("somebody changed or removed what is ours in %s; putting it right", self._mode)
        return harmed

    def _tidied(self) -> bool:
        try:
            self.dataplane.tidy()
        except (OSError, Refused, Unusable) as error:
            log.error("%s; reading the kernel again", error)
            self._metrics.untidy()
            return False
        return True
