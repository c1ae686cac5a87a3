"""The records that one Service owns."""

from __future__ import annotations

import pytest
import yaml

from fairlead.dns.records import is_name, records, reverse_name
from fairlead.dns.source import EndpointSlice, Service, read
from fairlead.objects import core_v1, discovery_v1
from fairlead.objects.meta_v1 import ObjectMeta

SLICE = """
addressType: IPv4
endpoints:
- {addresses: [10.244.1.2], hostname: web-0, conditions: {ready: true}}
- {addresses: [10.244.2.3], conditions: {ready: false, serving: true, terminating: true}}
ports: [{name: http, port: 8080, protocol: TCP}, {name: "", port: 9090, protocol: TCP}]
"""

CASES = {
    "ClusterIP": (
        "{clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}",
        """
        web.default.svc.cluster.local. 30 IN A 10.96.0.1
        1.0.96.10.in-addr.arpa. 30 IN PTR web.default.svc.cluster.local.
        _http._tcp.web.default.svc.cluster.local. 30 IN SRV 0 100 80 web.default.svc.cluster.local.
        web.default.svc.cluster.local. 30 IN SRV 0 100 80 web.default.svc.cluster.local.
        web-0.web.default.svc.cluster.local. 30 IN A 10.244.1.2
        2.1.244.10.in-addr.arpa. 30 IN PTR web-0.web.default.svc.cluster.local.
        web-0.web.default.svc.cluster.local. 30 IN SRV 0 100 8080 web-0.web.default.svc.cluster.local.
        """,
    ),
    "headless": (
        "{clusterIP: None, ports: [{name: http, port: 80}]}",
        """
        web-0.web.default.svc.cluster.local. 30 IN A 10.244.1.2
        2.1.244.10.in-addr.arpa. 30 IN PTR web-0.web.default.svc.cluster.local.
        web.default.svc.cluster.local. 30 IN A 10.244.1.2
        web-0.web.default.svc.cluster.local. 30 IN SRV 0 100 8080 web-0.web.default.svc.cluster.local.
        _http._tcp.web.default.svc.cluster.local. 30 IN SRV 0 100 8080 web-0.web.default.svc.cluster.local.
        web.default.svc.cluster.local. 30 IN SRV 0 100 8080 web-0.web.default.svc.cluster.local.
        """,
    ),
    "ExternalName": (
        "{type: ExternalName, externalName: DB.example.com.}",
        "web.default.svc.cluster.local. 30 IN CNAME db.example.com.",
    ),
    "ExternalName that is no name": ("{type: ExternalName, externalName: not..a.name}", ""),
    "no address yet": ("{ports: [{name: http, port: 80}]}", None),
}


@pytest.mark.parametrize(("spec", "expected"), CASES.values(), ids=CASES.keys())
def test_a_service_owns(spec: str, expected: str | None) -> None:
    service = read(
        Service, {"metadata": {"name": "web", "namespace": "default"}, "spec": yaml.safe_load(spec)}
    )
    piece = read(EndpointSlice, yaml.safe_load(SLICE))
    found = [str(record) for record in records(service, [piece])]
    if expected is None:
        assert not any(record.startswith(("web.default", "_")) for record in found)
    else:
        assert found == [line.strip() for line in expected.strip().splitlines()]


def test_the_full_objects_of_the_api_are_read_too() -> None:
    service = core_v1.Service(
        metadata=ObjectMeta(name="web", namespace="default"),
        spec=core_v1.ServiceSpec(clusterIP="None", ports=(core_v1.ServicePort(name="http", port=80),)),
    )
    piece = discovery_v1.EndpointSlice(
        addressType="IPv4",
        endpoints=(discovery_v1.Endpoint(addresses=("10.244.1.2",)),),
        ports=(discovery_v1.EndpointPort(name="http", port=80, protocol="UDP"),),
    )
    found = {str(r) for r in records(read(Service, service), [read(EndpointSlice, piece)], "example.org", 5)}
    assert "web.default.svc.example.org. 5 IN A 10.244.1.2" in found
    assert (
        "_http._udp.web.default.svc.example.org. 5 IN SRV 0 100 80 10-244-1-2.web.default.svc.example.org."
        in found
    )


def test_the_weights_of_many_endpoints_are_never_zero() -> None:
    service = read(Service, {"metadata": {"name": "web", "namespace": "d"}, "spec": {"clusterIP": "None"}})
    endpoints = [{"addresses": [f"10.244.{i >> 8}.{i & 255}"]} for i in range(300)]
    piece = read(EndpointSlice, {"endpoints": endpoints, "ports": [{"name": "p", "port": 1}]})
    weights = {r.data.weight for r in records(service, [piece]) if r.name.startswith("_p.")}  # type: ignore[union-attr]
    assert weights == {1}


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("db.example.com", True),
        ("_dmarc.example.com", True),
        ("", False),
        ("a..b", False),
        (".", False),
        ("a b.example.com", False),
        ("x" * 64, False),
        ("x" * 63, True),
        (".".join(["x" * 60] * 5), False),
        ("-a.example.com", False),
    ],
)
def test_names(text: str, good: bool) -> None:
    assert is_name(text) is good


def test_reverse_names() -> None:
    assert reverse_name(bytes([10, 96, 0, 1])) == "1.0.96.10.in-addr.arpa"
    assert reverse_name(bytes(15) + b"\x2a") == "a.2." + "0." * 30 + "ip6.arpa"
