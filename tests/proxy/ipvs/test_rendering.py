"""From Services to virtual servers and elements of sets, without a kernel."""

from __future__ import annotations

import pytest

from fairlead.proxy.family import IPV4, IPV6, Family
from fairlead.proxy.ipvs.rendering import View, Wanted, node_port_addresses, render
from fairlead.proxy.ipvs.sysctls import wanted as sysctls_wanted
from fairlead.proxy.options import IpvsOptions
from tests.proxy.iptables.cluster import ALL, NODE, ledger


def packed(family: Family, *texts: str) -> tuple[bytes, ...]:
    return tuple(address for text in texts if (address := family.pack(text)) is not None)


def rendered(name: str, family: Family = IPV4, **view: object) -> Wanted:
    own = packed(family, NODE[family])
    selected = dict(ledger(family, {name: ALL[name]}).everything())[f"default/{name}"]
    return render(selected, View(family, **{"node_ports": own, "own": frozenset(own), **view}))  # type: ignore[arg-type]


def servers(wanted: Wanted, family: Family = IPV4) -> dict[str, int]:
    """How many real servers each virtual one has."""
    return {frontend.text(family): len(server.targets) for frontend, server in wanted.servers.items()}


def members(wanted: Wanted) -> list[str]:
    return sorted(f"{member.held_by.base.removeprefix('KUBE-')} {member.text}" for member in wanted.members)


SERVERS: dict[str, dict[str, int]] = {
    "plain": {"10.96.0.1:80/TCP": 2},
    "empty": {"10.96.0.1:80/TCP": 0, "192.168.1.10:30000/TCP": 0, "198.51.100.7:80/TCP": 0},
    "local": {"10.96.0.1:80/TCP": 1, "192.168.1.10:30000/TCP": 1},
    "elsewhere": {"10.96.0.1:80/TCP": 0, "192.168.1.10:30000/TCP": 1, "203.0.113.7:80/TCP": 1},
    "sctp": {"10.96.0.1:80/SCTP": 2},
    "udp": {"10.96.0.1:80/UDP": 2, "192.168.1.10:30000/UDP": 2},
}
"""A Service whose policy leaves nobody keeps what the node and its pods reach by the short cut."""


@pytest.mark.parametrize("name", SERVERS)
def test_each_frontend_is_a_virtual_server(name: str) -> None:
    assert servers(rendered(name)) == SERVERS[name]


def test_ipv6_is_the_same() -> None:
    assert servers(rendered("nodeport", IPV6), IPV6) == {
        "[fd00:10:96::1]:80/TCP": 2,
        "[fd00::10]:30000/TCP": 2,
    }


MEMBERS: dict[str, list[str]] = {
    "plain": [
        "CLUSTER-IP 10.96.0.1,tcp:80", "IPVS-IPS 10.96.0.1", "LOOP-BACK 10.244.1.2,tcp:8080,10.244.1.2",
    ],
    "elsewhere": [
        "CLUSTER-IP 10.96.0.1,tcp:80", "IPVS-IPS 10.96.0.1", "IPVS-IPS 203.0.113.7",
        "LOAD-BALANCER 203.0.113.7,tcp:80", "LOAD-BALANCER-LOCAL 203.0.113.7,tcp:80",
        "NO-LOCAL 10.96.0.1,tcp:80",
        "NO-LOCAL-EXTERNAL 192.168.1.10,tcp:30000", "NO-LOCAL-EXTERNAL 203.0.113.7,tcp:80",
        "NODE-PORT-LOCAL-TCP 30000", "NODE-PORT-TCP 30000",
    ],
    "guarded": [
        "CLUSTER-IP 10.96.0.1,tcp:80", "HEALTH-CHECK-NODE-PORT 32000", "IPVS-IPS 10.96.0.1", "IPVS-IPS 203.0.113.7",
        "LOAD-BALANCER 203.0.113.7,tcp:80", "LOAD-BALANCER-FW 203.0.113.7,tcp:80",
        "LOAD-BALANCER-LOCAL 203.0.113.7,tcp:80",
        "LOAD-BALANCER-SOURCE-CIDR 203.0.113.7,tcp:80,192.168.1.0/24",
        "LOAD-BALANCER-SOURCE-CIDR 203.0.113.7,tcp:80,203.0.113.128/25",
        "LOAD-BALANCER-SOURCE-IP 203.0.113.7,tcp:80,203.0.113.7",
        "LOOP-BACK 10.244.1.2,tcp:8080,10.244.1.2", "NODE-PORT-LOCAL-TCP 30000", "NODE-PORT-TCP 30000",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", MEMBERS)
def test_the_sets_say_what_the_rules_do(name: str) -> None:
    assert members(rendered(name)) == MEMBERS[name]


def test_an_external_ip_that_the_node_has_is_not_bound_again() -> None:
    own = frozenset(packed(IPV4, "198.51.100.7"))
    assert "IPVS-IPS 198.51.100.7" in members(rendered("empty"))
    assert "IPVS-IPS 198.51.100.7" not in members(rendered("empty", own=own))


def test_affinity_is_persistence() -> None:
    (server,) = rendered("sticky").servers.values()
    assert (server.traits.flags, server.traits.timeout) == (1, 10800)


@pytest.mark.parametrize(
    ("asked", "open_on"),
    [
        ((), {"10.0.0.1", "192.168.1.10"}),
        (("primary",), {"192.168.1.10"}),
        (("10.0.0.0/8", "fd00::/8"), {"10.0.0.1"}),
        (("172.16.0.0/12",), set()),
    ],
    ids=["everywhere", "primary", "networks", "nowhere"],
)
def test_where_node_ports_are_open(asked: tuple[str, ...], open_on: set[str]) -> None:
    own = set(packed(IPV4, "10.0.0.1", "192.168.1.10"))
    found = node_port_addresses(own, packed(IPV4, "192.168.1.10"), asked, IPV4)
    assert {IPV4.text(address) for address in found} == open_on


@pytest.mark.parametrize(
    ("release", "set_to"), [("4.0.9", None), ("5.8.0-1-amd64", 0), ("5.9.0", None), ("6.1.0", None)]
)
def test_reuse_of_client_ports_is_set_where_kernels_were_wrong(release: str, set_to: int | None) -> None:
    assert dict(sysctls_wanted(IpvsOptions(), release)).get("vs/conn_reuse_mode") == set_to
