"""CronJobs and their Jobs for the tests."""

from __future__ import annotations

from typing import Any

from fairlead.client.events import reference
from fairlead.objects.batch_v1 import (
    CronJob,
    CronJobSpec,
    CronJobStatus,
    Job,
    JobCondition,
    JobSpec,
    JobStatus,
    JobTemplateSpec,
)
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.scalars import timestamp
from fairlead.workloads.claiming import controller_reference
from tests.workloads.objects import template

MADE = 1_800_000_000
"""2027-01-15T08:00:00Z, a Friday: when the CronJobs of the tests were made."""

KEY = "default/nightly"


def cron_job(
    schedule: str = "*/10 * * * *",
    *,
    active: tuple[Job, ...] = (),
    last: int | None = None,
    succeeded: str | None = None,
    **spec: Any,
) -> CronJob:
    """One that was made at MADE, whose last start was at `last`."""
    limits = {"successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1, "concurrencyPolicy": "Allow"}
    job = JobTemplateSpec(
        metadata=ObjectMeta(labels={"app": "nightly"}, annotations={"note": "x"}),
        spec=JobSpec(template=template({"app": "nightly"}, restartPolicy="Never")),
    )
    return CronJob(
        metadata=ObjectMeta(name="nightly", namespace="default", uid="cj", creationTimestamp=timestamp(MADE)),
        spec=CronJobSpec(schedule=schedule, jobTemplate=job, **{**limits, **spec}),
        status=CronJobStatus(
            active=tuple(reference(each) for each in active),
            lastScheduleTime=timestamp(last) if last is not None else None,
            lastSuccessfulTime=succeeded,
        ),
    )


def job(name: str, ended: str = "", *, began: int | None = MADE, completed: int | None = None) -> Job:
    """A Job of the CronJob's, which runs, or has ended as Complete or Failed."""
    conditions = (JobCondition(type=ended, status="True"),) if ended else ()
    return Job(
        metadata=ObjectMeta(
            name=name, namespace="default", uid=name, ownerReferences=(controller_reference(cron_job()),)
        ),
        status=JobStatus(
            conditions=conditions,
            startTime=timestamp(began) if began is not None else None,
            completionTime=timestamp(completed) if completed is not None else None,
        ),
    )
