"""The plan of a lab's network: which namespaces, links, addresses, routes, sysctls there are, as plain values.

In IPv4, for example:

    outside 198.51.100.10 ── underlay (bridge 192.168.1.1, router) ─┬─ node1 192.168.1.10, pods 10.244.1.0/24
                                                                    ├─ node2 192.168.1.11, pods 10.244.2.0/24
                                                                    └─ ...
Nothing here touches the kernel; `network.make` does what the plan says.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fairlead.lab.addressing import IPV4, IPV6, Family

UNDERLAY = "underlay"
OUTSIDE = "outside"
BRIDGE = "underlay"
MAX_NODES = 240

LOADBALANCERS = ("cloud", "l2", "bgp", "none")
"""Who leads traffic to load balancers: the lab's cloud, the nodes by ARP and NDP or by BGP, or nobody does."""
LOADBALANCER_VIA = ("vip", "nodeport")
"""How the cloud's packets come to a node: to the Service's address as they were sent, or to the node's own port."""
CLUSTER_DOMAIN = "cluster.local"
API_PORT = 6443

_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?$")
_ZONE = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")


@dataclass(frozen=True)
class Node:
    """One node: what it is called, where it is, which addresses its pods get; the cluster's first family first."""

    name: str
    number: int
    addresses: tuple[str, ...]
    pod_cidrs: tuple[str, ...]
    zone: str = ""


@dataclass(frozen=True)
class Veth:
    """A pair of links: `name` in `namespace`, put on `bridge` there if one is named, and `peer` in `peer_namespace`."""

    namespace: str
    name: str
    peer_namespace: str
    peer: str
    bridge: str = ""


@dataclass(frozen=True)
class Address:
    """An address with its prefix length on a link."""

    namespace: str
    link: str
    address: str


@dataclass(frozen=True)
class Route:
    """The way to the network `destination`: by a gateway, or straight over a link."""

    namespace: str
    destination: str
    gateway: str = ""
    link: str = ""


@dataclass(frozen=True)
class Sysctl:
    """A setting of a namespace, named by its path below /proc/sys."""

    namespace: str
    name: str
    value: int


@dataclass(frozen=True)
class Masquerade:
    """Packets from `source` to anywhere but `except_for` leave the namespace with the address of their link.

    One family each: `version` is 4 or 6.
    """

    namespace: str
    version: int
    source: str
    except_for: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """All that the kernel has to hold for a lab. Namespaces have short names ("node1")."""

    nodes: tuple[Node, ...]
    namespaces: tuple[str, ...]
    bridges: tuple[tuple[str, str], ...]
    veths: tuple[Veth, ...]
    addresses: tuple[Address, ...]
    routes: tuple[Route, ...]
    sysctls: tuple[Sysctl, ...]
    masquerades: tuple[Masquerade, ...]


def check_name(name: str) -> None:
    """Raises ValueError unless `name` can be a lab's: a DNS label of at most 30 characters."""
    if not _NAME.match(name):
        raise ValueError(
            f"{name!r} cannot be the name of a lab: at most 30 lower-case letters, digits or '-', "
            "with a letter or a digit at both ends"
        )


def check_zone(zone: str, what: str = "zone") -> None:
    """Raises ValueError unless `zone` can be the value of a label; `what` is what it is called."""
    if not _ZONE.match(zone):
        raise ValueError(
            f"{zone!r} cannot be a {what}: at most 63 letters, digits, '-', '_' or '.', "
            "with a letter or a digit at both ends"
        )


def node(number: int, zone: str = "", families: Sequence[Family] = (IPV4,)) -> Node:
    """The node of that number, from 1 to MAX_NODES."""
    return Node(
        name=f"node{number}",
        number=number,
        addresses=tuple(family.node_address(number) for family in families),
        pod_cidrs=tuple(family.pod_cidr(number) for family in families),
        zone=zone,
    )


def plan_nodes(
    count: int, zones: Sequence[str] = (), families: Sequence[Family] = (IPV4,)
) -> tuple[Node, ...]:
    """`count` nodes, in the zones by turns. Raises ValueError if there cannot be so many, or a zone is no label."""
    if not 1 <= count <= MAX_NODES:
        raise ValueError(f"a lab has 1 to {MAX_NODES} nodes, not {count}")
    for zone in zones:
        check_zone(zone)
    return tuple(
        node(number, zones[(number - 1) % len(zones)] if zones else "", families)
        for number in range(1, count + 1)
    )


