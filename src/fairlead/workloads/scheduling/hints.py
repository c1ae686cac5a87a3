"""Which changes of the cluster can make a pod schedulable that was not.

Upstream: the plugins' QueueingHints (KEP-4247).

A hint may say yes too often, which costs a vain try; never no where a try would have succeeded.
"""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.objects.core_v1 import Node
from fairlead.workloads.scheduling import hostports, nodeaffinity, taints
from fairlead.workloads.scheduling.amounts import amounts
from fairlead.workloads.scheduling.profile import Profile
from fairlead.workloads.scheduling.refusal import (
    INTER_POD_AFFINITY,
    NODE_PORTS,
    NODE_RESOURCES_FIT,
    POD_TOPOLOGY_SPREAD,
)

OF_PODS = (NODE_PORTS, NODE_RESOURCES_FIT, POD_TOPOLOGY_SPREAD, INTER_POD_AFFINITY)
"""The rules that look at pods on nodes: only pods that one of these refused can gain from another pod's going."""

OF_TERMS = (POD_TOPOLOGY_SPREAD, INTER_POD_AFFINITY)
"""The rules for which more pods can be better."""

OF_NAMESPACES = (INTER_POD_AFFINITY,)
"""The rules that look at the labels of namespaces."""


def node_helps(waiting: Profile, rules: frozenset[str], old: Node | None, new: Node | None) -> bool:
    """Whether the change of a node, its coming or going included, can help the pod, which these rules refused."""
    if new is not None and old is not None and offers(old) == offers(new):
        return False
    if POD_TOPOLOGY_SPREAD in rules or INTER_POD_AFFINITY in rules:
        return True  # what is one domain, and how many pods are in it, may be another thing now
    if new is None:
        return False
    spec = waiting.pod.spec
    if new.spec.unschedulable and not taints.is_tolerated(taints.UNSCHEDULABLE, spec.tolerations):
        return False
    if taints.untolerated(taints.hard(new), spec.tolerations) is not None:
        return False
    if not nodeaffinity.matches(spec, new.metadata.name, new.metadata.labels):
        return False
    allocatable = amounts(new.status.allocatable)
    return all(allocatable.get(name, 0) >= number for name, number in waiting.requests.items())


def offers(node: Node) -> tuple[object, ...]:
    """All of a node that decides which pods it may run; its heartbeats do not."""
    return (
        node.metadata.labels,
        node.spec.unschedulable,
        taints.hard(node),
        taints.soft(node),
        node.status.allocatable,
    )


def departure_helps(
    waiting: Profile, gone: Profile, rules: frozenset[str], namespaces: Mapping[str, Mapping[str, str]]
) -> bool:
    """Whether it can help the pod, which these rules refused, that another has gone from its node."""
    if NODE_RESOURCES_FIT in rules:
        return True  # its place is one of the node's number of pods, if nothing else
    if NODE_PORTS in rules and hostports.conflicts(waiting.ports, gone.ports):
        return True
    return _terms_meet(waiting, gone, rules, namespaces, departed=True)


def arrival_helps(
    waiting: Profile, come: Profile, rules: frozenset[str], namespaces: Mapping[str, Mapping[str, str]]
) -> bool:
    """Whether it can help the pod, which these rules refused, that another has been placed on a node."""
    return _terms_meet(waiting, come, rules, namespaces, departed=False)


def _terms_meet(
    waiting: Profile,
    other: Profile,
    rules: frozenset[str],
    namespaces: Mapping[str, Mapping[str, str]],
    *,
    departed: bool,
) -> bool:
    theirs, own = namespaces.get(other.namespace, {}), namespaces.get(waiting.namespace, {})
    if POD_TOPOLOGY_SPREAD in rules and any(other.matched_by(s.query, theirs) for s in waiting.spreads):
        return True
    if INTER_POD_AFFINITY not in rules:
        return False
    if departed:
        return any(other.matched_by(t.query, theirs) for t in waiting.affinity.shunned) or any(
            waiting.matched_by(t.query, own) for t in other.affinity.shunned
        )
    return any(other.matched_by(t.query, theirs) for t in waiting.affinity.required)
