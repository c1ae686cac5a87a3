"""The plan of a Service's EndpointSlices: which to create, which to write anew, which to delete.

Upstream: k8s.io/endpointslice/reconciler.go; where this writes fewer slices, it says so.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from fairlead.endpoints import pods as pod_endpoints
from fairlead.endpoints.layout import Held, Layout
from fairlead.endpoints.packing import EndpointKey, endpoint_key, pack, settle
from fairlead.endpoints.ports import PortsKey, differ_by_pod, endpoint_ports, ports_key
from fairlead.endpoints.topology import AUTO, Outcome, Shares, hints_mode, share_out
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


Groups = dict[PortsKey, tuple[tuple[EndpointPort, ...], dict[EndpointKey, Endpoint]]]
"""Endpoints by the ports that they have in common: a slice has one set of ports."""


@dataclass(frozen=True)
class Plan:
    """The writes that lead from the slices there are to the right ones. Updates carry the resourceVersion seen.

    `added` and `removed` count endpoints; `outcomes` say by family what became of the wish for topology hints.
    """

    create: tuple[EndpointSlice, ...] = ()
    update: tuple[EndpointSlice, ...] = ()
    delete: tuple[EndpointSlice, ...] = ()
    added: int = 0
    removed: int = 0
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)

    def __len__(self) -> int:
        """The number of writes."""
        return len(self.create) + len(self.update) + len(self.delete)

    def __add__(self, other: Plan) -> Plan:
        """Both."""
        return Plan(
            self.create + other.create,
            self.update + other.update,
            self.delete + other.delete,
            self.added + other.added,
            self.removed + other.removed,
            {**self.outcomes, **other.outcomes},
        )


@dataclass(frozen=True)
class Options:
    """What a plan depends on besides the objects.

    `shares` are the zones' parts of the nodes' CPU, if they are known; `triggered` is the time of the change that led
    here, for the annotation of what is written.
    """

    limit: int = LIMIT
    shares: Shares | None = None
    triggered: str = ""


def plan_slices(
    service: Service,
    pods: Iterable[Pod],
    nodes: Mapping[str, Node],
    current: Iterable[EndpointSlice],
    options: Options = Options(),
) -> Plan:
    """The writes that make `current` hold each eligible pod once for each family, grouped by the pods' ports.

    `pods` are those that the Service selects; `current` are the slices that we manage for a Service of this name,
    of an earlier one too. There is always at least one slice for each family, if only an empty one.
    Cost: the pods and the endpoints in `current`.
    """
    pods = list(pods)
    current = list(current)
    families = address_types(service)
    plan = Plan(delete=tuple(s for s in current if s.addressType not in families))
    for family in families:
        held = [Held(piece) for piece in current if piece.addressType == family]
        plan += _plan_family(service, family, _desired(service, pods, nodes, family), held, (), options)
    return _finished(plan, service, options)


def plan_pods(
    service: Service,
    pods: Mapping[str, Pod | None],
    nodes: Mapping[str, Node],
    layouts: Mapping[str, Layout],
    options: Options = Options(),
) -> Plan:
    """What `plan_slices` would plan, where the slices were right before these pods, by name, changed.

    None stands for a pod that the Service does not select (any more). `layouts` are the slices by family.
    Cost: the pods, the endpoints of the slices in which they stand, and the number of the other slices.
    """
    plan = Plan()
    for family in address_types(service):
        layout = layouts[family]
        groups = _desired(service, [pod for pod in pods.values() if pod is not None], nodes, family)
        # An empty slice may be in the way of the first endpoint, or be its place.
        examined = [*layout.holding(pods), *(h for h in layout.held.values() if not h.piece.endpoints)]
        for held in examined:
            stay = [e for e in held.piece.endpoints if e.targetRef and e.targetRef.name not in pods]
            if stay:
                group = groups.setdefault(held.ports, (held.piece.ports, {}))[1]
                group.update((endpoint_key(endpoint), endpoint) for endpoint in stay)
        looked_at = {held.name for held in examined}
        others = [held for name, held in layout.held.items() if name not in looked_at]
        plan += _plan_family(service, family, groups, examined, others, options)
    return _finished(plan, service, options)


def _finished(plan: Plan, service: Service, options: Options) -> Plan:
    return dataclasses.replace(
        plan,
        # A Service that is being deleted gets no new slices: the garbage collector removes them just now.
        create=() if service.metadata.deletionTimestamp else _stamped(plan.create, options.triggered),
        update=_stamped(plan.update, options.triggered),
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
    family: str,
    groups: Groups,
    examined: Sequence[Held],
    others: Sequence[Held],
    options: Options,
) -> Plan:
    """The writes that make `examined` hold `groups`; the `others` are right, and only looked at for room."""
    mode = hints_mode(service)
    labels = slice_labels(service)
    current = {held.name: held.piece for held in (*examined, *others)}
    create: list[EndpointSlice] = []
    update: dict[str, Sequence[Endpoint]] = {}
    delete = [held.piece for held in examined if not owned_by(held.piece, service)]
    by_ports: dict[PortsKey, list[Held]] = {}
    # Of duplicates the one with the first name stays: two controllers at once have to agree on that.
    for held in sorted(examined, key=lambda held: held.name):
        if owned_by(held.piece, service):
            by_ports.setdefault(held.ports, []).append(held)
    added = removed = 0
    for key, (ports, endpoints) in groups.items():
        pieces = by_ports.pop(key, [])
        packed = pack(
            [held.piece.endpoints for held in pieces],
            endpoints,
            limit=options.limit,
            same=_same_but_for_hints if mode == AUTO else operator.eq,
            touched={i for i, held in enumerate(pieces) if held.piece.metadata.labels != labels},
        )
        added, removed = added + packed.added, removed + packed.removed
        for position, wanted in packed.changed.items():
            if wanted:
                update[pieces[position].name] = wanted
            else:
                delete.append(pieces[position].piece)
        if packed.rest:
            unchanged = [held for i, held in enumerate(pieces) if i not in packed.changed]
            unchanged += [held for held in others if held.ports == key]
            room = {held.name: len(held.piece.endpoints) for held in unchanged}
            extended, more, chunks = settle(packed.rest, room, limit=options.limit)
            if extended is not None:
                update[extended] = (*current[extended].endpoints, *more)
            create += [new_slice(service, family, ports, chunk) for chunk in chunks]
    for pieces in by_ports.values():
        delete += [held.piece for held in pieces]
        removed += sum(len(held.piece.endpoints) for held in pieces)
    if len(delete) == len(examined) + len(others) and not create:
        empty = new_slice(service, family, (), ())
        if len(delete) == 1 and owned_by(delete[0], service) and _same_content(delete[0], empty):
            delete = []
        else:
            create = [empty]
    outcomes: dict[str, Outcome] = {}
    if mode == AUTO:
        gone = {piece.metadata.name for piece in delete}
        unchanged = [h for h in (*examined, *others) if h.name not in update and h.name not in gone]
        sharing = share_out(options.shares, [*(s.endpoints for s in create), *update.values()], unchanged)
        create = [
            replace(piece, endpoints=tuple(hinted))
            for piece, hinted in zip(create, sharing.changed, strict=False)
        ]
        update = dict(zip(update, sharing.changed[len(create) :], strict=True)) | dict(sharing.others)
        outcomes[family] = sharing.outcome
    updates = [_with(current[name], labels, endpoints) for name, endpoints in update.items()]
    plan = _recycled(service, create, updates, delete)
    return dataclasses.replace(plan, added=added, removed=removed, outcomes=outcomes)


def _desired(service: Service, pods: Iterable[Pod], nodes: Mapping[str, Node], family: str) -> Groups:
    """The endpoints by their ports; one group, unless named target ports differ from pod to pod."""
    groups: Groups = {}
    each = differ_by_pod(service)
    mode = hints_mode(service)
    distribution = "" if mode == AUTO else mode
    group = None
    for pod in pods:
        if not pod_endpoints.is_eligible(pod, terminating=True):
            continue
        node = nodes.get(pod.spec.nodeName)
        if node is None and not service.spec.publishNotReadyAddresses:
            # Its node is gone, and it will be, too; when a node of that name appears, it counts again.
            continue
        endpoint = pod_endpoints.endpoint(pod, node, service, family, distribution)
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
            update.append(replace(_with(old, new.metadata.labels, new.endpoints), ports=new.ports))
        else:
            rest.append(old)
    return Plan(tuple(create), tuple(update), tuple(rest))


def _with(piece: EndpointSlice, labels: dict[str, str], endpoints: Iterable[Endpoint]) -> EndpointSlice:
    return replace(piece, metadata=replace(piece.metadata, labels=labels), endpoints=tuple(endpoints))


def _same_but_for_hints(held: Endpoint, wanted: Endpoint) -> bool:
    return held == wanted or replace(held, hints=None) == wanted


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
