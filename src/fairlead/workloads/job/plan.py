"""What a Job's pods want: how many to make, and with which indexes, which to delete, and what the status says.

Upstream: manageJob, syncJob in pkg/controller/job/job_controller.go; firstPendingIndexes in indexed_job_utils.go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from fairlead.objects.batch_v1 import Job, JobStatus
from fairlead.objects.core_v1 import Pod
from fairlead.objects.scalars import moment, timestamp
from fairlead.workloads.batches import MOST
from fairlead.workloads.job import indexes
from fairlead.workloads.job.survey import Survey, is_indexed
from fairlead.workloads.job.verdict import (
    SUSPENDED,
    TARGETS,
    Verdict,
    condition,
    deadline_in,
    verdict,
    with_condition,
)
from fairlead.workloads.podstate import is_terminating
from fairlead.workloads.ranking import first_to_go


@dataclass(frozen=True)
class Plan:
    """The next step. The status counts no pod that has ended since; `accounting` does."""

    status: JobStatus
    verdict: Verdict | None = None
    create: tuple[int | None, ...] = ()
    """The indexes of the pods to be made; None for those of a Job that has none."""
    delete: tuple[Pod, ...] = ()
    events: tuple[tuple[str, str], ...] = ()
    """Reasons and messages."""
    again: float | None = None
    """Seconds until something is due by the passing of time."""


def plan(
    job: Job,
    found: Survey,
    pods: Sequence[Pod],
    now: float,
    delay: Callable[[int | None], float] = lambda _: 0.0,
) -> Plan:
    """The next step of a Job that is not finished. `now` in s since 1970.

    `delay` says for how many seconds a pod of an index (None: of a Job without indexes) may not be made yet. Cost: the
    pods, and the completions of an Indexed Job.
    """
    suspended = bool(job.spec.suspend)
    status, events = _begun(job, now)
    job = replace(job, status=status)
    reached = verdict(job, found, now)
    if reached is not None:
        kept = status.conditions
        status = replace(
            status,
            conditions=with_condition(kept, TARGETS[reached.type], reached.reason, reached.message, now),
        )
    create: tuple[int | None, ...] = ()
    delete: tuple[Pod, ...] = ()
    again = deadline_in(job, now)
    if job.metadata.deletionTimestamp is None:
        if reached is not None or suspended:
            delete = found.active[:MOST]
        else:
            wanted = _wanted(job, found)
            surplus = _surplus(job, found, wanted, now)
            delete = tuple(surplus[:MOST])
            if not delete and wanted > len(found.active):
                create, wait = _missing(job, found, pods, wanted - len(found.active), delay)
                again = wait if again is None else again if wait is None else min(again, wait)
    status = replace(
        status,
        active=len(found.active) - len(delete) + len(create),
        ready=found.ready,
        terminating=found.terminating + len(delete),
        completedIndexes=indexes.text_of(found.completed) if is_indexed(job) else "",
        failedIndexes=indexes.text_of(found.failed_indexes) if found.failures is not None else None,
    )
    return Plan(status, reached, create, delete, events, again)


def _begun(job: Job, now: float) -> tuple[JobStatus, tuple[tuple[str, str], ...]]:
    """The status with the Job's start, or with that it is suspended or goes on."""
    status = job.status
    if job.spec.suspend:
        conditions = with_condition(status.conditions, SUSPENDED, "JobSuspended", "Job suspended", now)
        if conditions is status.conditions:
            return status, ()
        return replace(status, conditions=conditions), (("Suspended", "Job suspended"),)
    if condition(job, SUSPENDED) is not None:
        conditions = with_condition(status.conditions, SUSPENDED, "JobResumed", "Job resumed", now, "False")
        resumed = replace(status, conditions=conditions, startTime=timestamp(now))
        return resumed, (("Resumed", "Job resumed"),)
    if status.startTime is None:
        return replace(status, startTime=timestamp(now)), ()
    return status, ()


def _wanted(job: Job, found: Survey) -> int:
    """How many pods are to be active."""
    parallelism = job.spec.parallelism if job.spec.parallelism is not None else 1
    if job.spec.completions is None:  # a queue of work: after the first success nobody is added
        return min(len(found.active), parallelism) if found.succeeded else parallelism
    left = job.spec.completions - found.succeeded - len(found.failed_indexes)
    return max(min(left, parallelism), 0)


def _surplus(job: Job, found: Survey, wanted: int, now: float) -> list[Pod]:
    """The active pods to be deleted: those whose index is not wanted, or taken, then as many as are too many."""
    useless: list[Pod] = []
    useful: list[Pod] = []
    if is_indexed(job):
        taken = set(found.completed | found.failed_indexes)
        for pod in sorted(found.active, key=_age):
            index = indexes.index_of(pod)
            if index is None or index in taken or index >= (job.spec.completions or 0):
                useless.append(pod)
            else:
                taken.add(index)
                useful.append(pod)
    else:
        useful = list(found.active)
    more = len(useful) - wanted
    return useless + (first_to_go(useful, found.active, more, now) if more > 0 else [])


def _age(pod: Pod) -> tuple[float, str]:
    return moment(pod.metadata.creationTimestamp) or 0.0, pod.metadata.name


def _missing(
    job: Job, found: Survey, pods: Sequence[Pod], count: int, delay: Callable[[int | None], float]
) -> tuple[tuple[int | None, ...], float | None]:
    """The indexes of the next pods, and in how many seconds there may be more.

    With podReplacementPolicy Failed a pod that terminates keeps its place.
    """
    waits = job.spec.podReplacementPolicy == "Failed"
    count = min(count - (found.terminating if waits else 0), MOST)
    if count <= 0:
        return (), None
    if not is_indexed(job):
        wait = delay(None)
        return ((), wait) if wait > 0 else ((None,) * count, None)
    held = [*found.active, *(pod for pod in pods if waits and is_terminating(pod))]
    taken = {*found.completed, *found.failed_indexes, *(indexes.index_of(pod) for pod in held)}
    chosen: list[int | None] = []
    later: list[float] = []
    for index in range(job.spec.completions or 0):
        if len(chosen) == count:
            break
        if index not in taken:
            wait = delay(index)
            if wait > 0:
                later.append(wait)
            else:
                chosen.append(index)
    return tuple(chosen), min(later, default=None)
