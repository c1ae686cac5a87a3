"""What the DNS reads of the API's objects: the few fields that records come from.

Unknown fields are skipped while decoding, so a cluster of many endpoints costs a fraction of its full objects' memory.
`read` makes these types from the full ones of `fairlead.objects`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from fairlead.objects import resources
from fairlead.objects.resources import Resource
from fairlead.objects.scalars import Object

SERVICE_NAME_LABEL = "kubernetes.io/service-name"


class Metadata(Object, frozen=True, kw_only=True):
    """The metadata that an informer and a zone need."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""
    labels: dict[str, str] = {}


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

    metadata: Metadata = Metadata()
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
    return replace(resource, type=kind)


SERVICES: Resource[Service] = _as(resources.SERVICES, Service)
ENDPOINTSLICES: Resource[EndpointSlice] = _as(resources.ENDPOINTSLICES, EndpointSlice)
NAMESPACES: Resource[Namespace] = _as(resources.NAMESPACES, Namespace)
PODS: Resource[Pod] = _as(resources.PODS, Pod)

T = TypeVar("T")


def read(kind: type[T], value: Any) -> T:
    """`value`, a full object of the API or a mapping as parsed from YAML, as one of the types above.

    Raises `msgspec.ValidationError` where a field has the wrong type.
    """
    return msgspec.convert(value, kind, from_attributes=True)
