"""A few Services that need every kind of rule, in both families."""

from __future__ import annotations

from collections.abc import Iterator

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
from fairlead.objects.discovery_v1 import EndpointConditions, EndpointPort
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.proxy.family import IPV4, IPV6, Family
from fairlead.proxy.ledger import Ledger
from fairlead.proxy.resources import SERVICE_NAME, Endpoint, EndpointSlice
from fairlead.proxy.selection import Node

PODS = {IPV4: "10.244.0.0/16", IPV6: "fd00:10:244::/48"}
NODE = {IPV4: "192.168.1.10", IPV6: "fd00::10"}
LOAD_BALANCER = {IPV4: "203.0.113.7", IPV6: "2001:db8::7"}
EXTERNAL = {IPV4: "198.51.100.7", IPV6: "2001:db8:1::7"}
RANGES = {IPV4: ("192.168.1.0/24", "203.0.113.128/25"), IPV6: ("fd00::/64", "2001:db8:2::/48")}

ALL: dict[str, dict[str, object]] = {
    "plain": {},
    "sticky": {"sessionAffinity": "ClientIP", "pods": "abc"},
    "empty": {"pods": "", "type": "NodePort", "externalIPs": True},
    "nodeport": {"type": "NodePort"},
    "local": {"type": "NodePort", "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local"},
    "elsewhere": {
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "internalTrafficPolicy": "Local",
        "pods": "x",
    },
    "balanced": {"type": "LoadBalancer", "externalIPs": True},
    "guarded": {
        "type": "LoadBalancer",
        "loadBalancerSourceRanges": True,
        "externalTrafficPolicy": "Local",
        "healthCheckNodePort": 32000,
    },
    "sctp": {"protocol": "SCTP"},
    "udp": {"protocol": "UDP", "type": "NodePort"},
}  # fmt: skip
"""What each Service has beside its name, address and one port; `pods` are its endpoints, x is on another node."""


def ledger(family: Family = IPV4, services: dict[str, dict[str, object]] = ALL) -> Ledger:
    """A node's ledger that knows these Services."""
    address = family.pack(NODE[family])
    assert address is not None
    made = Ledger(Node("here", (address,)), family)
    for number, (name, traits) in enumerate(services.items()):
        made.service_changed(f"default/{name}", service(name, number, family, **traits))
        made.slice_changed(f"default/{name}", None, piece(name, family, **traits))
    return made


def service(name: str, number: int, family: Family, **traits: object) -> Service:
    """A Service; what is True becomes this family's addresses."""
    spec = {key: value for key, value in traits.items() if key not in ("pods", "protocol")}
    if spec.get("externalIPs"):
        spec["externalIPs"] = (EXTERNAL[family],)
    if spec.get("loadBalancerSourceRanges"):
        spec["loadBalancerSourceRanges"] = RANGES[family]
    if spec.get("sessionAffinity"):
        spec["sessionAffinityConfig"] = SessionAffinityConfig(clientIP=ClientIPConfig(timeoutSeconds=10800))
    address = f"10.96.0.{number + 1}" if family is IPV4 else f"fd00:10:96::{number + 1}"
    protocol = str(traits.get("protocol", "TCP"))
    port = ServicePort(
        name="web", port=80 + number, protocol=protocol, nodePort=30000 + number if spec.get("type") else 0
    )
    status = ServiceStatus(
        loadBalancer=LoadBalancerStatus(ingress=(LoadBalancerIngress(ip=LOAD_BALANCER[family]),))
    )
    return Service(
        metadata=ObjectMeta(name=name, namespace="default"),
        spec=ServiceSpec(clusterIP=address, clusterIPs=(address,), ports=(port,), **spec),  # type: ignore[arg-type]
        status=status if spec.get("type") == "LoadBalancer" else ServiceStatus(),
    )


def piece(name: str, family: Family, **traits: object) -> EndpointSlice:
    """Its slice. Pods a to w are on this node."""
    return EndpointSlice(
        metadata=ObjectMeta(name=name, namespace="default", labels={SERVICE_NAME: name}),
        addressType=family.address_type,
        endpoints=tuple(_endpoints(str(traits.get("pods", "ax")), family)),
        ports=(EndpointPort(name="web", port=8080, protocol=str(traits.get("protocol", "TCP"))),),
    )


def _endpoints(pods: str, family: Family) -> Iterator[Endpoint]:
    for pod in pods:
        number = ord(pod) - ord("a") + 2
        yield Endpoint(
            addresses=(
                f"10.244.{number // 250 + 1}.{number % 250}"
                if family is IPV4
                else f"fd00:10:244:1::{number}",
            ),
            nodeName="there" if pod >= "x" else "here",
            conditions=EndpointConditions(ready=True),
        )
