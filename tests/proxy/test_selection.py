"""Which endpoints answer on which address of a Service."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from fairlead.objects.core_v1 import (
    ClientIPConfig,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
    SessionAffinityConfig,
)
from fairlead.objects.discovery_v1 import EndpointConditions, EndpointHints, EndpointPort, ForNode, ForZone
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.proxy import selection as selection_module
from fairlead.proxy.resources import Endpoint, EndpointSlice
from fairlead.proxy.selection import Backing, Node, Verdict, select

NODE = Node("here", (socket.inet_aton("192.168.1.10"),), "east")


def service(*, labels: dict[str, str] | None = None, ports: Any = None, **spec: Any) -> Service:
    return Service(
        metadata=ObjectMeta(name="web", namespace="default", labels=labels or {}),
        spec=ServiceSpec(
            **{"clusterIP": "10.96.0.100", "type": "ClusterIP", **spec},
            ports=ports or (ServicePort(port=80, protocol="TCP"),),
        ),
    )


def at(address: str, node: str | None = "there", **conditions: Any) -> Endpoint:
    return Endpoint(
        addresses=(address,),
        nodeName=node,
        conditions=EndpointConditions(**conditions) if conditions else None,
    )


def pieces(*endpoints: Endpoint, kind: str = "IPv4", **port: Any) -> EndpointSlice:
    offered = EndpointPort(**{"name": "", "port": 8080, "protocol": "TCP", **port})
    return EndpointSlice(addressType=kind, endpoints=endpoints, ports=(offered,))


def shown(backing: Backing) -> list[str] | str:
    if isinstance(backing, Verdict):
        return backing.value
    return sorted(f"{socket.inet_ntoa(t[:4])}:{int.from_bytes(t[4:6], 'big')}" for t in backing)


READY = at("10.244.2.2", ready=True)
DRAINING: dict[str, Any] = {"ready": False, "serving": True, "terminating": True}


@dataclass(frozen=True)
class Case:
    name: str
    slices: tuple[EndpointSlice, ...]
    expected: list[str] | str
    spec: dict[str, Any] = field(default_factory=dict)


CASES = [
    Case("no slices at all", (), "refuse"),
    Case("one ready endpoint", (pieces(READY),), ["10.244.2.2:8080"]),
    Case("ready is true when absent", (pieces(at("10.244.2.2")),), ["10.244.2.2:8080"]),
    Case("not ready", (pieces(at("10.244.2.2", ready=False)),), "refuse"),
    Case(
        "only the first address counts",
        (pieces(Endpoint(addresses=("10.244.2.2", "10.244.2.3"))),),
        ["10.244.2.2:8080"],
    ),
    Case("an endpoint without addresses", (pieces(Endpoint(), READY),), ["10.244.2.2:8080"]),
    Case("an address that is none", (pieces(at("pod-1"), READY),), ["10.244.2.2:8080"]),
    Case("one address in two slices", (pieces(READY), pieces(READY)), ["10.244.2.2:8080"]),
    Case(
        "one address in two slices, a pod that ends and one that does not: it is the latter's",
        (
            pieces(at("10.244.2.2", **DRAINING)),
            pieces(at("10.244.2.2", ready=False), at("10.244.2.3", **DRAINING)),
        ),
        ["10.244.2.3:8080"],
    ),
    Case("names of hosts are ignored", (pieces(at("db.example.com"), kind="FQDN"),), "refuse"),
    Case("the other family is ignored", (pieces(at("fd00::2"), kind="IPv6"),), "refuse"),
    Case("a port of another name", (pieces(READY, name="metrics"),), "refuse"),
    Case("a port of another protocol", (pieces(READY, protocol="UDP"),), "refuse"),
    Case("port 0", (pieces(READY, port=0),), "refuse"),
    Case("port -1", (pieces(READY, port=-1),), "refuse"),
    Case("port 70000", (pieces(READY, port=70000),), "refuse"),
    Case("no port", (pieces(READY, port=None),), "refuse"),
    Case(
        "an invalid port spoils only its own slice",
        (pieces(READY, port=0), pieces(at("10.244.2.3"))),
        ["10.244.2.3:8080"],
    ),
    Case(
        "a terminating endpoint yields to a ready one",
        (pieces(READY, at("10.244.2.3", **DRAINING)),),
        ["10.244.2.2:8080"],
    ),
    Case(
        "a serving, terminating endpoint is better than none",
        (pieces(at("10.244.2.3", **DRAINING), at("10.244.2.4", ready=False)),),
        ["10.244.2.3:8080"],
    ),
    Case(
        "terminating and not serving",
        (pieces(at("10.244.2.3", ready=False, serving=False, terminating=True)),),
        "refuse",
    ),
    Case(
        "internal traffic stays on the node",
        (pieces(READY, at("10.244.1.2", "here")),),
        ["10.244.1.2:8080"],
        {"internalTrafficPolicy": "Local"},
    ),
    Case(
        "it is dropped when only other nodes have endpoints",
        (pieces(READY),),
        "discard",
        {"internalTrafficPolicy": "Local"},
    ),
    Case(
        "it is refused when no node has one",
        (pieces(at("10.244.1.2", "here", ready=False)),),
        "refuse",
        {"internalTrafficPolicy": "Local"},
    ),
    Case(
        "a local one that drains is better than a remote one",
        (pieces(READY, at("10.244.1.2", "here", **DRAINING)),),
        ["10.244.1.2:8080"],
        {"internalTrafficPolicy": "Local"},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_who_answers_on_the_cluster_ip(case: Case) -> None:
    (selection,) = select(service(**case.spec), case.slices, NODE)
    assert shown(selection.internal) == case.expected
    assert selection.cluster_frontends == ((socket.inet_aton("10.96.0.100"), 80),)


@pytest.mark.parametrize(
    "left_alone",
    [
        service(clusterIP="None", clusterIPs=("None",)),
        service(type="ExternalName", clusterIP="", externalName="db.example.com"),
        service(labels={"service.kubernetes.io/service-proxy-name": "other"}),
        service(clusterIP="fd00::1", clusterIPs=("fd00::1",)),
        Service(metadata=ObjectMeta(name="web", namespace="default")),
    ],
    ids=["headless", "ExternalName", "for another proxy", "of the other family", "without a spec"],
)
def test_services_left_alone(left_alone: Service) -> None:
    assert select(left_alone, (pieces(READY),), NODE) == ()


def test_each_port_has_its_own_endpoints() -> None:
    both = service(
        ports=(ServicePort(name="http", port=80), ServicePort(name="dns", port=53, protocol="UDP"))
    )
    http, dns = select(both, (pieces(READY, name="http"),), NODE)
    assert (http.name, shown(http.internal)) == ("default/web:http", ["10.244.2.2:8080"])
    assert (dns.name, dns.protocol, shown(dns.internal)) == ("default/web:dns", 17, "refuse")


def test_addresses_from_outside() -> None:
    balanced = service(
        type="LoadBalancer",
        externalIPs=("198.51.100.7",),
        ports=(ServicePort(port=80, nodePort=30080, protocol="TCP"),),
    )
    status = ServiceStatus(
        loadBalancer=LoadBalancerStatus(
            ingress=(
                LoadBalancerIngress(ip="203.0.113.100", ipMode="VIP"),
                LoadBalancerIngress(ip="203.0.113.101", ipMode="Proxy"),
                LoadBalancerIngress(hostname="lb.example.com"),
            )
        )
    )
    whole = Service(metadata=balanced.metadata, spec=balanced.spec, status=status)
    (selection,) = select(whole, (pieces(READY),), NODE)
    assert [(socket.inet_ntoa(a), port) for a, port in selection.external_frontends] == [
        ("198.51.100.7", 80),
        ("203.0.113.100", 80),
    ]
    assert selection.node_port == 30080
    assert selection.masquerade_external
    assert shown(selection.external) == ["10.244.2.2:8080"]


def test_external_traffic_may_stay_on_the_node() -> None:
    local = service(
        type="NodePort",
        externalTrafficPolicy="Local",
        ports=(ServicePort(port=80, nodePort=30080, protocol="TCP"),),
    )
    (selection,) = select(local, (pieces(READY),), NODE)
    assert (shown(selection.internal), shown(selection.external)) == (["10.244.2.2:8080"], "discard")
    assert not selection.masquerade_external


def test_who_may_meet_itself() -> None:
    """Only pods of this node can reach themselves through this node's kernel; an unknown node may be this one."""
    ends = pieces(READY, at("10.244.1.2", "here"), at("192.0.2.9", None))
    (selection,) = select(service(), (ends,), NODE)
    assert [socket.inet_ntoa(a) for a in selection.local] == ["10.244.1.2", "192.0.2.9"]


