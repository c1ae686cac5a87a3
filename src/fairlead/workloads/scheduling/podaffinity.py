"""Pods near to others, or away from them: podAffinity and podAntiAffinity, of the pod and of those that run.

Upstream: plugins/interpodaffinity (filtering.go, scoring.go).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from fairlead.workloads.scheduling.cluster import Cluster, Place
from fairlead.workloads.scheduling.profile import Profile
from fairlead.workloads.scheduling.refusal import NOT_NEAR, SHUNNED, TOO_NEAR, Refusal
from fairlead.workloads.scheduling.room import FULL

Domain = tuple[str, str]
"""A topology key and the value of a node."""


class Neighbours:
    """Where a pod's required terms, and those of pods on nodes, let it be.

    Making it costs the pod's terms, and the terms of others that mean it, each times the nodes with such pods.
    """

    def __init__(self, pod: Profile, cluster: Cluster) -> None:
        census, nodes = cluster.census, cluster.nodes
        self._required = {term.key: None for term in pod.affinity.required}
        queries = [term.query for term in pod.affinity.required]
        near = census.counts(*queries) if queries else {}
        self._near = _domains(near, self._required, nodes)
        own = census.namespace(pod.namespace)
        # The first pod of a group whose members want one another may start anywhere.
        self._first = (
            bool(queries) and not self._near and all(pod.matched_by(query, own) for query in queries)
        )
        self._far: set[Domain] = set()
        for term in pod.affinity.shunned:
            self._far |= _domains(census.counts(term.query), (term.key,), nodes)
        self._far_keys = {key for key, _ in self._far}
        self._forbidden: set[Domain] = set()
        for _, key, counts in census.meaning(census.shunned, pod):
            self._forbidden |= _domains(counts, (key,), nodes)
        self._forbidden_keys = {key for key, _ in self._forbidden}

    @property
    def asks(self) -> bool:
        """Whether any node can be refused."""
        return bool(self._required or self._far or self._forbidden)

    def refuses(self, place: Place) -> Refusal | None:
        """Whether the pod's neighbours would be wrong on this node."""
        labels = place.labels
        for key in self._required:
            value = labels.get(key)
            if value is None or not (self._first or (key, value) in self._near):
                return NOT_NEAR
        if any((key, labels.get(key)) in self._far for key in self._far_keys):
            return TOO_NEAR
        if any((key, labels.get(key)) in self._forbidden for key in self._forbidden_keys):
            return SHUNNED
        return None


def company(pod: Profile, feasible: Sequence[Place], cluster: Cluster) -> list[int] | None:
    """How much the pod and its neighbours would like each feasible node, 0 to 100; None: nobody minds."""
    census = cluster.census
    liking: dict[str, dict[str, int]] = {}
    for weight, term in pod.affinity.preferred:
        _like(liking, weight, term.key, census.counts(term.query), cluster)
    if census.wished:
        for weight, key, counts in census.meaning(census.wished, pod):
            _like(liking, weight, key, counts, cluster)
    if not liking:
        return None
    raw = [
        sum(values.get(place.labels[key], 0) for key, values in liking.items() if key in place.labels)
        for place in feasible
    ]
    lowest, highest = min(raw), max(raw)
    if highest == lowest:
        return None
    return [FULL * (score - lowest) // (highest - lowest) for score in raw]


def _like(
    liking: dict[str, dict[str, int]], weight: int, key: str, counts: Mapping[str, int], cluster: Cluster
) -> None:
    for name, number in counts.items():
        place = cluster.nodes.get(name)
        value = place.labels.get(key) if place is not None else None
        if value is not None:
            values = liking.setdefault(key, {})
            values[value] = values.get(value, 0) + weight * number


def _domains(counts: Mapping[str, int], keys: Collection[str], nodes: Mapping[str, Place]) -> set[Domain]:
    """The domains of the nodes that have such pods."""
    found: set[Domain] = set()
    for name in counts:
        place = nodes.get(name)
        if place is not None:
            found.update((key, place.labels[key]) for key in keys if key in place.labels)
    return found
