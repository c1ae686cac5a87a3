"""The plan of a Service's Endpoints object, the older form of its slices.

Upstream: pkg/controller/endpoint/endpoints_controller.go, pkg/api/v1/endpoints/util.go.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from msgspec.structs import replace

from fairlead.endpoints import pods as pod_endpoints
from fairlead.endpoints.ports import target_port
from fairlead.endpoints.slices import HEADLESS, address_types, is_headless, stamped
from fairlead.objects.core_v1 import (
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    ObjectReference,
    Pod,
    Service,
)
from fairlead.objects.meta_v1 import ObjectMeta

CONTROLLER = "endpoint-controller"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
CAPACITY = 1000
"""Addresses that an Endpoints object holds at most; more are only in the slices."""


def plan_endpoints(
    service: Service, pods: Iterable[Pod], current: Endpoints | None, *, triggered: str = ""
) -> Endpoints | None:
    """The Endpoints to write, with the resourceVersion of `current` if there is one; None if it is right as it is.

    `pods` are those that the Service selects; not-ready ones stand under notReadyAddresses, terminating ones are
    left out, unless the Service publishes not-ready addresses. `triggered`: see `plan_slices`.
    """
    subsets = repack(_subsets(service, pods))
    held = sum(len(s.addresses) + len(s.notReadyAddresses) for s in subsets)
    if held > CAPACITY:
        subsets = _truncated(subsets)
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
    if held > CAPACITY:
        annotations[OVER_CAPACITY] = "truncated"
    if (
        current is not None
        and meta.labels == labels
        and meta.annotations == annotations
        and repack(_without_versions(current.subsets)) == subsets
    ):
        return None
    meta = stamped(replace(meta, labels=labels, annotations=annotations), triggered)
    return Endpoints(metadata=meta, subsets=subsets)


def repack(subsets: Iterable[EndpointSubset]) -> tuple[EndpointSubset, ...]:
    """The same addresses and ports in the one canonical form: ports that all addresses share in one subset, sorted.

    An address that is ready in one place and not ready in another for the same port is not ready.
    """
    addresses: dict[tuple[str, str], EndpointAddress] = {}
    ready_by_port: dict[EndpointPort | None, dict[tuple[str, str], bool]] = {}
    for subset in subsets:
        # A headless Service may have no ports: its addresses stand in a subset without any.
        for port in subset.ports or (None,):
            ready_by_key = ready_by_port.setdefault(port, {})
            for ready, listed in ((True, subset.addresses), (False, subset.notReadyAddresses)):
                for address in listed:
                    key = (address.ip, address.targetRef.uid if address.targetRef else "")
                    addresses.setdefault(key, address)
                    ready_by_key[key] = ready_by_key.get(key, True) and ready
    ports_by_addresses: dict[tuple[tuple[tuple[str, str], bool], ...], list[EndpointPort | None]] = {}
    for port, ready_by_key in ready_by_port.items():
        ports_by_addresses.setdefault(tuple(sorted(ready_by_key.items())), []).append(port)
    packed = [
        EndpointSubset(
            addresses=tuple(addresses[key] for key, ready in keys if ready),
            notReadyAddresses=tuple(addresses[key] for key, ready in keys if not ready),
            ports=tuple(sorted((p for p in ports if p is not None), key=_port_order)),
        )
        for keys, ports in ports_by_addresses.items()
        if keys
    ]
    return tuple(sorted(packed, key=lambda subset: [_port_order(port) for port in subset.ports]))


def _subsets(service: Service, pods: Iterable[Pod]) -> list[EndpointSubset]:
    """One subset for each port number that the pods give to a port of the Service; not canonical yet."""
    published = service.spec.publishNotReadyAddresses
    # Endpoints have one family only: the Service's first.
    family = address_types(service)[0]
    ready: dict[EndpointPort | None, list[EndpointAddress]] = {}
    not_ready: dict[EndpointPort | None, list[EndpointAddress]] = {}
    for pod in pods:
        if not pod_endpoints.is_eligible(pod, terminating=published):
            continue
        own = pod_endpoints.addresses(pod, family)
        if not own:
            continue
        address = EndpointAddress(
            ip=own[0],
            hostname=pod_endpoints.hostname(pod, service),
            nodeName=pod.spec.nodeName,
            targetRef=pod_endpoints.reference(pod),
        )
        listed = ready if published or pod_endpoints.is_ready(pod) else not_ready
        if not service.spec.ports and is_headless(service):
            listed.setdefault(None, []).append(address)
        for port in service.spec.ports:
            number = target_port(pod, port)
            if number is not None:
                known = EndpointPort(
                    name=port.name,
                    port=number,
                    protocol=port.protocol or "TCP",
                    appProtocol=port.appProtocol,
                )
                listed.setdefault(known, []).append(address)
    return [
        EndpointSubset(
            addresses=tuple(ready.get(port, ())),
            notReadyAddresses=tuple(not_ready.get(port, ())),
            ports=() if port is None else (port,),
        )
        for port in {**ready, **not_ready}
    ]


def _truncated(subsets: tuple[EndpointSubset, ...]) -> tuple[EndpointSubset, ...]:
    """As many addresses as there may be, ready ones first, each subset with its share, rounded up."""
    ready = sum(len(s.addresses) for s in subsets)
    if ready > CAPACITY:
        total, room = ready, CAPACITY
    else:
        total, room = sum(len(s.notReadyAddresses) for s in subsets), CAPACITY - ready
    left = room
    kept = []
    for subset in subsets:
        listed = subset.addresses if ready > CAPACITY else subset.notReadyAddresses
        listed = listed[: min(left, math.ceil(len(listed) * room / total))]
        left -= len(listed)
        if ready > CAPACITY:
            kept.append(replace(subset, addresses=listed, notReadyAddresses=()))
        else:
            kept.append(replace(subset, notReadyAddresses=listed))
    return tuple(kept)


def _without_versions(subsets: Iterable[EndpointSubset]) -> list[EndpointSubset]:
    """The subsets as we write them: other controllers note the pods' resourceVersions, which is no difference."""

    def plain(address: EndpointAddress) -> EndpointAddress:
        target = address.targetRef
        if isinstance(target, ObjectReference) and target.resourceVersion:
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


def _port_order(port: EndpointPort) -> tuple[str, int, str, str]:
    return (port.name, port.port, port.protocol, port.appProtocol or "")
