"""The rules of Service traffic: which endpoints answer on which address of a Service, seen from one node.

Pure, independent of how a kernel is told. The rules are those of kube-proxy 1.36 (pkg/proxy/topology.go,
pkg/proxy/endpointslicecache.go, pkg/proxy/serviceport.go).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from socket import IPPROTO_UDP, inet_pton

import msgspec

from fairlead.objects.core_v1 import Service, ServicePort, ServiceSpec
from fairlead.objects.discovery_v1 import EndpointHints
from fairlead.objects.services import CLIENT_IP_TIMEOUT
from fairlead.proxy.family import IPV4, PROTOCOLS, Family
from fairlead.proxy.resources import PROXY_NAME, Endpoint, EndpointSlice
from fairlead.proxy.sources import Range, load_balancers, source_ranges

Target = bytes
"""Where a packet is sent: address, then port, then two zero octets, which is how the kernel stores the pair."""

MAX_PORT = 65535
MOST_TARGETS = 1 << 16
"""How many endpoints of one Service port get traffic."""


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
    """Its primary addresses, packed."""
    zone: str = ""
    """Its label `topology.kubernetes.io/zone`."""


class Selection(msgspec.Struct, frozen=True, gc=False):
    """What one Service port's traffic does on this node."""

    name: str
    """`namespace/service:port`, as kube-proxy names it."""
    protocol: int
    """The IP protocol number."""
    internal: Backing
    """Who answers on `cluster_frontends`."""
    external: Backing
    """Who answers on `external_frontends` and on the node port."""
    cluster: Backing
    """Who answers there to the node itself and its pods, whom externalTrafficPolicy does not bind."""
    cluster_frontends: tuple[tuple[bytes, int], ...]
    """The Service's own addresses with its port."""
    external_frontends: tuple[tuple[bytes, int], ...]
    """Addresses from outside, each with its port: externalIPs and load balancers."""
    node_port: int
    """The port that is open on addresses of the node itself, which ones is the mode's to say; 0 is none."""
    masquerade_external: bool
    """Whether external traffic takes this node's address (externalTrafficPolicy Cluster)."""
    affinity: int
    """Seconds for which a client stays with its endpoint; 0 where it need not."""
    guarded: tuple[tuple[bytes, int], ...]
    """The external frontends that only `sources` may use: a load balancer's."""
    sources: tuple[Range, ...]
    """Sorted, none next to another; empty where everybody may."""
    skipped: int
    """Endpoints beyond MOST_TARGETS, which get no traffic."""
    local: tuple[bytes, ...]
    """Addresses of endpoints that may be the sender's own: it needs masquerading when it meets itself."""
    serving: tuple[Target, ...] = ()
    """Of UDP, every target that still answers, even one that gets nothing new: its connections stay."""
    internal_local: bool = False
    """Whether `internal` are only those of this node (internalTrafficPolicy Local)."""
    balanced: tuple[tuple[bytes, int], ...] = ()
    """The external frontends that are a load balancer's."""
    health_check_node_port: int = 0
    """Where the node's part in a load balancer is asked for; 0 is nowhere."""


