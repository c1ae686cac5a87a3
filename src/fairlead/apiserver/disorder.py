"""What can be wrong between Services and what is reserved for them: the findings, each with what is said and done.

Pure. Upstream: pkg/registry/core/service/ipallocator/controller/repairip.go, portallocator/controller/repair.go.
"""

from __future__ import annotations

import msgspec

from fairlead.apiserver.allocation import Range
from fairlead.apiserver.services import FAMILY, MANAGED_BY, MANAGER, held_addresses
from fairlead.apiserver.transitions import node_ports
from fairlead.objects import addresses
from fairlead.objects.core_v1 import Service
from fairlead.objects.networking_v1 import IPAddress

GRACE_SECONDS = 60.0
"""How old an IPAddress must be before it counts as leaked: the longest that a request may take upstream."""


class Finding(msgspec.Struct, frozen=True):
    """Something in disorder. `reason` and `message` are those of the Event, none where it is mended silently.

    `mend` says whether the reservation is to be written (or removed, where it is the one that is wrong); otherwise
    only its user can help.
    """

    reason: str
    message: str
    mend: bool = True


def is_managed(held: IPAddress) -> bool:
    """Whether an IPAddress is the allocator's; those of others are left alone."""
    return held.metadata.labels.get(MANAGED_BY) == MANAGER


def refers_to(held: IPAddress, service: Service) -> bool:
    """Whether an IPAddress is reserved for this Service."""
    parent, meta = held.spec.parentRef, service.metadata
    return refers_to_a_service(held) and (parent.namespace, parent.name) == (meta.namespace, meta.name)


def refers_to_a_service(held: IPAddress) -> bool:
    """Whether an IPAddress is reserved for some Service."""
    return (held.spec.parentRef.group, held.spec.parentRef.resource) == ("", "services")


def judge_address(
    service: Service, address: str, held: IPAddress | None, other: Service | None, *, in_range: bool
) -> Finding | None:
    """What is wrong with an address of a Service, None where nothing is.

    `held`: the IPAddress of that name; `other`: the Service that it refers to, where that is another one.
    """
    family = addresses.family(address)
    if not family:
        said = f"Cluster IP {address} is not a valid IP; please recreate Service"
        return Finding("ClusterIPNotValid", said, mend=False)
    label = f"[{family}]: {address}"
    if not in_range:
        said = f"Cluster IP {label} is not within any configured Service CIDR; please recreate service"
        return Finding("ClusterIPOutOfRange", said, mend=False)
    if held is None:
        return Finding("ClusterIPNotAllocated", f"Cluster IP {label} is not allocated; repairing")
    if not refers_to(held, service):
        if other is not None and held.metadata.name in held_addresses(other.spec):
            said = (
                f"Cluster IP [{family}]:{address} was assigned to multiple services; please recreate service"
            )
            return Finding("ClusterIPAlreadyAllocated", said, mend=False)
        meta = service.metadata
        said = (
            f"the ClusterIP {label} for Service {meta.namespace}/{meta.name} has a wrong reference; repairing"
        )
        return Finding("ClusterIPNotAllocated", said)
    if not is_managed(held) or held.metadata.labels.get(FAMILY) != family:
        return Finding("", "")
    return None


def judge_reservation(held: IPAddress, service: Service | None, age_seconds: float) -> Finding | None:
    """What is wrong with an IPAddress: nobody has that address. `service`: the one that it refers to."""
    if not is_managed(held):
        return None
    name, parent = held.metadata.name, held.spec.parentRef
    if not refers_to_a_service(held):
        reference = f"&{{{parent.group} {parent.resource} {parent.namespace} {parent.name}}}"
        said = f"IPAddress {name} appears to have been modified, not referencing a Service {reference}: cleaning up"
        return Finding("IPAddressNotAllocated", said)
    label = f"IPAddress: {name} for Service {parent.namespace}/{parent.name}"
    if service is None:
        if age_seconds <= GRACE_SECONDS:
            return None
        return Finding("IPAddressNotAllocated", f"{label} appears to have leaked: cleaning up")
    if name in held_addresses(service.spec):
        return None
    return Finding("IPAddressWrongReference", f"{label} has a wrong reference; cleaning up")


def judge_port(
    service: Service, number: int, holder: bytes | None, other: Service | None, ports: Range
) -> Finding | None:
    """What is wrong with a node port of a Service. `holder`: whom the reservation names; `other`: that Service."""
    if number not in ports:
        valid = f"{ports.first}-{ports.last}"
        said = f"Port {number} is not within the port range {valid}; please recreate service"
        return Finding("PortOutOfRange", said, mend=False)
    if holder == f"{service.metadata.namespace}/{service.metadata.name}".encode():
        return None
    if holder is not None and other is not None and number in node_ports(other.spec):
        said = f"Port {number} was assigned to multiple services; please recreate service"
        return Finding("PortAlreadyAllocated", said, mend=False)
    return Finding("PortNotAllocated", f"Port {number} is not allocated; repairing")
