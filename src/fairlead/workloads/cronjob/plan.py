"""What is to be done about a CronJob now, and when it is to be looked at again.

Upstream: syncCronJob, cleanupFinishedJobs and mostRecentScheduleTime in pkg/controller/cronjob. Upstream estimates the
last start that was missed, and may miss one more by that; here it is the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.objects.batch_v1 import CronJob, CronJobStatus, Job
from fairlead.objects.scalars import moment
from fairlead.objects.schedules import Schedule, inner_zone, parse
from fairlead.workloads.cronjob import clock
from fairlead.workloads.cronjob.jobs import job_for, job_name, over_the_limits
from fairlead.workloads.cronjob.sightings import Told, seen, started

MANY = 100
"""So many starts may be missed before it looks as if a clock were wrong."""


@dataclass(frozen=True)
class Plan:
    """The next step. `status` is what the status says before a Job is replaced or made."""

    status: CronJobStatus
    told: tuple[Told, ...] = ()
    history: tuple[Job, ...] = ()
    """Finished, and to be deleted."""
    replaced: tuple[Job, ...] = ()
    """Running, and to be deleted before the new one is made."""
    create: Job | None = None
    scheduled: int = 0
    """The start that `create` is for, in s since 1970."""
    again: float | None = None
    """Seconds until the next start; None if nothing is started before the CronJob changes."""


@dataclass(frozen=True)
class Start:
    """Which start is due, and what comes of it."""

    told: tuple[Told, ...] = ()
    scheduled: int | None = None
    again: float | None = None


def plan_cronjob(cron_job: CronJob, jobs: Sequence[Job], now: float) -> Plan:
    """The next step; `jobs` are all that the CronJob controls, `now` is in s since 1970.

    Cost: the Jobs, and that of some hundred looks at the calendar.
    """
    history = over_the_limits(cron_job, jobs)
    status, told = seen(cron_job, jobs, history)
    if cron_job.metadata.deletionTimestamp is not None:
        return Plan(status, told, history)
    start = _start(cron_job, now)
    told = (*told, *start.told)
    scheduled = start.scheduled
    if scheduled is None:
        return Plan(status, told, history, again=start.again)
    name = job_name(cron_job, scheduled)
    there = next((job for job in jobs if job.metadata.name == name), None)
    if there is not None:
        # made before, by a controller that could not say so any more, or for another start in this minute
        return Plan(started(status, there, scheduled), told, history, again=start.again)
    policy = cron_job.spec.concurrencyPolicy
    if policy == "Forbid" and status.active:
        said = "Not starting job because prior execution is running and concurrency policy is Forbid"
        told = (*told, Told("Normal", "JobAlreadyActive", said))
        return Plan(status, told, history, again=start.again)
    running = {each.uid for each in status.active} if policy == "Replace" else set()
    spec = cron_job.spec
    return Plan(
        status,
        told,
        history,
        replaced=tuple(job for job in jobs if job.metadata.uid in running),
        create=job_for(cron_job, scheduled, clock.zone(spec.timeZone) if spec.timeZone is not None else None),
        scheduled=scheduled,
        again=start.again,
    )


def next_in(cron_job: CronJob, now: float) -> float | None:
    """Seconds until the next start; None if there is none, or the schedule cannot be read."""
    try:
        schedule, at = _read(cron_job)
    except ValueError:
        return None
    found = clock.coming(schedule, at, _since(cron_job), int(now))
    return found - now if found is not None else None


def _start(cron_job: CronJob, now: float) -> Start:
    """The last start that has come since the one before, if it may still be made up for."""
    spec = cron_job.spec
    told: tuple[Told, ...] = ()
    if spec.timeZone is not None:
        try:
            clock.zone(spec.timeZone)
        except ValueError as error:
            return Start(
                (Told("Warning", "UnknownTimeZone", f'invalid timeZone: "{spec.timeZone}": {error}'),)
            )
    if spec.suspend:
        return Start()
    if "TZ" in spec.schedule:
        said = f'CRON_TZ or TZ used in schedule "{spec.schedule}" is not officially supported, use .spec.timeZone'
        told = (Told("Warning", "UnsupportedSchedule", said),)
    try:
        schedule, at = _read(cron_job)
    except ValueError as error:
        said = f'unparseable schedule: "{spec.schedule}" : {error}'
        return Start((*told, Told("Warning", "UnparseableSchedule", said)))
    since, upto = _since(cron_job), int(now)
    coming = clock.coming(schedule, at, since, upto)
    again = coming - now if coming is not None else None
    last = clock.last_until(schedule, at, since, upto)
    if last is None and coming is None:
        said = f"invalid schedule: {spec.schedule} : there is no such time within five years"
        return Start((*told, Told("Warning", "InvalidSchedule", said)))
    if last is None:
        return Start(told, again=again)
    deadline = spec.startingDeadlineSeconds
    if deadline is not None and last + deadline < now:
        when = clock.written(last)
        said = f"Missed scheduled time to start a job: {when}"
        return Start((*told, Told("Warning", "MissSchedule", said)), again=again)
    earliest = since if deadline is None else max(since, upto - deadline)
    if clock.more_than(schedule, at, earliest, upto, MANY):
        said = (
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        )
        told = (*told, Told("Warning", "TooManyMissedTimes", said))
    return Start(told, last, again)


def _read(cron_job: CronJob) -> tuple[Schedule, clock.Zone]:
    """The schedule, and the clock that it goes by (upstream: formatSchedule). Raises ValueError."""
    text, name = cron_job.spec.schedule, cron_job.spec.timeZone
    inner = inner_zone(text)
    if inner:
        name = inner
    return parse(text), clock.zone(name) if name is not None else clock.local


def _since(cron_job: CronJob) -> int:
    """The start before, or when the CronJob was made: earlier ones are nobody's business."""
    found = moment(cron_job.status.lastScheduleTime) or moment(cron_job.metadata.creationTimestamp)
    return int(found or 0)
