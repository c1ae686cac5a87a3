"""The plan of a Service's EndpointSlices: which to create, which to write anew, which to delete.

Upstream: k8s.io/endpointslice/reconciler.go.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from fairlead.endpoints import pods as pod_endpoints
from fairlead.endpoints.layout import Held, Layout
from fairlead.endpoints.packing import EndpointKey, endpoint_key, pack, settle
from fairlead.endpoints.ports import PortsKey, differ_by_pod, endpoint_ports, ports_key
from fairlead.endpoints.slices import LIMIT, address_types, new_slice, owned_by, slice_labels, stamped
from fairlead.endpoints.topology import AUTO, Outcome, Shares, hints_mode, share_out
from fairlead.objects.core_v1 import Node, Pod, Service
from fairlead.objects.discovery_v1 import Endpoint, EndpointPort, EndpointSlice

Groups = dict[PortsKey, tuple[tuple[EndpointPort, ...], dict[EndpointKey, Endpoint]]]
"""Endpoints by the ports that they have in common: a slice has one set of ports."""


@dataclass(frozen=True)
class Plan:
    """The writes that lead from the slices there are to the right ones. Updates carry the resourceVersion seen.

    `added` and `removed` count endpoints; `outcomes` say by family what became of the wish for topology hints.
    `stranded` are the pods left out because their node is not known: names of pod and node.
    """

    create: tuple[EndpointSlice, ...] = ()
    update: tuple[EndpointSlice, ...] = ()
    delete: tuple[EndpointSlice, ...] = ()
    added: int = 0
    removed: int = 0
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    stranded: frozenset[tuple[str, str]] = frozenset()

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
            self.stranded | other.stranded,
        )

    def of(self, family: str) -> Plan:
        """The writes to slices of one family."""

        def own(slices: Iterable[EndpointSlice]) -> tuple[EndpointSlice, ...]:
            return tuple(piece for piece in slices if piece.addressType == family)

        return Plan(own(self.create), own(self.update), own(self.delete))


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
        plan += _Draft(service, family, held, (), options).finish(_desired(service, pods, nodes, family))
    return _finished(plan, service, pods, nodes, options)


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
    there = [pod for pod in pods.values() if pod is not None]
    for family in address_types(service):
        layout = layouts[family]
        groups = _desired(service, there, nodes, family)
        # An empty slice may be in the way of the first endpoint, or be its place.
        examined = [*layout.holding(pods), *(h for h in layout.held.values() if not h.piece.endpoints)]
        for held in examined:
            stay = [e for e in held.piece.endpoints if e.targetRef and e.targetRef.name not in pods]
            if stay:
                group = groups.setdefault(held.ports, (held.piece.ports, {}))[1]
                group.update((endpoint_key(endpoint), endpoint) for endpoint in stay)
        looked_at = {held.name for held in examined}
        others = [held for name, held in layout.held.items() if name not in looked_at]
        plan += _Draft(service, family, examined, others, options).finish(groups)
    return _finished(plan, service, there, nodes, options)


def _finished(
    plan: Plan, service: Service, pods: Iterable[Pod], nodes: Mapping[str, Node], options: Options
) -> Plan:
    return dataclasses.replace(
        plan,
        stranded=frozenset(
            (pod.metadata.name, pod.spec.nodeName)
            for pod in pods
            if pod.spec.nodeName not in nodes
            and not service.spec.publishNotReadyAddresses
            and pod_endpoints.is_eligible(pod, terminating=True)
        ),
        # A Service that is being deleted gets no new slices: the garbage collector removes them just now.
        create=() if service.metadata.deletionTimestamp else _stamped(plan.create, options.triggered),
        update=_stamped(plan.update, options.triggered),
    )


class _Draft:
    """The plan for the slices of one family while it is made.

    `examined` are the slices that may be wrong; the `others` are right, and only looked at for room.
    """

    def __init__(
        self,
        service: Service,
        family: str,
        examined: Sequence[Held],
        others: Sequence[Held],
        options: Options,
    ) -> None:
        self._service = service
        self._family = family
        self._options = options
        self._auto = hints_mode(service) == AUTO
        self._labels = slice_labels(service)
        self._all = {held.name: held for held in (*examined, *others)}
        self._others = others
        self._create: list[EndpointSlice] = []
        self._update: dict[str, Sequence[Endpoint]] = {}
        self._delete = [held.piece for held in examined if not owned_by(held.piece, service)]
        self._by_ports: dict[PortsKey, list[Held]] = {}
        self._added = self._removed = 0
        # Of duplicates the one with the first name stays: two controllers at once have to agree on that.
        for held in sorted(examined, key=lambda held: held.name):
            if owned_by(held.piece, service):
                self._by_ports.setdefault(held.ports, []).append(held)

    def finish(self, groups: Groups) -> Plan:
        """The writes that make the examined slices hold `groups`."""
        for key, (ports, endpoints) in groups.items():
            self._fill(key, ports, endpoints)
        for pieces in self._by_ports.values():
            self._delete += [held.piece for held in pieces]
            self._removed += sum(len(held.piece.endpoints) for held in pieces)
        self._keep_one()
        outcomes = {self._family: self._hint()} if self._auto else {}
        updates = [
            _with(self._all[name].piece, self._labels, endpoints) for name, endpoints in self._update.items()
        ]
        plan = _recycled(self._service, self._create, updates, self._delete)
        return dataclasses.replace(plan, added=self._added, removed=self._removed, outcomes=outcomes)

    def _fill(
        self, key: PortsKey, ports: tuple[EndpointPort, ...], endpoints: dict[EndpointKey, Endpoint]
    ) -> None:
        """Puts the endpoints of one set of ports into its slices."""
        pieces = self._by_ports.pop(key, [])
        packed = pack(
            [held.piece.endpoints for held in pieces],
            endpoints,
            limit=self._options.limit,
            same=_same_but_for_hints if self._auto else operator.eq,
            touched={i for i, held in enumerate(pieces) if held.piece.metadata.labels != self._labels},
        )
        self._added += packed.added
        self._removed += packed.removed
        for position, wanted in packed.changed.items():
            if wanted:
                self._update[pieces[position].name] = wanted
            else:
                self._delete.append(pieces[position].piece)
        if not packed.rest:
            return
        unchanged = [held for i, held in enumerate(pieces) if i not in packed.changed]
        unchanged += [held for held in self._others if held.ports == key]
        room = {held.name: len(held.piece.endpoints) for held in unchanged}
        extended, more, chunks = settle(packed.rest, room, limit=self._options.limit)
        if extended is not None:
            self._update[extended] = (*self._all[extended].piece.endpoints, *more)
        self._create += [new_slice(self._service, self._family, ports, chunk) for chunk in chunks]

    def _keep_one(self) -> None:
        """A family has at least one slice, if only an empty one."""
        if len(self._delete) < len(self._all) or self._create:
            return
        empty = new_slice(self._service, self._family, (), ())
        last = self._delete[0] if len(self._delete) == 1 else None
        if last is not None and owned_by(last, self._service) and _same_content(last, empty):
            self._delete = []
        else:
            self._create = [empty]

    def _hint(self) -> Outcome:
        """Shares the endpoints out to the zones, in slices that change anyway as far as possible."""
        gone = {piece.metadata.name for piece in self._delete}
        unchanged = [h for name, h in self._all.items() if name not in self._update and name not in gone]
        changed = [*(piece.endpoints for piece in self._create), *self._update.values()]
        sharing = share_out(self._options.shares, changed, unchanged)
        new = len(self._create)
        self._create = [
            replace(piece, endpoints=tuple(hinted))
            for piece, hinted in zip(self._create, sharing.changed[:new], strict=True)
        ]
        self._update = dict(zip(self._update, sharing.changed[new:], strict=True)) | dict(sharing.others)
        return sharing.outcome


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
