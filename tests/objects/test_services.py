"""Services: what is filled in, and what is refused, by the field, reason, message that users see."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fairlead.objects.core_v1 import Service
from fairlead.objects.rules import rules_for

RULES = rules_for(Service)
PORT = {"port": 80}


def service(meta: dict[str, Any] | None = None, **spec: Any) -> Service:
    """A Service as the API server validates it: defaulted, and with an address."""
    metadata = {"name": "web", "namespace": "default", "resourceVersion": "1"} | (meta or {})
    given = {"ports": [PORT]} | spec
    if given.get("type") != "ExternalName":
        given = {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"]} | given
    return RULES.default(msgspec.convert({"metadata": metadata, "spec": given}, Service))


def said(new: Service, old: Service | None = None) -> list[str]:
    return [str(error) for error in RULES.validate(new, old)]


def test_defaults_of_a_plain_service() -> None:
    spec = service().spec
    assert (spec.type, spec.sessionAffinity, spec.internalTrafficPolicy) == ("ClusterIP", "None", "Cluster")
    assert (spec.ports[0].protocol, spec.ports[0].targetPort) == ("TCP", 80)
    assert spec.externalTrafficPolicy == ""


def test_defaults_of_what_is_reached_from_outside() -> None:
    assert service(type="LoadBalancer").spec.allocateLoadBalancerNodePorts is True
    assert service(externalIPs=["198.51.100.1"]).spec.externalTrafficPolicy == "Cluster"
    config = service(sessionAffinity="ClientIP").spec.sessionAffinityConfig
    assert config is not None
    assert config.clientIP is not None
    assert config.clientIP.timeoutSeconds == 10800


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"type": "NodePort"}, []),
        ({"type": "ExternalName", "externalName": "db.example.com.", "ports": []}, []),
        ({"clusterIP": "None", "clusterIPs": ["None"], "ports": []}, []),
        ({"ports": []}, ["spec.ports: Required value"]),
        (
            {"type": "Cluster"},
            [
                'spec.type: Unsupported value: "Cluster": supported values: '
                '"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'
            ],
        ),
        ({"type": "ExternalName", "ports": []}, ["spec.externalName: Required value"]),
        (
            {"ports": [{"port": 70000}]},
            [
                "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
                "spec.ports[0].targetPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            {"ports": [{"port": 80}, {"port": 81}]},
            ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        ),
        (
            {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]},
            ['spec.ports[1].name: Duplicate value: "a"'],
        ),
        (
            {"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]},
            ['spec.ports[1]: Duplicate value: {"port":80,"protocol":"TCP"}'],
        ),
        (
            {"ports": [{"port": 80, "protocol": "ICMP"}]},
            ['spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"'],
        ),
        (
            {"ports": [{"port": 80, "nodePort": 30080}]},
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        (
            {"type": "NodePort", "clusterIP": "None", "clusterIPs": ["None"]},
            ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
        ),
        (
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 90000}}},
            [
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 90000: "
                "must be greater than 0 and less than 86400"
            ],
        ),
        (
            {"externalTrafficPolicy": "Local"},
            [
                'spec.externalTrafficPolicy: Invalid value: "Local": '
                "may only be set for externally-accessible services"
            ],
        ),
        (
            {"externalIPs": ["127.0.0.1"]},
            [
                'spec.externalIPs[0]: Invalid value: "127.0.0.1": '
                "may not be in the loopback range (127.0.0.0/8, ::1/128)"
            ],
        ),
        (
            {"externalIPs": ["010.1.2.3"]},
            ['spec.externalIPs[0]: Invalid value: "010.1.2.3": must not have leading 0s'],
        ),
        (
            {"type": "LoadBalancer", "loadBalancerSourceRanges": [" 10.0.0.0/8 ", "10.0.0.1/8"]},
            [
                'spec.LoadBalancerSourceRanges[1]: Invalid value: "10.0.0.1/8": '
                "must not have bits set beyond the prefix length"
            ],
        ),
        (
            {"trafficDistribution": "Nearby"},
            [
                'spec.trafficDistribution: Unsupported value: "Nearby": '
                'supported values: "PreferClose", "PreferSameNode", "PreferSameZone"'
            ],
        ),
        (
            {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"], "ipFamilies": ["IPv6"]},
            [
                'spec.clusterIPs[0]: Invalid value: "10.96.0.9": '
                "expected an IPv6 value as indicated by `ipFamilies[0]`"
            ],
        ),
    ],
)
def test_what_is_said_of_a_spec(spec: dict[str, Any], expected: list[str]) -> None:
    assert said(service(**spec)) == expected


@pytest.mark.parametrize(
    ("name", "good"),
    [("web", True), ("1web", True), ("a" * 63, True), ("Web", False), ("we.b", False), ("a" * 64, False)],
)
def test_names(name: str, good: bool) -> None:
    assert (not said(service({"name": name}))) is good


def test_a_change_of_address_is_refused() -> None:
    old = service()
    new = service(clusterIP="10.96.0.10", clusterIPs=["10.96.0.10"])
    assert said(new, old) == ['spec.clusterIPs[0]: Invalid value: ["10.96.0.10"]: may not change once set']
    assert said(service(type="ExternalName", externalName="a.b", ports=[]), old) == []


def test_an_address_in_an_old_form_may_stay() -> None:
    old = service(externalIPs=["010.1.2.3"])
    assert said(service(externalIPs=["010.1.2.3"]), old) == []


def test_what_the_system_sets_may_not_change() -> None:
    new = service({"uid": "b"})
    assert said(new, service({"uid": "a"})) == ['metadata.uid: Invalid value: "b": field is immutable']
