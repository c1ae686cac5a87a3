"""Pods without processes, for sizes that this machine could not run: those with the annotation `SIMULATED`.

Such a pod gets an address, runs from the first moment, becomes ready when its probes would first have been asked, and
goes when it is deleted; nothing answers at its address, and nothing of it is on disk. One queue with a few workers
serves all of them. What is known of a pod follows from its object, so the next agent takes it up as it is.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus

from fairlead.client.informer import Change, Informer, key_of, version_of
from fairlead.client.queue import WorkQueue
from fairlead.node import plan, status
from fairlead.node.containers import containers_of, is_sidecar
from fairlead.node.network import AddressesExhausted
from fairlead.node.podstate import Node
from fairlead.node.records import Address, ContainerRecord, History
from fairlead.objects.core_v1 import Container, Pod, PodStatus
from fairlead.objects.resources import PODS
from fairlead.objects.status import StatusError

SIMULATED = "fairlead.dev/simulated"

WORKERS = 8
"""Requests to the API at a time: more would only wait there."""

Key = tuple[str, str]
"""`namespace/name` and uid."""


def is_simulated(pod: Pod) -> bool:
    """Whether the pod is to have no process."""
    return pod.metadata.annotations.get(SIMULATED) == "true"


class Simulation:
    """The simulated pods of a node. Cost of each: its addresses here, and no task."""

    def __init__(self, node: Node, pods: Informer[Pod]) -> None:
        self._node = node
        self._pods = pods
        self._queue: WorkQueue[Key] = WorkQueue()
        self._addresses: dict[str, tuple[Address, ...]] = {}
        self._written: dict[str, int] = {}

    def follow(self, change: Change[Pod]) -> None:
        """Looks at the pod, if it is one of ours, and frees what another one of its name has had."""
        old, new = change.old, change.new
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._free(old.metadata.uid)
        if new is not None and is_simulated(new):
            self._claim(new)
            if version_of(new) > self._written.get(new.metadata.uid, 0):
                self._queue.add((change.key, new.metadata.uid))

    async def run(self) -> None:
        """Works until cancelled."""
        await self._queue.serve(self._sync, workers=WORKERS)

    def _claim(self, pod: Pod) -> None:
        """Takes the addresses that the API has for the pod, unless somebody else has one of them."""
        uid = pod.metadata.uid
        if uid in self._addresses or pod.spec.hostNetwork or pod.status.phase in status.TERMINAL:
            return
        known = tuple(Address(one.ip) for one in pod.status.podIPs)
        if known and self._node.addresses.are_free(known):
            self._node.addresses.claim(known)
            self._addresses[uid] = known

    def _free(self, uid: str) -> None:
        self._node.addresses.give_back(self._addresses.pop(uid, ()))
        self._written.pop(uid, None)

    async def _sync(self, key: Key) -> None:
        name, uid = key
        pod = self._pods.items.get(name)
        if pod is None or pod.metadata.uid != uid:
            return
        now = time.time()
        if pod.metadata.deletionTimestamp is not None:
            await self._delete(pod, now)
            return
        if pod.status.phase in status.TERMINAL:
            self._node.addresses.give_back(self._addresses.pop(uid, ()))
            return
        if uid not in self._addresses and not pod.spec.hostNetwork:
            try:
                self._addresses[uid] = self._node.addresses.take()
            except AddressesExhausted as error:
                self._node.recorder.event(pod, "Warning", "FailedCreatePodSandBox", str(error))
                raise OSError(str(error)) from error
        made, wake = make(pod, self._ips(pod), self._node.config.addresses, now)
        if wake is not None:
            self._queue.add_after(key, max(0.0, wake - now))
        changes = status.difference(pod.status, made)
        if changes:
            await self._write(pod, changes)

    def _ips(self, pod: Pod) -> tuple[str, ...]:
        if pod.spec.hostNetwork:
            return tuple(self._node.config.addresses)
        return tuple(address.ip for address in self._addresses[pod.metadata.uid])

    async def _write(self, pod: Pod, changes: Mapping[str, object]) -> None:
        meta = pod.metadata
        patch = {"metadata": {"uid": meta.uid}, "status": changes}
        try:
            answer = await self._node.api.patch(
                PODS, meta.name, meta.namespace, patch, kind="strategic", subresource="status"
            )
        except StatusError as error:
            if error.code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise
        else:
            # Its echo brings nothing new, unless somebody else has written in between.
            self._written[meta.uid] = version_of(answer)

    async def _delete(self, pod: Pod, now: float) -> None:
        """Its containers end as soon as they are told to; a preStop hook that sleeps is slept."""
        meta = pod.metadata
        grace = float(meta.deletionGracePeriodSeconds or 0)
        since = _seconds(meta.deletionTimestamp) - grace if meta.deletionTimestamp else now
        rest = since + min(_asleep(pod), grace) - now
        if rest > 0:
            self._queue.add_after((key_of(pod), meta.uid), rest)
            return
        try:
            await self._node.api.delete(PODS, meta.name, meta.namespace, grace_period_seconds=0, uid=meta.uid)
        except StatusError as error:
            if error.code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise


def make(
    pod: Pod, ips: tuple[str, ...], host_ips: Sequence[str], now: float
) -> tuple[PodStatus, float | None]:
    """The pod's status, and when it will be another one. Pure. Times are in seconds since the epoch."""
    began = _seconds(pod.status.startTime) if pod.status.startTime else now
    histories, ready, wakes = {}, set(), []
    inits = {container.name for container in pod.spec.initContainers if not is_sidecar(container)}
    for container in containers_of(pod):
        init = container.name in inits
        record = ContainerRecord(
            name=container.name,
            id=hashlib.sha256(f"{pod.metadata.uid} {container.name}".encode()).hexdigest(),
            attempt=0,
            image=container.image,
            started_at=began,
            finished_at=began if init else 0,
            reason="Completed" if init else "",
        )
        histories[container.name] = History(record)
        delay = _delay(container)
        if now >= began + delay:
            ready.add(record.id)
        else:
            wakes.append(began + delay)
    until = plan.deadline(pod)
    failure = None
    if until is not None and now >= until:
        failure = status.OVERDUE
        histories = {name: _ended(history, until) for name, history in histories.items()}
    elif until is not None:
        wakes.append(until)
    facts = status.Facts(
        host_ips=host_ips,
        pod_ips=ips,
        sandbox=failure is None,
        histories=histories,
        ready=frozenset(ready),
        started=frozenset(ready),
        failure=failure,
    )
    return status.make(pod, facts, now), min(wakes, default=None)


def _delay(container: Container) -> float:
    """Seconds from a container's start to the first answers of its startup and its readiness probe."""
    probes = (container.startupProbe, container.readinessProbe)
    return float(sum(probe.initialDelaySeconds for probe in probes if probe is not None))


def _ended(history: History, moment: float) -> History:
    record = history.current
    if not record.running:
        return history
    return History(
        ContainerRecord(
            name=record.name,
            id=record.id,
            attempt=record.attempt,
            image=record.image,
            started_at=record.started_at,
            finished_at=moment,
            exit_code=137,
            reason="Error",
        )
    )


def _asleep(pod: Pod) -> float:
    """Seconds for which the longest preStop hook sleeps."""
    hooks = [c.lifecycle.preStop for c in pod.spec.containers if c.lifecycle and c.lifecycle.preStop]
    return float(max((hook.sleep.seconds for hook in hooks if hook.sleep), default=0))


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
