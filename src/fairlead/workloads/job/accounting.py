"""Pods that have ended, counted once each: noted in the status, let go, then counted.

The status names the pods (`uncountedTerminatedPods`), then they lose their finalizer, then the counts grow and the
names go. Whoever takes over at any moment goes on from what the status says. Upstream:
trackJobStatusAndRemoveFinalizers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from msgspec.structs import replace

from fairlead.objects.batch_v1 import Job, JobStatus, UncountedTerminatedPods
from fairlead.objects.core_v1 import Pod
from fairlead.objects.scalars import timestamp
from fairlead.workloads.job.survey import FINALIZER, Survey, is_indexed
from fairlead.workloads.job.verdict import COMPLETE, Verdict, with_condition


def noted(status: JobStatus, found: Survey) -> JobStatus:
    """The status that names the pods which have ended since."""
    before = status.uncountedTerminatedPods or UncountedTerminatedPods()
    return replace(
        status,
        uncountedTerminatedPods=UncountedTerminatedPods(
            succeeded=(*before.succeeded, *_uids(found.good)), failed=(*before.failed, *_uids(found.bad))
        ),
    )


def to_release(job: Job, status: JobStatus, found: Survey, pods: Sequence[Pod]) -> list[Pod]:
    """The pods that need their finalizer no longer: their end is in the status, or the Job is being deleted.

    That may wait for its pods, of which some may never run and end. Upstream: canRemoveFinalizer.
    """
    if job.metadata.deletionTimestamp is not None:
        return [p for p in pods if FINALIZER in p.metadata.finalizers]
    names = status.uncountedTerminatedPods or UncountedTerminatedPods()
    safe = {*names.succeeded, *names.failed, *_uids(found.ignored)}
    return [p for p in pods if p.metadata.uid in safe and FINALIZER in p.metadata.finalizers]


def counted(job: Job, status: JobStatus, found: Survey, held: Collection[str]) -> JobStatus:
    """The status with the pods counted that it names and that are let go; `held` are uids of those that are not."""
    names = status.uncountedTerminatedPods or UncountedTerminatedPods()
    good = [uid for uid in names.succeeded if uid not in held]
    bad = [uid for uid in names.failed if uid not in held]
    return replace(
        status,
        succeeded=len(found.completed) if is_indexed(job) else status.succeeded + len(good),
        failed=status.failed + len(bad),
        uncountedTerminatedPods=UncountedTerminatedPods(
            succeeded=tuple(uid for uid in names.succeeded if uid in held),
            failed=tuple(uid for uid in names.failed if uid in held),
        ),
    )


def concluded(status: JobStatus, verdict: Verdict | None, now: float) -> JobStatus:
    """The status of a Job that is over, once no pod of it runs and all are counted; else as it is."""
    names = status.uncountedTerminatedPods or UncountedTerminatedPods()
    if verdict is None or status.active or status.terminating or names.succeeded or names.failed:
        return status
    conditions = with_condition(status.conditions, verdict.type, verdict.reason, verdict.message, now)
    ended = timestamp(now) if verdict.type == COMPLETE else status.completionTime
    return replace(status, conditions=conditions, completionTime=ended, ready=0, terminating=0)


def _uids(pods: Iterable[Pod]) -> list[str]:
    return [pod.metadata.uid for pod in pods]
