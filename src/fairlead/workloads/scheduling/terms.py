"""Terms: the parts of a pod's spec that speak of other pods, made ready to be asked.

Upstream: framework.AffinityTerm, podtopologyspread.topologySpreadConstraint; KEP-3633 (matchLabelKeys and
mismatchLabelKeys of affinity), KEP-3243 (matchLabelKeys of spreading), KEP-3094 (inclusion policies).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fairlead.objects import labels as selectors
from fairlead.objects.core_v1 import Pod, PodAffinityTerm, TopologySpreadConstraint
from fairlead.objects.labels import NOTHING, Requirement, Selector
from fairlead.objects.meta_v1 import LabelSelector

HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True)
class Kind:
    """All of a pod that other pods' terms can ask about. Pods of one kind are counted together."""

    namespace: str
    labels: frozenset[tuple[str, str]]
    owner: str = ""
    terminating: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """Which pods are meant: in which namespaces, with which labels.

    `owner` is the uid of their controller, if only its pods are meant; `living` leaves out those that terminate.
    """

    selector: Selector
    namespaces: frozenset[str] = frozenset()
    namespace_selector: Selector = NOTHING
    owner: str = ""
    living: bool = False

    def matches(self, kind: Kind, labels: Mapping[str, str], namespace_labels: Mapping[str, str]) -> bool:
        """Whether pods of this kind are meant. `labels` are the kind's, as a mapping."""
        if self.owner and self.owner != kind.owner:
            return False
        if self.living and kind.terminating:
            return False
        if kind.namespace not in self.namespaces and not self.namespace_selector.matches(namespace_labels):
            return False
        return self.selector.matches(labels)


@dataclass(frozen=True, slots=True)
class Term:
    """Pods, and how far from them is near: nodes whose label `key` has one value are one place."""

    query: Query
    key: str


@dataclass(frozen=True, slots=True)
class Spread:
    """A topologySpreadConstraint. `hard`: DoNotSchedule. `policies` say which nodes count."""

    query: Query
    key: str
    max_skew: int
    hard: bool
    min_domains: int = 1
    honors_affinity: bool = True
    honors_taints: bool = False


@dataclass(frozen=True, slots=True)
class Affinity:
    """What a pod says of others: required terms, and preferred ones with their weights, negative where it shuns."""

    required: tuple[Term, ...] = ()
    shunned: tuple[Term, ...] = ()
    preferred: tuple[tuple[int, Term], ...] = ()


NONE = Affinity()


def affinity(pod: Pod) -> Affinity:
    """The pod's affinity and anti-affinity. A term whose selector is malformed means no pods."""
    spec = pod.spec.affinity
    if spec is None or (spec.podAffinity is None and spec.podAntiAffinity is None):
        return NONE
    near, far = spec.podAffinity, spec.podAntiAffinity
    return Affinity(
        tuple(_term(pod, t) for t in near.requiredDuringSchedulingIgnoredDuringExecution) if near else (),
        tuple(_term(pod, t) for t in far.requiredDuringSchedulingIgnoredDuringExecution) if far else (),
        tuple(
            (sign * weighted.weight, _term(pod, weighted.podAffinityTerm))
            for sign, part in ((1, near), (-1, far))
            if part is not None
            for weighted in part.preferredDuringSchedulingIgnoredDuringExecution
        ),
    )


def spreads(pod: Pod) -> tuple[Spread, ...]:
    """The pod's own topologySpreadConstraints."""
    return tuple(_spread(pod, constraint) for constraint in pod.spec.topologySpreadConstraints)


def default_spreads(namespace: str, selected: Mapping[str, str], owner: str) -> tuple[Spread, ...]:
    """How pods without constraints are spread: over hosts, then zones, as well as goes.

    `selected` are the labels that the Services before the pod select by, `owner` the uid of its ReplicaSet,
    ReplicationController or StatefulSet, whose selector upstream takes; both empty: not at all.
    Upstream: systemDefaultConstraints, helper.DefaultSelector.
    """
    if not (selected or owner):
        return ()
    query = Query(selectors.from_map(selected), frozenset((namespace,)), owner=owner, living=True)
    return tuple(Spread(query, key, skew, hard=False) for key, skew in ((HOSTNAME, 3), (ZONE, 5)))


def _term(pod: Pod, term: PodAffinityTerm) -> Term:
    own = pod.metadata
    selector = _selector(term.labelSelector)
    if term.labelSelector is not None:
        selector = _narrowed(selector, own.labels, term.matchLabelKeys, term.mismatchLabelKeys)
    # No namespaces and no selector of them mean the pod's own; an empty selector means all.
    namespaces = frozenset(term.namespaces)
    if not namespaces and term.namespaceSelector is None:
        namespaces = frozenset((own.namespace,))
    return Term(Query(selector, namespaces, _selector(term.namespaceSelector)), term.topologyKey)


def _spread(pod: Pod, constraint: TopologySpreadConstraint) -> Spread:
    own = pod.metadata
    selector = _selector(constraint.labelSelector)
    if constraint.labelSelector is not None:
        selector = _narrowed(selector, own.labels, constraint.matchLabelKeys)
    return Spread(
        Query(selector, frozenset((own.namespace,)), living=True),
        constraint.topologyKey,
        constraint.maxSkew,
        hard=constraint.whenUnsatisfiable == "DoNotSchedule",
        min_domains=constraint.minDomains or 1,
        honors_affinity=constraint.nodeAffinityPolicy != "Ignore",
        honors_taints=constraint.nodeTaintsPolicy == "Honor",
    )


def _selector(written: LabelSelector | None) -> Selector:
    try:
        return selectors.from_selector(written)
    except ValueError:
        return NOTHING


def _narrowed(
    selector: Selector, labels: Mapping[str, str], same: tuple[str, ...], other: tuple[str, ...] = ()
) -> Selector:
    """The selector with requirements from the pod's own labels; keys that it does not have are left out.

    Where the API server has put them into the selector already, they are asked twice, which changes nothing.
    """
    more = [
        Requirement(key, operator, (labels[key],))
        for keys, operator in ((same, selectors.IN), (other, selectors.NOT_IN))
        for key in keys
        if key in labels
    ]
    if not more or selector.nothing:
        return selector
    return Selector(tuple(sorted({*selector.requirements, *more}, key=lambda r: (r.key, str(r)))))
