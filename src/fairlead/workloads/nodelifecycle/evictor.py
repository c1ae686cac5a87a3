"""The taint eviction controller: deletes pods that do not tolerate, or no longer, their node's NoExecute taints.

Upstream: pkg/controller/tainteviction/taint_eviction.go.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus

from fairlead.client.api import Api
from fairlead.client.events import Recorder
from fairlead.client.informer import Change, Informer, key_of
from fairlead.client.queue import WorkQueue
from fairlead.objects.core_v1 import Node, Pod, PodCondition, Taint
from fairlead.objects.resources import PODS
from fairlead.objects.scalars import timestamp
from fairlead.objects.status import StatusError
from fairlead.workloads.nodelifecycle.eviction import NEVER, due, expelling
from fairlead.workloads.nodelifecycle.pods import condition_patch, on_node

COMPONENT = "taint-eviction-controller"


class TaintEvictionController:
    """Pods by key. A pod waits on a timer for the end of its toleration, and is looked at anew when it fires."""

    def __init__(
        self,
        api: Api,
        nodes: Informer[Node],
        pods: Informer[Pod],
        recorder: Recorder,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`pods` has to have the index of `by_node`; `check` raises OSError where another replica may lead."""
        self.queue: WorkQueue[str] = WorkQueue("taint_eviction")
        self.workers = 8
        self._api, self._nodes, self._pods = api, nodes, pods
        self._recorder, self._check = recorder, check
        self._waiting: set[str] = set()
        self._seen: dict[str, dict[tuple[str, str, str], float]] = {}
        nodes.subscribe(self._on_node)
        pods.subscribe(self._on_pod)

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
        self._check()
        self._tell(pod, "Marking for deletion Pod")
        meta = pod.metadata
        condition = PodCondition(
            type="DisruptionTarget",
            status="True",
            reason="DeletionByTaintManager",
            message="Taint manager: deleting due to NoExecute taint",
            lastTransitionTime=timestamp(time.time()),
        )
        try:
            patch = condition_patch(meta, condition)
            await self._api.patch(
                PODS, meta.name, meta.namespace, patch, kind="strategic", subresource="status"
            )
            await self._api.delete(PODS, meta.name, meta.namespace, uid=meta.uid)
        except StatusError as error:
            if error.code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise

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
