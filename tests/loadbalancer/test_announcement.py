"""Which node announces which address: a table of Services and nodes, and what holds for every election."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.loadbalancer.announcement import EXCLUDED, addresses, announcer, carriers, shared
from fairlead.loadbalancer.pools import Address, parse_address
from fairlead.loadbalancer.requests import CLASS
from fairlead.loadbalancer.roster import Roster
from fairlead.objects.core_v1 import (
    LoadBalancerIngress,
    LoadBalancerStatus,
    Node,
    NodeCondition,
    NodeStatus,
    Service,
    ServiceSpec,
    ServiceStatus,
)
from fairlead.objects.discovery_v1 import Endpoint, EndpointConditions, EndpointSlice
from fairlead.objects.meta_v1 import ObjectMeta


def node(*, ready: str = "True", labels: dict[str, str] | None = None, going: bool = False) -> Node:
    gone = "2026-01-01T00:00:00Z" if going else None
    return Node(
        metadata=ObjectMeta(labels=labels or {}, deletionTimestamp=gone),
        status=NodeStatus(conditions=(NodeCondition(type="Ready", status=ready),)),
    )


def service(*ips: str, mode: str = "VIP", **spec: Any) -> Service:
    ingress = tuple(LoadBalancerIngress(ip=ip, ipMode=mode) for ip in ips)
    return Service(
        metadata=ObjectMeta(name="web", namespace="default"),
        spec=ServiceSpec(**{"type": "LoadBalancer", **spec}),
        status=ServiceStatus(loadBalancer=LoadBalancerStatus(ingress=ingress)),
    )


def endpoints(**ready: bool | None) -> list[EndpointSlice]:
    """A slice for each node, with one endpoint there."""
    return [
        EndpointSlice(endpoints=(Endpoint(nodeName=name, conditions=EndpointConditions(ready=is_ready)),))
        for name, is_ready in ready.items()
    ]


CLUSTER, LOCAL = service("203.0.113.1"), service("203.0.113.1", externalTrafficPolicy="Local")

CARRIERS: dict[str, tuple[Service, list[EndpointSlice], dict[str, Node], set[str]]] = {
    "all under Cluster, with endpoints or without": (CLUSTER, [], {"a": node(), "b": node()}, {"a", "b"}),
    "those with a ready endpoint under Local": (
        LOCAL,
        endpoints(a=True, b=False),
        {"a": node(), "b": node()},
        {"a"},
    ),
    "one whose readiness is unknown": (LOCAL, endpoints(a=None), {"a": node(), "b": node()}, {"a"}),
    "nobody without endpoints under Local": (LOCAL, [], {"a": node()}, set()),
    "not one that is excluded": (CLUSTER, [], {"a": node(labels={EXCLUDED: ""}), "b": node()}, {"b"}),
    "not one on its way out": (CLUSTER, [], {"a": node(going=True), "b": node()}, {"b"}),
    "not one that is not Ready": (CLUSTER, [], {"a": node(ready="Unknown"), "b": node()}, {"b"}),
    "all when none is Ready": (
        CLUSTER,
        [],
        {"a": node(ready="Unknown"), "b": node(ready="False")},
        {"a", "b"},
    ),
    "not an excluded one even then": (
        CLUSTER,
        [],
        {"a": node(ready="Unknown"), "b": node(labels={EXCLUDED: ""})},
        {"a"},
    ),
    "the other, if the one with the endpoint is unknown": (LOCAL, endpoints(c=True), {"a": node()}, set()),
}


@pytest.mark.parametrize(("of", "slices", "nodes", "expected"), CARRIERS.values(), ids=CARRIERS)
def test_traffic_may_come_to(
    of: Service, slices: list[EndpointSlice], nodes: dict[str, Node], expected: set[str]
) -> None:
    assert carriers(of, slices, nodes) == expected


ADDRESSES: dict[str, tuple[Service, bool, tuple[str, ...]]] = {
    "both families": (service("203.0.113.1", "2001:db8::1"), True, ("203.0.113.1", "2001:db8::1")),
    "one of a proxy's": (service("203.0.113.1", mode="Proxy"), True, ()),
    "one of another class's": (service("203.0.113.1", loadBalancerClass="example.com/other"), True, ()),
    "one of our class": (service("203.0.113.1", loadBalancerClass=CLASS), False, ("203.0.113.1",)),
    "one without a class, when we are not the default": (service("203.0.113.1"), False, ()),
    "one that is no load balancer any more": (service("203.0.113.1", type="ClusterIP"), True, ()),
    "a name": (Service(status=ServiceStatus(), spec=ServiceSpec(type="LoadBalancer")), True, ()),
}


@pytest.mark.parametrize(("of", "default", "expected"), ADDRESSES.values(), ids=ADDRESSES)
def test_addresses_announced_for(of: Service, default: bool, expected: tuple[str, ...]) -> None:
    assert tuple(map(str, addresses(of, default=default))) == expected


def test_an_address_that_is_shared_goes_where_all_its_services_are_served() -> None:
    assert shared([frozenset("ab"), frozenset("bc")]) == {"b"}
    assert shared([frozenset("a"), frozenset("b")]) == {"a", "b"}
    assert shared([frozenset("a"), frozenset()]) == {"a"}
    assert shared([]) == set()


ips = st.builds(Address, st.just(4), st.integers(0, 2**32 - 1)) | st.builds(
    Address, st.just(6), st.integers(0, 2**128 - 1)
)
names = st.sets(st.sampled_from([f"node{i}" for i in range(12)]), min_size=2)


@given(ips, names)
def test_one_of_the_candidates_announces_whatever_their_order(address: Address, nodes: set[str]) -> None:
    elected = announcer(address, nodes)
    assert elected in nodes
    assert announcer(address, sorted(nodes)) == announcer(address, sorted(nodes, reverse=True)) == elected


@given(st.sets(ips, max_size=40), names, st.data())
def test_a_nodes_death_moves_its_addresses_only(
    found: set[Address], nodes: set[str], data: st.DataObject
) -> None:
    dead = data.draw(st.sampled_from(sorted(nodes)))
    for address in found:
        before, after = announcer(address, nodes), announcer(address, nodes - {dead})
        assert after != dead
        assert before in (dead, after)


def test_addresses_spread_over_the_nodes() -> None:
    elected = [announcer(Address(4, 0xCB007100 + i), ["node1", "node2", "node3"]) for i in range(256)]
    assert all(elected.count(name) > 256 / 6 for name in ("node1", "node2", "node3"))


@given(
    st.lists(
        st.tuples(
            st.sampled_from("xyz"),
            st.lists(st.sampled_from([Address(4, 1), Address(4, 2), Address(6, 1)]), max_size=2, unique=True),
            st.frozensets(st.sampled_from("abc")),
        )
    ),
    st.frozensets(st.sampled_from("abc")),
)
def test_the_roster_is_what_its_services_say(
    changes: list[tuple[str, list[Address], frozenset[str]]], alive: frozenset[str]
) -> None:
    """Whatever came before, and whoever is not named as changed has stayed as it was."""
    roster, latest = Roster(), {}
    for key, found, able in changes:
        before = {
            address: (roster.carriers(address), roster.services(address)) for address in roster.addresses
        }
        told = roster.put(key, tuple(found), able)
        latest[key] = (found, able)
        holders: dict[Address, set[str]] = {}
        for name, (having, _) in latest.items():
            for address in having:
                holders.setdefault(address, set()).add(name)
        assert set(roster.addresses) == holders.keys()
        for address, keys in holders.items():
            assert roster.services(address) == keys
            assert roster.carriers(address) == shared(latest[name][1] for name in keys)
            elected = roster.elected(address, alive)
            assert elected in roster.carriers(address) & alive or (
                not elected and not roster.carriers(address) & alive
            )
            if address not in told:
                assert before[address] == (roster.carriers(address), frozenset(keys))
        for name in "abc":
            assert set(roster.announced_by(name)) == {a for a in holders if name in roster.carriers(a)}


def test_addresses_are_read_from_the_status() -> None:
    assert addresses(CLUSTER, default=True) == (parse_address("203.0.113.1"),)
