"""ReplicaSets and ReplicationControllers: the plan, and the controllers against the real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fairlead.client.api import Api
from fairlead.objects.apps_v1 import ReplicaSetCondition
from fairlead.objects.core_v1 import (
    Pod,
    ReplicationController,
    ReplicationControllerSpec,
    ServiceAccount,
)
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import PODS, REPLICASETS, REPLICATIONCONTROLLERS, SERVICEACCOUNTS
from fairlead.workloads.batches import MOST
from fairlead.workloads.podstate import is_active
from fairlead.workloads.replicas import Plan, concerns, plan, status
from tests.client.cluster import eventually
from tests.workloads.objects import (
    NOW,
    nodes_that_run_everything,
    pod,
    pods_of,
    replica_set,
    scenario,
    template,
    told_of,
)

A, B = pod("a", owner="rs", ready=10), pod("b", owner="rs", ready=10_000)


@pytest.mark.parametrize(
    ("case", "replicas", "pods", "expected"),
    [
        ("none yet", 3, (), Plan(create=3)),
        ("as many as wanted", 2, (A, B), Plan()),
        ("too many", 1, (A, B), Plan(delete=(A,))),
        ("none wanted", 0, (A, B), Plan(delete=(A, B))),
        ("one has failed", 2, (A, pod("c", owner="rs", phase="Failed")), Plan(create=1)),
        ("one is being deleted", 2, (A, pod("c", owner="rs", deleted=True)), Plan(create=1)),
        ("very many at a time", MOST + 10, (), Plan(create=MOST)),
    ],
)
def test_how_many_to_make_and_which_to_delete(
    case: str, replicas: int, pods: tuple[Pod, ...], expected: Plan
) -> None:
    assert plan(replicas, pods, (), NOW) == expected, case


PODS_THERE = st.lists(
    st.builds(
        lambda number, phase, ready, deleted: pod(
            f"p{number}",
            owner="rs",
            phase=phase,
            ready=10 if ready and phase == "Running" else None,
            deleted=deleted,
        ),
        st.integers(0, 10_000),
        st.sampled_from(("Pending", "Running", "Succeeded", "Failed")),
        st.booleans(),
        st.booleans(),
    ),
    max_size=12,
    unique_by=lambda each: each.metadata.name,
)


@given(PODS_THERE, st.integers(0, 8))
def test_one_step_leads_to_the_wanted_number_and_the_next_does_nothing(
    pods: list[Pod], replicas: int
) -> None:
    done = plan(replicas, pods, (), NOW)
    assert not (done.create and done.delete)
    assert all(is_active(each) for each in done.delete)
    left = [each for each in pods if each not in done.delete]
    left += [pod(f"new{n}", owner="rs", phase="Pending") for n in range(done.create)]
    assert sum(map(is_active, left)) == replicas
    assert plan(replicas, left, (), NOW) == Plan()
    # none that is ready goes while one that is not stays
    kept = [each for each in left if is_active(each)]
    assert not any(each.status.conditions for each in done.delete) or all(
        each.status.conditions for each in kept
    )


def test_what_the_status_counts() -> None:
    owner = replace(
        replica_set(5, minReadySeconds=60, template=template({"app": "web", "tier": "front"})),
        metadata=ObjectMeta(uid="rs", generation=4),
    )
    full = {"app": "web", "tier": "front"}
    pods = (
        pod("a", ready=100, labels=full),
        pod("b", ready=10),
        pod("c"),
        pod("d", deleted=True, ready=100),
        pod("e", phase="Failed"),
    )
    found = status(owner, pods, None, NOW)
    assert (found.replicas, found.fullyLabeledReplicas, found.readyReplicas, found.availableReplicas) == (
        3,
        1,
        2,
        1,
    )
    assert (found.terminatingReplicas, found.observedGeneration, found.conditions) == (1, 4, ())


@pytest.mark.parametrize(
    ("pods", "reason"), [((), "FailedCreate"), (tuple(pod(f"p{n}") for n in range(4)), "FailedDelete")]
)
def test_a_failure_is_a_condition_until_it_is_over(pods: tuple[Pod, ...], reason: str) -> None:
    owner = replica_set(3)
    failed = status(owner, pods, "no", NOW)
    (condition,) = failed.conditions
    assert (condition.type, condition.status, condition.reason, condition.message) == (
        "ReplicaFailure",
        "True",
        reason,
        "no",
    )
    owner = replace(owner, status=failed)
    assert status(owner, pods, "no, again", NOW + 9).conditions == (condition,)
    other = ReplicaSetCondition(type="Other", status="True")
    owner = replace(owner, status=replace(failed, conditions=(condition, other)))
    assert status(owner, pods, None, NOW).conditions == (other,)


def test_what_of_a_pod_concerns_its_owner() -> None:
    assert not concerns(A, replace(A, status=replace(A.status, podIP="10.0.0.1")))
    assert concerns(A, replace(A, status=replace(A.status, conditions=())))
    assert concerns(A, replace(A, status=replace(A.status, phase="Failed")))
    assert concerns(A, replace(A, metadata=replace(A.metadata, labels={})))


@asynccontextmanager
async def run_by_nodes(api: Api) -> AsyncIterator[None]:
    task = asyncio.create_task(nodes_that_run_everything(api))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def has(api: Api, **expected: int) -> bool:
    """Whether the ReplicaSet's status says so."""
    found = (await api.get(REPLICASETS, "web", "default")).status
    return all(getattr(found, name) == value for name, value in expected.items())


