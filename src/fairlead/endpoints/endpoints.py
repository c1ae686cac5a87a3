"""The plan of a Service's Endpoints object, the older form of its slices.

Upstream: pkg/controller/endpoint/endpoints_controller.go, pkg/api/v1/endpoints/util.go.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from fairlead.endpoints.roster import Roster, repack
from fairlead.endpoints.slices import HEADLESS, is_headless, stamped
from fairlead.objects.core_v1 import EndpointAddress, Endpoints, EndpointSubset, Service
from fairlead.objects.meta_v1 import ObjectMeta

CONTROLLER = "endpoint-controller"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"


def plan_endpoints(
    service: Service, roster: Roster, current: Endpoints | None, *, triggered: str = ""
) -> Endpoints | None:
    """The Endpoints to write, with the resourceVersion of `current` if there is one; None if it is right as it is.

    `triggered` is the time of the change that led here. Cost: the addresses that an Endpoints object can hold.
    """
    subsets, truncated = roster.subsets()
    labels = {**service.metadata.labels, MANAGED_BY: CONTROLLER}
    labels.pop(HEADLESS, None)
    if is_headless(service):
        labels[HEADLESS] = ""
    meta = (
        current.metadata
        if current
        else ObjectMeta(name=service.metadata.name, namespace=service.metadata.namespace)
    )
    annotations = {name: value for name, value in meta.annotations.items() if name != OVER_CAPACITY}
    if truncated:
        annotations[OVER_CAPACITY] = "truncated"
    if (
        current is not None
        and meta.labels == labels
        and meta.annotations == annotations
        and _same(current.subsets, subsets)
    ):
        return None
    meta = stamped(replace(meta, labels=labels, annotations=annotations), triggered)
    return Endpoints(metadata=meta, subsets=subsets)


def _same(held: tuple[EndpointSubset, ...], wanted: tuple[EndpointSubset, ...]) -> bool:
    """Whether both mean the same; other controllers list in another order, and note the pods' resourceVersions."""
    if held == wanted:
        return True
    if _addresses(held) != _addresses(wanted):
        return False
    return repack(_without_versions(held)) == wanted


def _addresses(subsets: Iterable[EndpointSubset]) -> tuple[set[str], set[str]]:
    ready: set[str] = set()
    not_ready: set[str] = set()
    for subset in subsets:
        ready.update(address.ip for address in subset.addresses)
        not_ready.update(address.ip for address in subset.notReadyAddresses)
    return ready, not_ready


def _without_versions(subsets: Iterable[EndpointSubset]) -> list[EndpointSubset]:
    def plain(address: EndpointAddress) -> EndpointAddress:
        target = address.targetRef
        if target is not None and target.resourceVersion:
            return replace(address, targetRef=replace(target, resourceVersion=""))
        return address

    return [
        replace(
            s,
            addresses=tuple(map(plain, s.addresses)),
            notReadyAddresses=tuple(map(plain, s.notReadyAddresses)),
        )
        for s in subsets
    ]
