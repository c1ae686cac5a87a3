"""Which nodes a pod asks for: its nodeSelector, its required and preferred node affinity.

Upstream: plugins/nodeaffinity, component-helpers/scheduling/corev1/nodeaffinity.
"""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.objects.core_v1 import NodeAffinity, NodeSelectorRequirement, NodeSelectorTerm, PodSpec


def matches(spec: PodSpec, name: str, labels: Mapping[str, str]) -> bool:
    """Whether a node with this name and these labels is one that the pod asks for."""
    if any(labels.get(key) != value for key, value in spec.nodeSelector.items()):
        return False
    affinity = _affinity(spec)
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity else None
    return required is None or any(meets(term, name, labels) for term in required.nodeSelectorTerms)


def asks(spec: PodSpec) -> bool:
    """Whether the pod asks for particular nodes at all."""
    affinity = _affinity(spec)
    required = affinity is not None and affinity.requiredDuringSchedulingIgnoredDuringExecution is not None
    return bool(spec.nodeSelector) or required


def named(spec: PodSpec) -> frozenset[str] | None:
    """The only nodes that can be meant, where every term names some by `metadata.name`; None if any may be.

    An empty set says that each term contradicts itself.
    """
    affinity = _affinity(spec)
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity else None
    if required is None or not required.nodeSelectorTerms:
        return None
    found: frozenset[str] = frozenset()
    for term in required.nodeSelectorTerms:
        lists = [r.values for r in term.matchFields if r.key == "metadata.name" and r.operator == "In"]
        if not lists:
            return None
        found |= frozenset(lists[0]).intersection(*lists[1:])
    return found


def preference(spec: PodSpec, name: str, labels: Mapping[str, str]) -> int:
    """The sum of the weights of the preferred terms that the node meets."""
    affinity = _affinity(spec)
    terms = affinity.preferredDuringSchedulingIgnoredDuringExecution if affinity else ()
    return sum(term.weight for term in terms if meets(term.preference, name, labels))


def prefers(spec: PodSpec) -> bool:
    """Whether some nodes are better for the pod than others."""
    affinity = _affinity(spec)
    return affinity is not None and bool(affinity.preferredDuringSchedulingIgnoredDuringExecution)


def meets(term: NodeSelectorTerm, name: str, labels: Mapping[str, str]) -> bool:
    """Whether the node meets all that the term asks; an empty term is met by none."""
    if not (term.matchExpressions or term.matchFields):
        return False
    return all(_holds(r, labels.get(r.key)) for r in term.matchExpressions) and all(
        r.key == "metadata.name" and _holds(r, name) for r in term.matchFields
    )


def _affinity(spec: PodSpec) -> NodeAffinity | None:
    return spec.affinity.nodeAffinity if spec.affinity else None


def _holds(requirement: NodeSelectorRequirement, value: str | None) -> bool:
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            try:
                own, bound = int(value or ""), int(requirement.values[0])
            except (ValueError, IndexError):
                return False
            return own > bound if requirement.operator == "Gt" else own < bound
    return False
