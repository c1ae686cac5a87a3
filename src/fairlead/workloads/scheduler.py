"""The scheduler: it gives each pod that has no node one that may run it and has least to do."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from fairlead.client.api import Api
from fairlead.client.events import Recorder
from fairlead.client.informer import Change, Informer, all_synced
from fairlead.client.queue import WorkQueue
from fairlead.objects.core_v1 import Binding, Node, ObjectReference, Pod
from fairlead.objects.meta_v1 import ObjectMeta, Status
from fairlead.objects.resources import NODES, PODS
from fairlead.objects.scalars import timestamp
from fairlead.objects.status import StatusError
from fairlead.process import Health
from fairlead.workloads.fit import is_ready, misfit
from fairlead.workloads.load import Load, Loads, kin

NAME = "default-scheduler"
WORKERS = 16
"""Bindings under way at once. Decisions are made one after the other, each knowing those before it."""


@dataclass(frozen=True)
class Unschedulable:
    """No node may run the pod; the message counts the reasons, in upstream's form."""

    message: str


class ByNode(Protocol):
    """The load of a node by its name; one without pods has an empty load."""

    def __getitem__(self, node: str, /) -> Load: ...


def assign(pod: Pod, nodes: Mapping[str, Node], loads: ByNode) -> str | Unschedulable:
    """The name of the node for the pod: of those that may run it, the one with fewest of the pod's kin, then with
    fewest pods, then the first by name. Cost: proportional to the nodes.
    """
    own = kin(pod)
    best: tuple[int, int, str] | None = None
    reasons: Counter[str] = Counter()
    for name, node in nodes.items():
        load = loads[name]
        reason = misfit(pod, node, load.pods)
        if reason:
            reasons[reason] += 1
            continue
        rank = (load.kin[own], load.pods, name)
        if best is None or rank < best:
            best = rank
    if best is not None:
        return best[2]
    if not nodes:
        return Unschedulable("no nodes available to schedule pods")
    told = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    return Unschedulable(f"0/{len(nodes)} nodes are available: {told}.")


async def run(api: Api, health: Health) -> None:
    """Schedules pods until cancelled."""
    scheduler = Scheduler(api)
    try:
        async with all_synced((scheduler.pods, scheduler.nodes), health, "scheduler"):
            await scheduler.queue.serve(scheduler.sync, workers=WORKERS)
    finally:
        await scheduler.recorder.close()


class Scheduler:
    """Pods and nodes as they are, and the bindings that we made and the informer has not shown yet."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.recorder = Recorder(api, NAME)
        self.queue: WorkQueue[str] = WorkQueue()
        self.pods = Informer(api, PODS)
        self.nodes = Informer(api, NODES)
        self._loads = Loads()
        self._assumed: dict[str, str] = {}
        self._waiting: set[str] = set()
        self.pods.subscribe(self._on_pod)
        self.nodes.subscribe(self._on_node)

    async def sync(self, key: str) -> None:
        """Binds one pod, or says why that cannot be."""
        pod = self.pods.items.get(key)
        self._waiting.discard(key)
        if pod is None or not _is_ours(pod) or self._assumed.get(key) == pod.metadata.uid:
            return
        chosen = assign(pod, self.nodes.items, self._loads)
        if isinstance(chosen, Unschedulable):
            self._waiting.add(key)
            await self._tell(pod, chosen.message)
            return
        # From here on other decisions count this pod, though the server does not have the binding yet.
        self._loads.place(key, chosen, pod)
        self._assumed[key] = pod.metadata.uid
        try:
            await self._bind(pod, chosen)
        except BaseException as error:
            self._release(key)
            if isinstance(error, StatusError) and error.code in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                return  # deleted meanwhile, or bound by another; the informer will show which
            raise
        message = f"Successfully assigned {key} to {chosen}"
        self.recorder.event(pod, "Normal", "Scheduled", message)

    async def _bind(self, pod: Pod, node: str) -> None:
        meta = pod.metadata
        binding = Binding(
            metadata=ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid),
            target=ObjectReference(kind="Node", name=node),
        )
        await self._api.request("POST", PODS.path(meta.namespace, meta.name, "binding"), Status, binding)

    async def _tell(self, pod: Pod, message: str) -> None:
        """Says in the pod's PodScheduled condition and in an Event why it waits; once for each reason."""
        meta = pod.metadata
        told = next((c for c in pod.status.conditions if c.type == "PodScheduled"), None)
        if told is not None and told.status == "False" and told.message == message:
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": timestamp(time.time()),
        }
        self.recorder.event(pod, "Warning", "FailedScheduling", message)
        try:
            patch = {"status": {"conditions": [condition]}}
            await self._api.patch(
                PODS, meta.name, meta.namespace, patch, kind="strategic", subresource="status"
            )
        except StatusError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise

    def _on_pod(self, change: Change[Pod]) -> None:
        key, pod = change.key, change.new
        if pod is None or pod.status.phase in ("Succeeded", "Failed"):
            self._release(key)
            self._waiting.discard(key)
            self._retry_waiting()  # there is room now
        elif pod.spec.nodeName:
            self._assumed.pop(key, None)
            self._loads.place(key, pod.spec.nodeName, pod)
        elif self._assumed.get(key) != pod.metadata.uid:
            self._release(key)
            if change.old is None or _asks_anew(change.old, pod):
                self.queue.add(key)

    def _on_node(self, change: Change[Node]) -> None:
        old, new = change.old, change.new
        if new is not None and (old is None or _offers(old) != _offers(new)):
            self._retry_waiting()

    def _retry_waiting(self) -> None:
        for key in self._waiting:
            self.queue.add(key)

    def _release(self, key: str) -> None:
        self._assumed.pop(key, None)
        self._loads.remove(key)


def _is_ours(pod: Pod) -> bool:
    """Whether the pod waits for this scheduler."""
    return (
        not pod.spec.nodeName
        and pod.spec.schedulerName in ("", NAME)
        and not pod.spec.schedulingGates
        and pod.metadata.deletionTimestamp is None
        and pod.status.phase not in ("Succeeded", "Failed")
    )


def _asks_anew(old: Pod, new: Pod) -> bool:
    """Whether the pod asks for something else than before; a change of its status does not."""
    return old.spec != new.spec or old.metadata.uid != new.metadata.uid


def _offers(node: Node) -> tuple[object, ...]:
    """All of a node that decides which pods it may run; its heartbeats do not."""
    return (
        node.metadata.labels,
        node.spec.unschedulable,
        node.spec.taints,
        node.status.allocatable.get("pods"),
        is_ready(node),
    )
