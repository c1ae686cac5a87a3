"""The taints that say in a node's spec what its conditions say in its status.

Upstream: pkg/controller/nodelifecycle/node_lifecycle_controller.go (doNoScheduleTaintingPass,
processTaintBaseEviction), pkg/controller/util/node (SwapNodeControllerTaint).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fairlead.objects.core_v1 import Node, Taint
from fairlead.objects.scalars import timestamp

PREFIX = "node.kubernetes.io"
NOT_READY, UNREACHABLE = f"{PREFIX}/not-ready", f"{PREFIX}/unreachable"
UNSCHEDULABLE = f"{PREFIX}/unschedulable"
OUT_OF_SERVICE = f"{PREFIX}/out-of-service"

BY_CONDITION: Mapping[tuple[str, str], str] = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): f"{PREFIX}/memory-pressure",
    ("DiskPressure", "True"): f"{PREFIX}/disk-pressure",
    ("NetworkUnavailable", "True"): f"{PREFIX}/network-unavailable",
    ("PIDPressure", "True"): f"{PREFIX}/pid-pressure",
}
"""The taint of a condition with this status, by both."""

_OWN = {
    *((key, "NoSchedule") for key in (*BY_CONDITION.values(), UNSCHEDULABLE)),
    *((key, "NoExecute") for key in (NOT_READY, UNREACHABLE)),
}
"""The taints that are nobody else's."""


def evicting(node: Node) -> str:
    """The key of the taint by which pods leave this node, by its conditions; "" if it is ready."""
    for condition in node.status.conditions:
        if condition.type == "Ready":
            return BY_CONDITION.get(("Ready", condition.status), "")
    return ""


def tainted(node: Node, *, evict: bool, now: float) -> tuple[Taint, ...]:
    """All taints that the node is to have; equal to those that it has if nothing changes.

    Those of others stay as they are. `evict`: whether a node that is not ready gets its NoExecute taint if it has none
    yet; one that has it keeps it, under the key of its present trouble. `now` in s since 1970.
    """
    wanted = {
        (key, "NoSchedule")
        for condition in node.status.conditions
        if (key := BY_CONDITION.get((condition.type, condition.status)))
    }
    if node.spec.unschedulable:
        wanted.add((UNSCHEDULABLE, "NoSchedule"))
    trouble = evicting(node)
    if trouble and (evict or is_evicting(node)):
        wanted.add((trouble, "NoExecute"))
    kept = [t for t in node.spec.taints if (known := (t.key, t.effect)) not in _OWN or known in wanted]
    missing = wanted - {(t.key, t.effect) for t in kept}
    moment = timestamp(now)
    return (*kept, *(Taint(key=key, effect=effect, timeAdded=moment) for key, effect in sorted(missing)))


def released(taints: Iterable[Taint]) -> tuple[Taint, ...]:
    """These taints without those by which the pods of a node that is not ready leave it."""
    return tuple(t for t in taints if (t.key, t.effect) not in _EVICTING)


def is_evicting(node: Node) -> bool:
    """Whether the node has a taint by which pods leave it since it is not ready."""
    return any((t.key, t.effect) in _EVICTING for t in node.spec.taints)


_EVICTING = {(NOT_READY, "NoExecute"), (UNREACHABLE, "NoExecute")}