def hinted(address: str, zones: str = "", nodes: str = "", **conditions: Any) -> Endpoint:
    hints = EndpointHints(
        forZones=tuple(ForZone(name=zone) for zone in zones.split()),
        forNodes=tuple(ForNode(name=node) for node in nodes.split()),
    )
    return msgspec.structs.replace(at(address, ready=True, **conditions), hints=hints)


HINTS = [
    ("the node's zone", (hinted("10.244.2.2", "east"), hinted("10.244.2.3", "west")), ["10.244.2.2:8080"]),
    ("several zones", (hinted("10.244.2.2", "west east"), hinted("10.244.2.3", "west")), ["10.244.2.2:8080"]),
    (
        "the node before its zone",
        (hinted("10.244.2.2", "east", "there"), hinted("10.244.2.3", "west", "here")),
        ["10.244.2.3:8080"],
    ),
    (
        "the zone where no hint names the node",
        (hinted("10.244.2.2", "east", "there"), hinted("10.244.2.3", "west", "there")),
        ["10.244.2.2:8080"],
    ),
    (
        "all of them where one has no hint",
        (hinted("10.244.2.2", "east"), at("10.244.2.3", ready=True)),
        ["10.244.2.2:8080", "10.244.2.3:8080"],
    ),
    (
        "all of them where no hint fits",
        (hinted("10.244.2.2", "west"), hinted("10.244.2.3", "south")),
        ["10.244.2.2:8080", "10.244.2.3:8080"],
    ),
    (
        "those without a hint do not count unless they are ready",
        (hinted("10.244.2.2", "east"), hinted("10.244.2.3", "west"), at("10.244.2.4", ready=False)),
        ["10.244.2.2:8080"],
    ),
]


