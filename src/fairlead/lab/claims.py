"""Says of the persistent volume claims of a lab that they are bound: their nodes have a folder for each.

Upstream a provisioner makes a PersistentVolume, and the volume binder writes the claim's status
(pkg/controller/volume/persistentvolume, syncUnboundClaim). Here there is no volume object: what a claim asks for is
what it is told to have.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fairlead.client.api import Api
from fairlead.client.informer import Informer
from fairlead.client.queue import WorkQueue
from fairlead.objects.core_v1 import PersistentVolumeClaim
from fairlead.objects.resources import PERSISTENTVOLUMECLAIMS


async def run(api: Api) -> None:
    """Binds claims until cancelled. Cost: one write for each claim."""
    queue: WorkQueue[str] = WorkQueue("claims")
    claims = Informer(api, PERSISTENTVOLUMECLAIMS)
    claims.subscribe(lambda change: queue.add(change.key))
    claims.on_return(queue.hurry)

    async def sync(key: str) -> None:
        claim = claims.items.get(key)
        status = bound(claim) if claim is not None else None
        if claim is not None and status is not None:
            meta = claim.metadata
            patch = {"metadata": {"uid": meta.uid}, "status": status}
            await api.patch(
                PERSISTENTVOLUMECLAIMS,
                meta.name,
                meta.namespace,
                patch,
                kind="strategic",
                subresource="status",
            )

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(claims.run())
        tasks.create_task(queue.serve(sync))


def bound(claim: PersistentVolumeClaim) -> dict[str, Any] | None:
    """The status of a claim that is to be bound; None for one that is, or is going."""
    if claim.status.phase != "Pending" or claim.metadata.deletionTimestamp is not None:
        return None
    return {
        "phase": "Bound",
        "accessModes": list(claim.spec.accessModes),
        "capacity": dict(claim.spec.resources.requests),
    }
