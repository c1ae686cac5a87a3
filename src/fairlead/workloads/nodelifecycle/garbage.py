"""Which pods nobody will ever remove but us.

Upstream: pkg/controller/podgc/gc_controller.go.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from fairlead.objects.core_v1 import Node, Pod
from fairlead.workloads.nodelifecycle.health import ready_status
from fairlead.workloads.nodelifecycle.taints import OUT_OF_SERVICE

ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Verdict:
    """The pod is to be removed at once. `message` goes into its condition DisruptionTarget, "": none is written."""

    message: str = ""


ORPHANED = Verdict("PodGC: node no longer exists")
STRANDED = Verdict("PodGC: node is out-of-service")
UNPLACED = Verdict()


def is_out_of_service(node: Node) -> bool:
    """Whether somebody has said that the node is off and stays so, and it is indeed not ready."""
    return ready_status(node) != "True" and any(t.key == OUT_OF_SERVICE for t in node.spec.taints)


def verdict(pod: Pod, node: Node | None) -> Verdict | None:
    """What becomes of the pod on this node, None if the one that it names is gone; None: it stays."""
    leaving = pod.metadata.deletionTimestamp is not None
    if not pod.spec.nodeName:
        return UNPLACED if leaving else None
    if node is None:
        return ORPHANED
    return STRANDED if leaving and is_out_of_service(node) else None


def surplus(ended: Iterable[Pod], threshold: int) -> list[Pod]:
    """Those of the ended pods that are more than `threshold`: evicted ones first, then the oldest."""
    pods = list(ended)
    count = len(pods) - threshold
    if threshold <= 0 or count <= 0:
        return []
    return heapq.nsmallest(count, pods, key=_rank)


def _rank(pod: Pod) -> tuple[bool, str, str]:
    return pod.status.reason != "Evicted", pod.metadata.creationTimestamp or "", pod.metadata.name