@pytest.mark.parametrize(("endpoints", "expected"), [h[1:] for h in HINTS], ids=[h[0] for h in HINTS])
def test_hints_choose(endpoints: tuple[Endpoint, ...], expected: list[str]) -> None:
    (selection,) = select(service(), (pieces(*endpoints),), NODE)
    assert shown(selection.cluster) == expected


def test_hints_do_not_bind_traffic_that_stays_on_the_node() -> None:
    endpoints = (hinted("10.244.1.2", "west"), hinted("10.244.2.3", "east"))
    mine = msgspec.structs.replace(endpoints[0], nodeName="here")
    local = service(type="NodePort", externalTrafficPolicy="Local")
    (selection,) = select(local, (pieces(mine, endpoints[1]),), NODE)
    assert shown(selection.cluster) == ["10.244.2.3:8080"]
    assert shown(selection.external) == ["10.244.1.2:8080"]


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ({}, 0),
        ({"sessionAffinity": "None"}, 0),
        ({"sessionAffinity": "ClientIP"}, 10800),
        (
            {
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": SessionAffinityConfig(clientIP=ClientIPConfig(timeoutSeconds=5)),
            },
            5,
        ),
    ],
)
def test_affinity(spec: dict[str, Any], seconds: int) -> None:
    assert select(service(**spec), (), NODE)[0].affinity == seconds


RANGES = [
    ("none", (), "", []),
    ("spaces around them", (" 203.0.113.0/24",), "", ["203.0.113.0-203.0.113.255"]),
    ("the annotation", (), "10.0.0.0/8, 203.0.113.0/24", ["10.0.0.0-10.255.255.255", "203.0.113.0-203.0.113.255"]),
    ("the field before the annotation", ("10.0.0.0/8",), "203.0.113.0/24", ["10.0.0.0-10.255.255.255"]),
    ("everybody", ("10.0.0.0/8", "0.0.0.0/0"), "", []),
    ("the other family", ("fd00::/8",), "", []),
    ("one in another", ("10.0.0.0/8", "10.1.0.0/16"), "", ["10.0.0.0-10.255.255.255"]),
    ("one next to another", ("10.0.0.0/9", "10.128.0.0/9"), "", ["10.0.0.0-10.255.255.255"]),
    ("the last addresses", ("255.255.255.254/31", "255.255.255.255/32"), "", ["255.255.255.254-255.255.255.255"]),
    (
        "the node may, so the balanced address may",
        ("192.168.1.0/24",),
        "",
        ["192.168.1.0-192.168.1.255", "203.0.113.100-203.0.113.100"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("ranges", "annotation", "expected"), [r[1:] for r in RANGES], ids=[r[0] for r in RANGES]
)
def test_source_ranges(ranges: tuple[str, ...], annotation: str, expected: list[str]) -> None:
    balanced = service(type="LoadBalancer", loadBalancerSourceRanges=ranges, externalIPs=("198.51.100.7",))
    annotations = {"service.beta.kubernetes.io/load-balancer-source-ranges": annotation} if annotation else {}
    status = ServiceStatus(
        loadBalancer=LoadBalancerStatus(ingress=(LoadBalancerIngress(ip="203.0.113.100"),))
    )
    whole = Service(
        metadata=msgspec.structs.replace(balanced.metadata, annotations=annotations),
        spec=balanced.spec,
        status=status,
    )
    (selection,) = select(whole, (), NODE)
    assert [f"{socket.inet_ntoa(a)}-{socket.inet_ntoa(b)}" for a, b in selection.sources] == expected
    assert selection.guarded == (((socket.inet_aton("203.0.113.100"), 80),) if expected else ())


def test_endpoints_beyond_the_limit_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection_module, "MOST_TARGETS", 2)
    (selection,) = select(service(), (pieces(READY, at("10.244.2.3"), at("10.244.2.4")),), NODE)
    assert (shown(selection.cluster), selection.skipped) == (["10.244.2.2:8080", "10.244.2.3:8080"], 1)


def test_connections_of_datagrams_stay_with_endpoints_that_drain() -> None:
    dns = service(ports=(ServicePort(port=53, protocol="UDP"),))
    (selection,) = select(dns, (pieces(READY, at("10.244.2.3", **DRAINING), protocol="UDP"),), NODE)
    assert shown(selection.serving) == ["10.244.2.2:8080", "10.244.2.3:8080"]
    assert shown(selection.cluster) == ["10.244.2.2:8080"]
