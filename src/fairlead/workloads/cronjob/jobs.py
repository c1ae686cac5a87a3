"""The Jobs of a CronJob: one that is to be made, and those that have ended and that nobody wants to see any more.

Upstream: getJobFromTemplate2, byJobStartTime, removeOldestJobs in pkg/controller/cronjob.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from fairlead.objects.batch_v1 import CronJob, Job
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.scalars import moment
from fairlead.workloads.claiming import controller_reference
from fairlead.workloads.cronjob.clock import MINUTE, Zone
from fairlead.workloads.job.verdict import COMPLETE, FAILED, condition

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
"""The annotation of a Job that says when it was due, by the clock of the CronJob's zone."""


def job_name(cron_job: CronJob, scheduled: int) -> str:
    """The name of the Job of this start, in s since 1970: it says the minute, so that no start has two Jobs."""
    return f"{cron_job.metadata.name}-{scheduled // MINUTE}"


def job_for(cron_job: CronJob, scheduled: int, at: Zone | None) -> Job:
    """The Job of this start, which `at` says in an annotation; in UTC without a zone."""
    template = cron_job.spec.jobTemplate
    meta = template.metadata
    return Job(
        metadata=ObjectMeta(
            name=job_name(cron_job, scheduled),
            namespace=cron_job.metadata.namespace,
            labels=meta.labels,
            annotations={
                **meta.annotations,
                SCHEDULED: _shown(scheduled, at(scheduled) if at is not None else 0),
            },
            ownerReferences=(controller_reference(cron_job),),
        ),
        spec=template.spec,
    )


def _shown(scheduled: int, ahead: int) -> str:
    """The moment by a clock that is so many seconds ahead of UTC, as RFC 3339 has it."""
    text = datetime.fromtimestamp(scheduled, timezone(timedelta(seconds=ahead))).isoformat()
    return text.removesuffix("+00:00") + "Z" if ahead == 0 else text


def over_the_limits(cron_job: CronJob, jobs: Sequence[Job]) -> tuple[Job, ...]:
    """The finished Jobs beyond those that are kept: the oldest of those that succeeded, and of those that failed."""
    spec = cron_job.spec
    kept = ((COMPLETE, spec.successfulJobsHistoryLimit), (FAILED, spec.failedJobsHistoryLimit))
    gone: list[Job] = []
    for type, limit in kept:
        if limit is not None:
            ended = sorted((job for job in jobs if condition(job, type) is not None), key=_age)
            gone += ended[: max(len(ended) - limit, 0)]
    return tuple(gone)


def _age(job: Job) -> tuple[float, str]:
    """The earliest first, those that never started last."""
    started = moment(job.status.startTime)
    return (started if started is not None else float("inf"), job.metadata.name)
