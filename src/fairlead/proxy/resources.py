"""The collections that the proxy follows, decoded to no more than it reads."""

from __future__ import annotations

from msgspec import field

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


SERVICES: Resource[core_v1.Service] = resources.SERVICES
NODES: Resource[core_v1.Node] = resources.NODES
_SLICES = resources.ENDPOINTSLICES
ENDPOINTSLICES = Resource(_SLICES.group, _SLICES.version, _SLICES.plural, _SLICES.kind, EndpointSlice)


def service_of(piece: EndpointSlice) -> str:
    """The key of the Service that the slice belongs to, or "" when it says none."""
    name = piece.metadata.labels.get(SERVICE_NAME, "")
    return f"{piece.metadata.namespace}/{name}" if name else ""
