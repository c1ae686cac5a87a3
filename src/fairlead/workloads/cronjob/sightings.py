"""What a CronJob's status says of its Jobs, by the Jobs that there are.

Upstream: the first half of syncCronJob in pkg/controller/cronjob/cronjob_controllerv2.go.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from fairlead.client.events import reference
from fairlead.objects.batch_v1 import CronJob, CronJobStatus, Job
from fairlead.objects.scalars import moment, timestamp
from fairlead.workloads.cronjob.jobs import SCHEDULED
from fairlead.workloads.job.verdict import COMPLETE, FAILED, condition, is_finished


@dataclass(frozen=True)
class Told:
    """An Event about the CronJob."""

    type: str
    reason: str
    message: str


def seen(
    cron_job: CronJob, jobs: Sequence[Job], given_up: Collection[Job] = ()
) -> tuple[CronJobStatus, tuple[Told, ...]]:
    """The status without the Jobs that have ended or are gone, and what is to be told of them.

    `jobs` are all that there are of the CronJob's, `given_up` those of them that are about to be deleted.
    """
    status = cron_job.status
    active = {each.uid: each for each in status.active}
    for job in given_up:
        active.pop(job.metadata.uid, None)
    succeeded = status.lastSuccessfulTime
    told: list[Told] = []
    for job in jobs:
        meta = job.metadata
        ended = condition(job, COMPLETE) or condition(job, FAILED)
        if ended is None and meta.uid not in active and SCHEDULED in meta.annotations:
            # made by a controller that could not say so any more; upstream takes it for somebody else's
            active[meta.uid] = reference(job)
        elif ended is None and meta.uid not in active:
            said = f"Saw a job that the controller did not create or forgot: {meta.name}"
            told.append(Told("Warning", "UnexpectedJob", said))
        elif ended is not None and active.pop(meta.uid, None) is not None:
            said = f"Saw completed job: {meta.name}, condition: {ended.type}"
            told.append(Told("Normal", "SawCompletedJob", said))
        if ended is not None and ended.type == COMPLETE:
            succeeded = _later(succeeded, job.status.completionTime)
    there = {job.metadata.uid for job in jobs}
    for uid, each in list(active.items()):
        if uid not in there:
            told.append(Told("Normal", "MissingJob", f"Active job went missing: {each.name}"))
            del active[uid]
    return replace(status, active=tuple(active.values()), lastSuccessfulTime=succeeded), tuple(told)


def started(status: CronJobStatus, job: Job, scheduled: int) -> CronJobStatus:
    """The status with the Job that was made for this start, in s since 1970; it may have ended since."""
    active = status.active
    if not is_finished(job) and all(each.uid != job.metadata.uid for each in active):
        active = (*active, reference(job))
    return replace(status, active=active, lastScheduleTime=timestamp(scheduled))


def without(status: CronJobStatus, job: Job) -> CronJobStatus:
    """The status without a Job that was deleted."""
    return replace(status, active=tuple(each for each in status.active if each.uid != job.metadata.uid))


def _later(one: str | None, other: str | None) -> str | None:
    first, second = moment(one), moment(other)
    return other if first is None or (second is not None and second > first) else one
