"""Services, pods and nodes in one line each, and what a cluster does with a plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from fairlead.endpoints.plan import Plan
from fairlead.endpoints.pods import ZONE
from fairlead.objects.core_v1 import (
    Container,
    ContainerPort,
    Node,
    NodeCondition,
    NodeStatus,
    Pod,
    PodCondition,
    PodIP,
    PodSpec,
    PodStatus,
    Service,
    ServicePort,
    ServiceSpec,
)
from fairlead.objects.discovery_v1 import Endpoint, EndpointSlice
from fairlead.objects.meta_v1 import ObjectMeta

WEB = ServicePort(name="http", protocol="TCP", port=80, targetPort=8080)


def service(
    name: str = "web",
    *ports: ServicePort,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> Service:
    """The Service `name` with cluster address and selector, and one port 80 to 8080 unless told otherwise."""
    given: dict[str, Any] = {
        "ports": ports or (WEB,),
        "selector": {"app": name},
        "clusterIP": "10.96.0.100",
        "ipFamilies": ("IPv4",),
        "type": "ClusterIP",
        **spec,
    }
    return Service(
        metadata=ObjectMeta(
            name=name,
            namespace="default",
            uid=f"uid-{name}",
            labels=labels or {},
            annotations=annotations or {},
        ),
        spec=ServiceSpec(**given),
    )


def pod(
    name: str,
    ip: str = "",
    *,
    ready: bool = True,
    node: str = "node1",
    phase: str = "Running",
    deleted: bool = False,
    ports: Iterable[ContainerPort] = (),
    since: str = "2026-11-23T09:00:00Z",
    labels: dict[str, str] | None = None,
    **spec: Any,
) -> Pod:
    """A running pod of the Service `web`; without `ip` it has no address yet. Several, with commas: dual stack."""
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace="default",
            uid=f"uid-{name}",
            labels={"app": "web"} if labels is None else labels,
            deletionTimestamp="2026-11-23T10:00:00Z" if deleted else None,
        ),
        spec=PodSpec(
            nodeName=node,
            containers=(Container(name="main", image="fairlead/echo", ports=tuple(ports)),),
            **spec,
        ),
        status=PodStatus(
            phase=phase,
            podIP=ip.split(",")[0],
            podIPs=tuple(PodIP(ip=each) for each in ip.split(",")) if ip else (),
            conditions=(
                PodCondition(type="Ready", status="True" if ready else "False", lastTransitionTime=since),
            ),
        ),
    )


def nodes(**zones: str) -> dict[str, Node]:
    """Nodes by name, each with its zone; an empty one is none."""
    return {
        name: node(name, zone) for name, zone in (zones or {"node1": "a", "node2": "b", "node3": "a"}).items()
    }


def node(name: str, zone: str, cpu: str = "4", *, ready: bool = True, **labels: str) -> Node:
    """A node of a zone; `labels` as in control_plane="" are roles."""
    roles = {f"node-role.kubernetes.io/{role.replace('_', '-')}": value for role, value in labels.items()}
    return Node(
        metadata=ObjectMeta(name=name, labels=({ZONE: zone} if zone else {}) | roles),
        status=NodeStatus(
            allocatable={"cpu": cpu} if cpu else {},
            conditions=(NodeCondition(type="Ready", status="True" if ready else "False"),),
        ),
    )


class Stored:
    """Slices as an API server keeps them: names given, versions counted."""

    def __init__(self, slices: Iterable[EndpointSlice] = ()) -> None:
        self.slices = {s.metadata.name: s for s in slices}
        self.version = 0

    def apply(self, plan: Plan) -> None:
        for piece in plan.create:
            self.version += 1
            assert piece.metadata.generateName
            assert not piece.metadata.name
            name = f"{piece.metadata.generateName}{self.version:05}"
            meta = replace(piece.metadata, name=name, uid=f"uid-{name}", resourceVersion=str(self.version))
            self.slices[name] = replace(piece, metadata=meta)
        for piece in plan.update:
            self.version += 1
            old = self.slices[piece.metadata.name]
            assert piece.metadata.resourceVersion == old.metadata.resourceVersion
            assert piece.addressType == old.addressType, "the API does not let it change"
            meta = replace(piece.metadata, resourceVersion=str(self.version))
            self.slices[piece.metadata.name] = replace(piece, metadata=meta)
        for piece in plan.delete:
            del self.slices[piece.metadata.name]

    @property
    def all(self) -> list[EndpointSlice]:
        return list(self.slices.values())

    def endpoints(self) -> list[Endpoint]:
        return [endpoint for piece in self.all for endpoint in piece.endpoints]

    def addresses(self) -> list[str]:
        return sorted(address for endpoint in self.endpoints() for address in endpoint.addresses)
