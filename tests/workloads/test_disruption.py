"""PodDisruptionBudgets: what they allow, and that evictions keep to it, against the real API server."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from fairlead.client.api import Api
from fairlead.objects.core_v1 import Container, Pod, PodCondition, PodSpec, PodStatus
from fairlead.objects.meta_v1 import Condition, LabelSelector, ObjectMeta, OwnerReference, Status
from fairlead.objects.policy_v1 import (
    Eviction,
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
    PodDisruptionBudgetStatus,
)
from fairlead.objects.resources import PODDISRUPTIONBUDGETS, PODS
from fairlead.objects.scalars import timestamp
from fairlead.objects.status import StatusError
from fairlead.process import Health
from fairlead.workloads import config
from fairlead.workloads.controller import run
from fairlead.workloads.disruption import plan
from fairlead.workloads.disruption.plan import Disrupted, Expected, NoScale, Scale
from tests.client.cluster import eventually, with_server

NOW = 1_800_000_000.0
LABELS = {"app": "web"}


def budget(
    least: int | str | None = None, most: int | str | None = None, **status: Any
) -> PodDisruptionBudget:
    return PodDisruptionBudget(
        metadata=ObjectMeta(name="web", namespace="default", generation=2),
        spec=PodDisruptionBudgetSpec(
            selector=LabelSelector(matchLabels=LABELS), minAvailable=least, maxUnavailable=most
        ),
        status=PodDisruptionBudgetStatus(**status),
    )


def pod(name: str, owner: str = "rs", *, ready: bool = True, going: bool = False) -> Pod:
    refs = (OwnerReference(apiVersion="apps/v1", kind="ReplicaSet", name=owner, uid=owner, controller=True),)
    condition = PodCondition(type="Ready", status="True" if ready else "False")
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace="default",
            labels=LABELS,
            ownerReferences=refs if owner else (),
            deletionTimestamp=timestamp(NOW) if going else None,
        ),
        status=PodStatus(phase="Running", conditions=(condition,)),
    )


SCALES = {
    "rs": Scale("rs", 10),
    "old": Scale("deployment", 4),
    "new": Scale("deployment", 4),
}


@pytest.mark.parametrize(
    ("case", "of", "pods", "expected"),
    [
        ("a number of pods", budget(2), [pod("a"), pod("b"), pod("c")], Expected(3, 2)),
        ("a number, whoever made them", budget(1), [pod("a", "")], Expected(1, 1)),
        ("a share of what is wanted", budget("50%"), [pod("a")], Expected(10, 5)),
        ("a share, rounded up", budget("41%"), [pod("a")], Expected(10, 5)),
        ("at most so many down", budget(most=3), [pod("a")], Expected(10, 7)),
        ("at most a share, rounded up", budget(most="25%"), [pod("a")], Expected(10, 7)),
        ("more down than there are", budget(most=99), [pod("a")], Expected(10, 0)),
        ("two owners", budget("100%"), [pod("a"), pod("b", "old")], Expected(14, 14)),
        ("two ReplicaSets of one Deployment are one", budget("100%"), [pod("a", "old"), pod("b", "new")],
         Expected(4, 4)),
        ("pods of nobody do not count", budget("50%"), [pod("a"), pod("b", "")], Expected(10, 5, ("b",))),
        ("nothing asked", budget(), [pod("a")], Expected(0, 0)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_a_budget_asks(case: str, of: PodDisruptionBudget, pods: list[Pod], expected: Expected) -> None:
    assert plan.expected(of, pods, SCALES) == expected, case


def test_a_share_of_pods_whose_controller_has_no_scale_cannot_be_known() -> None:
    with pytest.raises(NoScale, match='found no controllers for pod "a"'):
        plan.expected(budget("50%"), [pod("a", "daemon")], SCALES)


NONE_GONE = Disrupted({}, (), None)


@pytest.mark.parametrize(
    ("case", "pods", "wanted", "healthy", "allowed"),
    [
        ("as many as there have to be", [pod("a"), pod("b")], Expected(2, 2), 2, 0),
        ("one more", [pod("a"), pod("b"), pod("c")], Expected(3, 2), 3, 1),
        ("one is not ready", [pod("a"), pod("b"), pod("c", ready=False)], Expected(3, 2), 2, 0),
        ("one goes already", [pod("a"), pod("b"), pod("c", going=True)], Expected(3, 2), 2, 0),
        ("fewer than there have to be", [pod("a")], Expected(3, 2), 1, 0),
        ("no pods: nothing is allowed yet", [], Expected(0, 0), 0, 0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_how_many_may_go(case: str, pods: list[Pod], wanted: Expected, healthy: int, allowed: int) -> None:
    found = plan.status(budget(1), pods, wanted, NONE_GONE, NOW)
    assert (found.currentHealthy, found.disruptionsAllowed, found.observedGeneration) == (healthy, allowed, 2)
    (condition,) = found.conditions
    assert (condition.type, condition.status, condition.reason) == (
        ("DisruptionAllowed", "True", "SufficientPods")
        if allowed
        else ("DisruptionAllowed", "False", "InsufficientPods")
    ), case


def test_an_evicted_pod_counts_as_gone_until_it_should_have_gone() -> None:
    of = budget(
        1, disruptedPods={"a": timestamp(NOW - 100), "b": timestamp(NOW - 130), "gone": timestamp(NOW)}
    )
    pods = [pod("a"), pod("b"), pod("c")]
    gone = plan.disrupted(of, pods, NOW)
    assert gone.pods == {"a": timestamp(NOW - 100)}
    assert ([p.metadata.name for p in gone.late], gone.again) == (["b"], 20)
    assert plan.status(of, pods, Expected(3, 1), gone, NOW).currentHealthy == 2
    going = plan.disrupted(of, [pod("a", going=True)], NOW)
    assert going == NONE_GONE


def test_what_cannot_be_worked_out_allows_nothing() -> None:
    before = Condition(type="DisruptionAllowed", status="True", lastTransitionTime=timestamp(NOW - 60))
    of = budget(1, disruptionsAllowed=3, currentHealthy=4, observedGeneration=1, conditions=(before,))
    found = plan.failed(of, "why", NOW)
    assert (found.disruptionsAllowed, found.currentHealthy) == (0, 4)
    (condition,) = found.conditions
    assert (condition.status, condition.reason, condition.message) == ("False", "SyncFailed", "why")
    assert condition.lastTransitionTime == timestamp(NOW)


def test_a_pod_that_stays_after_all_says_so() -> None:
    def said(seconds: int, **meta: Any) -> Pod:
        condition = PodCondition(
            type="DisruptionTarget", status="True", lastTransitionTime=timestamp(NOW - seconds)
        )
        return Pod(metadata=ObjectMeta(name="a", **meta), status=PodStatus(conditions=(condition,)))

    taken_back, _ = plan.stale(said(130), NOW)
    assert taken_back is not None
    assert taken_back.status == "False"
    assert plan.stale(said(100), NOW) == (None, 20)
    assert plan.stale(said(130, deletionTimestamp=timestamp(NOW)), NOW) == (None, None)
    assert plan.stale(pod("a"), NOW) == (None, None)


def start(api: Api, health: Health) -> Coroutine[Any, Any, None]:
    return run(api, config.WorkloadsConfig(controllers=(config.DISRUPTION,)), health)


async def add(api: Api, name: str) -> None:
    spec = PodSpec(nodeName="n", containers=(Container(name="main", image="pause"),))
    await api.create(PODS, Pod(metadata=ObjectMeta(name=name, namespace="default", labels=LABELS), spec=spec))
    status = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    await api.patch(PODS, name, "default", status, kind="strategic", subresource="status")


async def evict(api: Api, name: str) -> int:
    eviction = Eviction(metadata=ObjectMeta(name=name, namespace="default"))
    try:
        await api.request("POST", PODS.path("default", name, "eviction"), Status, eviction)
    except StatusError as error:
        return error.code
    return 201


def test_evictions_keep_to_the_budget() -> None:
    async def scenario(api: Api) -> None:
        for name in ("a", "b", "c"):
            await add(api, name)
        await api.create(PODDISRUPTIONBUDGETS, budget(2))

        async def allows(count: int, healthy: int) -> bool:
            status = (await api.get(PODDISRUPTIONBUDGETS, "web", "default")).status
            return (status.disruptionsAllowed, status.currentHealthy) == (count, healthy)

        await eventually(lambda: allows(1, 3), "one of three may go")
        assert await evict(api, "a") == 201
        await eventually(lambda: allows(0, 2), "the one that goes is seen")

        async def forgotten() -> bool:
            return not (await api.get(PODDISRUPTIONBUDGETS, "web", "default")).status.disruptedPods

        await eventually(forgotten, "the one that goes does not have to be remembered")
        assert await evict(api, "b") == 429
        await add(api, "d")
        await eventually(lambda: allows(1, 3), "another has come: one may go again")
        assert await evict(api, "b") == 201

    with_server(scenario, start)


def test_a_share_follows_the_scale_of_the_owner() -> None:
    async def scenario(api: Api) -> None:
        template = {
            "metadata": {"labels": LABELS},
            "spec": {"containers": [{"name": "main", "image": "pause"}]},
        }
        spec = {"replicas": 4, "selector": {"matchLabels": LABELS}, "template": template}
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web"}, "spec": spec}
        path = "/apis/apps/v1/namespaces/default/replicasets"
        made = await api.request("POST", path, dict[str, Any], owner)
        await add(api, "a")
        reference = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": "web",
            "uid": made["metadata"]["uid"],
            "controller": True,
        }
        await api.patch(PODS, "a", "default", {"metadata": {"ownerReferences": [reference]}})
        await api.create(PODDISRUPTIONBUDGETS, budget(most="50%"))

        async def asks(pods: int, healthy: int) -> bool:
            status = (await api.get(PODDISRUPTIONBUDGETS, "web", "default")).status
            return (status.expectedPods, status.desiredHealthy) == (pods, healthy)

        await eventually(lambda: asks(4, 2), "half of four")
        await api.request(
            "PATCH", f"{path}/web/scale", dict[str, Any], {"spec": {"replicas": 6}},
            content_type="application/merge-patch+json",
        )  # fmt: skip
        await eventually(lambda: asks(6, 3), "half of six")

    with_server(scenario, start)
