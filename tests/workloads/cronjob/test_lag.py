"""CronJobs whose controller sees late what happened, dies, and starts again; and when it wakes."""

from __future__ import annotations

import asyncio
from dataclasses import replace as with_clock
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fairlead.client.informer import Informer
from fairlead.client.queue import WorkQueue
from fairlead.objects.batch_v1 import CronJob, Job, JobCondition
from fairlead.objects.resources import CRONJOBS, JOBS, Resource
from fairlead.objects.scalars import moment, timestamp
from fairlead.objects.status import StatusError, failure
from fairlead.workloads.cronjob.controller import LOOK_AGAIN, CronJobController
from fairlead.workloads.job.verdict import condition, is_finished
from tests.workloads.cronjob.objects import KEY, MADE, cron_job, job
from tests.workloads.lagging import Controller, Story


class Alarm(WorkQueue[str]):
    """A queue that notes for when it is set instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[float] = []
        self.added = 0

    def add(self, key: str) -> None:
        self.added += 1

    def add_after(self, key: str, delay: float) -> None:
        self.delays.append(delay)


class Nightly(Story):
    """A CronJob, its Jobs, and the time, which goes on when the history says so."""

    def __init__(self, of: CronJob) -> None:
        super().__init__(KEY)
        self.now = float(MADE)
        self.made: list[str] = []
        self.at_once = 0
        of = self.world.put(CRONJOBS, of, uid="cj")
        create = self.world.create

        async def watched(resource: Resource[Any], obj: Any) -> Any:
            made = await create(resource, obj)
            self.made.append(made.metadata.name)
            self.at_once = max(self.at_once, len(self.running()))
            return made

        self.world.create = watched  # type: ignore[method-assign]
        self.restart()

    def begin(self) -> tuple[Controller, dict[str, Informer[Any]]]:
        context = with_clock(self.world.context(), clock=lambda: self.now)
        controller = CronJobController(context)
        self.alarm = controller.queue = Alarm()
        informers: dict[str, Informer[Any]] = {
            "cronjobs": context.cluster.informer(CRONJOBS),
            "jobs": context.cluster.informer(JOBS),
        }
        return controller, informers

    @property
    def of(self) -> CronJob:
        found: CronJob = self.world.of(CRONJOBS)[KEY]
        return found

    def running(self) -> list[Job]:
        return [job for job in self.world.of(JOBS).values() if not is_finished(job)]

    def befall(self, what: str, number: int) -> None:
        jobs = sorted(self.world.of(JOBS).values(), key=lambda job: job.metadata.name)
        if what == "minutes":
            self.now += 60 * number
        elif what == "touch":
            self.world.put(CRONJOBS, self.of, annotations={"at": str(self.world.version)})
        elif what in ("Complete", "Failed") and number < len(jobs) and not is_finished(jobs[number]):
            job = jobs[number]
            status = replace(
                job.status,
                conditions=(JobCondition(type=what, status="True"),),
                completionTime=timestamp(self.now) if what == "Complete" else None,
            )
            self.world.put(JOBS, replace(job, status=status))
        elif what == "delete" and number < len(jobs):
            self.world.drop(JOBS, f"default/{jobs[number].metadata.name}")


STEPS = st.lists(
    st.one_of(
        st.just(("sync", 0)),
        st.just(("restart", 0)),
        st.just(("touch", 0)),
        st.tuples(st.sampled_from(["show cronjobs", "show jobs"]), st.integers(1, 3)),
        st.tuples(st.just("minutes"), st.integers(1, 25)),
        st.tuples(st.sampled_from(["Complete", "Failed", "delete"]), st.integers(0, 2)),
    ),
    max_size=30,
)


LOST = [("touch", 0), ("minutes", 10), ("sync", 0), ("delete", 0)]
"""The CronJob is changed as a Job is made, and the Job is gone before the controller looks again."""


@settings(max_examples=60, deadline=None)
@example(policy="Allow", limit=0, steps=LOST)
@given(policy=st.sampled_from(["Allow", "Forbid", "Replace"]), limit=st.integers(0, 2), steps=STEPS)
def test_no_start_has_two_jobs_whatever_happens(
    policy: str, limit: int, steps: list[tuple[str, int]]
) -> None:
    async def tell() -> None:
        story = Nightly(
            cron_job(concurrencyPolicy=policy, successfulJobsHistoryLimit=limit, failedJobsHistoryLimit=limit)
        )
        await story.tell(steps)
        assert len(story.made) == len(set(story.made))
        if policy != "Allow":
            assert story.at_once <= 1
        status = story.of.status
        assert {each.uid for each in status.active} == {job.metadata.uid for job in story.running()}
        if policy != "Forbid" and story.now >= MADE + 600:
            assert moment(status.lastScheduleTime) == story.now // 600 * 600
        for ended in ("Complete", "Failed"):
            jobs = story.world.of(JOBS).values()
            assert sum(condition(job, ended) is not None for job in jobs) <= limit

    asyncio.run(tell())


def test_it_sleeps_until_the_next_start() -> None:
    async def tell() -> None:
        story = Nightly(cron_job())
        await story.tell([("sync", 0)])
        assert set(story.alarm.delays) == {600}
        story.alarm.delays.clear()
        story.now += 599.75
        await story.sync()
        assert (story.alarm.delays, story.made) == ([0.25], [])
        story.now += 0.25
        await story.sync()
        assert (story.alarm.delays, story.made) == ([0.25, 600], [f"nightly-{(MADE + 600) // 60}"])

    asyncio.run(tell())


def test_nothing_is_planned_before_the_informers_show_the_last_writes() -> None:
    async def tell() -> None:
        story = Nightly(cron_job())
        await story.tell([("sync", 0)])
        story.alarm.delays.clear()
        story.befall("minutes", 10)
        await story.sync()
        version = story.world.version
        story.befall("minutes", 10)
        await story.sync()
        assert (story.world.version, story.alarm.delays) == (version, [600, LOOK_AGAIN])

    asyncio.run(tell())


def test_a_job_that_the_informer_does_not_show_yet_is_not_missing() -> None:
    async def tell() -> None:
        story = Nightly(cron_job())
        late = story.world.put(JOBS, job("late"))
        story.world.put(CRONJOBS, replace(story.of, status=cron_job(active=(late,)).status))
        story.world.show(story.informers["cronjobs"], 1)
        await story.sync()
        assert [each.name for each in story.of.status.active] == ["late"]

    asyncio.run(tell())


def test_another_schedule_counts_from_now_on() -> None:
    async def tell() -> None:
        story = Nightly(cron_job("0 0 29 2 *"))
        await story.tell([("sync", 0), ("minutes", 25)])
        story.alarm.delays.clear()
        story.alarm.added = 0
        before = story.of
        story.world.put(CRONJOBS, replace(before, spec=cron_job("*/10 * * * *").spec))
        story.world.show(story.informers["cronjobs"], 1)
        assert (story.alarm.delays, story.alarm.added) == ([300], 0)
        story.world.put(CRONJOBS, replace(before, spec=cron_job("what?").spec))
        story.world.show(story.informers["cronjobs"], 1)
        assert (story.alarm.delays, story.alarm.added) == ([300], 1)

    asyncio.run(tell())


def test_a_job_that_cannot_be_deleted_holds_up_no_start() -> None:
    async def tell() -> None:
        story = Nightly(cron_job(successfulJobsHistoryLimit=0))
        await story.tell([("minutes", 10), ("sync", 0)])

        async def refuse(*_: Any, **__: Any) -> None:
            raise failure(HTTPStatus.FORBIDDEN, "Forbidden", "it is wanted still")

        delete, story.world.delete = story.world.delete, refuse  # type: ignore[method-assign]
        story.befall("Complete", 0)
        story.befall("minutes", 10)
        for informer in story.informers.values():
            story.world.show(informer, 10)
        with pytest.raises(StatusError, match="it is wanted still"):
            await story.controller.sync(KEY)
        assert len(story.made) == 2
        assert moment(story.of.status.lastScheduleTime) == MADE + 1200
        story.world.delete = delete  # type: ignore[method-assign]
        await story.settle()
        assert list(story.world.of(JOBS)) == [f"default/{story.made[1]}"]

    asyncio.run(tell())
