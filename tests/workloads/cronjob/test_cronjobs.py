"""CronJobs against the real API server, by a clock that goes when the test says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace
from prometheus_client import REGISTRY

from fairlead.client.api import Api
from fairlead.objects.batch_v1 import CronJob, Job, JobCondition, JobSpec
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import CRONJOBS, JOBS
from fairlead.objects.scalars import moment, timestamp
from fairlead.workloads.claiming import controller_reference
from fairlead.workloads.config import CRONJOB, WorkloadsConfig
from fairlead.workloads.controller import run
from tests.client.cluster import eventually, with_server
from tests.workloads.cronjob.objects import cron_job
from tests.workloads.objects import template, told_of


class Clock:
    """The time of day for the controller, in s since 1970. It begins when the server has made the CronJob."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    @property
    def coming(self) -> int:
        """The next moment that is due by `*/10 * * * *`."""
        return (int(self.now) // 600 + 1) * 600

    def next_start(self) -> int:
        """Goes on to it, and a second more."""
        found = self.coming
        self.now = found + 1
        return found


def story(told: Callable[[Api, Clock], Awaitable[None]]) -> None:
    clock = Clock()
    config = WorkloadsConfig(controllers=(CRONJOB,))
    with_server(
        lambda api: told(api, clock),
        lambda api, health: run(api, config, health, clock=clock),
    )


async def add(api: Api, clock: Clock, **spec: Any) -> CronJob:
    of = cron_job(**spec)
    made = await api.create(CRONJOBS, replace(of, metadata=ObjectMeta(name="nightly", namespace="default")))
    clock.now = moment(made.metadata.creationTimestamp) or 0.0
    return made


async def look(api: Api, clock: Clock) -> None:
    """Has the CronJob looked at, as the timer does when it is time."""
    note = {"metadata": {"annotations": {"looked": str(clock.now)}}}
    await api.patch(CRONJOBS, "nightly", "default", note)


async def jobs(api: Api) -> list[str]:
    return sorted(job.metadata.name for job in (await api.list(JOBS, "default")).items)


async def has(api: Api, active: list[str], last: int | None = None) -> None:
    """Waits until the status names these Jobs, and this start as the last one."""

    async def says() -> bool:
        status = (await api.get(CRONJOBS, "nightly", "default")).status
        return ([each.name for each in status.active], moment(status.lastScheduleTime)) == (active, last)

    await eventually(says, f"the status names {active}, {last}")


async def is_told(api: Api, reason: str, message: str) -> None:
    async def told() -> bool:
        return (reason, message) in await told_of(api, "nightly")

    await eventually(told, f"the Event {reason}: {message}")


async def end(api: Api, name: str, how: str, at: float) -> None:
    """What the Job controller says when the last pod has ended."""
    job = await api.get(JOBS, name, "default")
    status = replace(
        job.status,
        conditions=(JobCondition(type=how, status="True"),),
        startTime=timestamp(at - 5),
        completionTime=timestamp(at) if how == "Complete" else None,
    )
    await api.replace(JOBS, replace(job, status=status), "status")


async def are(api: Api, *names: str) -> None:
    async def there() -> bool:
        return await jobs(api) == sorted(names)

    await eventually(there, f"the Jobs are {names}")


def skews() -> float:
    """How many Jobs were made, by the metric."""
    return REGISTRY.get_sample_value("cronjob_controller_job_creation_skew_duration_seconds_count") or 0.0


def test_a_job_at_each_start_until_the_cronjob_goes() -> None:
    async def told(api: Api, clock: Clock) -> None:
        counted = skews()
        made = await add(api, clock, successfulJobsHistoryLimit=1)
        names = []
        for _ in range(2):
            due = clock.next_start()
            await look(api, clock)
            names.append(name := f"nightly-{due // 60}")
            await has(api, [name], due)
            await is_told(api, "SuccessfulCreate", f"Created job {name}")
            job = await api.get(JOBS, name, "default")
            assert job.metadata.labels == {"app": "nightly"}
            assert job.metadata.annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"] == timestamp(
                due
            )
            assert job.metadata.ownerReferences == (controller_reference(made),)
            await end(api, name, "Complete", clock.now)
            await has(api, [], due)
            await is_told(api, "SawCompletedJob", f"Saw completed job: {name}, condition: Complete")
            status = (await api.get(CRONJOBS, "nightly", "default")).status
            assert status.lastSuccessfulTime == timestamp(clock.now)
        await are(api, names[1])
        assert skews() == counted + 2
        await is_told(api, "SuccessfulDelete", f"Deleted job {names[0]}")
        await api.delete(CRONJOBS, "nightly", "default")
        await are(api)

    story(told)


