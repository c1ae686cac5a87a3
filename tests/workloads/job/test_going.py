"""Pods of Jobs that go: none keeps the finalizer that only the controller of Jobs takes away."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from fairlead.objects.core_v1 import Pod
from fairlead.objects.resources import JOBS, PODS
from fairlead.workloads.job import accounting
from fairlead.workloads.job.controller import ORPHAN, JobController
from fairlead.workloads.job.survey import FINALIZER, survey
from tests.workloads.job.test_decisions import job, pod
from tests.workloads.lagging import World
from tests.workloads.objects import reference

GOING = "2026-11-23T09:00:00Z"


def of_job(name: str, uid: str = "pi", **meta: object) -> Pod:
    made = pod(name)
    owner = reference(uid, "Job", "pi")
    return replace(made, metadata=replace(made.metadata, ownerReferences=(owner,), **meta))


@pytest.mark.parametrize("again", [False, True], ids=["gone", "made again"])
@pytest.mark.parametrize("first", [PODS.plural, JOBS.plural])
def test_in_whatever_order_the_end_of_a_job_and_of_its_pods_is_told(first: str, again: bool) -> None:
    world = World()
    controller = JobController(world.context())
    informers = {each.resource.plural: each for each in (controller._jobs, controller._pods)}
    world.put(JOBS, job())
    for name in ("a", "b"):
        world.put(PODS, of_job(name))
    world.put(PODS, of_job("c", uid="another"))
    for informer in informers.values():
        world.show_all(informer)
    controller.queue._dirty.clear()
    for name in ("a", "b"):
        world.put(PODS, world.of(PODS)[f"default/{name}"], deletionTimestamp=GOING)
    world.drop(JOBS, "default/pi")
    if again:
        world.put(JOBS, job(), uid="again")
        # What happened to the name is told as one change where the connection was away.
        world.unseen[JOBS.plural].popleft()
    for name in sorted(informers, key=lambda name: name != first):
        world.show(informers[name], 10)
    queued = {key for key in controller.queue._dirty if key.startswith(ORPHAN)}
    assert queued == {f"{ORPHAN}default/a", f"{ORPHAN}default/b"}


def test_a_job_that_is_being_deleted_does_not_wait_for_pods_that_never_ran() -> None:
    pods = tuple(of_job(name, finalizers=(FINALIZER,)) for name in ("a", "b"))
    of = job()
    found = survey(of, pods)
    assert accounting.to_release(of, of.status, found, pods) == []
    of = replace(of, metadata=replace(of.metadata, deletionTimestamp=GOING))
    assert accounting.to_release(of, of.status, found, pods) == list(pods)
