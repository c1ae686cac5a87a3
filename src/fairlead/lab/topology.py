"""The plan of a lab's network: which namespaces, links, addresses, routes, sysctls there are, as plain values.

    outside 198.51.100.10 ── underlay (bridge 192.168.1.1, router) ─┬─ node1 192.168.1.10, pods 10.244.1.0/24
                                                                    ├─ node2 192.168.1.11, pods 10.244.2.0/24
                                                                    └─ ...
Nothing here touches the kernel; `network.make` does what the plan says.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

UNDERLAY = "underlay"
OUTSIDE = "outside"
BRIDGE = "underlay"
MAX_NODES = 240

UNDERLAY_NETWORK = ipaddress.IPv4Network("192.168.1.0/24")
ROUTER = "192.168.1.1"
OUTSIDE_NETWORK = ipaddress.IPv4Network("198.51.100.0/24")
OUTSIDE_ROUTER = "198.51.100.1"
OUTSIDE_ADDRESS = "198.51.100.10"
LOAD_BALANCERS = "203.0.113.0/24"
"""Where Services of type LoadBalancer have their addresses from."""
LOADBALANCERS = ("cloud", "l2", "bgp", "none")
"""Who leads traffic to those addresses: the lab's cloud, the nodes by ARP or by BGP, or nobody gives any."""
LOADBALANCER_VIA = ("vip", "nodeport")
"""How the cloud's packets come to a node: to the Service's address as they were sent, or to the node's own port."""
CLUSTER_CIDR = "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
KUBERNETES_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"
API_PORT = 6443

_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?$")
_ZONE = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")


@dataclass(frozen=True)
class Node:
    """One node: what it is called, where it is, which addresses its pods get."""

    name: str
    address: str
    pod_cidr: str
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
    """The way to `destination` ("default" or a CIDR): by a gateway, or straight over a link."""

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
    """Packets from `source` to anywhere but `except_for` leave the namespace with the address of their link."""

    namespace: str
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


def check_zone(zone: str) -> None:
    """Raises ValueError unless `zone` can be the value of a label."""
    if not _ZONE.match(zone):
        raise ValueError(
            f"{zone!r} cannot be a zone: at most 63 letters, digits, '-', '_' or '.', "
            "with a letter or a digit at both ends"
        )


def plan_nodes(count: int, zones: Sequence[str] = ()) -> tuple[Node, ...]:
    """`count` nodes, in the zones by turns. Raises ValueError if there cannot be so many, or a zone is no label."""
    if not 1 <= count <= MAX_NODES:
        raise ValueError(f"a lab has 1 to {MAX_NODES} nodes, not {count}")
    for zone in zones:
        check_zone(zone)
    return tuple(
        Node(
            name=f"node{number}",
            address=str(UNDERLAY_NETWORK.network_address + 9 + number),
            pod_cidr=f"10.244.{number}.0/24",
            zone=zones[(number - 1) % len(zones)] if zones else "",
        )
        for number in range(1, count + 1)
    )


def plan(count: int, zones: Sequence[str] = (), loadbalancer: str = "cloud") -> Plan:
    """The network of a lab of `count` nodes, `loadbalancer` being one of LOADBALANCERS. Raises ValueError."""
    if loadbalancer not in LOADBALANCERS:
        raise ValueError(f"{loadbalancer!r} is no load balancer: use one of {', '.join(LOADBALANCERS)}")
    nodes = plan_nodes(count, zones)
    names = tuple(node.name for node in nodes)
    prefix = UNDERLAY_NETWORK.prefixlen
    addresses = [
        Address(UNDERLAY, BRIDGE, f"{ROUTER}/{prefix}"),
        Address(UNDERLAY, OUTSIDE, f"{OUTSIDE_ROUTER}/{OUTSIDE_NETWORK.prefixlen}"),
        Address(OUTSIDE, "eth0", f"{OUTSIDE_ADDRESS}/{OUTSIDE_NETWORK.prefixlen}"),
    ]
    # The router knows the nodes and the outside, but no pods and no ClusterIPs: what the outside sends to those it
    # answers with "network unreachable". A new namespace copies rp_filter from the host, which may be strict.
    routes = [Route(OUTSIDE, "default", OUTSIDE_ROUTER)]
    if loadbalancer == "l2":
        # The router asks by ARP on the underlay who has such an address, as of a network of its own.
        routes.append(Route(UNDERLAY, LOAD_BALANCERS, link=BRIDGE))
    sysctls = [
        Sysctl(name, f"net/ipv4/conf/{which}/{setting}", 0)
        for name in (UNDERLAY, *names)
        for which in ("all", "default")
        for setting in ("rp_filter", "send_redirects")
    ]
    sysctls += [Sysctl(name, "net/ipv4/ip_forward", 1) for name in (UNDERLAY, *names)]
    # Of the nodes that a load balancer's address leads to, each connection gets one, each client several.
    sysctls.append(Sysctl(UNDERLAY, "net/ipv4/fib_multipath_hash_policy", 1))
    masquerades = []
    for node in nodes:
        addresses.append(Address(node.name, "eth0", f"{node.address}/{prefix}"))
        routes.append(Route(node.name, "default", ROUTER))
        routes += [
            Route(node.name, other.pod_cidr, other.address) for other in nodes if other.name != node.name
        ]
        # As network plugins do: pods are known to the cluster's nodes alone, so to the rest of the world their
        # packets come from the node.
        other_nodes = f"{UNDERLAY_NETWORK.network_address + 10}-{UNDERLAY_NETWORK.broadcast_address - 1}"
        masquerades.append(Masquerade(node.name, node.pod_cidr, (CLUSTER_CIDR, other_nodes)))
    return Plan(
        nodes=nodes,
        namespaces=(UNDERLAY, OUTSIDE, *names),
        bridges=((UNDERLAY, BRIDGE),),
        veths=(
            Veth(UNDERLAY, OUTSIDE, OUTSIDE, "eth0"),
            *(Veth(UNDERLAY, name, name, "eth0", bridge=BRIDGE) for name in names),
        ),
        addresses=tuple(addresses),
        routes=tuple(routes),
        sysctls=tuple(sysctls),
        masquerades=tuple(masquerades),
    )
