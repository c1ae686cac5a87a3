"""The plan of a lab's network, and the network that is made from it."""

from __future__ import annotations

import ipaddress
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.lab import topology
from fairlead.lab.addressing import IPV4, IPV6, Family, families
from fairlead.lab.network import Network
from tests.waiting import LIMIT

root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


BOTH = (IPV4, IPV6)


def _parts(family: Family) -> set[str]:
    """The networks of the nodes' pods in the cluster's."""
    length = 24 if family.version == 4 else 64
    return {str(part) for part in ipaddress.ip_network(family.cluster).subnets(new_prefix=length)}


@pytest.mark.parametrize("names", [(), ("ipv5",), ("ipv4", "ipv4")])
def test_what_is_no_family_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="use ipv4, ipv6, or both"):
        families(names)


def test_addresses_are_those_of_the_documentation() -> None:
    nodes = topology.plan_nodes(3, ("a", "b"))
    assert [(n.name, *n.addresses, *n.pod_cidrs, n.zone) for n in nodes] == [
        ("node1", "192.168.1.10", "10.244.1.0/24", "a"),
        ("node2", "192.168.1.11", "10.244.2.0/24", "b"),
        ("node3", "192.168.1.12", "10.244.3.0/24", "a"),
    ]


@pytest.mark.parametrize("count", [1, 3, topology.MAX_NODES])
def test_every_address_is_there_once_and_inside_its_network(count: int) -> None:
    plan = topology.plan(topology.plan_nodes(count, families=BOTH), BOTH)
    addresses = [ipaddress.ip_interface(entry.address) for entry in plan.addresses]
    assert len({a.ip for a in addresses}) == len(addresses)
    for node in plan.nodes:
        for family, address, pods in zip(BOTH, node.addresses, node.pod_cidrs, strict=True):
            assert ipaddress.ip_address(address) in ipaddress.ip_network(family.underlay)
            assert pods in _parts(family)


def test_only_nodes_know_the_way_to_pods() -> None:
    plan = topology.plan(topology.plan_nodes(3))
    to_pods = {r.namespace for r in plan.routes if r.destination.startswith("10.244.")}
    assert to_pods == {"node1", "node2", "node3"}
    assert len([r for r in plan.routes if r.namespace == "node1"]) == 3


@pytest.mark.parametrize(
    ("count", "zones", "said"),
    [
        (0, (), "1 to 240 nodes, not 0"),
        (-1, (), "not -1"),
        (241, (), "not 241"),
        (1, ("a b",), "'a b' cannot be a zone"),
        (1, ("",), "'' cannot be a zone"),
    ],
)
def test_what_cannot_be_a_lab_is_refused(count: int, zones: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        topology.plan_nodes(count, zones)


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a/b", "..", "x" * 31])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a lab"):
        topology.check_name(name)


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network(f"test{os.getpid()}", Path("/run/netns"))
    try:
        made.make(topology.plan(topology.plan_nodes(2, families=BOTH), BOTH))
        yield made
    finally:
        made.remove()


def in_namespace(network: Network, name: str, program: str) -> str:
    command = ["nsenter", f"--net={network.path(name)}", "python3", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False).stdout.strip()


CONNECT = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in {address!r} else socket.AF_INET); s.settimeout(60)
try:
    s.connect(({address!r}, 9)); print("connected")
except OSError as e:
    print(type(e).__name__ if e.errno is None else e.strerror)
"""


@root
@pytest.mark.parametrize(
    ("source", "address", "answer"),
    [
        ("node1", "192.168.1.11", "Connection refused"),
        ("node2", "192.168.1.1", "Connection refused"),
        ("node1", "198.51.100.10", "Connection refused"),
        ("outside", "192.168.1.10", "Connection refused"),
        ("outside", "10.96.0.1", "Network is unreachable"),
        ("outside", "10.244.1.2", "Network is unreachable"),
        ("node1", "fd00:192:168:1::11", "Connection refused"),
        ("node2", "fd00:192:168:1::1", "Connection refused"),
        ("node1", "2001:db8:198:51::10", "Connection refused"),
        ("outside", "fd00:192:168:1::10", "Connection refused"),
        ("outside", "fd00:10:96::1", "Network is unreachable"),
        ("outside", "fd00:10:244:1::2", "Network is unreachable"),
    ],
)
def test_who_reaches_whom(network: Network, source: str, address: str, answer: str) -> None:
    assert in_namespace(network, source, CONNECT.format(address=address)) == answer


@root
def test_removal_leaves_another_labs_namespaces_alone(network: Network) -> None:
    other = Network(f"test{os.getpid()}-b", Path("/run/netns"))
    try:
        other.make(topology.plan(topology.plan_nodes(1)))
        assert len(network.remove()) == 4
        assert len(other.leftovers()) == 3
        assert network.remove() == []
    finally:
        other.remove()
