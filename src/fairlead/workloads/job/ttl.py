"""Finished Jobs go when their time is over: `ttlSecondsAfterFinished`.

Upstream: pkg/controller/ttlafterfinished.
"""

from __future__ import annotations

import time

from fairlead.client.queue import WorkQueue
from fairlead.objects.batch_v1 import Job
from fairlead.objects.resources import JOBS
from fairlead.objects.scalars import moment
from fairlead.workloads.context import Context
from fairlead.workloads.following import follow_owners
from fairlead.workloads.job.verdict import COMPLETE, FAILED, condition


def left(job: Job, now: float) -> float | None:
    """Seconds until the Job is to go, 0 if it is; None if it stays. `now` in s since 1970."""
    ttl = job.spec.ttlSecondsAfterFinished
    ended = condition(job, COMPLETE) or condition(job, FAILED)
    since = moment(ended.lastTransitionTime) if ended is not None else None
    if ttl is None or since is None or job.metadata.deletionTimestamp is not None:
        return None
    return max(since + ttl - now, 0.0)


class TtlController:
    """Jobs by key. One look costs nothing but the Job."""

    def __init__(self, context: Context) -> None:
        self.queue: WorkQueue[str] = WorkQueue("ttl_jobs_to_delete")
        self.workers = context.config.concurrent_ttl_after_finished_syncs
        self._writer = context.writer
        self._jobs = context.cluster.informer(JOBS)
        follow_owners(self.queue, self._jobs)

    async def sync(self, key: str) -> None:
        """Deletes a Job whose time is over, with its pods first."""
        job = self._jobs.items.get(key)
        rest = left(job, time.time()) if job is not None else None
        if job is None or rest is None:
            return
        if rest > 0:
            self.queue.add_after(key, rest)
            return
        await self._writer.delete(JOBS, job, propagation_policy="Foreground")