def test_a_replica_set_makes_scales_replaces_adopts_and_releases() -> None:
    async def a_stray(api: Api) -> None:
        stray = replace(pod("stray", node=""), status=replace(A.status, phase="", conditions=()))
        stray = replace(
            stray,
            metadata=ObjectMeta(name="stray", namespace="default", labels={"app": "web"}),
            spec=template().spec,
        )
        await api.create(PODS, stray)

    async def told(api: Api) -> None:
        made = await api.create(REPLICASETS, replica_set(3, uid=""))
        async with run_by_nodes(api):
            await eventually(lambda: has(api, replicas=3, readyReplicas=3, availableReplicas=3), "three run")
            found = await pods_of(api)
            assert {p.metadata.ownerReferences[0].uid for p in found} == {made.metadata.uid}
            assert "stray" in {p.metadata.name for p in found}, "adopted"
            names = {p.metadata.name for p in found} - {"stray"}
            assert all(name.startswith("web-") and len(name) == len("web-xxxxx") for name in names)

            await api.patch(PODS, "stray", "default", {"metadata": {"labels": {"app": "debugged"}}})

            async def released() -> bool:
                stray = await api.get(PODS, "stray", "default")
                return not stray.metadata.ownerReferences and len(await pods_of(api)) == 3

            await eventually(released, "the pod is released, and another takes its place")
            await api.patch(REPLICASETS, "web", "default", {"spec": {"replicas": 1}}, subresource="scale")
            await eventually(lambda: has(api, replicas=1, readyReplicas=1, terminatingReplicas=0), "one runs")
            (last,) = await pods_of(api)
            failed = {"status": {"phase": "Failed", "conditions": None}}
            await api.patch(PODS, last.metadata.name, "default", failed, subresource="status")

            async def replaced() -> bool:
                return any(p.status.phase == "Running" for p in await pods_of(api)) and await has(
                    api, replicas=1
                )

            await eventually(replaced, "another runs for the one that failed")
            ended = last.metadata.name
            await api.patch(PODS, ended, "default", {"metadata": {"labels": {"app": "debugged"}}})
            await api.patch(REPLICASETS, "web", "default", {"spec": {"replicas": 2}}, subresource="scale")
            await eventually(lambda: has(api, replicas=2, readyReplicas=2), "two run")
            assert (await api.get(PODS, ended, "default")).metadata.ownerReferences, "it is left as it ended"

            async def said() -> bool:
                return {reason for reason, _ in await told_of(api, "web")} == {
                    "SuccessfulCreate",
                    "SuccessfulDelete",
                }

            await eventually(said, "Events tell of both")

    scenario(told, before=a_stray)


def test_what_is_refused_is_told_and_tried_again() -> None:
    async def told(api: Api) -> None:
        wanted = template(serviceAccountName="builder")
        await api.create(REPLICASETS, replica_set(2, uid="", template=wanted))
        refusal = "error looking up service account default/builder"

        async def failed() -> bool:
            found = await api.get(REPLICASETS, "web", "default")
            return any(c.reason == "FailedCreate" and refusal in c.message for c in found.status.conditions)

        async def said() -> bool:
            return any(reason == "FailedCreate" and refusal in t for reason, t in await told_of(api, "web"))

        await eventually(failed, "the status says why there are too few")
        await eventually(said, "an Event says it, too")
        builder = ServiceAccount(metadata=ObjectMeta(name="builder", namespace="default"))
        await api.create(SERVICEACCOUNTS, builder)

        async def whole() -> bool:
            found = await api.get(REPLICASETS, "web", "default")
            return found.status.replicas == 2 and not found.status.conditions

        await eventually(whole, "both are there, and nothing is wrong any more")

    scenario(told)


def test_a_replication_controller_does_the_same() -> None:
    async def told(api: Api) -> None:
        spec = ReplicationControllerSpec(replicas=2, selector={"app": "web"}, template=template())
        meta = ObjectMeta(name="web", namespace="default")
        made = await api.create(REPLICATIONCONTROLLERS, ReplicationController(metadata=meta, spec=spec))
        async with run_by_nodes(api):

            async def runs() -> bool:
                found = (await api.get(REPLICATIONCONTROLLERS, "web", "default")).status
                return (
                    found.replicas,
                    found.readyReplicas,
                    found.fullyLabeledReplicas,
                    found.observedGeneration,
                ) == (
                    2,
                    2,
                    2,
                    made.metadata.generation,
                )

            await eventually(runs, "two run")
            found = await pods_of(api)
            owners = {
                (r.kind, r.controller, r.blockOwnerDeletion)
                for p in found
                for r in p.metadata.ownerReferences
            }
            assert owners == {("ReplicationController", True, True)}

    scenario(told)
