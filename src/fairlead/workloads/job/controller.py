"""The Job controller: it does the next step of a Job's plan, and counts the pods that have ended.

Upstream: pkg/controller/job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from http import HTTPStatus

from msgspec.structs import replace

from fairlead.client.informer import Change, key_of
from fairlead.client.queue import WorkQueue
from fairlead.client.writer import is_terminating
from fairlead.objects.batch_v1 import Job, JobStatus
from fairlead.objects.core_v1 import Pod
from fairlead.objects.labels import NOTHING, Selector
from fairlead.objects.resources import JOBS, PODS
from fairlead.objects.status import StatusError
from fairlead.objects.templates import readable
from fairlead.workloads.batches import at_once, slow_start
from fairlead.workloads.claiming import Claimer, controller_of
from fairlead.workloads.cluster import dependents, owned
from fairlead.workloads.context import Context
from fairlead.workloads.expectations import Expectations
from fairlead.workloads.following import follow_dependents, follow_owners
from fairlead.workloads.job import accounting, backoff
from fairlead.workloads.job.plan import Plan, plan
from fairlead.workloads.job.pods import pod_for
from fairlead.workloads.job.survey import FINALIZER, Survey, survey
from fairlead.workloads.job.verdict import COMPLETE, Verdict, is_finished
from fairlead.workloads.podcontrol import PodControl

NAME = "kubernetes.io/job-controller"
"""Jobs that say they are managed by another are left alone."""

LOOK_AGAIN = 5.0
"""Seconds after which a Job is looked at again though the informer shows nothing of what was written for it."""

ORPHAN = "pod "
"""What the key of a pod begins with whose Job is gone."""


class JobController:
    """Jobs by key, and pods whose Job is gone. One look at a Job costs its pods and completions."""

    def __init__(self, context: Context) -> None:
        self.queue: WorkQueue[str] = WorkQueue("job")
        self.workers = context.config.concurrent_job_syncs
        self._writer, self._recorder = context.writer, context.recorder
        self._jobs = context.cluster.informer(JOBS)
        self._pods = context.cluster.informer(PODS)
        self._control = PodControl(context.writer, context.recorder)
        self._claimer = Claimer(context.writer, JOBS, PODS)
        self._expected = Expectations(self._pods)
        self._written = Expectations(self._jobs)
        self._failures: dict[str, backoff.Failures] = {}
        follow_owners(self.queue, self._jobs)
        follow_dependents(self.queue, self._jobs, self._pods, _selector)
        self._jobs.subscribe(self._on_job)
        self._pods.subscribe(self._on_pod)

    async def sync(self, key: str) -> None:
        """Does the next step of one Job and writes its status, or lets go of a pod without a Job."""
        if key.startswith(ORPHAN):
            await self._let_go_of_orphan(key.removeprefix(ORPHAN))
            return
        job = self._jobs.items.get(key)
        if job is None:
            for each in (self._expected, self._written):
                each.forget(key)
            self._failures.pop(key, None)
            return
        if job.spec.managedBy not in (None, NAME):
            return
        if not (self._expected.satisfied(key) and self._written.satisfied(key)):
            self.queue.add_after(key, LOOK_AGAIN)  # sooner, when the informer shows it
            return
        if is_finished(job):
            await self._release(key, owned(self._pods, job.metadata))
            return
        selector = _selector(job)
        pods = await self._claimer.take(
            job, selector, dependents(self._pods, job.metadata, selector), finalizers=(FINALIZER,)
        )
        now = time.time()
        found = survey(job, pods)
        failures = backoff.after(self._failures.get(key, backoff.Failures()), found.good, found.bad, now)
        step = plan(job, found, pods, now, _delay(found, failures, pods, now))
        for reason, message in step.events:
            self._recorder.event(job, "Normal", reason, message)
        status = step.status
        try:
            await self._carry_out(key, job, found, step)
        except StatusError:
            status = replace(status, active=len(found.active), terminating=found.terminating)
            raise
        finally:
            await self._account(key, job, found, pods, status, step.verdict, now)
            self._failures[key] = failures
        if step.again is not None:
            self.queue.add_after(key, step.again)

    async def _carry_out(self, key: str, job: Job, found: Survey, step: Plan) -> None:
        async def create(index: int | None) -> None:
            failures = found.failures
            before = failures.get(index or 0, 0) if failures is not None else None
            try:
                self._expected.created(key, await self._control.create(job, pod_for(job, index, before)))
            except StatusError as error:
                if not is_terminating(error):
                    raise

        async def delete(pod: Pod) -> None:
            await self._control.delete(job, pod)
            self._expected.deleted(key, pod)

        await at_once(step.delete, delete)
        await slow_start(step.create, create)

    async def _account(
        self,
        key: str,
        job: Job,
        found: Survey,
        pods: Sequence[Pod],
        status: JobStatus,
        verdict: Verdict | None,
        now: float,
    ) -> None:
        """Counts the pods that have ended, as `accounting` says, and writes the status."""
        status = accounting.noted(status, found)
        release = accounting.to_release(job, status, found, pods)
        if found.good or found.bad:
            job = await self._write(key, job, status)
        held = await self._release(key, release)
        status = accounting.concluded(accounting.counted(job, status, found, held), verdict, now)
        await self._write(key, job, status)
        if verdict is not None and is_finished(replace(job, status=status)):
            if verdict.type == COMPLETE:
                self._recorder.event(job, "Normal", "Completed", "Job completed")
            else:
                self._recorder.event(job, "Warning", verdict.reason, verdict.message)

    async def _write(self, key: str, job: Job, status: JobStatus) -> Job:
        if status == job.status:
            return job
        written = await self._writer.replace(JOBS, replace(job, status=status), "status")
        self._written.created(key, written)
        return written

    async def _release(self, key: str, pods: Collection[Pod]) -> set[str]:
        """Takes the finalizer from the pods; gives the uids of those that have it still."""
        held: set[str] = set()

        async def release(pod: Pod) -> None:
            try:
                self._expected.created(key, await self._without_finalizer(pod))
            except StatusError as error:
                if error.code != HTTPStatus.NOT_FOUND:
                    held.add(pod.metadata.uid)

        await at_once([pod for pod in pods if FINALIZER in pod.metadata.finalizers], release)
        return held

    async def _without_finalizer(self, pod: Pod) -> Pod:
        metadata = {"uid": pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER]}
        return await self._control.patch(pod, {"metadata": metadata})

    async def _let_go_of_orphan(self, key: str) -> None:
        """Takes the finalizer from a pod whose Job the server has no longer (upstream: syncOrphanPod)."""
        pod = self._pods.items.get(key)
        if pod is None or FINALIZER not in pod.metadata.finalizers:
            return
        owner = controller_of(pod)
        if owner is not None and owner.kind == JOBS.kind:
            try:
                job = await self._writer.api.get(JOBS, owner.name, pod.metadata.namespace)
            except StatusError as error:
                if error.code != HTTPStatus.NOT_FOUND:
                    raise
            else:
                if job.metadata.uid == owner.uid:
                    return
        try:
            await self._without_finalizer(pod)
        except StatusError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise

    def _on_job(self, change: Change[Job]) -> None:
        """The pods of a Job that is gone are looked at: what became of them may have been told before its end was."""
        old, new = change.old, change.new
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            for pod in owned(self._pods, old.metadata):
                if FINALIZER in pod.metadata.finalizers:
                    self.queue.add(ORPHAN + key_of(pod))

    def _on_pod(self, change: Change[Pod]) -> None:
        """A pod that ends, or is deleted, without a Job is looked at."""
        pod = change.new
        if pod is None or FINALIZER not in pod.metadata.finalizers:
            return
        owner = controller_of(pod)
        if owner is not None and owner.kind == JOBS.kind:
            job = self._jobs.items.get(f"{pod.metadata.namespace}/{owner.name}")
            if job is not None and job.metadata.uid == owner.uid:
                return
        self.queue.add(ORPHAN + key_of(pod))


def _delay(
    found: Survey, failures: backoff.Failures, pods: Sequence[Pod], now: float
) -> Callable[[int | None], float]:
    """For how many seconds a pod may not be made yet."""
    if found.failures is None:
        wait = failures.wait(now)
        return lambda _: wait
    own = backoff.by_index(pods, found.failures, now)
    return lambda index: own.get(index or 0, backoff.Failures()).wait(now)


def _selector(job: Job) -> Selector:
    return readable(job.spec.selector) or NOTHING
