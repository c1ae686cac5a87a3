"""Whether a node may run a pod, in the scheduler's words if not.

Upstream: pkg/scheduler/framework/plugins (nodeunschedulable, tainttoleration, nodeaffinity, noderesources).
"""

from __future__ import annotations

from collections.abc import Iterable

from fairlead.objects.core_v1 import Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, Taint, Toleration

NOT_READY = Taint(key="node.kubernetes.io/not-ready", effect="NoSchedule")
UNSCHEDULABLE = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")


def misfit(pod: Pod, node: Node, running: int) -> str:
    """Why the node, with so many pods `running` on it, may not run the pod; "" if it may."""
    tolerations = pod.spec.tolerations
    if node.spec.unschedulable and not _is_tolerated(UNSCHEDULABLE, tolerations):
        return "node(s) were unschedulable"
    for taint in _taints(node):
        if taint.effect in ("NoSchedule", "NoExecute") and not _is_tolerated(taint, tolerations):
            return f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"
    if not _is_selected(pod, node):
        return "node(s) didn't match Pod's node affinity/selector"
    room = node.status.allocatable.get("pods")
    if room is not None and str(room).isdecimal() and running >= int(room):
        return "Too many pods"
    return ""


def is_ready(node: Node) -> bool:
    """Whether the node's Ready condition is true."""
    return any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)


def _taints(node: Node) -> Iterable[Taint]:
    """The node's taints, with the one that a node which is not ready has, or is about to be given."""
    yield from node.spec.taints
    if not is_ready(node):
        yield NOT_READY


def _is_tolerated(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    return any(
        (not t.effect or t.effect == taint.effect)
        and (not t.key or t.key == taint.key)
        and (t.operator == "Exists" or (bool(t.key) and t.value == taint.value))
        for t in tolerations
    )


def _is_selected(pod: Pod, node: Node) -> bool:
    labels = node.metadata.labels
    if any(labels.get(name) != value for name, value in pod.spec.nodeSelector.items()):
        return False
    affinity = pod.spec.affinity.nodeAffinity if pod.spec.affinity else None
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity else None
    return required is None or any(_meets(term, node) for term in required.nodeSelectorTerms)


def _meets(term: NodeSelectorTerm, node: Node) -> bool:
    """Whether the node meets all that the term asks; an empty term is met by none."""
    if not (term.matchExpressions or term.matchFields):
        return False
    labels = node.metadata.labels
    return all(_holds(r, labels.get(r.key)) for r in term.matchExpressions) and all(
        r.key == "metadata.name" and _holds(r, node.metadata.name) for r in term.matchFields
    )


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
