"""Room on a node: whether a pod's requests fit in what is left, and how evenly a node would be filled.

Upstream: plugins/noderesources (fitsRequest, leastResourceScorer, balancedResourceScorer).
"""

from __future__ import annotations

from fairlead.workloads.scheduling.cluster import Place
from fairlead.workloads.scheduling.profile import Profile
from fairlead.workloads.scheduling.refusal import NODE_RESOURCES_FIT, TOO_MANY_PODS, Refusal

FULL = 100
"""The highest score."""


def lacks(pod: Profile, place: Place) -> Refusal | None:
    """What the node has too little of; final if it would be too little of an empty node as well."""
    reasons: list[str] = []
    final = False
    if len(place.pods) >= place.room:
        reasons.append(TOO_MANY_PODS)
        final = place.room == 0
    allocatable, requested = place.allocatable, place.requested
    for name, number in pod.requests.items():
        there = allocatable.get(name, 0)
        if there < number + requested.get(name, 0):
            reasons.append(f"Insufficient {name}")
            final = final or there < number
    return Refusal(NODE_RESOURCES_FIT, tuple(reasons), final) if reasons else None


def left(pod: Profile, place: Place) -> int:
    """How much of cpu and memory would be left on the node, 0 to 100. Upstream: LeastAllocated."""
    total = kinds = 0
    for name, number in (("cpu", place.cpu + pod.cpu), ("memory", place.memory + pod.memory)):
        there = place.allocatable.get(name, 0)
        if there:
            kinds += 1
            total += max(there - number, 0) * FULL // there
    return total // kinds if kinds else 0


def balance(pod: Profile, place: Place) -> int:
    """How alike the used parts of cpu and memory would be, 0 to 100; pods that ask for neither change nothing."""
    parts = []
    for name in ("cpu", "memory"):
        there = place.allocatable.get(name, 0)
        if there:
            number = place.requested.get(name, 0) + pod.requests.get(name, 0)
            parts.append(min(number / there, 1.0))
    deviation = abs(parts[0] - parts[1]) / 2 if len(parts) == 2 else 0.0
    return int((1 - deviation) * FULL)
