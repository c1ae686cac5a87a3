"""The rules of Service traffic: which endpoints answer on which address of a Service, seen from one node.

Pure, independent of how a kernel is told. The rules are those of kube-proxy 1.36 (pkg/proxy/topology.go,
pkg/proxy/endpointslicecache.go).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from socket import inet_pton

from fairlead.objects.core_v1 import Service, ServicePort
from fairlead.proxy.family import IPV4, PROTOCOLS, Family
from fairlead.proxy.resources import PROXY_NAME, EndpointSlice

Target = bytes
"""Where a packet is sent: address, then port, then two zero octets, which is how the kernel stores the pair."""

MAX_PORT = 65535


class Verdict(enum.Enum):
    """What becomes of a packet that no endpoint takes."""

    REFUSE = "refuse"
    """A TCP reset or an ICMP error: there is no usable endpoint anywhere."""
    DISCARD = "discard"
    """Silence: there are endpoints, but the policy wants one of this node and there is none."""


Backing = tuple[Target, ...] | Verdict
"""The targets that share a frontend's traffic, never an empty tuple, or the verdict when there are none."""


@dataclass(frozen=True, slots=True)
class Node:
    """The node that the selection is for."""

    name: str
    addresses: tuple[bytes, ...] = ()
    """Its primary addresses, packed: where node ports are open."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What one Service port's traffic does on this node."""

    name: str
    """`namespace/service:port`, as kube-proxy names it."""
    protocol: int
    """The IP protocol number."""
    internal: Backing
    """Who answers on `cluster_frontends`."""
    external: Backing
    """Who answers on `external_frontends`."""
    cluster_frontends: tuple[tuple[bytes, int], ...]
    """The Service's own addresses with its port."""
    external_frontends: tuple[tuple[bytes, int], ...]
    """Addresses from outside, each with its port: node ports, externalIPs, load balancers."""
    masquerade_external: bool
    """Whether external traffic takes this node's address (externalTrafficPolicy Cluster)."""
    local: tuple[bytes, ...]
    """Addresses of endpoints that may be the sender's own: it needs masquerading when it meets itself."""


@dataclass(slots=True)
class _Usable:
    """The endpoints of one port that could take traffic, each with its node's name; dicts keep each one once."""

    ready: dict[Target, str | None]
    draining: dict[Target, str | None]
    """Not ready, terminating, still serving: taken when nobody is ready (KEP-1669)."""

    def anywhere(self) -> Sequence[Target]:
        return tuple(self.ready or self.draining)

    def on(self, node: str) -> Sequence[Target]:
        ready = tuple(target for target, name in self.ready.items() if name == node)
        return ready or tuple(target for target, name in self.draining.items() if name == node)


def select(
    service: Service, slices: Iterable[EndpointSlice], node: Node, family: Family = IPV4
) -> tuple[Selection, ...]:
    """What each port of `service` does on `node` in one address family. `slices` are all those of the Service.

    Headless and ExternalName Services, those labelled for another proxy, and those without an address in this
    family select nothing. Cost: linear in the number of endpoints, below a microsecond each.
    """
    spec = service.spec
    if spec is None or spec.type == "ExternalName" or PROXY_NAME in service.metadata.labels:
        return ()
    addresses = [
        packed for text in spec.clusterIPs or (spec.clusterIP,) if (packed := family.pack(text)) is not None
    ]
    if not addresses:
        return ()
    pieces = [piece for piece in slices if piece.addressType == family.address_type]
    return tuple(
        _select_port(service, port, addresses, pieces, node, family)
        for port in spec.ports
        if (port.protocol or "TCP") in PROTOCOLS
    )


def _select_port(
    service: Service,
    port: ServicePort,
    addresses: list[bytes],
    pieces: list[EndpointSlice],
    node: Node,
    family: Family,
) -> Selection:
    spec = service.spec
    assert spec is not None
    usable = _usable(pieces, port, family)
    everywhere = usable.anywhere()

    def backing(policy: str | None) -> Backing:
        chosen = usable.on(node.name) if policy == "Local" else everywhere
        if chosen:
            return tuple(chosen)
        return Verdict.DISCARD if everywhere else Verdict.REFUSE

    internal = backing(spec.internalTrafficPolicy)
    outside = _external_frontends(service, port, node, family)
    size = family.size
    return Selection(
        name=f"{service.metadata.namespace}/{service.metadata.name}" + (f":{port.name}" if port.name else ""),
        protocol=PROTOCOLS[port.protocol or "TCP"],
        internal=internal,
        external=internal
        if spec.externalTrafficPolicy == spec.internalTrafficPolicy
        else backing(spec.externalTrafficPolicy),
        cluster_frontends=tuple((address, port.port) for address in addresses),
        external_frontends=outside,
        masquerade_external=spec.externalTrafficPolicy != "Local",
        local=tuple(
            target[:size]
            for chosen in (usable.ready, usable.draining)
            for target, name in chosen.items()
            if name == node.name or not name
        ),
    )


def _external_frontends(
    service: Service, port: ServicePort, node: Node, family: Family
) -> tuple[tuple[bytes, int], ...]:
    spec = service.spec
    assert spec is not None
    found: list[tuple[bytes, int]] = []
    if spec.type in ("NodePort", "LoadBalancer") and port.nodePort:
        found += [(address, port.nodePort) for address in node.addresses if len(address) == family.size]
    texts = list(spec.externalIPs)
    if spec.type == "LoadBalancer" and service.status is not None:
        # API: ipMode Proxy means that the load balancer wants to see the traffic of the cluster too.
        texts += [
            ingress.ip
            for ingress in service.status.loadBalancer.ingress
            if ingress.ip and ingress.ipMode != "Proxy"
        ]
    found += [(packed, port.port) for text in texts if (packed := family.pack(text)) is not None]
    return tuple(dict.fromkeys(found))


def _usable(pieces: list[EndpointSlice], port: ServicePort, family: Family) -> _Usable:
    usable = _Usable({}, {})
    ready, draining = usable.ready, usable.draining
    number = family.number
    for piece in pieces:
        at = _port_in(piece, port)
        if not at:
            continue
        suffix = at.to_bytes(2, "big") + b"\0\0"
        for endpoint in piece.endpoints:
            conditions = endpoint.conditions
            if conditions is None or conditions.ready is not False:
                chosen = ready
            elif conditions.terminating and conditions.serving is not False:
                chosen = draining
            else:
                continue
            try:
                # The API allows up to a hundred addresses, all of one pod; kube-proxy takes the first.
                chosen[inet_pton(number, endpoint.addresses[0]) + suffix] = endpoint.nodeName
            except (OSError, ValueError, IndexError):
                continue
    return usable


def _port_in(piece: EndpointSlice, port: ServicePort) -> int:
    """The number of the Service's port in this slice; 0 where it has none, or one that cannot be a port."""
    for offered in piece.ports:
        if (offered.name or "") == port.name and (offered.protocol or "TCP") == (port.protocol or "TCP"):
            number = offered.port or 0
            return number if 0 < number <= MAX_PORT else 0
    return 0
