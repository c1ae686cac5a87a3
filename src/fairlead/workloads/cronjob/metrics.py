"""What the CronJob controller tells Prometheus, by upstream's name (pkg/controller/cronjob/metrics)."""

from __future__ import annotations

from prometheus_client import Histogram

from fairlead.objects.batch_v1 import Job
from fairlead.objects.scalars import moment

_skew = Histogram(
    "cronjob_controller_job_creation_skew_duration_seconds",
    "Time between when a cronjob is scheduled to be run, and when the corresponding job is created",
    buckets=tuple(2.0**n for n in range(10)),
)


def created(job: Job, scheduled: int) -> None:
    """A Job was made for the start at this moment, in s since 1970."""
    made = moment(job.metadata.creationTimestamp)
    if made is not None:
        _skew.observe(made - scheduled)
