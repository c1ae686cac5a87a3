"""How long a Job waits before it replaces a pod that failed: the longer, the more of them failed in a row.

Upstream: backoffStore, getRemainingTime in pkg/controller/job/backoff_utils.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fairlead.objects.core_v1 import Pod
from fairlead.objects.scalars import moment
from fairlead.workloads.job.indexes import index_of

FIRST, MOST = 10.0, 600.0
"""Seconds after one failed pod, doubled by each more, up to 10 minutes."""


@dataclass(frozen=True)
class Failures:
    """Failed pods since the last that succeeded, and when the last of them ended, in s since 1970."""

    count: int = 0
    last: float = 0.0

    def wait(self, now: float) -> float:
        """Seconds until a pod may be made; 0 if it may now."""
        if not self.count:
            return 0.0
        return max(self.last + min(FIRST * 2.0 ** min(self.count - 1, 10), MOST) - now, 0.0)


def after(failures: Failures, good: Iterable[Pod], bad: Iterable[Pod], now: float) -> Failures:
    """The failures with these pods, which ended since, in the order in which they ended."""
    ends = sorted([(ended_at(pod, now), True) for pod in good] + [(ended_at(pod, now), False) for pod in bad])
    for when, well in ends:
        failures = Failures(0, 0.0) if well else Failures(failures.count + 1, max(failures.last, when))
    return failures


def by_index(pods: Iterable[Pod], failures: Mapping[int, int], now: float) -> dict[int, Failures]:
    """The failures of each index, of a Job that counts them for each."""
    last: dict[int, float] = {}
    for pod in pods:
        index = index_of(pod)
        if index is not None and index in failures and pod.status.phase == "Failed":
            last[index] = max(last.get(index, 0.0), ended_at(pod, now))
    return {index: Failures(failures[index], when) for index, when in last.items()}


def ended_at(pod: Pod, now: float) -> float:
    """When the last container of a pod ended, else when the pod was deleted, else `now`."""
    ends = [
        when
        for status in pod.status.containerStatuses
        if status.state.terminated is not None
        and (when := moment(status.state.terminated.finishedAt)) is not None
    ]
    return max(ends) if ends else moment(pod.metadata.deletionTimestamp) or now
