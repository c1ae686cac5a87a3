"""How many pods the controller of a pod wants.

Upstream: the finders in pkg/controller/disruption/disruption.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fairlead.client.api import Api
from fairlead.client.informer import Informer
from fairlead.objects.autoscaling_v1 import Scale as ScaleObject
from fairlead.objects.meta_v1 import OwnerReference
from fairlead.objects.resources import (
    DEPLOYMENTS,
    REPLICASETS,
    REPLICATIONCONTROLLERS,
    STATEFULSETS,
    Resource,
)
from fairlead.objects.status import StatusError
from fairlead.workloads.claiming import controller_of
from fairlead.workloads.cluster import Cluster
from fairlead.workloads.disruption.plan import Scale

KNOWN: tuple[Resource[Any], ...] = (REPLICATIONCONTROLLERS, REPLICASETS, DEPLOYMENTS, STATEFULSETS)
MOST_KINDS = 256
"""Other kinds whose place in the API is remembered."""


class Scales:
    """Those of the kinds that are followed cost nothing; other kinds are asked for by their subresource `scale`."""

    def __init__(self, api: Api, cluster: Cluster) -> None:
        self._api = api
        self.informers: tuple[Informer[Any], ...] = tuple(cluster.informer(resource) for resource in KNOWN)
        self._followed = {
            (resource.api_version, resource.kind): informer
            for resource, informer in zip(KNOWN, self.informers, strict=True)
        }
        self._paths: dict[tuple[str, str], str] = {}

    async def of(self, namespace: str, owners: Iterable[OwnerReference]) -> dict[str, Scale]:
        """The scales of these owners of pods, by the owner's uid; without those that have none."""
        found = {owner.uid: await self._of(namespace, owner) for owner in owners}
        return {uid: scale for uid, scale in found.items() if scale is not None}

    async def _of(self, namespace: str, owner: OwnerReference) -> Scale | None:
        informer = self._followed.get((owner.apiVersion, owner.kind))
        if informer is None:
            return await self._ask(namespace, owner)
        obj = informer.items.get(f"{namespace}/{owner.name}")
        if obj is None or obj.metadata.uid != owner.uid:
            return None
        above = controller_of(obj)
        if owner.kind == "ReplicaSet" and above is not None:
            return await self._of(namespace, above)
        return Scale(owner.uid, 1 if obj.spec.replicas is None else obj.spec.replicas)

    async def _ask(self, namespace: str, owner: OwnerReference) -> Scale | None:
        collection = await self._collection(owner.apiVersion, owner.kind)
        if not collection:
            return None
        path = f"{collection[0]}/namespaces/{namespace}/{collection[1]}/{owner.name}/scale"
        try:
            scale = await self._api.request("GET", path, ScaleObject)
        except StatusError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise
        return Scale(owner.uid, scale.spec.replicas) if scale.metadata.uid == owner.uid else None

    async def _collection(self, api_version: str, kind: str) -> tuple[str, str] | None:
        """Where the objects of a kind with a scale are: the path of its version, and its plural; None without one."""
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        plural = self._paths.get((api_version, kind))
        if plural is None:
            status, body = await self._api.raw("GET", root)
            if status != HTTPStatus.OK:
                return None
            served = json.loads(body).get("resources", ())
            names = {entry["name"] for entry in served}
            plural = next(
                (
                    entry["name"]
                    for entry in served
                    if entry["kind"] == kind and f"{entry['name']}/scale" in names
                ),
                "",
            )
            if not plural:
                return None  # it may get one
            if len(self._paths) >= MOST_KINDS:
                self._paths.clear()
            self._paths[api_version, kind] = plural
        return root, plural
