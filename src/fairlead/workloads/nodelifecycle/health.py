"""What is said of a node that says nothing itself any more.

Upstream: pkg/controller/nodelifecycle/node_lifecycle_controller.go (tryUpdateNodeHealth, markPodsNotReady).
"""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects.core_v1 import Node, NodeCondition, Pod, PodCondition
from fairlead.objects.scalars import timestamp

JUDGED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
"""The conditions that a node reports of itself, and that nobody knows when it does not."""


def ready_status(node: Node) -> str:
    """True, False or Unknown; Unknown too for a node that has never said anything."""
    return next((c.status for c in node.status.conditions if c.type == "Ready"), "Unknown")


def heartbeat(node: Node) -> str:
    """When the node last reported its status, as it wrote that itself; "" if it never did, or is taken for silent."""
    said = next((c for c in node.status.conditions if c.type == "Ready"), None)
    return said.lastHeartbeatTime or "" if said is not None and said.status != "Unknown" else ""


def silenced(node: Node, now: float) -> tuple[NodeCondition, ...]:
    """The conditions of a node that has been silent for too long: those that change. `now` in s since 1970."""
    there = {condition.type: condition for condition in node.status.conditions}
    moment = timestamp(now)
    changed = []
    for kind in JUDGED:
        said = there.get(kind)
        if said is None:
            condition = NodeCondition(
                type=kind,
                status="Unknown",
                reason="NodeStatusNeverUpdated",
                message="Kubelet never posted node status.",
                lastHeartbeatTime=node.metadata.creationTimestamp,
                lastTransitionTime=moment,
            )
        elif said.status != "Unknown":
            condition = replace(
                said,
                status="Unknown",
                reason="NodeStatusUnknown",
                message="Kubelet stopped posting node status.",
                lastTransitionTime=moment,
            )
        else:
            continue
        changed.append(condition)
    return tuple(changed)


def unready(pod: Pod, now: float) -> PodCondition | None:
    """The Ready condition of a pod whose node is not ready, if that changes it. `now` in s since 1970."""
    for condition in pod.status.conditions:
        if condition.type == "Ready" and condition.status == "True":
            return replace(condition, status="False", lastTransitionTime=timestamp(now))
    return None
