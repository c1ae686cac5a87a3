"""The CronJob controller: it makes a Job when one is due, and sleeps until the next is.

Upstream: pkg/controller/cronjob.
"""

from __future__ import annotations

from http import HTTPStatus

from msgspec.structs import replace

from fairlead.client.informer import Change
from fairlead.client.queue import WorkQueue
from fairlead.client.writer import is_terminating
from fairlead.objects.batch_v1 import CronJob, CronJobStatus, Job
from fairlead.objects.labels import NOTHING
from fairlead.objects.resources import CRONJOBS, JOBS
from fairlead.objects.status import StatusError
from fairlead.workloads.claiming import controller_of
from fairlead.workloads.cluster import owned
from fairlead.workloads.context import Context
from fairlead.workloads.cronjob import metrics
from fairlead.workloads.cronjob.plan import next_in, plan_cronjob
from fairlead.workloads.cronjob.sightings import started, without
from fairlead.workloads.expectations import Expectations
from fairlead.workloads.following import follow_dependents
from fairlead.workloads.job.verdict import is_finished

LOOK_AGAIN = 5.0
"""Seconds after which a CronJob is looked at again though the informers show nothing of what was written for it."""


class CronJobController:
    """CronJobs by key. One look costs the CronJob's Jobs."""

    def __init__(self, context: Context) -> None:
        self.queue: WorkQueue[str] = WorkQueue("cronjob")
        self.workers = context.config.concurrent_cron_job_syncs
        self._writer, self._recorder, self._clock = context.writer, context.recorder, context.clock
        self._cron_jobs = context.cluster.informer(CRONJOBS)
        self._jobs = context.cluster.informer(JOBS)
        self._written = Expectations(self._cron_jobs)
        self._expected = Expectations(self._jobs)
        self._cron_jobs.subscribe(self._on_cron_job)
        follow_dependents(
            self.queue,
            self._cron_jobs,
            self._jobs,
            lambda _: NOTHING,
            lambda old, new: _counts(old) != _counts(new),
        )

    async def sync(self, key: str) -> None:
        """Does the next step of one CronJob, writes its status, and has it looked at when the next start comes."""
        seen = self._cron_jobs.items.get(key)
        if seen is None:
            for each in (self._written, self._expected):
                each.forget(key)
            return
        if not (self._written.satisfied(key) and self._expected.satisfied(key)):
            self.queue.add_after(key, LOOK_AGAIN)
            return
        cron_job, jobs = await self._as_it_is(seen)
        step = plan_cronjob(cron_job, jobs, self._clock())
        for told in step.told:
            self._recorder.event(cron_job, told.type, told.reason, told.message)
        status = step.status
        try:
            for job in step.replaced:
                await self._delete(key, cron_job, job)
                status = without(status, job)
            if step.create is not None:
                made = await self._create(key, cron_job, step.create, step.scheduled)
                status = started(status, made, step.scheduled) if made is not None else status
        finally:
            await self._write(key, cron_job, status)
        if step.again is not None:
            self.queue.add_after(key, step.again)
        for job in step.history:  # last, so that one that cannot go holds up no start
            await self._delete(key, cron_job, job)

    async def _as_it_is(self, cron_job: CronJob) -> tuple[CronJob, list[Job]]:
        """The CronJob and its Jobs. Where the informers do not agree with one another the server is asked."""
        jobs = list(owned(self._jobs, cron_job.metadata))
        meta = cron_job.metadata
        active = {each.uid for each in cron_job.status.active}
        if any(job.metadata.uid not in active and not is_finished(job) for job in jobs):
            newest = await self._writer.api.get(CRONJOBS, meta.name, meta.namespace)
            if newest.metadata.uid == meta.uid:
                cron_job = newest
        there = {job.metadata.uid for job in jobs}
        for each in cron_job.status.active:
            if each.uid not in there:
                try:
                    job = await self._writer.api.get(JOBS, each.name, meta.namespace)
                except StatusError as error:
                    if error.code != HTTPStatus.NOT_FOUND:
                        raise
                else:
                    if job.metadata.uid == each.uid:
                        jobs.append(job)
        return cron_job, jobs

    async def _create(self, key: str, cron_job: CronJob, job: Job, scheduled: int) -> Job | None:
        """The Job of a start as the server has it; None if it cannot have it.

        One of its name that is the CronJob's was made before, by a controller that could not say so any more.
        """
        name = job.metadata.name
        try:
            made = await self._writer.create(JOBS, job)
        except StatusError as error:
            if is_terminating(error):
                return None
            found = None
            if error.reason == "AlreadyExists":
                found = await self._writer.api.get(JOBS, name, cron_job.metadata.namespace)
                owner = controller_of(found)
                if owner is not None and owner.uid == cron_job.metadata.uid:
                    return found
            self._recorder.event(cron_job, "Warning", "FailedCreate", f"Error creating job: {error}")
            if found is not None:
                return None
            raise
        self._expected.created(key, made)
        metrics.created(made, scheduled)
        self._recorder.event(cron_job, "Normal", "SuccessfulCreate", f"Created job {name}")
        return made

    async def _delete(self, key: str, cron_job: CronJob, job: Job) -> None:
        """Deletes a Job; its pods go, too."""
        try:
            await self._writer.delete(JOBS, job, propagation_policy="Background")
        except StatusError as error:
            self._recorder.event(cron_job, "Warning", "FailedDelete", f"Deleted job: {error}")
            raise
        self._expected.deleted(key, job)
        self._recorder.event(cron_job, "Normal", "SuccessfulDelete", f"Deleted job {job.metadata.name}")

    async def _write(self, key: str, cron_job: CronJob, status: CronJobStatus) -> None:
        """Writes the status, also when somebody has changed the rest meanwhile: a start is to be noted at once."""
        if status == cron_job.status:
            return
        try:
            written = await self._writer.replace(CRONJOBS, replace(cron_job, status=status), "status")
        except StatusError as error:
            if error.code != HTTPStatus.CONFLICT:
                raise
            newest = await self._writer.api.get(CRONJOBS, cron_job.metadata.name, cron_job.metadata.namespace)
            if newest.metadata.uid != cron_job.metadata.uid or newest.status != cron_job.status:
                raise error from None
            written = await self._writer.replace(CRONJOBS, replace(newest, status=status), "status")
        self._written.created(key, written)

    def _on_cron_job(self, change: Change[CronJob]) -> None:
        """Another schedule counts from now on; all else is looked at at once (upstream: updateCronJob)."""
        old, new = change.old, change.new
        changed = (
            old is not None
            and new is not None
            and old.metadata.uid == new.metadata.uid
            and (old.spec.schedule, old.spec.timeZone) != (new.spec.schedule, new.spec.timeZone)
        )
        wait = next_in(new, self._clock()) if changed and new is not None else None
        if wait is None:
            self.queue.add(change.key)
        else:
            self.queue.add_after(change.key, wait)


def _counts(job: Job) -> tuple[bool, bool]:
    """All of a Job that concerns its CronJob."""
    return is_finished(job), job.metadata.deletionTimestamp is not None
