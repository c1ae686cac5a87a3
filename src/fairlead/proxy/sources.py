"""A load balancer's addresses, and which clients may use them (API: services.spec.loadBalancerSourceRanges)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_network

from fairlead.objects.core_v1 import Service
from fairlead.objects.services import SOURCE_RANGES
from fairlead.proxy.family import Family

Range = tuple[bytes, bytes]
"""The first and the last address of a network."""


def load_balancers(service: Service, family: Family) -> tuple[bytes, ...]:
    """A load balancer's addresses that lead to this node as they are."""
    if service.status is None:
        return ()
    # API: ipMode Proxy means that the load balancer wants to see the traffic of the cluster too.
    texts = [i.ip for i in service.status.loadBalancer.ingress if i.ip and i.ipMode != "Proxy"]
    return tuple(packed for text in texts if (packed := family.pack(text)) is not None)


def source_ranges(service: Service, node: Sequence[bytes], family: Family) -> tuple[Range, ...]:
    """The networks that may use the load balancer's addresses; none where everybody may. `node`: the node's own.

    Entries may be padded with spaces, and what is no network of this family does not count; 0.0.0.0/0 is everybody.
    A node whose own address is allowed may come from the load balancer's address too, which it has when that is
    an address of its own.
    """
    spec = service.spec
    assert spec is not None
    texts: Sequence[str] = spec.loadBalancerSourceRanges
    if not texts:
        texts = service.metadata.annotations.get(SOURCE_RANGES, "").split(",")
    found = []
    for text in texts:
        try:
            network = ip_network(text.strip(), strict=False)
        except ValueError:
            continue
        if network.version == (4 if family.size == 4 else 6):
            if network.prefixlen == 0:
                return ()
            found.append((network.network_address.packed, network.broadcast_address.packed))
    if any(first <= address <= last for address in node for first, last in found):
        found += [(address, address) for address in load_balancers(service, family)]
    return tuple(_disjoint(found))


def _disjoint(ranges: Iterable[Range]) -> list[Range]:
    """The same addresses in as few ranges as possible: the kernel takes none that overlap."""
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if merged and first <= _after(merged[-1][1]):
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def _after(address: bytes) -> bytes:
    number = int.from_bytes(address, "big") + 1
    return address if number >> 8 * len(address) else number.to_bytes(len(address), "big")