def test_those_that_still_run_are_waited_for_or_replaced() -> None:
    async def told(api: Api, clock: Clock) -> None:
        await add(api, clock, concurrencyPolicy="Forbid")
        first = clock.next_start()
        await look(api, clock)
        await has(api, [one := f"nightly-{first // 60}"], first)
        second = clock.next_start()
        await look(api, clock)
        said = "Not starting job because prior execution is running and concurrency policy is Forbid"
        await is_told(api, "JobAlreadyActive", said)
        assert await jobs(api) == [one]
        await end(api, one, "Failed", clock.now)
        await has(api, [two := f"nightly-{second // 60}"], second)
        third = clock.next_start()
        await api.patch(CRONJOBS, "nightly", "default", {"spec": {"concurrencyPolicy": "Replace"}})
        await has(api, [three := f"nightly-{third // 60}"], third)
        await are(api, one, three)
        await is_told(api, "SuccessfulDelete", f"Deleted job {two}")

    story(told)


def test_jobs_that_are_lost_taken_or_of_somebody_else() -> None:
    async def told(api: Api, clock: Clock) -> None:
        made = await add(api, clock)
        first = clock.next_start()
        await look(api, clock)
        await has(api, [one := f"nightly-{first // 60}"], first)
        await api.delete(JOBS, one, "default", propagation_policy="Background")
        await has(api, [], first)
        await is_told(api, "MissingJob", f"Active job went missing: {one}")

        # as `kubectl create job --from` makes one
        spec = JobSpec(template=template({"app": "x"}, restartPolicy="Never"))
        own = ObjectMeta(name="by-hand", namespace="default", ownerReferences=(controller_reference(made),))
        await api.create(JOBS, Job(metadata=own, spec=spec))
        said = "Saw a job that the controller did not create or forgot: by-hand"
        await is_told(api, "UnexpectedJob", said)
        await has(api, [], first)

        # the next is there already, of a controller that could not write its status any more
        two, three = f"nightly-{clock.coming // 60}", f"nightly-{clock.coming // 60 + 10}"
        await api.create(JOBS, Job(metadata=replace(own, name=two), spec=spec))
        # and the one after it is somebody else's
        await api.create(JOBS, Job(metadata=ObjectMeta(name=three, namespace="default"), spec=spec))
        second = clock.next_start()
        await look(api, clock)
        await has(api, [two], second)
        clock.next_start()
        await look(api, clock)
        await is_told(api, "FailedCreate", f'Error creating job: jobs.batch "{three}" already exists')
        await has(api, [two], second)
        last = clock.next_start()
        await look(api, clock)
        await has(api, [two, f"nightly-{last // 60}"], last)

    story(told)


def test_a_cronjob_that_was_held_back_starts_what_it_missed_last() -> None:
    async def told(api: Api, clock: Clock) -> None:
        await add(api, clock, suspend=True)
        clock.next_start()
        missed = clock.next_start()
        await api.patch(CRONJOBS, "nightly", "default", {"spec": {"suspend": False}})
        await has(api, [name := f"nightly-{missed // 60}"], missed)
        assert await jobs(api) == [name]

    story(told)


def test_a_job_that_cannot_be_made_is_told_and_tried_again() -> None:
    async def told(api: Api, clock: Clock) -> None:
        await add(api, clock)

        async def label(value: str) -> None:
            labels = {"spec": {"jobTemplate": {"metadata": {"labels": {"app": value}}}}}
            await api.patch(CRONJOBS, "nightly", "default", labels)

        await label("x" * 64)  # which nobody looks at before a Job is made
        due = clock.next_start()
        await look(api, clock)

        async def refused() -> bool:
            return "FailedCreate" in {reason for reason, _ in await told_of(api, "nightly")}

        await eventually(refused, "the Event FailedCreate")
        await label("x" * 63)
        await has(api, [f"nightly-{due // 60}"], due)

    story(told)