def plan(nodes: Sequence[Node], families: Sequence[Family] = (IPV4,), loadbalancer: str = "cloud") -> Plan:
    """The network of a lab of these nodes, `loadbalancer` being one of LOADBALANCERS. Raises ValueError."""
    if loadbalancer not in LOADBALANCERS:
        raise ValueError(f"{loadbalancer!r} is no load balancer: use one of {', '.join(LOADBALANCERS)}")
    names = tuple(node.name for node in nodes)
    addresses: list[Address] = []
    routes: list[Route] = []
    masquerades: list[Masquerade] = []
    for place, family in enumerate(families):
        addresses += _addresses(family, nodes, place)
        routes += _routes(family, nodes, place, loadbalancer)
        # As network plugins do: pods are known to the cluster's nodes alone, so to the rest of the world their
        # packets come from the node.
        masquerades += [
            Masquerade(
                each.name, family.version, each.pod_cidrs[place], (family.cluster, family.node_addresses)
            )
            for each in nodes
        ]
    return Plan(
        nodes=tuple(nodes),
        namespaces=(UNDERLAY, OUTSIDE, *names),
        bridges=((UNDERLAY, BRIDGE),),
        veths=(
            Veth(UNDERLAY, OUTSIDE, OUTSIDE, "eth0"),
            *(Veth(UNDERLAY, name, name, "eth0", bridge=BRIDGE) for name in names),
        ),
        addresses=tuple(addresses),
        routes=tuple(routes),
        sysctls=_sysctls(names, families),
        masquerades=tuple(masquerades),
    )


def joining(whole: Plan, name: str, running: Collection[str]) -> Plan:
    """What of a lab's plan is to be made when a node comes into it while the others are there.

    It is all of the node's own, and the ways to its pods at the other nodes that are `running`.
    """
    (new,) = (each for each in whole.nodes if each.name == name)
    return Plan(
        nodes=whole.nodes,
        namespaces=(name,),
        bridges=(),
        veths=tuple(veth for veth in whole.veths if veth.peer_namespace == name),
        addresses=tuple(entry for entry in whole.addresses if entry.namespace == name),
        routes=tuple(
            route
            for route in whole.routes
            if route.namespace == name or (route.gateway in new.addresses and route.namespace in running)
        ),
        sysctls=tuple(sysctl for sysctl in whole.sysctls if sysctl.namespace == name),
        masquerades=tuple(entry for entry in whole.masquerades if entry.namespace == name),
    )


def _addresses(family: Family, nodes: Sequence[Node], place: int) -> list[Address]:
    inner, outer = (cidr.rpartition("/")[2] for cidr in (family.underlay, family.outside))
    return [
        Address(UNDERLAY, BRIDGE, f"{family.router}/{inner}"),
        Address(UNDERLAY, OUTSIDE, f"{family.outside_router}/{outer}"),
        Address(OUTSIDE, "eth0", f"{family.outside_address}/{outer}"),
        *(Address(node.name, "eth0", f"{node.addresses[place]}/{inner}") for node in nodes),
    ]


def _routes(family: Family, nodes: Sequence[Node], place: int, loadbalancer: str) -> list[Route]:
    # The router knows the nodes and the outside, but no pods and no ClusterIPs: what the outside sends to those it
    # answers with "network unreachable".
    routes = [Route(OUTSIDE, family.anywhere, family.outside_router)]
    if loadbalancer == "l2":
        # The router asks on the underlay who has such an address, as of a network of its own.
        routes.append(Route(UNDERLAY, family.load_balancers, link=BRIDGE))
    for node in nodes:
        routes.append(Route(node.name, family.anywhere, family.router))
        routes += [
            Route(node.name, other.pod_cidrs[place], other.addresses[place])
            for other in nodes
            if other.name != node.name
        ]
    return routes


def _sysctls(names: Sequence[str], families: Sequence[Family]) -> tuple[Sysctl, ...]:
    forwarding = (UNDERLAY, *names)
    # A new namespace copies rp_filter from the host, which may be strict.
    sysctls = [
        Sysctl(name, f"net/ipv4/conf/{which}/{setting}", 0)
        for name in forwarding
        for which in ("all", "default")
        for setting in ("rp_filter", "send_redirects")
    ]
    sysctls += [Sysctl(name, "net/ipv4/ip_forward", 1) for name in forwarding]
    # Of the nodes that a load balancer's address leads to, each connection gets one, each client several.
    sysctls.append(Sysctl(UNDERLAY, "net/ipv4/fib_multipath_hash_policy", 1))
    if IPV6 in families:
        # No address has to be asked for on the link before it is used: the plan gives each of them once.
        sysctls += [
            Sysctl(name, f"net/ipv6/conf/{which}/{setting}", value)
            for name in (*forwarding, OUTSIDE)
            for which in ("all", "default")
            for setting, value in (("disable_ipv6", 0), ("accept_dad", 0), ("accept_ra", 0))
        ]
        sysctls += [Sysctl(name, "net/ipv6/conf/all/forwarding", 1) for name in forwarding]
        sysctls.append(Sysctl(UNDERLAY, "net/ipv6/fib_multipath_hash_policy", 1))
    return tuple(sysctls)
