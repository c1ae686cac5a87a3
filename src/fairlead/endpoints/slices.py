"""The plan of a Service's EndpointSlices: which to create, which to write anew, which to delete.

Upstream: k8s.io/endpointslice/reconciler.go; where this writes fewer slices, it says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from fairlead.endpoints import pods as pod_endpoints
from fairlead.endpoints.packing import EndpointKey, endpoint_key, pack
from fairlead.endpoints.ports import PortsKey, differ_by_pod, endpoint_ports, ports_key
from fairlead.objects.core_v1 import Node, Pod, Service
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


@dataclass(frozen=True)
class Plan:
    """The writes that lead from the slices there are to the right ones. Updates carry the resourceVersion seen."""

    create: tuple[EndpointSlice, ...] = ()
    update: tuple[EndpointSlice, ...] = ()
    delete: tuple[EndpointSlice, ...] = ()

    def __len__(self) -> int:
        """The number of writes."""
        return len(self.create) + len(self.update) + len(self.delete)


def plan_slices(
    service: Service,
    pods: Iterable[Pod],
    nodes: Mapping[str, Node],
    current: Iterable[EndpointSlice],
    *,
    limit: int = LIMIT,
    triggered: str = "",
) -> Plan:
    """The writes that make `current` hold each eligible pod once for each family, grouped by the pods' ports.

    `pods` are those that the Service selects; `current` are the slices that we manage for a Service of this name,
    of an earlier one too. `triggered` is the time of the change that led here, for the annotation of what is
    written. There is always at least one slice for each family, if only an empty one.
    """
    pods = [pod for pod in pods if pod_endpoints.is_eligible(pod, terminating=True)]
    current = list(current)
    families = address_types(service)
    plan = Plan(delete=tuple(s for s in current if s.addressType not in families))
    for family in families:
        held = [s for s in current if s.addressType == family]
        part = _plan_family(service, pods, nodes, held, family, limit)
        plan = Plan(plan.create + part.create, plan.update + part.update, plan.delete + part.delete)
    return Plan(
        # A Service that is being deleted gets no new slices: the garbage collector removes them just now.
        create=() if service.metadata.deletionTimestamp else _stamped(plan.create, triggered),
        update=_stamped(plan.update, triggered),
        delete=plan.delete,
    )


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


def _plan_family(
    service: Service,
    pods: Collection[Pod],
    nodes: Mapping[str, Node],
    current: Collection[EndpointSlice],
    family: str,
    limit: int,
) -> Plan:
    groups = _desired(service, pods, nodes, family)
    labels = slice_labels(service)
    create: list[EndpointSlice] = []
    update: list[EndpointSlice] = []
    delete = [s for s in current if not owned_by(s, service)]
    held: dict[PortsKey, list[EndpointSlice]] = {}
    for piece in current:
        if owned_by(piece, service):
            held.setdefault(ports_key(piece.ports), []).append(piece)
    for key, (ports, endpoints) in groups.items():
        pieces = held.pop(key, [])
        relabelled = {i for i, s in enumerate(pieces) if s.metadata.labels != labels}
        changed, new = pack([s.endpoints for s in pieces], endpoints, limit=limit, touched=relabelled)
        for position, wanted in changed.items():
            piece = pieces[position]
            if wanted:
                meta = replace(piece.metadata, labels=labels)
                update.append(replace(piece, metadata=meta, endpoints=tuple(wanted)))
            else:
                delete.append(piece)
        create += [new_slice(service, family, ports, wanted) for wanted in new]
    for pieces in held.values():
        delete += pieces
    if len(delete) == len(current) and not create:
        empty = new_slice(service, family, (), ())
        if len(delete) == 1 and owned_by(delete[0], service) and _same_content(delete[0], empty):
            delete = []
        else:
            create = [empty]
    return _recycled(service, create, update, delete)


def _desired(
    service: Service, pods: Collection[Pod], nodes: Mapping[str, Node], family: str
) -> dict[PortsKey, tuple[tuple[EndpointPort, ...], dict[EndpointKey, Endpoint]]]:
    """The endpoints by their ports; one group, unless named target ports differ from pod to pod."""
    groups: dict[PortsKey, tuple[tuple[EndpointPort, ...], dict[EndpointKey, Endpoint]]] = {}
    each = differ_by_pod(service)
    group = None
    for pod in pods:
        node = nodes.get(pod.spec.nodeName)
        if node is None and not service.spec.publishNotReadyAddresses:
            # Its node is gone, and it will be, too; when a node of that name appears, it counts again.
            continue
        endpoint = pod_endpoints.endpoint(pod, node, service, family)
        if endpoint is None:
            continue
        if group is None or each:
            ports = endpoint_ports(service, pod)
            group = groups.setdefault(ports_key(ports), (ports, {}))
        group[1][endpoint_key(endpoint)] = endpoint
    return groups


def _recycled(
    service: Service, create: list[EndpointSlice], update: list[EndpointSlice], delete: list[EndpointSlice]
) -> Plan:
    """The plan with a slice to create in the place of one to delete: one write instead of two, the name stays."""
    rest = []
    for old in delete:
        if create and owned_by(old, service):
            new = create.pop()
            meta = replace(old.metadata, labels=new.metadata.labels)
            update.append(replace(old, metadata=meta, ports=new.ports, endpoints=new.endpoints))
        else:
            rest.append(old)
    return Plan(tuple(create), tuple(update), tuple(rest))


def _same_content(a: EndpointSlice, b: EndpointSlice) -> bool:
    return (
        a.metadata.labels == b.metadata.labels
        and a.endpoints == b.endpoints
        and ports_key(a.ports) == ports_key(b.ports)
    )


def _stamped(slices: Iterable[EndpointSlice], triggered: str) -> tuple[EndpointSlice, ...]:
    return tuple(replace(s, metadata=stamped(s.metadata, triggered)) for s in slices)


def stamped(meta: ObjectMeta, triggered: str) -> ObjectMeta:
    """The metadata with the time of the change that led to this write as an annotation; "" takes it away."""
    annotations = {name: value for name, value in meta.annotations.items() if name != TRIGGER_TIME}
    if triggered:
        annotations[TRIGGER_TIME] = triggered
    return replace(meta, annotations=annotations)
