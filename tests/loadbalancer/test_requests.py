"""What a Service asks for, as a table."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fairlead.loadbalancer.requests import ADDRESSES, CLASS, POOL, SHARING, is_ours, request_of
from fairlead.objects.core_v1 import (
    LoadBalancerIngress,
    LoadBalancerStatus,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
)
from fairlead.objects.meta_v1 import ObjectMeta


def service(annotations: dict[str, str] | None = None, *held: str, **spec: Any) -> Service:
    return Service(
        metadata=ObjectMeta(name="web", namespace="default", annotations=annotations or {}),
        spec=ServiceSpec(**{"type": "LoadBalancer", "ipFamilies": ("IPv4",), **spec}),
        status=ServiceStatus(
            loadBalancer=LoadBalancerStatus(ingress=tuple(LoadBalancerIngress(ip=ip) for ip in held))
        ),
    )


CASES: dict[str, tuple[Service, dict[str, Any]]] = {
    "nothing": (service(), {"versions": (4,), "wanted": [], "pool": "", "sharing": "", "all_versions": True}),
    "spec.loadBalancerIP": (service(loadBalancerIP="192.0.2.1"), {"wanted": ["192.0.2.1"]}),
    "by annotation": (service({ADDRESSES: "192.0.2.1"}), {"wanted": ["192.0.2.1"]}),
    "by MetalLB's": (service({"metallb.io/loadBalancerIPs": "192.0.2.1"}), {"wanted": ["192.0.2.1"]}),
    "by MetalLB's old one": (
        service({"metallb.universe.tf/loadBalancerIPs": " 192.0.2.1 "}),
        {"wanted": ["192.0.2.1"]},
    ),
    "under two names, the same": (
        service({ADDRESSES: "192.0.2.1", "metallb.io/loadBalancerIPs": "192.0.2.1"}),
        {"wanted": ["192.0.2.1"]},
    ),
    "one a family": (
        service({ADDRESSES: "192.0.2.1, 2001:db8::1"}, ipFamilies=("IPv6", "IPv4")),
        {"wanted": ["192.0.2.1", "2001:db8::1"], "versions": (6, 4)},
    ),
    "a pool": (service({POOL: "gold"}), {"pool": "gold"}),
    "a pool by MetalLB's": (service({"metallb.io/address-pool": "gold"}), {"pool": "gold"}),
    "a pool by MetalLB's old one": (service({"metallb.universe.tf/address-pool": "gold"}), {"pool": "gold"}),
    "a key": (service({SHARING: "k"}), {"sharing": "k"}),
    "a key by MetalLB's": (service({"metallb.io/allow-shared-ip": "k"}), {"sharing": "k"}),
    "a key by MetalLB's old one": (service({"metallb.universe.tf/allow-shared-ip": "k"}), {"sharing": "k"}),
    "both families, if they are to be had": (
        service(ipFamilies=("IPv4", "IPv6"), ipFamilyPolicy="PreferDualStack"),
        {"versions": (4, 6), "all_versions": False},
    ),
    "both families": (
        service(ipFamilies=("IPv4", "IPv6"), ipFamilyPolicy="RequireDualStack"),
        {"versions": (4, 6), "all_versions": True},
    ),
    "what it has": (service({}, "192.0.2.1", "2001:db8::1"), {"held": ["192.0.2.1", "2001:db8::1"]}),
    "ports": (
        service(ports=(ServicePort(port=53, protocol="UDP"), ServicePort(port=53))),
        {"ports": frozenset({("UDP", 53), ("TCP", 53)})},
    ),
    "its pods matter under Local": (
        service(externalTrafficPolicy="Local", selector={"b": "2", "a": "1"}),
        {"backend": "a=1,b=2"},
    ),
    "its pods do not matter under Cluster": (
        service(externalTrafficPolicy="Cluster", selector={"a": "1"}),
        {"backend": ""},
    ),
}


@pytest.mark.parametrize(("of", "expected"), CASES.values(), ids=CASES)
def test_a_service_asks_for(of: Service, expected: dict[str, Any]) -> None:
    found = request_of(of, {})
    shown = {name: getattr(found, name) for name in expected}
    for name in ("wanted", "held"):
        if name in shown:
            shown[name] = [str(address) for address in shown[name]]
    assert shown == expected


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (service({ADDRESSES: "192.0.2.1"}, loadBalancerIP="192.0.2.1"), "both spec.loadBalancerIP and the"),
        (service(loadBalancerIP="web"), "spec.loadBalancerIP: 'web' is not an IP address"),
        (
            service({"metallb.io/loadBalancerIPs": "192.0.2.1,x"}),
            "the annotation metallb.io/loadBalancerIPs: 'x' is not an IP address",
        ),
        (service({ADDRESSES: "192.0.2.1,192.0.2.2"}), "more than one address of a family"),
        (service(loadBalancerIP="2001:db8::1"), "2001:db8::1 is IPv6, which is not in spec.ipFamilies"),
        (
            service({POOL: "a", "metallb.io/address-pool": "b"}),
            "the annotations fairlead.dev/address-pool and metallb.io/address-pool differ: keep one of them",
        ),
    ],
)
def test_what_cannot_be_understood(of: Service, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        request_of(of, {})


@pytest.mark.parametrize(
    ("spec", "default", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"loadBalancerClass": CLASS}, True, True),
        ({"loadBalancerClass": CLASS}, False, True),
        ({"loadBalancerClass": "example.com/other"}, True, False),
        ({"type": "NodePort"}, True, False),
        ({"type": "ClusterIP", "loadBalancerClass": CLASS}, True, False),
    ],
)
def test_whose_it_is(spec: dict[str, Any], default: bool, expected: bool) -> None:
    assert is_ours(service(**spec), default=default) is expected


def test_another_name_of_the_class() -> None:
    named = service(loadBalancerClass="example.com/lb")
    assert is_ours(named, default=False, name="example.com/lb")
    assert not is_ours(service(loadBalancerClass=CLASS), default=True, name="example.com/lb")
