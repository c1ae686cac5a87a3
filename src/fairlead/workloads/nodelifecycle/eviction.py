"""When a pod has to leave a node with NoExecute taints.

Upstream: pkg/controller/tainteviction/taint_eviction.go (processPodOnNode), component-helpers/scheduling/corev1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fairlead.objects.core_v1 import Pod, Taint
from fairlead.objects.scalars import moment
from fairlead.workloads.scheduling.taints import is_tolerated

NEVER = float("inf")


def expelling(taints: Iterable[Taint]) -> tuple[Taint, ...]:
    """Those that expel pods."""
    return tuple(taint for taint in taints if taint.effect == "NoExecute")


def due(pod: Pod, taints: Iterable[Taint], seen: Callable[[Taint], float]) -> float:
    """When the pod has to go, in s since 1970: 0 for at once, `NEVER` if all NoExecute taints are tolerated for ever.

    The time of a toleration runs from the moment that the taint says it was added, or `seen` says it was seen first;
    for a pod that came to the node later, from then. (Upstream counts anew when its controller starts.)
    """
    came = _scheduled(pod)
    least = NEVER
    since = 0.0
    for taint in expelling(taints):
        used = [toleration for toleration in pod.spec.tolerations if is_tolerated(taint, (toleration,))]
        if not used:
            return 0.0
        added = moment(taint.timeAdded)
        since = max(since, added if added is not None else seen(taint))
        limits = [t.tolerationSeconds for t in used if t.tolerationSeconds is not None]
        if limits:
            least = min(least, *(max(limit, 0) for limit in limits))
    return NEVER if least == NEVER else max(since, came) + least


def _scheduled(pod: Pod) -> float:
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "True":
            return moment(condition.lastTransitionTime) or 0.0
    return 0.0
