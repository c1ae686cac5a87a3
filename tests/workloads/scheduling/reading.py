"""The rules on other pods, read directly: every question looks at every pod. For comparison only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fairlead.objects import labels as selectors
from fairlead.objects.core_v1 import Node, Pod, PodAffinityTerm, TopologySpreadConstraint
from fairlead.workloads.scheduling import nodeaffinity, taints


@dataclass
class World:
    """All nodes by name, all pods with their nodes' names, the labels of namespaces."""

    nodes: dict[str, Node] = field(default_factory=dict)
    pods: dict[str, tuple[Pod, str]] = field(default_factory=dict)
    namespaces: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def on(self, name: str) -> list[Pod]:
        return [pod for pod, node in self.pods.values() if node == name]

    def placed(self) -> Iterable[tuple[Pod, Mapping[str, str]]]:
        """Pods with the labels of their nodes, if these are there."""
        for pod, name in self.pods.values():
            if name in self.nodes:
                yield pod, self.nodes[name].metadata.labels


def means(owner: Pod, term: PodAffinityTerm, other: Pod, world: World) -> bool:
    """Whether the owner's term means the other pod."""
    if not selectors.from_selector(term.labelSelector).matches(other.metadata.labels):
        return False
    for key in term.matchLabelKeys:
        if key in owner.metadata.labels and other.metadata.labels.get(key) != owner.metadata.labels[key]:
            return False
    there = other.metadata.namespace
    if term.namespaceSelector is None and not term.namespaces:
        return there == owner.metadata.namespace
    chosen = term.namespaceSelector is not None and selectors.from_selector(term.namespaceSelector).matches(
        world.namespaces.get(there, {})
    )
    return there in term.namespaces or chosen


def _required(pod: Pod) -> tuple[PodAffinityTerm, ...]:
    near = pod.spec.affinity.podAffinity if pod.spec.affinity else None
    return near.requiredDuringSchedulingIgnoredDuringExecution if near else ()


def _shunned(pod: Pod) -> tuple[PodAffinityTerm, ...]:
    far = pod.spec.affinity.podAntiAffinity if pod.spec.affinity else None
    return far.requiredDuringSchedulingIgnoredDuringExecution if far else ()


def neighbours_refuse(pod: Pod, node: Node, world: World) -> str:
    """Which half of the rule on affinity between pods is against the node; "" if none is."""
    labels = node.metadata.labels
    required = _required(pod)
    friends = [
        theirs
        for other, theirs in world.placed()
        if required and all(means(pod, term, other, world) for term in required)
    ]
    keys = {term.topologyKey for term in required}
    nowhere = not any(key in theirs for theirs in friends for key in keys)
    first = nowhere and all(means(pod, term, pod, world) for term in required)
    for key in keys:
        if key not in labels:
            return "affinity"
        if not first and not any(theirs.get(key) == labels[key] for theirs in friends):
            return "affinity"
    for other, theirs in world.placed():
        for term in _shunned(pod):
            value = theirs.get(term.topologyKey)
            if value is not None and value == labels.get(term.topologyKey) and means(pod, term, other, world):
                return "anti-affinity"
    for other, theirs in world.placed():
        for term in _shunned(other):
            value = theirs.get(term.topologyKey)
            if value is not None and value == labels.get(term.topologyKey) and means(other, term, pod, world):
                return "existing"
    return ""


def skew_refuses(pod: Pod, node: Node, world: World) -> bool:
    """Whether a hard topologySpreadConstraint is against the node."""
    hard = [c for c in pod.spec.topologySpreadConstraints if c.whenUnsatisfiable == "DoNotSchedule"]
    return any(_too_full(pod, node, constraint, hard, world) for constraint in hard)


def _too_full(
    pod: Pod,
    node: Node,
    constraint: TopologySpreadConstraint,
    all_hard: list[TopologySpreadConstraint],
    world: World,
) -> bool:
    key = constraint.topologyKey
    selector = selectors.from_selector(constraint.labelSelector)
    if key not in node.metadata.labels:
        return True
    numbers: dict[str, int] = {}
    for name, each in world.nodes.items():
        labels = each.metadata.labels
        if not all(c.topologyKey in labels for c in all_hard):
            continue
        if constraint.nodeAffinityPolicy != "Ignore" and not nodeaffinity.matches(pod.spec, name, labels):
            continue
        if constraint.nodeTaintsPolicy == "Honor" and taints.untolerated(
            taints.hard(each), pod.spec.tolerations
        ):
            continue
        matching = [
            other
            for other in world.on(name)
            if other.metadata.namespace == pod.metadata.namespace
            and other.metadata.deletionTimestamp is None
            and selector.matches(other.metadata.labels)
        ]
        numbers[labels[key]] = numbers.get(labels[key], 0) + len(matching)
    least = min(numbers.values(), default=2**31 - 1)
    if len(numbers) < (constraint.minDomains or 1):
        least = 0
    own = 1 if selector.matches(pod.metadata.labels) else 0
    return numbers.get(node.metadata.labels[key], 0) + own - least > constraint.maxSkew
