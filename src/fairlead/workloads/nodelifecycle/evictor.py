"""The taint eviction controller: deletes pods that do not tolerate, or no longer, their node's NoExecute taints.

Upstream: pkg/controller/tainteviction/taint_eviction.go.
"""

from __future__ import annotations

import time

from fairlead.client.informer import Change, key_of
from fairlead.client.queue import WorkQueue
from fairlead.objects.core_v1 import Node, Pod, PodCondition, Taint
from fairlead.objects.resources import NODES, PODS
from fairlead.objects.scalars import timestamp
from fairlead.workloads.context import Context
from fairlead.workloads.nodelifecycle.eviction import NEVER, due, expelling
from fairlead.workloads.nodelifecycle.pods import on_node, write_condition

WORKERS = 8


class TaintEvictionController:
    """Pods by key. A pod waits on a timer for the end of its toleration, and is looked at anew when it fires."""

    def __init__(self, context: Context) -> None:
        cluster = context.cluster
        self.queue: WorkQueue[str] = WorkQueue("taint_eviction")
        self.workers = WORKERS
        self._nodes = cluster.informer(NODES)
        self._pods = cluster.informer(PODS)
        self._writer, self._recorder = context.writer, context.recorder
        self._waiting: set[str] = set()
        self._seen: dict[str, dict[tuple[str, str, str], float]] = {}
        self._nodes.subscribe(self._on_node)
        self._pods.subscribe(self._on_pod)

    async def sync(self, key: str) -> None:
        """Deletes one pod if its time has come."""
        pod = self._pods.items.get(key)
        if pod is None or pod.metadata.deletionTimestamp is not None:
            self._waiting.discard(key)
            return
        node = self._nodes.items.get(pod.spec.nodeName)
        found = expelling(node.spec.taints) if node is not None else ()
        if not found:
            if key in self._waiting:
                self._waiting.discard(key)
                self._tell(pod, "Cancelling deletion of Pod")
            return
        seen = self._seen.get(pod.spec.nodeName, {})
        now = time.time()
        when = due(pod, found, lambda taint: seen.get(_identity(taint), now))
        if when == NEVER:
            return
        if when > now:
            self._waiting.add(key)
            self.queue.add_after(key, when - now)
            return
        self._waiting.discard(key)
        await self._delete(pod)

    async def _delete(self, pod: Pod) -> None:
        self._tell(pod, "Marking for deletion Pod")
        condition = PodCondition(
            type="DisruptionTarget",
            status="True",
            reason="DeletionByTaintManager",
            message="Taint manager: deleting due to NoExecute taint",
            lastTransitionTime=timestamp(time.time()),
        )
        if await write_condition(self._writer, pod, condition):
            await self._writer.delete(PODS, pod)

    def _tell(self, pod: Pod, what: str) -> None:
        self._recorder.event(pod, "Normal", "TaintManagerEviction", f"{what} {key_of(pod)}")

    def _on_pod(self, change: Change[Pod]) -> None:
        pod = change.new
        if pod is None:
            self._waiting.discard(change.key)
            return
        node = self._nodes.items.get(pod.spec.nodeName)
        if node is not None and expelling(node.spec.taints):
            old = change.old
            if old is None or (old.spec, old.metadata.uid) != (pod.spec, pod.metadata.uid):
                self.queue.add(change.key)

    def _on_node(self, change: Change[Node]) -> None:
        before = expelling(change.old.spec.taints) if change.old is not None else ()
        after = expelling(change.new.spec.taints) if change.new is not None else ()
        if not after:
            self._seen.pop(change.key, None)
        else:
            known, now = self._seen.get(change.key, {}), time.time()
            self._seen[change.key] = {
                identity: known.get(identity, now) for identity in (_identity(taint) for taint in after)
            }
        if before != after:
            for pod in on_node(self._pods, change.key):
                self.queue.add(key_of(pod))


def _identity(taint: Taint) -> tuple[str, str, str]:
    return taint.key, taint.value, taint.effect
