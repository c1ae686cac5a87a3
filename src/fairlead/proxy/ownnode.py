"""The node that the proxy runs on: what its object says, as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fairlead.client.informer import Change
from fairlead.objects.core_v1 import Node as ApiNode
from fairlead.proxy.family import Family
from fairlead.proxy.selection import Node

ZONE = "topology.kubernetes.io/zone"


def seen(node: ApiNode | None, name: str, family: Family) -> Node:
    """What a node's object says of the node; one without an object has no addresses and no zone.

    The primary address is the first InternalIP of the family, or the first ExternalIP where it has none
    (kube-proxy: GetNodeHostIPs, component-helpers).
    """
    if node is None:
        return Node(name)
    listed = node.status.addresses if node.status is not None else ()
    packed = [
        address
        for kind in ("InternalIP", "ExternalIP")
        for each in listed
        if each.type == kind and (address := family.pack(each.address)) is not None
    ]
    return Node(name, tuple(packed[:1]), node.metadata.labels.get(ZONE, ""))


class OwnNode:
    """The node's object. One that is deleted says so by then; one that comes again is another node."""

    def __init__(self) -> None:
        self.latest: ApiNode | None = None
        self._came = asyncio.Event()

    def changed(self, change: Change[ApiNode]) -> None:
        """It came, changed or went."""
        self.latest = change.new
        self._came.set()

    async def until(self, enough: Callable[[ApiNode | None], object]) -> ApiNode | None:
        """The object, or None where that is enough, as soon as it is."""
        while not enough(self.latest):
            self._came.clear()
            await self._came.wait()
        return self.latest
