"""What the scheduler writes to the API: bindings, why a pod waits, and the end of pods that make room for another."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus

from fairlead.client.api import Api
from fairlead.client.events import Recorder
from fairlead.objects.core_v1 import Binding, ObjectReference, Pod
from fairlead.objects.meta_v1 import ObjectMeta, Status
from fairlead.objects.resources import PODS
from fairlead.objects.scalars import timestamp
from fairlead.objects.status import StatusError
from fairlead.workloads.scheduling.preemption import Preemption

NAME = "default-scheduler"

EVENTS_WAITING = 20_000
"""Events that may wait, 6 MB at most: bindings are made many at a time, Events are written one after the other.

kube-scheduler writes each in a goroutine of its own, however many there are, and 50 a second by its client's limit.
"""


class Writes:
    """The writes, with their Events. All raise StatusError and OSError, but for what a pod that is gone makes vain.

    `check` is asked before each, and raises OSError when another replica may have taken over.
    """

    def __init__(self, api: Api, check: Callable[[], None] = lambda: None) -> None:
        self._api = api
        self._check = check
        self.recorder = Recorder(api, NAME, waiting=EVENTS_WAITING)

    async def bind(self, pod: Pod, node: str) -> None:
        """The pod is bound to the node."""
        meta = pod.metadata
        binding = Binding(
            metadata=ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid),
            target=ObjectReference(kind="Node", name=node),
        )
        self._check()
        await self._api.request("POST", PODS.path(meta.namespace, meta.name, "binding"), Status, binding)
        message = f"Successfully assigned {meta.namespace}/{meta.name} to {node}"
        self.recorder.event(pod, "Normal", "Scheduled", message)

    async def tell(self, pod: Pod, message: str, nominated: str) -> None:
        """Says in the pod's PodScheduled condition and in an Event why it waits, once for each reason; and which node
        is to have room for it, "" for none.
        """
        told = next((c for c in pod.status.conditions if c.type == "PodScheduled"), None)
        known = told is not None and told.reason == "Unschedulable" and told.message == message
        status: dict[str, object] = {}
        if not known:
            self.recorder.event(pod, "Warning", "FailedScheduling", message)
            status["conditions"] = [_condition("PodScheduled", "False", "Unschedulable", message)]
        if nominated != pod.status.nominatedNodeName:
            status["nominatedNodeName"] = nominated or None
        if status:
            await self._patch_status(pod, status)

    async def preempt(self, pod: Pod, found: Preemption) -> None:
        """Has the victims deleted, with their own grace periods. Upstream: prepareCandidate."""
        message = f"{NAME}: preempting to accommodate a higher priority pod"
        condition = _condition("DisruptionTarget", "True", "PreemptionByScheduler", message)
        for victim in found.victims:
            gone, meta = victim.pod, victim.pod.metadata
            if victim.kind.terminating:
                continue
            try:
                await self._patch_status(gone, {"conditions": [condition]})
                self._check()
                await self._api.delete(PODS, meta.name, meta.namespace, uid=meta.uid)
            except StatusError as error:
                if error.code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                    raise
                continue  # it has gone by itself
            self.recorder.event(
                gone, "Normal", "Preempted", f"Preempted by pod {pod.metadata.uid} on node {found.node}"
            )

    async def _patch_status(self, pod: Pod, status: dict[str, object]) -> None:
        meta = pod.metadata
        patch = {"metadata": {"uid": meta.uid}, "status": status}
        self._check()
        try:
            await self._api.patch(
                PODS, meta.name, meta.namespace, patch, kind="strategic", subresource="status"
            )
        except StatusError as error:
            if error.code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise


def _condition(kind: str, status: str, reason: str, message: str) -> dict[str, str]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": timestamp(time.time()),
    }
