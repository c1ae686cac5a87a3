"""The scheduler: it gives each pod that has no node the best one that may run it, or says why none may."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus

from fairlead.client.api import Api
from fairlead.client.election import ElectionConfig, elected
from fairlead.client.informer import Change, Informer, all_synced
from fairlead.objects.core_v1 import Namespace, Node, Pod, Service
from fairlead.objects.resources import NAMESPACES, NODES, PODDISRUPTIONBUDGETS, PODS, SERVICES
from fairlead.objects.status import StatusError
from fairlead.process import Health
from fairlead.workloads import schedulermetrics as metrics
from fairlead.workloads.schedulerwrites import NAME, Writes
from fairlead.workloads.scheduling import hints
from fairlead.workloads.scheduling.cluster import Cluster
from fairlead.workloads.scheduling.decision import Unschedulable, decide_beside, kept
from fairlead.workloads.scheduling.defaults import DefaultSpreads
from fairlead.workloads.scheduling.nominations import Nominations
from fairlead.workloads.scheduling.pending import Entry, Pending
from fairlead.workloads.scheduling.preemption import WAITS, Preemption, preempt
from fairlead.workloads.scheduling.profile import Profile, profile

log = logging.getLogger("fairlead.workloads")

WRITES = 16
"""Bindings and conditions under way at once. Decisions are made one after the other, each knowing those before it."""

TURN = 32
"""Decisions after which others have their turn in the event loop."""

LOOK = 30.0
"""Seconds between two looks for pods that have waited for long."""


async def run(api: Api, health: Health, check: Callable[[], None] = lambda: None) -> None:
    """Schedules pods until cancelled.

    `check` is asked before each write and raises OSError when another replica may have taken over.
    """
    scheduler = Scheduler(api, check)
    metrics.waiting(scheduler.counts)
    try:
        async with all_synced(scheduler.informers, health, "scheduler") as tasks:
            await scheduler.serve(tasks)
    finally:
        metrics.waiting(None)
        await scheduler.writes.recorder.close()


async def run_elected(api: Api, election: ElectionConfig | None, health: Health) -> None:
    """The same, whenever this replica leads; without an election it always does."""
    await elected(api, election, health, "scheduler", lambda check: run(api, health, check))


class Scheduler:
    """Pods and nodes as they are, with the bindings that we made and the informer has not shown yet."""

    def __init__(self, api: Api, check: Callable[[], None] = lambda: None) -> None:
        self.writes = Writes(api, check)
        self.pods = Informer(api, PODS)
        self.nodes = Informer(api, NODES)
        self.services = Informer(api, SERVICES)
        self.namespaces = Informer(api, NAMESPACES)
        self.budgets = Informer(api, PODDISRUPTIONBUDGETS, optional=True)
        self.informers = (self.nodes, self.namespaces, self.services, self.budgets, self.pods)
        self.cluster = Cluster()
        self.pending = Pending()
        self._defaults = DefaultSpreads()
        self._nominations = Nominations()
        self._assumed: dict[str, str] = {}
        self._gated: set[str] = set()
        self._work = asyncio.Event()
        self._writes = asyncio.Semaphore(WRITES)
        self.nodes.subscribe(self._on_node)
        self.namespaces.subscribe(self._on_namespace)
        self.services.subscribe(self._on_service)
        self.pods.subscribe(self._on_pod)

    async def serve(self, tasks: asyncio.TaskGroup) -> None:
        """Decides on one pod after another; what is to be written is written in `tasks`."""
        decided = 0
        looked = time.monotonic()
        while True:
            await self._writes.acquire()
            now = time.monotonic()
            if now - looked > LOOK:
                looked = now
                self.pending.wake_old(now)
            entry = self.pending.pop(now)
            write = self._decide(entry, now) if entry is not None else None
            if write is not None:
                tasks.create_task(self._written(write))
            else:
                self._writes.release()
            decided += 1
            if entry is None:
                await self._rest()
            elif decided % TURN == 0:
                await asyncio.sleep(0)

    def counts(self) -> dict[str, int]:
        """How many pods wait, by kube-scheduler's names of the queues. Cost: the pods that wait."""
        return {**self.pending.counts(time.monotonic()), "gated": len(self._gated)}

    async def _rest(self) -> None:
        """Returns when there may be something to do."""
        due = self.pending.due()
        delay = LOOK if due is None else min(max(due - time.monotonic(), 0.0), LOOK)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._work.wait(), delay)
        self._work.clear()

    def _decide(self, entry: Entry, now: float) -> Awaitable[None] | None:
        """Chooses a node for one pod; gives what is to be written about it. `now`: the try's begin."""
        waiting = entry.profile
        pod = self.pods.items.get(waiting.key)
        if pod is None or not _is_ours(pod):
            self.pending.remove(waiting.key)
            return None
        reserved = self._nominations.before(waiting)
        chosen = decide_beside(waiting, self.cluster, reserved, self._defaults)
        if isinstance(chosen, Unschedulable):
            self.pending.park(waiting.key, chosen.rules, time.monotonic())
            write = self._make_room(waiting, pod, chosen)
            metrics.tried("unschedulable", now)
            return write
        metrics.decided(now)
        # From here on other decisions count this pod, though the server does not have the binding yet.
        self.cluster.put(waiting, chosen)
        self._assumed[waiting.key] = pod.metadata.uid
        self._arrived(waiting)
        return self._bind(entry, pod, chosen, now)

    def _make_room(self, waiting: Profile, pod: Pod, refused: Unschedulable) -> Awaitable[None]:
        """Looks for pods that would have to go; gives what is to be written about the one that has no node."""
        if not self.cluster.nodes:
            return self._tell(pod, refused.message)
        metrics.preemption_tried()
        key, found = waiting.key, WAITS
        nominated = self._nominations.node(key)
        if not self._nominations.waits(key, self.cluster):
            budgets = self.budgets.items.values()
            with kept(self.cluster, self._nominations.before(waiting)):
                decided = preempt(waiting, refused, self.cluster, budgets, nominated)
            if isinstance(decided, Preemption):
                self._nominations.begin(waiting, decided)
                metrics.preempted(len(decided.victims))
                return self._tell(pod, refused.message, decided)
            found = decided
        if found != WAITS:
            self._nominations.remove(key)
        return self._tell(pod, f"{refused.message} preemption: {found}")

    async def _written(self, write: Awaitable[None]) -> None:
        try:
            await write
        finally:
            self._writes.release()

    async def _bind(self, entry: Entry, pod: Pod, node: str, began: float) -> None:
        key, tries, since = entry.profile.key, entry.attempts + 1, entry.since
        try:
            await self.writes.bind(pod, node)
            metrics.tried("scheduled", began)
            metrics.bound(tries, since)
        except (StatusError, OSError) as error:
            metrics.tried("error", began)
            if self._assumed.get(key) == pod.metadata.uid:
                self._release(key)
            # Deleted meanwhile, or bound by another: the informer will show which.
            if not (
                isinstance(error, StatusError) and error.code in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
            ):
                log.warning("%s: cannot be bound to %s: %s; it is tried again", key, node, error)
            self.pending.fail(key, time.monotonic())
            self._work.set()

    async def _tell(self, pod: Pod, message: str, found: Preemption | None = None) -> None:
        """Says why the pod waits; and has others go for it, if that helps."""
        key = f"{pod.metadata.namespace}/{pod.metadata.name}"
        try:
            await self.writes.tell(pod, message, self._nominations.node(key))
            if found is not None:
                await self.writes.preempt(pod, found)
        except (StatusError, OSError) as error:
            log.warning("%s: what is to be said of it cannot be written: %s; it is tried again", key, error)
            self._nominations.failed(key)
            self.pending.fail_parked(key, time.monotonic())
            self._work.set()

    def _on_pod(self, change: Change[Pod]) -> None:
        key, pod, old = change.key, change.new, change.old
        if pod is not None and pod.spec.schedulingGates and _has_no_node(pod):
            self._gated.add(key)
        else:
            self._gated.discard(key)
        if old is not None and pod is not None and old.metadata.uid != pod.metadata.uid:
            self._release(key)
            self._leave_queue(key)
            old = None
        if pod is None or pod.status.phase in ("Succeeded", "Failed"):
            self._release(key)
            self._leave_queue(key)
        elif pod.spec.nodeName:
            self._assumed.pop(key, None)
            self._leave_queue(key)
            if old is None or _is_counted_anew(old, pod) or self.cluster.where(key) != pod.spec.nodeName:
                self._place(profile(pod), pod.spec.nodeName)
        elif self._assumed.get(key) != pod.metadata.uid:
            if not _is_ours(pod):
                self._leave_queue(key)
            elif old is None or not _is_ours(old) or _is_counted_anew(old, pod):
                waiting = profile(pod)
                self._nominations.set(waiting, pod.status.nominatedNodeName)
                self.pending.add(waiting, time.monotonic())
                self._work.set()

    def _leave_queue(self, key: str) -> None:
        self._nominations.remove(key)
        self.pending.remove(key)

    def _place(self, pod: Profile, node: str) -> None:
        """The pod is on the node, as the server has it, and perhaps not as it was before."""
        before = self.cluster.take(pod.key)
        self.cluster.put(pod, node)
        if before is None:
            self._arrived(pod)
        elif before.kind != pod.kind or before.requests != pod.requests:
            self._arrived(pod)
            self._departed(before)

    def _release(self, key: str) -> None:
        """The pod is on no node."""
        self._assumed.pop(key, None)
        gone = self.cluster.take(key)
        if gone is not None:
            self._departed(gone)

    def _arrived(self, pod: Profile) -> None:
        known = self.cluster.census.namespaces
        self.pending.wake(lambda e: hints.arrival_helps(e.profile, pod, e.rules, known), hints.OF_TERMS)

    def _departed(self, pod: Profile) -> None:
        known = self.cluster.census.namespaces
        self.pending.wake(lambda e: hints.departure_helps(e.profile, pod, e.rules, known), hints.OF_PODS)
        self._work.set()

    def _on_node(self, change: Change[Node]) -> None:
        old, new = change.old, change.new
        if new is None:
            self.cluster.remove_node(change.key)
        elif old is None or hints.offers(old) != hints.offers(new):
            self.cluster.set_node(new)
        else:
            return
        self.pending.wake(lambda e: hints.node_helps(e.profile, e.rules, old, new))
        self._work.set()

    def _on_namespace(self, change: Change[Namespace]) -> None:
        labels = change.new.metadata.labels if change.new is not None else None
        if self.cluster.census.set_namespace(change.key, labels):
            self.pending.wake(lambda entry: True, hints.OF_NAMESPACES)
            self._work.set()

    def _on_service(self, change: Change[Service]) -> None:
        self._defaults.change(change.key, change.new)


def _is_ours(pod: Pod) -> bool:
    """Whether the pod waits for this scheduler."""
    return not pod.spec.schedulingGates and _has_no_node(pod)


def _has_no_node(pod: Pod) -> bool:
    """Whether this scheduler is to give the pod a node, sooner or later."""
    return (
        not pod.spec.nodeName
        and pod.spec.schedulerName in ("", NAME)
        and pod.metadata.deletionTimestamp is None
        and pod.status.phase not in ("Succeeded", "Failed")
    )


def _is_counted_anew(old: Pod, new: Pod) -> bool:
    """Whether what scheduling reads of the pod is another than before; its status is not read."""
    before, after = old.metadata, new.metadata
    return (
        old.spec != new.spec
        or before.labels != after.labels
        or before.ownerReferences != after.ownerReferences
        or (before.deletionTimestamp is None) != (after.deletionTimestamp is None)
    )
