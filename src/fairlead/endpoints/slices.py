"""What the slices of a Service look like: their families, labels, owner, names."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from fairlead.objects.core_v1 import Service
from fairlead.objects.discovery_v1 import Endpoint, EndpointPort, EndpointSlice
from fairlead.objects.meta_v1 import ObjectMeta, OwnerReference

CONTROLLER = "endpointslice-controller.k8s.io"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SERVICE_NAME = "kubernetes.io/service-name"
HEADLESS = "service.kubernetes.io/headless"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
LIMIT = 100
"""Endpoints in a slice, unless configured otherwise; the API's own bound is 1000."""

_RESERVED = (SERVICE_NAME, MANAGED_BY, HEADLESS)


def address_types(service: Service) -> tuple[str, ...]:
    """The families that the Service has slices for."""
    if service.spec.ipFamilies:
        return tuple(f for f in service.spec.ipFamilies if f in ("IPv4", "IPv6"))
    if is_headless(service):
        return ("IPv4", "IPv6")
    return ("IPv6",) if ":" in service.spec.clusterIP else ("IPv4",)


def is_headless(service: Service) -> bool:
    """Whether the Service has no virtual address."""
    return service.spec.clusterIP in ("", "None")


def owned_by(piece: EndpointSlice, service: Service) -> bool:
    """Whether the slice belongs to this very Service, not to an earlier one of its name."""
    return any(
        owner.uid == service.metadata.uid and owner.kind == "Service" and owner.apiVersion == "v1"
        for owner in piece.metadata.ownerReferences
    )


def slice_labels(service: Service) -> dict[str, str]:
    """The labels of the Service's slices: its own, but for those that say what a slice is."""
    labels = {name: value for name, value in service.metadata.labels.items() if name not in _RESERVED}
    if is_headless(service):
        labels[HEADLESS] = ""
    labels[SERVICE_NAME] = service.metadata.name
    labels[MANAGED_BY] = CONTROLLER
    return labels


def controlled_by(kind: str, owner: ObjectMeta) -> OwnerReference:
    """The reference by which a slice goes with the object of the core API that it was made for."""
    return OwnerReference(
        apiVersion="v1", kind=kind, name=owner.name, uid=owner.uid, controller=True, blockOwnerDeletion=True
    )


def new_slice(
    service: Service, family: str, ports: Collection[EndpointPort], endpoints: Collection[Endpoint]
) -> EndpointSlice:
    """A slice of the Service, to be named by the API server."""
    meta = service.metadata
    return EndpointSlice(
        metadata=ObjectMeta(
            generateName=f"{meta.name}-",
            namespace=meta.namespace,
            labels=slice_labels(service),
            ownerReferences=(controlled_by("Service", meta),),
        ),
        addressType=family,
        ports=tuple(ports),
        endpoints=tuple(endpoints),
    )


def stamped(meta: ObjectMeta, triggered: str) -> ObjectMeta:
    """The metadata with the time of the change that led to this write as an annotation; "" takes it away."""
    annotations = {name: value for name, value in meta.annotations.items() if name != TRIGGER_TIME}
    if triggered:
        annotations[TRIGGER_TIME] = triggered
    return replace(meta, annotations=annotations)
