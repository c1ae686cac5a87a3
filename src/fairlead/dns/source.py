"""What the DNS reads of the API's objects: the few fields that records come from.

Unknown fields are skipped while decoding, so a cluster of many endpoints costs a fraction of its full objects' memory.
`read` makes these types from the full ones of `fairlead.objects`.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from fairlead.objects import resources
from fairlead.objects.resources import Resource
from fairlead.objects.scalars import Object

SERVICE_NAME_LABEL = "kubernetes.io/service-name"


class Metadata(Object, frozen=True, kw_only=True):
    """The metadata that an informer and a zone need."""

    name: str = ""
    namespace: str = ""
    resourceVersion: str = ""

    @property
    def uid(self) -> str:
        """Not read: a name leads to whatever has it now."""
        return ""


class Labels(Object, frozen=True, kw_only=True, rename={"service": SERVICE_NAME_LABEL}):
    """The label that says whose an EndpointSlice is."""

    service: str = ""


class SliceMetadata(Metadata, frozen=True, kw_only=True):
    """The metadata of an EndpointSlice."""

    labels: Labels = Labels()


class ServicePort(Object, frozen=True, kw_only=True):
    """One of `spec.ports`."""

    name: str = ""
    protocol: str = "TCP"
    port: int = 0


class ServiceSpec(Object, frozen=True, kw_only=True):
    """The part of a Service's spec that records come from."""

    type: str = "ClusterIP"
    clusterIP: str = ""
    clusterIPs: tuple[str, ...] = ()
    externalName: str = ""
    ports: tuple[ServicePort, ...] = ()
    publishNotReadyAddresses: bool = False


class Service(Object, frozen=True, kw_only=True):
    """A Service as the DNS sees it."""

    metadata: Metadata = Metadata()
    spec: ServiceSpec = ServiceSpec()


class Conditions(Object, frozen=True, kw_only=True):
    """Of an endpoint's conditions the one that decides; absent counts as ready (API: endpoints.conditions)."""

    ready: bool | None = None


class Endpoint(Object, frozen=True, kw_only=True):
    """One endpoint of a slice."""

    addresses: tuple[str, ...] = ()
    conditions: Conditions | None = None
    hostname: str | None = None


class EndpointPort(Object, frozen=True, kw_only=True):
    """One port of all the endpoints of a slice."""

    name: str | None = None
    protocol: str | None = None
    port: int | None = None


class EndpointSlice(Object, frozen=True, kw_only=True):
    """An EndpointSlice as the DNS sees it."""

    metadata: SliceMetadata = SliceMetadata()
    addressType: str = "IPv4"
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class PodIP(Object, frozen=True, kw_only=True):
    """One of `status.podIPs`."""

    ip: str = ""


class PodSpec(Object, frozen=True, kw_only=True):
    """Whether the pod has an address of its own."""

    hostNetwork: bool = False


class PodStatus(Object, frozen=True, kw_only=True):
    """Where a pod is, and whether it still is."""

    phase: str = ""
    podIP: str = ""
    podIPs: tuple[PodIP, ...] = ()


class Pod(Object, frozen=True, kw_only=True):
    """A Pod as the DNS sees it."""

    metadata: Metadata = Metadata()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class Namespace(Object, frozen=True, kw_only=True):
    """A Namespace; that it exists is all that counts."""

    metadata: Metadata = Metadata()


def _as(resource: Resource[Any], kind: Any) -> Resource[Any]:
    return dataclasses.replace(resource, type=kind)


SERVICES: Resource[Service] = _as(resources.SERVICES, Service)
ENDPOINTSLICES: Resource[EndpointSlice] = _as(resources.ENDPOINTSLICES, EndpointSlice)
NAMESPACES: Resource[Namespace] = _as(resources.NAMESPACES, Namespace)
PODS: Resource[Pod] = _as(resources.PODS, Pod)

T = TypeVar("T")

MOST_SHARED = 4_096
_shared: dict[Any, Any] = {}


def shared(value: T) -> T:
    """The same value once for all who have it, as far as the last few thousand go; takes 0.1 µs."""
    if len(_shared) >= MOST_SHARED:
        _shared.clear()
    same: T = _shared.setdefault(value, value)
    return same


def compact(obj: T) -> T:
    """An object in half the memory, with the same records: what many have alike is there once.

    Of a Service, an EndpointSlice or a Pod a few microseconds; others are what they were.
    """
    kept: Any = obj
    if isinstance(obj, Service):
        meta, spec = obj.metadata, obj.spec
        kept = Service(
            metadata=replace(meta, namespace=shared(meta.namespace)),
            spec=replace(
                spec,
                type=shared(spec.type),
                clusterIPs=() if spec.clusterIPs == (spec.clusterIP,) else spec.clusterIPs,
                ports=shared(spec.ports),
            ),
        )
    elif isinstance(obj, EndpointSlice):
        head = obj.metadata
        kept = EndpointSlice(
            metadata=replace(head, namespace=shared(head.namespace)),
            addressType=shared(obj.addressType),
            endpoints=tuple(_endpoint(endpoint) for endpoint in obj.endpoints),
            ports=shared(obj.ports),
        )
    elif isinstance(obj, Pod):
        meta, status = obj.metadata, obj.status
        own = status.podIPs == (PodIP(ip=status.podIP),)
        kept = Pod(
            metadata=replace(meta, namespace=shared(meta.namespace)),
            spec=shared(obj.spec),
            status=replace(status, phase=shared(status.phase), podIPs=() if own else status.podIPs),
        )
    return kept  # type: ignore[no-any-return]


def _endpoint(endpoint: Endpoint) -> Endpoint:
    ready = endpoint.conditions is None or endpoint.conditions.ready is not False
    return replace(endpoint, conditions=None if ready else _NOT_READY)


_NOT_READY = Conditions(ready=False)


def read(kind: type[T], value: Any) -> T:
    """`value`, a full object of the API or a mapping as parsed from YAML, as one of the types above.

    Raises `msgspec.ValidationError` where a field has the wrong type.
    """
    return msgspec.convert(value, kind, from_attributes=True)
