"""Where the lab's cloud leads the addresses of load balancers: a table of Services, nodes and answers."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.lab.cloud import EXCLUDED, HEALTHZ_PORT, leads, wanted
from fairlead.objects.core_v1 import (
    LoadBalancerIngress,
    LoadBalancerStatus,
    Node,
    NodeAddress,
    NodeStatus,
    Service,
    ServiceSpec,
    ServiceStatus,
)
from fairlead.objects.meta_v1 import ObjectMeta


def node(number: int, *, ip: str = "", labels: dict[str, str] | None = None, going: bool = False) -> Node:
    return Node(
        metadata=ObjectMeta(
            name=f"node{number}",
            labels=labels or {},
            deletionTimestamp="2026-01-01T00:00:00Z" if going else None,
        ),
        status=NodeStatus(
            addresses=(NodeAddress(type="InternalIP", address=ip or f"192.168.1.{9 + number}"),)
        ),
    )


def service(*ips: str, mode: str | None = "VIP", **spec: Any) -> Service:
    ingress = tuple(LoadBalancerIngress(ip=ip, ipMode=mode) for ip in ips)
    return Service(
        metadata=ObjectMeta(name="web", namespace="default"),
        spec=ServiceSpec(**{"type": "LoadBalancer", **spec}),
        status=ServiceStatus(loadBalancer=LoadBalancerStatus(ingress=ingress)),
    )


NODES = [node(1), node(2)]
LOCAL: dict[str, Any] = {"externalTrafficPolicy": "Local", "healthCheckNodePort": 31000}
A, B = "192.168.1.10", "192.168.1.11"

CASES: dict[str, tuple[Service, list[Node], set[tuple[str, int]], dict[str, tuple[str, ...]]]] = {
    "all nodes": (
        service("203.0.113.1"),
        NODES,
        {(A, HEALTHZ_PORT), (B, HEALTHZ_PORT)},
        {"203.0.113.1": (A, B)},
    ),
    "one is not well": (service("203.0.113.1"), NODES, {(B, HEALTHZ_PORT)}, {"203.0.113.1": (B,)}),
    "nobody is": (service("203.0.113.1"), NODES, set(), {"203.0.113.1": ()}),
    "by the Service's own health check": (
        service("203.0.113.1", **LOCAL),
        NODES,
        {(A, HEALTHZ_PORT), (B, 31000)},
        {"203.0.113.1": (B,)},
    ),
    "a node that is excluded": (
        service("203.0.113.1"),
        [node(1, labels={EXCLUDED: ""}), node(2)],
        {(A, HEALTHZ_PORT), (B, HEALTHZ_PORT)},
        {"203.0.113.1": (B,)},
    ),
    "a node on its way out": (
        service("203.0.113.1"),
        [node(1, going=True), node(2)],
        {(A, HEALTHZ_PORT), (B, HEALTHZ_PORT)},
        {"203.0.113.1": (B,)},
    ),
    "a node without an address of the family": (
        service("203.0.113.1"),
        [node(1, ip="fd00::1"), node(2)],
        {(B, HEALTHZ_PORT)},
        {"203.0.113.1": (B,)},
    ),
    "an address of each family": (
        service("203.0.113.1", "2001:db8::1"),
        NODES,
        {(A, HEALTHZ_PORT)},
        {"203.0.113.1": (A,), "2001:db8::1": ()},
    ),
    "an address of each family, nodes of both": (
        service("203.0.113.1", "2001:db8::1"),
        [node(1), node(2, ip="fd00::2")],
        {(A, HEALTHZ_PORT), ("fd00::2", HEALTHZ_PORT)},
        {"203.0.113.1": (A,), "2001:db8::1": ("fd00::2",)},
    ),
    "a proxy of somebody else's": (service("203.0.113.1", mode="Proxy"), NODES, {(A, HEALTHZ_PORT)}, {}),
    "no load balancer any more": (service("203.0.113.1", type="ClusterIP"), NODES, {(A, HEALTHZ_PORT)}, {}),
    "no address yet": (service(), NODES, {(A, HEALTHZ_PORT)}, {}),
}


@pytest.mark.parametrize(("of", "nodes", "well", "expected"), CASES.values(), ids=CASES)
def test_an_address_leads_to(
    of: Service, nodes: list[Node], well: set[tuple[str, int]], expected: dict[str, tuple[str, ...]]
) -> None:
    found = leads(wanted([of], nodes), dict.fromkeys(well, True))
    assert {address: lead.nodes for address, lead in found.items()} == expected
