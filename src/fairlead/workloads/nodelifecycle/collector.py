"""The pod garbage collector: removes the pods of nodes that are gone, and of ended ones those that are too many.

Upstream: pkg/controller/podgc/gc_controller.go, there by looking at all pods every 20 s; here by what changes.
"""

from __future__ import annotations

import time
from http import HTTPStatus

from fairlead.client.informer import Change, key_of
from fairlead.client.queue import WorkQueue
from fairlead.objects.core_v1 import Node, Pod, PodCondition
from fairlead.objects.resources import NODES, PODS
from fairlead.objects.scalars import timestamp
from fairlead.objects.status import StatusError
from fairlead.workloads.context import Context
from fairlead.workloads.nodelifecycle import garbage
from fairlead.workloads.nodelifecycle.pods import on_node, write_condition

WORKERS = 4
_SURPLUS = ""
"""The key under which the ended pods are counted."""


class PodGarbageCollector:
    """Pods by key."""

    def __init__(self, context: Context) -> None:
        cluster = context.cluster
        self.queue: WorkQueue[str] = WorkQueue("pod_gc")
        self.workers = WORKERS
        self._nodes = cluster.informer(NODES)
        self._pods = cluster.informer(PODS)
        self._writer = context.writer
        self._threshold = context.config.terminated_pod_gc_threshold
        self._quarantine = context.config.orphan_quarantine
        self._ended: dict[str, None] = {}
        self._pods.subscribe(self._on_pod)
        self._nodes.subscribe(self._on_node)

    async def sync(self, key: str) -> None:
        """Removes one pod if it is garbage, or the surplus of ended ones."""
        if key == _SURPLUS:
            there = [pod for each in self._ended if (pod := self._pods.items.get(each)) is not None]
            for pod in garbage.surplus(there, self._threshold):
                await self._remove(pod, garbage.UNPLACED)
            return
        found = self._pods.items.get(key)
        if found is None:
            return
        verdict = garbage.verdict(found, self._nodes.items.get(found.spec.nodeName))
        if verdict is None or (verdict is garbage.ORPHANED and await self._exists(found.spec.nodeName)):
            return
        await self._remove(found, verdict)

    async def _exists(self, node: str) -> bool:
        """Whether the server has the node: what we were told may be behind."""
        try:
            await self._writer.api.get(NODES, node)
        except StatusError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True

    async def _remove(self, pod: Pod, verdict: garbage.Verdict) -> None:
        """Says that the pod has ended, since nobody else will, and removes it.

        A finalizer, that of a Job say, may wait for its end. Upstream: markFailedAndDeletePodWithCondition.
        """
        if pod.status.phase not in garbage.ENDED:
            condition = PodCondition(
                type="DisruptionTarget",
                status="True",
                reason="DeletionByPodGC",
                message=verdict.message,
                lastTransitionTime=timestamp(time.time()),
            )
            if not await write_condition(self._writer, pod, condition if verdict.message else None, "Failed"):
                return
        await self._writer.delete(PODS, pod, grace_period_seconds=0)

    def _on_pod(self, change: Change[Pod]) -> None:
        key, pod = change.key, change.new
        if pod is None or pod.status.phase not in garbage.ENDED:
            self._ended.pop(key, None)
        elif key not in self._ended:
            self._ended[key] = None
            if 0 < self._threshold < len(self._ended):
                self.queue.add(_SURPLUS)
        if pod is not None:
            self._consider(pod)

    def _consider(self, pod: Pod) -> None:
        verdict = garbage.verdict(pod, self._nodes.items.get(pod.spec.nodeName))
        if verdict is garbage.ORPHANED:
            self.queue.add_after(key_of(pod), self._quarantine)
        elif verdict is not None:
            self.queue.add(key_of(pod))

    def _on_node(self, change: Change[Node]) -> None:
        old, new = change.old, change.new
        if new is None or (
            garbage.is_out_of_service(new) and (old is None or not garbage.is_out_of_service(old))
        ):
            for pod in on_node(self._pods, change.key):
                self._consider(pod)
