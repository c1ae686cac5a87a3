"""How a Job stands: its pods sorted, those that have ended and are not counted yet, its indexes.

A pod carries a finalizer until its end is in the Job's status, so that none is lost or counted twice, whenever the
controller dies. Upstream: getNewFinishedPods, newUncountedTerminatedPods in pkg/controller/job/job_controller.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.objects.batch_v1 import Job, UncountedTerminatedPods
from fairlead.objects.core_v1 import Pod
from fairlead.objects.jobs import INDEXED
from fairlead.workloads.job import indexes
from fairlead.workloads.job.policies import FAIL_INDEX, FAIL_JOB, IGNORE, meaning
from fairlead.workloads.podstate import is_active, is_ready, is_terminal, is_terminating

FINALIZER = "batch.kubernetes.io/job-tracking"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
"""How often the index of a pod had failed when the pod was made, where backoffLimitPerIndex is set."""

MOST = 500
"""Ended pods that are counted at a time (upstream: MaxUncountedPods)."""


@dataclass(frozen=True)
class Survey:
    """A Job's pods, and what they add up to."""

    active: tuple[Pod, ...]
    terminating: int
    ready: int
    succeeded: int
    """With those not counted yet; of an Indexed Job the completed indexes."""
    failed: int
    good: tuple[Pod, ...]
    """Succeeded, and not in the status yet."""
    bad: tuple[Pod, ...]
    """Failed, to be counted, and not in the status yet."""
    ignored: tuple[Pod, ...]
    """Failed, and not to be counted."""
    fatal: str
    """Why the Job has failed with one of its pods, by its podFailurePolicy."""
    completed: frozenset[int] = frozenset()
    failed_indexes: frozenset[int] = frozenset()
    failures: dict[int, int] | None = None
    """How often each index has failed, where backoffLimitPerIndex is set."""


def is_indexed(job: Job) -> bool:
    """Whether each pod of the Job has an index."""
    return job.spec.completionMode == INDEXED


def survey(job: Job, pods: Sequence[Pod]) -> Survey:
    """Where the Job stands. Cost: the pods, and the completions of an Indexed Job."""
    status = job.status
    uncounted = status.uncountedTerminatedPods or UncountedTerminatedPods()
    known = {*uncounted.succeeded, *uncounted.failed}
    ended = [p for p in pods if is_terminal(p) and FINALIZER in p.metadata.finalizers]
    fresh = [p for p in ended if p.metadata.uid not in known][:MOST]
    good = tuple(p for p in fresh if p.status.phase == "Succeeded")
    bad: list[Pod] = []
    ignored: list[Pod] = []
    fatal = ""
    for pod in fresh:
        if pod.status.phase != "Failed":
            continue
        found = meaning(job, pod)
        (ignored if found.action == IGNORE else bad).append(pod)
        if found.action == FAIL_JOB and not fatal:
            fatal = found.message
    active = tuple(p for p in pods if is_active(p))
    succeeded = status.succeeded + len(uncounted.succeeded) + len(good)
    completed: set[int] = set()
    given_up: set[int] = set()
    failures: dict[int, int] | None = None
    if is_indexed(job):
        completions = job.spec.completions or 0
        completed = indexes.parse(status.completedIndexes, completions)
        completed |= {i for p in good if (i := indexes.index_of(p)) is not None and i < completions}
        succeeded = len(completed)
        if job.spec.backoffLimitPerIndex is not None:
            failures = _failures(job, pods)
            given_up = indexes.parse(status.failedIndexes or "", completions)
            given_up |= _given_up(job, pods, failures)
            given_up -= completed
    return Survey(
        active=active,
        terminating=sum(map(is_terminating, pods)),
        ready=sum(map(is_ready, active)),
        succeeded=succeeded,
        failed=status.failed + len(uncounted.failed) + len(bad),
        good=good,
        bad=tuple(bad),
        ignored=tuple(ignored),
        fatal=fatal,
        completed=frozenset(completed),
        failed_indexes=frozenset(given_up),
        failures=failures,
    )


def _failures(job: Job, pods: Sequence[Pod]) -> dict[int, int]:
    found: dict[int, int] = {}
    for pod in pods:
        index = indexes.index_of(pod)
        if pod.status.phase == "Failed" and index is not None and meaning(job, pod).action != IGNORE:
            text = pod.metadata.annotations.get(FAILURES, "0")
            found[index] = max(found.get(index, 0), int(text) + 1 if text.isdecimal() else 1)
    return found


def _given_up(job: Job, pods: Sequence[Pod], failures: dict[int, int]) -> set[int]:
    limit, completions = job.spec.backoffLimitPerIndex or 0, job.spec.completions or 0
    over = {index for index, times in failures.items() if times > limit}
    over |= {
        index
        for pod in pods
        if pod.status.phase == "Failed"
        and (index := indexes.index_of(pod)) is not None
        and meaning(job, pod).action == FAIL_INDEX
    }
    return {index for index in over if index < completions}
