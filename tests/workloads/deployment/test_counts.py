"""What a Deployment's status counts."""

from __future__ import annotations

import pytest

from fairlead.objects.apps_v1 import (
    Deployment,
    DeploymentSpec,
    DeploymentStrategy,
    ReplicaSet,
    ReplicaSetSpec,
    ReplicaSetStatus,
    RollingUpdateDeployment,
)
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.workloads.deployment.history import History
from fairlead.workloads.deployment.status import condition, counted
from tests.workloads.objects import NOW


def replica_set(name: str, wanted: int, there: int, available: int, terminating: int = 0) -> ReplicaSet:
    return ReplicaSet(
        metadata=ObjectMeta(name=name, uid=name),
        spec=ReplicaSetSpec(replicas=wanted),
        status=ReplicaSetStatus(
            replicas=there,
            readyReplicas=available,
            availableReplicas=available,
            terminatingReplicas=terminating,
        ),
    )


def deployment(replicas: int, unavailable: int | str) -> Deployment:
    rolling = RollingUpdateDeployment(maxSurge=1, maxUnavailable=unavailable)
    strategy = DeploymentStrategy(type="RollingUpdate", rollingUpdate=rolling)
    return Deployment(
        metadata=ObjectMeta(name="web", generation=7),
        spec=DeploymentSpec(replicas=replicas, strategy=strategy),
    )


def test_the_pods_of_all_templates_are_counted() -> None:
    history = History(replica_set("new", 2, 2, 1), (replica_set("old", 2, 3, 2, 1),))
    found = counted(deployment(4, 1), history, NOW)
    assert (found.observedGeneration, found.replicas, found.updatedReplicas) == (7, 5, 2)
    assert (found.readyReplicas, found.availableReplicas, found.terminatingReplicas) == (3, 3, 1)


@pytest.mark.parametrize(
    ("case", "wanted", "there", "available", "expected"),
    [
        ("all serve", 3, 3, 3, 0),
        ("some do not yet", 3, 3, 1, 2),
        ("none could be made", 3, 0, 0, 3),
        ("scaled down just now", 1, 3, 3, 0),
    ],
)
def test_unavailable_are_those_that_are_wanted_and_do_not_serve(
    case: str, wanted: int, there: int, available: int, expected: int
) -> None:
    history = History(replica_set("new", wanted, there, available), ())
    assert counted(deployment(wanted, 0), history, NOW).unavailableReplicas == expected, case


@pytest.mark.parametrize(
    ("unavailable", "available", "expected"), [(1, 3, "True"), (1, 2, "False"), ("50%", 2, "True")]
)
def test_a_deployment_is_available_within_its_limits(
    unavailable: int | str, available: int, expected: str
) -> None:
    found = counted(deployment(4, unavailable), History(replica_set("new", 4, 4, available), ()), NOW)
    told = condition(found.conditions, "Available")
    assert told is not None
    assert told.status == expected
