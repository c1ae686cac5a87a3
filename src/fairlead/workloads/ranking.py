"""Which pods of an owner that has too many go first.

Upstream: ActivePodsWithRanks in pkg/controller/controller_utils.go, with LogarithmicScaleDown and PodDeletionCost.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cmp_to_key

from fairlead.objects.core_v1 import Pod
from fairlead.objects.scalars import moment
from fairlead.workloads.podstate import is_active, is_ready, ready_since, restarts

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"

_PHASES = {"Pending": 0, "": 1, "Unknown": 1, "Running": 2}
_LARGEST = 2**31


def deletion_cost(pod: Pod) -> int:
    """What the pod's annotation says its loss costs; 0 for none, or for what is no 32-bit number."""
    text = pod.metadata.annotations.get(DELETION_COST, "0")
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or (len(digits) > 1 and digits.startswith("0")):
        return 0
    cost = int(text)
    return cost if -_LARGEST <= cost < _LARGEST else 0


def deletion_order(pods: Iterable[Pod], related: Iterable[Pod], now: float) -> list[Pod]:
    """The pods, those that are to go first in front.

    `related` are the pods of all owners that stand for the same workload, these pods among them: of two pods the one
    whose node has more of them goes. Cost: n log n of the pods.
    """
    crowd = Counter(pod.spec.nodeName for pod in related if is_active(pod))

    def compare(a: Pod, b: Pod) -> int:
        return _compare(a, b, crowd, now)

    return sorted(pods, key=cmp_to_key(compare))


def first_to_go(pods: Sequence[Pod], related: Iterable[Pod], count: int, now: float) -> list[Pod]:
    """The `count` pods that go first; without a ranking where all go (upstream: getPodsToDelete)."""
    if count >= len(pods):
        return list(pods)
    return deletion_order(pods, related, now)[:count]


def _compare(a: Pod, b: Pod, crowd: Counter[str], now: float) -> int:
    ranks_a, ranks_b = _rank(a, crowd), _rank(b, crowd)
    if ranks_a != ranks_b:
        return -1 if ranks_a < ranks_b else 1
    if is_ready(a) and (by_time := _by_age(ready_since(a), ready_since(b), a, b, now)):
        return by_time
    if restarts(a) != restarts(b):
        return -1 if restarts(a) > restarts(b) else 1
    made_a, made_b = moment(a.metadata.creationTimestamp), moment(b.metadata.creationTimestamp)
    return _by_age(made_a, made_b, a, b, now) or (-1 if a.metadata.uid < b.metadata.uid else 1)


def _rank(pod: Pod, crowd: Counter[str]) -> tuple[bool, int, bool, int, int]:
    """Not bound, pending, not ready, cheap, and crowded first."""
    return (
        bool(pod.spec.nodeName),
        _PHASES.get(pod.status.phase, 0),
        is_ready(pod),
        deletion_cost(pod),
        -crowd[pod.spec.nodeName],
    )


def _by_age(a: float | None, b: float | None, pod: Pod, other: Pod, now: float) -> int:
    """The younger first, unless their ages are of one order of magnitude: then the uid decides, as good as chance."""
    if a == b:
        return 0
    if a is None or b is None:
        return -1 if a is None else 1
    difference = _magnitude(now - a) - _magnitude(now - b)
    if difference == 0:
        return -1 if pod.metadata.uid < other.metadata.uid else 1
    return -1 if difference < 0 else 1


def _magnitude(seconds: float) -> int:
    """The logarithm of a duration in nanoseconds, rounded down (upstream: logarithmicRankDiff)."""
    return int(math.log2(seconds * 1e9)) if seconds > 0 else -1
