"""A node agent and scheduler of few words: each pod that comes is bound, and runs and is ready at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

from fairlead.client.api import Api
from fairlead.client.informer import Informer
from fairlead.client.queue import WorkQueue
from fairlead.objects.core_v1 import Binding, ObjectReference, Pod
from fairlead.objects.meta_v1 import ObjectMeta, Status
from fairlead.objects.resources import PODS
from fairlead.objects.status import StatusError


class Kubelet:
    """Pods named in `broken` do not become ready; what is deleted is gone at once, unless it is in `slow`."""

    def __init__(self, api: Api, node_for: Callable[[Pod], str]) -> None:
        self._api = api
        self._node_for = node_for
        self.broken: set[str] = set()
        self.slow: set[str] = set()
        self.queue: WorkQueue[str] = WorkQueue()
        self.pods = Informer(api, PODS)
        self.pods.subscribe(lambda change: self.queue.add(change.key))

    def look_again(self) -> None:
        """At all pods: `broken` or `slow` is another now."""
        for key in self.pods.items:
            self.queue.add(key)

    async def sync(self, key: str) -> None:
        pod = self.pods.items.get(key)
        if pod is None:
            return
        meta = pod.metadata
        try:
            if meta.deletionTimestamp is not None:
                if meta.name not in self.slow:
                    await self._api.delete(
                        PODS, meta.name, meta.namespace, uid=meta.uid, grace_period_seconds=0
                    )
            elif not pod.spec.nodeName:
                target = ObjectReference(kind="Node", name=self._node_for(pod))
                bound = Binding(
                    metadata=ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid), target=target
                )
                path = PODS.path(meta.namespace, meta.name, "binding")
                await self._api.request("POST", path, Status, bound)
            elif pod.status.phase not in ("Failed", "Succeeded"):
                ready = "False" if meta.name in self.broken else "True"
                if not any(c.type == "Ready" and c.status == ready for c in pod.status.conditions):
                    conditions = [{"type": "Ready", "status": ready}]
                    status = {"status": {"phase": "Running", "conditions": conditions}}
                    await self._api.patch(
                        PODS, meta.name, meta.namespace, status, kind="strategic", subresource="status"
                    )
        except StatusError as error:
            if error.code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise


@asynccontextmanager
async def kubelet(api: Api, node_for: Callable[[Pod], str] = lambda pod: "n") -> AsyncIterator[Kubelet]:
    """Runs until the end of the block."""
    made = Kubelet(api, node_for)
    tasks = [
        asyncio.create_task(made.pods.run()),
        asyncio.create_task(made.queue.serve(made.sync, workers=8)),
    ]
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
