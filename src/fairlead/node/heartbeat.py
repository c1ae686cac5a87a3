"""The Lease that says that a node is alive, and whether somebody else says so in its name.

Upstream: component-helpers/apimachinery/lease, with pkg/kubelet's durations.
"""

from __future__ import annotations

import time
from collections import deque
from http import HTTPStatus

from fairlead.client.api import Api
from fairlead.objects.coordination_v1 import Lease, LeaseSpec
from fairlead.objects.core_v1 import Node
from fairlead.objects.meta_v1 import ObjectMeta, OwnerReference
from fairlead.objects.resources import LEASES
from fairlead.objects.scalars import microtime
from fairlead.objects.status import StatusError

LEASE_SECONDS = 40
"""Upstream: nodeLeaseDurationSeconds of the kubelet's configuration."""

RENEWALS = 4
"""So many renewals to the length of a Lease (pkg/kubelet: nodeLeaseRenewIntervalFraction)."""

NAMESPACE = "kube-node-lease"


class Heartbeat:
    """Renews the Lease of the node `name`, which is good for `seconds`.

    A renewal is one request, two where something is amiss.
    """

    def __init__(self, api: Api, name: str, seconds: int = LEASE_SECONDS) -> None:
        self._api = api
        self._name = name
        self._seconds = seconds
        self._version = ""
        self._said: deque[str] = deque(maxlen=64)

    async def renew(self, node: Node) -> bool:
        """Says that the node is alive; gives whether another agent has said so since the last time.

        Raises StatusError or Unreachable.
        """
        other = False
        try:
            lease = await self._write(self._version)
        except StatusError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                lease = await self._create(node)
            elif error.code == HTTPStatus.CONFLICT:
                there = await self._api.get(LEASES, self._name, NAMESPACE)
                other = there.spec is not None and there.spec.renewTime not in self._said
                lease = await self._write("")
            else:
                raise
        self._version = lease.metadata.resourceVersion
        return other

    async def _write(self, version: str) -> Lease:
        """Renews the Lease, if nobody has changed it since `version`; whoever did if that is empty."""
        now = self._now()
        spec = {"holderIdentity": self._name, "leaseDurationSeconds": self._seconds, "renewTime": now}
        patch: dict[str, object] = {"spec": spec}
        if version:
            patch["metadata"] = {"resourceVersion": version}
        return await self._api.patch(LEASES, self._name, NAMESPACE, patch)

    def _now(self) -> str:
        """The time of a renewal; remembered, since one whose answer was lost may have been written."""
        now = microtime(time.time())
        self._said.append(now)
        return now

    async def _create(self, node: Node) -> Lease:
        now = self._now()
        owner = OwnerReference(apiVersion="v1", kind="Node", name=self._name, uid=node.metadata.uid)
        lease = Lease(
            metadata=ObjectMeta(name=self._name, namespace=NAMESPACE, ownerReferences=(owner,)),
            spec=LeaseSpec(
                holderIdentity=self._name, leaseDurationSeconds=self._seconds, acquireTime=now, renewTime=now
            ),
        )
        return await self._api.create(LEASES, lease)
