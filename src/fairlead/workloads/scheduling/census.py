"""How many pods each node has of those that terms mean: counted as pods come and go, never anew.

Upstream looks at the pods of all nodes for each pod with terms; here a placed pod changes the counters of the queries
that mean it, and a decision reads one number a node.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fairlead.workloads.scheduling.profile import Profile
from fairlead.workloads.scheduling.terms import Kind, Query, Term

REMEMBERED = 2048
"""Queries whose counters are kept; the one unused for longest goes, and is counted anew if it is asked again."""

Counts = dict[str, int]
"""Pods by the name of their node; none is zero."""

Queries = tuple[Query, ...]
"""What is meant by all of these together."""


@dataclass(slots=True)
class _Group:
    """The pods of a kind, and the counters that they are in."""

    labels: Mapping[str, str]
    counts: Counts = field(default_factory=dict)
    counters: list[Counts] = field(default_factory=list)


class Census:
    """Counters by query and node, and the terms that pods on nodes have.

    `add` and `remove` cost the number of queries that mean the pod, and its own terms; the first pod of a kind (all
    have the same namespace, labels and owner) and the first question of a query look at all queries, or kinds, once.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, dict[Kind, _Group]] = {}
        self._counters: OrderedDict[Queries, Counts] = OrderedDict()
        self.namespaces: dict[str, Mapping[str, str]] = {}
        """Their labels. Changed by `set_namespace` alone."""
        self.shunned = Carried()
        """Required anti-affinity of pods on nodes."""
        self.wished = Carried()
        """Their required affinity, with weight 1, and preferred terms."""

    def add(self, pod: Profile, node: str) -> None:
        """The pod is on the node."""
        group = self._kinds.setdefault(pod.namespace, {}).get(pod.kind)
        if group is None:
            group = self._kinds[pod.namespace][pod.kind] = self._group(pod)
        _change(group.counts, node, 1)
        for counts in group.counters:
            _change(counts, node, 1)
        self._carry(pod, node, 1)

    def remove(self, pod: Profile, node: str) -> None:
        """The pod, which was added, is on the node no more."""
        kinds = self._kinds[pod.namespace]
        group = kinds[pod.kind]
        _change(group.counts, node, -1)
        for counts in group.counters:
            _change(counts, node, -1)
        if not group.counts:
            del kinds[pod.kind]
            if not kinds:
                del self._kinds[pod.namespace]
        self._carry(pod, node, -1)

    def counts(self, *queries: Query) -> Mapping[str, int]:
        """How many pods, by node, all of the queries mean. A live view."""
        found = self._counters.get(queries)
        if found is not None:
            self._counters.move_to_end(queries)
            return found
        found = self._counters[queries] = {}
        for group in self._meant(queries):
            group.counters.append(found)
            for node, number in group.counts.items():
                _change(found, node, number)
        if len(self._counters) > REMEMBERED:
            _, dropped = self._counters.popitem(last=False)
            self._forget(dropped)
        return found

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> bool:
        """The namespace has these labels; None: it is gone. What selects namespaces is counted anew when asked.

        Gives whether that is a change.
        """
        if labels == self.namespaces.get(name):
            return False
        if labels is None:
            del self.namespaces[name]
        else:
            self.namespaces[name] = labels
        for queries in [q for q in self._counters if any(not each.namespace_selector.nothing for each in q)]:
            self._forget(self._counters.pop(queries))
        return True

    def namespace(self, name: str) -> Mapping[str, str]:
        """The namespace's labels."""
        return self.namespaces.get(name, {})

    def meaning(self, terms: Carried, pod: Profile) -> Iterator[tuple[int, str, Counts]]:
        """Of the terms that pods on nodes have, those that mean this pod: weight, topology key, pods by node."""
        labels = self.namespace(pod.namespace)
        for (weight, term), counts in terms.about(pod.namespace):
            if pod.matched_by(term.query, labels):
                yield weight, term.key, counts

    def _carry(self, pod: Profile, node: str, by: int) -> None:
        affinity = pod.affinity
        for term in affinity.shunned:
            self.shunned.change(0, term, node, by)
        for term in affinity.required:
            self.wished.change(1, term, node, by)
        for weight, term in affinity.preferred:
            self.wished.change(weight, term, node, by)

    def _group(self, pod: Profile) -> _Group:
        group = _Group(dict(pod.labels))
        for queries, counts in self._counters.items():
            if self._means(queries, pod.kind, group.labels):
                group.counters.append(counts)
        return group

    def _meant(self, queries: Queries) -> Iterator[_Group]:
        first = queries[0]
        names = self._kinds if not first.namespace_selector.nothing else first.namespaces
        for name in names:
            for kind, group in self._kinds.get(name, {}).items():
                if self._means(queries, kind, group.labels):
                    yield group

    def _means(self, queries: Queries, kind: Kind, labels: Mapping[str, str]) -> bool:
        namespace = self.namespace(kind.namespace)
        return all(query.matches(kind, labels, namespace) for query in queries)

    def _forget(self, dropped: Counts) -> None:
        for kinds in self._kinds.values():
            for group in kinds.values():
                group.counters = [counts for counts in group.counters if counts is not dropped]


class Carried:
    """The terms of pods on nodes, with their weights: how many pods have each, by node."""

    def __init__(self) -> None:
        self._terms: dict[str, dict[tuple[int, Term], Counts]] = {}

    def change(self, weight: int, term: Term, node: str, by: int) -> None:
        """One pod more (1) or less (-1) on the node has the term."""
        for name in _places(term.query):
            here = self._terms.setdefault(name, {})
            counts = here.setdefault((weight, term), {})
            _change(counts, node, by)
            if not counts:
                del here[weight, term]
                if not here:
                    del self._terms[name]

    def about(self, namespace: str) -> Iterator[tuple[tuple[int, Term], Counts]]:
        """The terms that may mean pods of the namespace, each once."""
        here = self._terms.get(namespace, {})
        yield from here.items()
        for key, counts in self._terms.get("", {}).items():
            if key not in here:
                yield key, counts

    def __bool__(self) -> bool:
        return bool(self._terms)


def _places(query: Query) -> Iterator[str]:
    """The namespaces that the query may mean; "" for any."""
    if not query.namespace_selector.nothing:
        yield ""
    else:
        yield from query.namespaces


def _change(counts: Counts, node: str, by: int) -> None:
    number = counts.get(node, 0) + by
    if number:
        counts[node] = number
    else:
        del counts[node]
