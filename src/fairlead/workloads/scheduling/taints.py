"""Taints that keep pods off a node, and the tolerations that let them on.

Upstream: plugins/tainttoleration, plugins/nodeunschedulable; component-helpers/scheduling/corev1.ToleratesTaint.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fairlead.objects.core_v1 import Node, Taint, Toleration

NOT_READY = Taint(key="node.kubernetes.io/not-ready", effect="NoSchedule")
UNSCHEDULABLE = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")

_INTEGER = re.compile(r"0|-?[1-9]\d{0,18}")


def hard(node: Node) -> tuple[Taint, ...]:
    """The taints that keep pods away, with the one that a node which is not ready has, or is about to be given."""
    found = tuple(t for t in node.spec.taints if t.effect in ("NoSchedule", "NoExecute"))
    return found if is_ready(node) else (*found, NOT_READY)


def soft(node: Node) -> tuple[Taint, ...]:
    """The taints that only make a node a worse place."""
    return tuple(t for t in node.spec.taints if t.effect == "PreferNoSchedule")


def is_ready(node: Node) -> bool:
    """Whether the node's Ready condition is true."""
    return any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)


def untolerated(taints: Iterable[Taint], tolerations: Iterable[Toleration]) -> Taint | None:
    """The first of the taints that nothing tolerates."""
    held = tuple(tolerations)
    return next((taint for taint in taints if not is_tolerated(taint, held)), None)


def is_tolerated(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    """Whether one of the tolerations is for this taint."""
    return any(_tolerates(toleration, taint) for toleration in tolerations)


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    match toleration.operator:
        case "Exists":
            return True
        case "" | "Equal":
            return bool(toleration.key) and toleration.value == taint.value
        case "Gt" | "Lt":  # KEP-5471
            if not (_INTEGER.fullmatch(taint.value) and _INTEGER.fullmatch(toleration.value)):
                return False
            own, bound = int(taint.value), int(toleration.value)
            return own > bound if toleration.operator == "Gt" else own < bound
    return False
