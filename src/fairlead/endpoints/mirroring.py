"""The plan of slices that mirror hand-made Endpoints, for Services without a selector.

Upstream: pkg/controller/endpointslicemirroring. Readers of slices, the proxy and the DNS above all, see such
Endpoints only through their mirror.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from fairlead.endpoints.packing import EndpointKey, endpoint_key
from fairlead.endpoints.plan import Plan
from fairlead.endpoints.ports import PortsKey, ports_key
from fairlead.endpoints.roster import repack
from fairlead.endpoints.slices import MANAGED_BY, SERVICE_NAME, TRIGGER_TIME, controlled_by
from fairlead.objects import addresses as ips
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


@dataclass(frozen=True)
class Mirror:
    """The plan, with the number of endpoints that change, and of addresses left out: no IP address, too many."""

    plan: Plan
    updated: int = 0
    invalid: int = 0
    surplus: int = 0


def plan_mirror(
    endpoints: Endpoints | None,
    service: Service | None,
    current: Iterable[EndpointSlice],
    *,
    limit: int = LIMIT,
) -> Mirror:
    """The writes that make `current`, the mirrors there are, say what the Endpoints say: one for each set of ports.

    All mirrors go when the Endpoints go, or may not be mirrored any more. `limit` addresses of a subset are mirrored.
    """
    current = [piece for piece in current if piece.metadata.deletionTimestamp is None]
    if endpoints is None or not should_mirror(endpoints, service):
        return Mirror(Plan(delete=tuple(current), removed=sum(len(piece.endpoints) for piece in current)))
    wanted_slices, invalid, surplus = _mirrors(endpoints, limit)
    held: dict[tuple[str, PortsKey], list[EndpointSlice]] = {}
    for piece in current:
        held.setdefault((piece.addressType, ports_key(piece.ports)), []).append(piece)
    create: list[EndpointSlice] = []
    update: list[EndpointSlice] = []
    delete: list[EndpointSlice] = []
    added = updated = removed = 0
    for wanted in wanted_slices:
        pieces = held.pop((wanted.addressType, ports_key(wanted.ports)), [])
        if not pieces:
            create.append(wanted)
            added += len(wanted.endpoints)
            continue
        delete += pieces[1:]
        if not _same(pieces[0], wanted):
            update.append(_in_place_of(pieces[0], wanted))
            before, after = _by_key(pieces[0]), _by_key(wanted)
            added += len(after.keys() - before.keys())
            removed += len(before.keys() - after.keys())
            updated += sum(before[key] != after[key] for key in before.keys() & after.keys())
    for pieces in held.values():
        delete += pieces
        removed += sum(len(piece.endpoints) for piece in pieces)
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
    plan = Plan(tuple(create), tuple(update), tuple(rest), added, removed)
    return Mirror(plan, updated, invalid, surplus)


def complaints(mirror: Mirror, limit: int) -> list[tuple[str, str]]:
    """Reason and message of what there is to tell about addresses that were left out."""
    told = []
    if mirror.invalid:
        text = f"Skipped {mirror.invalid} invalid IP addresses when mirroring to EndpointSlices"
        told.append(("InvalidIPAddress", text))
    if mirror.surplus:
        text = f"A max of {limit} addresses can be mirrored to EndpointSlices per Endpoints subset."
        told.append(
            ("TooManyAddressesToMirror", f"{text} {mirror.surplus + mirror.invalid} addresses were skipped")
        )
    return told


def _mirrors(endpoints: Endpoints, limit: int) -> tuple[list[EndpointSlice], int, int]:
    """The mirrors, and how many addresses are no IP addresses, and too many.

    The same addresses with other ports in another subset are one mirror with all of these ports.
    """
    groups: dict[tuple[str, PortsKey], tuple[tuple[EndpointPort, ...], dict[object, Endpoint]]] = {}
    invalid = surplus = 0
    for subset in repack(endpoints.subsets):
        ports = _ports(subset)
        found = _endpoints(subset)
        invalid += len(subset.addresses) + len(subset.notReadyAddresses) - len(found)
        surplus += max(0, len(found) - limit)
        for family, endpoint in found[:limit]:
            group = groups.setdefault((family, ports_key(ports)), (ports, {}))
            group[1].setdefault(endpoint_key(endpoint), endpoint)
    meta = _metadata(endpoints)
    mirrors = [
        EndpointSlice(
            metadata=meta, addressType=family, ports=ports, endpoints=tuple(by_key.values())[:limit]
        )
        for (family, _), (ports, by_key) in groups.items()
    ]
    return mirrors, invalid, surplus


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
            if family := ips.family(address.ip):
                mirrored.append((family, _endpoint(ips.canonical(address.ip), address, ready)))
    return mirrored


def _endpoint(ip: str, address: EndpointAddress, ready: bool) -> Endpoint:
    return Endpoint(
        addresses=(ip,),
        conditions=EndpointConditions(ready=ready),
        hostname=address.hostname or None,
        nodeName=address.nodeName,
        targetRef=address.targetRef,
    )


def _by_key(piece: EndpointSlice) -> dict[EndpointKey, Endpoint]:
    """Other controllers list the endpoints in another order, which means nothing."""
    return {endpoint_key(endpoint): endpoint for endpoint in piece.endpoints}


def _same(old: EndpointSlice, new: EndpointSlice) -> bool:
    return (
        len(old.endpoints) == len(new.endpoints)
        and _by_key(old) == _by_key(new)
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