@dataclass(slots=True)
class _Usable:
    """The endpoints of one port that could take traffic; dicts keep each one once."""

    ready: dict[Target, Endpoint]
    draining: dict[Target, Endpoint]
    """Not ready, terminating, still serving: taken when nobody is ready (KEP-1669)."""

    def preferred(self, node: Node) -> Sequence[Target]:
        """All that are ready, or those that hints give to this node or zone; else all that are draining."""
        chosen = _hinted(self.ready, node) or tuple(self.ready)
        return chosen or tuple(self.draining)

    def on(self, node: str) -> Sequence[Target]:
        """Those of the node."""
        ready = tuple(target for target, endpoint in self.ready.items() if endpoint.nodeName == node)
        return ready or tuple(target for target, e in self.draining.items() if e.nodeName == node)

    def own(self, node: str, size: int) -> tuple[bytes, ...]:
        """The addresses, of that size, of those that may be the node's."""
        own = [t[:size] for t, e in self.ready.items() if e.nodeName == node or not e.nodeName]
        if self.draining:
            own += [t[:size] for t, e in self.draining.items() if e.nodeName == node or not e.nodeName]
        return tuple(own)


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
    everywhere = usable.preferred(node)
    skipped = max(0, len(everywhere) - MOST_TARGETS)
    cluster: Backing = tuple(everywhere[:MOST_TARGETS] if skipped else everywhere) or Verdict.REFUSE
    outer, inner = spec.externalTrafficPolicy == "Local", spec.internalTrafficPolicy == "Local"
    local = cluster
    if (outer or inner) and everywhere:
        local = tuple(usable.on(node.name)[:MOST_TARGETS]) or Verdict.DISCARD
    balanced = load_balancers(service, family) if spec.type == "LoadBalancer" else ()
    sources = source_ranges(service, node.addresses, family) if balanced else ()
    protocol = PROTOCOLS[port.protocol or "TCP"]
    return Selection(
        name=f"{service.metadata.namespace}/{service.metadata.name}" + (f":{port.name}" if port.name else ""),
        protocol=protocol,
        internal=local if inner else cluster,
        external=local if outer else cluster,
        cluster=cluster,
        cluster_frontends=tuple((address, port.port) for address in addresses),
        external_frontends=_external_frontends(spec, port, family, balanced),
        node_port=(port.nodePort or 0) if spec.type in ("NodePort", "LoadBalancer") else 0,
        masquerade_external=not outer,
        affinity=_affinity(spec),
        guarded=tuple((address, port.port) for address in balanced) if sources else (),
        sources=sources,
        skipped=skipped,
        local=usable.own(node.name, family.size),
        internal_local=inner,
        balanced=tuple((address, port.port) for address in balanced),
        health_check_node_port=spec.healthCheckNodePort or 0 if spec.type == "LoadBalancer" and outer else 0,
        serving=(*usable.ready, *usable.draining) if protocol == IPPROTO_UDP else (),
    )


def _affinity(spec: ServiceSpec) -> int:
    if spec.sessionAffinity != "ClientIP":
        return 0
    config = spec.sessionAffinityConfig
    seconds = config.clientIP.timeoutSeconds if config is not None and config.clientIP is not None else None
    return seconds or CLIENT_IP_TIMEOUT


def _external_frontends(
    spec: ServiceSpec, port: ServicePort, family: Family, balanced: Sequence[bytes]
) -> tuple[tuple[bytes, int], ...]:
    if not spec.externalIPs and not balanced:
        return ()
    packed = [*map(family.pack, spec.externalIPs), *balanced]
    return tuple(dict.fromkeys((address, port.port) for address in packed if address is not None))


def _hinted(ready: Mapping[Target, Endpoint], node: Node) -> Sequence[Target]:
    """The endpoints that hints give to this node, or else to its zone; none where hints do not count.

    They count only if every ready endpoint has one and one of them fits (KEP-2433, KEP-3015).
    """
    hints = []
    for endpoint in ready.values():
        if endpoint.hints is None:
            return ()
        hints.append(endpoint.hints)
    return _fitting(ready, hints, _for_nodes, node.name) or _fitting(ready, hints, _for_zones, node.zone)


def _for_nodes(hints: EndpointHints) -> Sequence[str]:
    return [node.name for node in hints.forNodes]


def _for_zones(hints: EndpointHints) -> Sequence[str]:
    return [zone.name for zone in hints.forZones]


def _fitting(
    ready: Iterable[Target],
    hints: Sequence[EndpointHints],
    named_by: Callable[[EndpointHints], Sequence[str]],
    name: str,
) -> Sequence[Target]:
    names = [named_by(hint) for hint in hints]
    if not name or not all(names):
        return ()
    return [target for target, named in zip(ready, names, strict=True) if name in named]


def _usable(pieces: list[EndpointSlice], port: ServicePort, family: Family) -> _Usable:
    ready: dict[Target, Endpoint] = {}
    draining: dict[Target, Endpoint] = {}
    waiting: dict[Target, Endpoint] = {}
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
            elif not conditions.terminating:
                chosen = waiting
            elif conditions.serving is not False:
                chosen = draining
            else:
                continue
            try:
                # The API allows up to a hundred addresses, all of one pod; kube-proxy takes the first.
                chosen[inet_pton(number, endpoint.addresses[0]) + suffix] = endpoint
            except (OSError, ValueError, IndexError):
                continue
    if draining:
        # An address that stands in two slices counts once: the pod that ends has left it to the other one.
        for target in draining.keys() & (ready.keys() | waiting.keys()):
            del draining[target]
    return _Usable(ready, draining)


def _port_in(piece: EndpointSlice, port: ServicePort) -> int:
    """The number of the Service's port in this slice; 0 where it has none, or one that cannot be a port."""
    for offered in piece.ports:
        if (offered.name or "") == port.name and (offered.protocol or "TCP") == (port.protocol or "TCP"):
            number = offered.port or 0
            return number if 0 < number <= MAX_PORT else 0
    return 0
