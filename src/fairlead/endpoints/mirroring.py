"""The plan of slices that mirror hand-made Endpoints, for Services without a selector.

Upstream: pkg/controller/endpointslicemirroring. Readers of slices, the proxy and the DNS above all, see such
Endpoints only through their mirror.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from msgspec.structs import replace

from fairlead.endpoints.packing import endpoint_key
from fairlead.endpoints.ports import PortsKey, ports_key
from fairlead.endpoints.slices import MANAGED_BY, SERVICE_NAME, TRIGGER_TIME, Plan, controlled_by
from fairlead.objects.core_v1 import EndpointAddress, Endpoints, EndpointSubset, Service
from fairlead.objects.discovery_v1 import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from fairlead.objects.meta_v1 import ObjectMeta

CONTROLLER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
LIMIT = 1000
"""Addresses mirrored of one subset."""


def should_mirror(endpoints: Endpoints | None, service: Service | None) -> bool:
    """Whether the Endpoints are made by hand for a Service that has no selector, and do not ask to be skipped."""
    return (
        endpoints is not None
        and service is not None
        and not service.spec.selector
        and endpoints.metadata.labels.get(SKIP) != "true"
        and LEADER not in endpoints.metadata.annotations
    )


def plan_mirror(
    endpoints: Endpoints | None, service: Service | None, current: Iterable[EndpointSlice]
) -> Plan:
    """The writes that make `current`, the mirrors there are, say what the Endpoints say: one for each set of ports.

    All mirrors go when the Endpoints go, or may not be mirrored any more.
    """
    current = list(current)
    if endpoints is None or not should_mirror(endpoints, service):
        return Plan(delete=tuple(current))
    held: dict[tuple[str, PortsKey], list[EndpointSlice]] = {}
    for piece in current:
        held.setdefault((piece.addressType, ports_key(piece.ports)), []).append(piece)
    create: list[EndpointSlice] = []
    update: list[EndpointSlice] = []
    delete: list[EndpointSlice] = []
    for wanted in _mirrors(endpoints):
        pieces = held.pop((wanted.addressType, ports_key(wanted.ports)), [])
        if not pieces:
            create.append(wanted)
            continue
        delete += pieces[1:]
        if not _same(pieces[0], wanted):
            update.append(_in_place_of(pieces[0], wanted))
    for pieces in held.values():
        delete += pieces
    rest = []
    for old in delete:
        new = next((c for c in create if c.addressType == old.addressType), None)
        if new is None:
            rest.append(old)
        else:
            create.remove(new)
            update.append(_in_place_of(old, new))
    if endpoints.metadata.deletionTimestamp:
        create = []
    return Plan(tuple(create), tuple(update), tuple(rest))


def _mirrors(endpoints: Endpoints) -> list[EndpointSlice]:
    groups: dict[tuple[str, PortsKey], tuple[tuple[EndpointPort, ...], dict[object, Endpoint]]] = {}
    for subset in endpoints.subsets:
        ports = _ports(subset)
        for family, endpoint in _endpoints(subset)[:LIMIT]:
            group = groups.setdefault((family, ports_key(ports)), (ports, {}))
            group[1].setdefault(endpoint_key(endpoint), endpoint)
    meta = _metadata(endpoints)
    return [
        EndpointSlice(
            metadata=meta, addressType=family, ports=ports, endpoints=tuple(by_key.values())[:LIMIT]
        )
        for (family, _), (ports, by_key) in groups.items()
    ]


def _metadata(endpoints: Endpoints) -> ObjectMeta:
    meta = endpoints.metadata
    return ObjectMeta(
        generateName=f"{meta.name}-",
        namespace=meta.namespace,
        labels={**meta.labels, SERVICE_NAME: meta.name, MANAGED_BY: CONTROLLER},
        annotations={n: v for n, v in meta.annotations.items() if n not in (TRIGGER_TIME, LAST_APPLIED)},
        ownerReferences=(controlled_by("Endpoints", meta),),
    )


def _ports(subset: EndpointSubset) -> tuple[EndpointPort, ...]:
    return tuple(
        EndpointPort(name=p.name, port=p.port, protocol=p.protocol or "TCP", appProtocol=p.appProtocol)
        for p in subset.ports
    )


def _endpoints(subset: EndpointSubset) -> Sequence[tuple[str, Endpoint]]:
    """The subset's addresses with their families, ready ones first; what is no IP address is left out."""
    mirrored = []
    for ready, listed in ((True, subset.addresses), (False, subset.notReadyAddresses)):
        for address in listed:
            try:
                ip = ip_address(address.ip)
            except ValueError:
                continue
            mirrored.append((f"IPv{ip.version}", _endpoint(str(ip), address, ready)))
    return mirrored


def _endpoint(ip: str, address: EndpointAddress, ready: bool) -> Endpoint:
    return Endpoint(
        addresses=(ip,),
        conditions=EndpointConditions(ready=ready),
        hostname=address.hostname or None,
        nodeName=address.nodeName,
        targetRef=address.targetRef,
    )


def _same(old: EndpointSlice, new: EndpointSlice) -> bool:
    return (
        old.endpoints == new.endpoints
        and old.metadata.labels == new.metadata.labels
        and old.metadata.annotations == new.metadata.annotations
        and old.metadata.ownerReferences == new.metadata.ownerReferences
    )


def _in_place_of(old: EndpointSlice, new: EndpointSlice) -> EndpointSlice:
    """The new content under the old slice's name."""
    meta = replace(
        old.metadata,
        labels=new.metadata.labels,
        annotations=new.metadata.annotations,
        ownerReferences=new.metadata.ownerReferences,
    )
    return replace(new, metadata=meta)
