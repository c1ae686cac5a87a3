"""What a pod counts as for the controllers: active, ready, available.

Upstream: pkg/controller/controller_utils.go (IsPodActive), pkg/api/v1/pod/util.go (IsPodReady, IsPodAvailable).
"""

from __future__ import annotations

from fairlead.objects.core_v1 import Pod, PodCondition
from fairlead.objects.scalars import moment


def is_terminal(pod: Pod) -> bool:
    """Whether the pod has ended, well or not, and starts nothing any more."""
    return pod.status.phase in ("Succeeded", "Failed")


def is_active(pod: Pod) -> bool:
    """Whether the pod runs or is about to, and nobody has deleted it."""
    return not is_terminal(pod) and pod.metadata.deletionTimestamp is None


def is_terminating(pod: Pod) -> bool:
    """Whether the pod is deleted, but its processes may still run."""
    return not is_terminal(pod) and pod.metadata.deletionTimestamp is not None


def condition(pod: Pod, type: str) -> PodCondition | None:
    """The pod's condition of this type."""
    return next((each for each in pod.status.conditions if each.type == type), None)


def is_ready(pod: Pod) -> bool:
    """Whether the pod's Ready condition is true."""
    found = condition(pod, "Ready")
    return found is not None and found.status == "True"


def ready_since(pod: Pod) -> float | None:
    """Since when the pod is ready, in seconds since 1970; None if it is not, or does not say."""
    found = condition(pod, "Ready")
    return moment(found.lastTransitionTime) if found is not None and found.status == "True" else None


def available_in(pod: Pod, min_ready_seconds: int, now: float) -> float | None:
    """Seconds until the pod counts as available if it stays ready, 0 if it does; None for one that is not ready."""
    if not is_ready(pod):
        return None
    if min_ready_seconds <= 0:
        return 0.0
    since = ready_since(pod)
    return None if since is None else max(since + min_ready_seconds - now, 0.0)


def is_available(pod: Pod, min_ready_seconds: int, now: float) -> bool:
    """Whether the pod has been ready for at least `min_ready_seconds`."""
    return available_in(pod, min_ready_seconds, now) == 0.0


def restarts(pod: Pod) -> tuple[int, int]:
    """The most restarts of any container, then of any init container that goes on running."""
    sidecars = {c.name for c in pod.spec.initContainers if c.restartPolicy == "Always"}
    return (
        max((each.restartCount for each in pod.status.containerStatuses), default=0),
        max((e.restartCount for e in pod.status.initContainerStatuses if e.name in sidecars), default=0),
    )
