"""Jobs against the real API server, with nodes that run their pods to whatever end a label says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from msgspec.structs import replace

from fairlead.client.api import Api
from fairlead.client.informer import Informer, all_synced
from fairlead.objects.batch_v1 import Job, JobSpec
from fairlead.objects.core_v1 import Pod
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import JOBS, PODS
from fairlead.objects.status import StatusError
from fairlead.process import Health
from fairlead.workloads.job.survey import FINALIZER
from tests.client.cluster import eventually
from tests.workloads.objects import scenario, set_phase, template, told_of

Fate = Callable[[Pod], str]


def job(name: str = "pi", **spec: Any) -> Job:
    return Job(
        metadata=ObjectMeta(name=name, namespace="default"),
        spec=JobSpec(template=template({"job": name}, restartPolicy="Never"), **spec),
    )


async def pods_of(api: Api, name: str = "pi") -> tuple[Pod, ...]:
    return (await api.list(PODS, "default", labels=f"job={name}")).items


async def status_of(api: Api, name: str = "pi") -> Any:
    return (await api.get(JOBS, name, "default")).status


def said(status: Any) -> list[tuple[str, str]]:
    return [(c.type, c.reason) for c in status.conditions if c.status == "True"]


@asynccontextmanager
async def nodes(api: Api, fate: Fate) -> AsyncIterator[None]:
    """Nodes that give each pod the phase that `fate` says, and end those that are deleted."""
    informer: Informer[Pod] = Informer(api, PODS)
    work: asyncio.Queue[Pod] = asyncio.Queue()
    informer.subscribe(lambda change: work.put_nowait(change.new) if change.new is not None else None)

    async def play() -> None:
        async with all_synced((informer,), Health(), "nodes"):
            while True:
                pod = await work.get()
                if pod.metadata.deletionTimestamp is not None:
                    if pod.status.phase == "Running":
                        await set_phase(api, pod, "Failed")
                    with suppress(StatusError):
                        await api.delete(
                            PODS, pod.metadata.name, "default", grace_period_seconds=0, uid=pod.metadata.uid
                        )
                elif pod.status.phase == "Pending":
                    await set_phase(api, pod, fate(pod))

    task = asyncio.create_task(play())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def running(_: Pod) -> str:
    return "Running"


async def comes_to(api: Api, *expected: tuple[str, str], **counts: Any) -> Any:
    """The status, once it says so and has these counts."""

    async def says() -> bool:
        status = await status_of(api)
        return said(status) == list(expected) and all(getattr(status, k) == v for k, v in counts.items())

    await eventually(says, f"{expected} with {counts}")
    return await status_of(api)


async def nothing_is_left(api: Api) -> None:
    async def nothing() -> bool:
        return not (await pods_of(api) or (await api.list(JOBS, "default")).items)

    await eventually(nothing, "neither Jobs nor pods")


async def is_told(api: Api, reason: str, message: str) -> None:
    async def told() -> bool:
        return (reason, message) in await told_of(api, "pi")

    await eventually(told, f"the Event {reason}")


def test_a_job_runs_to_its_end() -> None:
    async def story(api: Api) -> None:
        async with nodes(api, lambda pod: "Succeeded"):
            await api.create(JOBS, job(completions=5, parallelism=2))
            done = "CompletionsReached"
            status = await comes_to(
                api, ("SuccessCriteriaMet", done), ("Complete", done), succeeded=5, failed=0, active=0
            )
            assert status.startTime is not None
            assert status.completionTime is not None
            pods = await pods_of(api)
            assert len(pods) == 5
            assert not any(FINALIZER in pod.metadata.finalizers for pod in pods)
            await is_told(api, "Completed", "Job completed")
            await api.delete(JOBS, "pi", "default", propagation_policy="Background")
            await nothing_is_left(api)

    scenario(story)


def test_a_job_that_another_controller_manages_is_left_alone() -> None:
    async def story(api: Api) -> None:
        async with nodes(api, lambda pod: "Succeeded"):
            await api.create(JOBS, job("theirs", managedBy="example.org/queue"))
            await api.create(JOBS, job(managedBy="kubernetes.io/job-controller"))
            done = "CompletionsReached"
            await comes_to(api, ("SuccessCriteriaMet", done), ("Complete", done), succeeded=1)
            assert await pods_of(api, "theirs") == ()
            assert (await status_of(api, "theirs")).startTime is None

    scenario(story)


def test_a_job_that_is_deleted_takes_its_running_pods_along() -> None:
    async def story(api: Api) -> None:
        async with nodes(api, running):
            for policy in ("Background", "Foreground"):
                await api.create(JOBS, job(completions=3, parallelism=3))
                await comes_to(api, active=3, failed=0)
                await api.delete(JOBS, "pi", "default", propagation_policy=policy)
                await nothing_is_left(api)

    scenario(story)


def test_a_job_that_fails_says_why_and_ends_what_runs() -> None:
    """The pod that ran is deleted, and counts as failed once it has ended."""

    async def story(api: Api) -> None:
        async with nodes(api, lambda pod: "Failed" if pod.metadata.name.startswith("pi-0") else "Running"):
            await api.create(
                JOBS, job(completions=2, parallelism=2, completionMode="Indexed", backoffLimit=0)
            )
            why = "BackoffLimitExceeded"
            await comes_to(
                api, ("FailureTarget", why), ("Failed", why), failed=2, active=0, completionTime=None
            )
            await is_told(api, why, "Job has reached the specified backoff limit")

    scenario(story)


def test_a_job_whose_pods_never_had_a_node_ends_all_the_same() -> None:
    """Nobody there says that they have ended but the collector of such pods."""

    async def story(api: Api) -> None:
        await api.create(JOBS, job(completions=2, parallelism=2, activeDeadlineSeconds=1))
        why = "DeadlineExceeded"
        await comes_to(api, ("FailureTarget", why), ("Failed", why), active=0, failed=2)
        assert await pods_of(api) == ()

    scenario(story)


def test_an_indexed_job_knows_which_are_done() -> None:
    async def story(api: Api) -> None:
        async with nodes(
            api, lambda pod: "Running" if pod.metadata.name.startswith("pi-1-") else "Succeeded"
        ):
            await api.create(JOBS, job(completions=4, parallelism=2, completionMode="Indexed"))
            await comes_to(api, completedIndexes="0,2,3", succeeded=3, active=1)

    scenario(story)


def test_a_suspended_job_has_no_pods_until_it_goes_on() -> None:
    async def story(api: Api) -> None:
        async with nodes(api, running):
            await api.create(JOBS, job(suspend=True))
            await comes_to(api, ("Suspended", "JobSuspended"), startTime=None)
            assert await pods_of(api) == ()
            for value in (False, True):
                now = await api.get(JOBS, "pi", "default")
                await api.replace(JOBS, replace(now, spec=replace(now.spec, suspend=value)))
                expected = [("Suspended", "JobSuspended")] if value else []
                await comes_to(api, *expected, active=0 if value else 1)

    scenario(story)


def test_a_finished_job_goes_when_its_time_is_over() -> None:
    async def story(api: Api) -> None:
        async with nodes(api, lambda pod: "Succeeded"):
            await api.create(JOBS, job(ttlSecondsAfterFinished=0))
            await nothing_is_left(api)

    scenario(story)
