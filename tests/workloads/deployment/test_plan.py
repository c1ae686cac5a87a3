"""What a Deployment does next, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from fairlead.objects.apps_v1 import (
    Deployment,
    DeploymentStatus,
    DeploymentStrategy,
    ReplicaSet,
    ReplicaSetCondition,
    RollingUpdateDeployment,
)
from fairlead.objects.scalars import timestamp
from fairlead.workloads.deployment import marks, progress
from fairlead.workloads.deployment.controller import told
from fairlead.workloads.deployment.history import HASH, history, superfluous
from fairlead.workloads.deployment.limits import Limits, limits
from fairlead.workloads.deployment.plan import Plan, plan
from fairlead.workloads.deployment.status import condition, counted, with_failures
from tests.workloads.deployment.test_histories import deployment
from tests.workloads.objects import NOW, replica_set, template


def rolling(surge: int | str, unavailable: int | str) -> DeploymentStrategy:
    return DeploymentStrategy(
        type="RollingUpdate",
        rollingUpdate=RollingUpdateDeployment(maxSurge=surge, maxUnavailable=unavailable),
    )


RECREATE = DeploymentStrategy(type="Recreate")


def made(
    image: str,
    replicas: int,
    available: int | None = None,
    age: int = 0,
    desired: int | None = None,
    most: int | None = None,
    revision: int = 0,
) -> ReplicaSet:
    """A ReplicaSet of this image; the higher its age, the older it is."""
    plain = replica_set(replicas, image, image, template=template(image=image))
    notes = {} if desired is None else marks.sized({}, desired, desired if most is None else most)
    if revision:
        notes[marks.REVISION] = str(revision)
    serving = replicas if available is None else available
    status = replace(
        plain.status,
        replicas=replicas,
        availableReplicas=serving,
        readyReplicas=serving,
        observedGeneration=1,
    )
    meta = replace(
        plain.metadata, annotations=notes, generation=1, creationTimestamp=timestamp(NOW - 1000 - age)
    )
    return replace(plain, metadata=meta, status=status)


def wants(replicas: int, image: str = "new", **spec: Any) -> Deployment:
    return deployment(replicas, template=template(image=image), **spec)


def sizes(found: Plan) -> dict[str, int]:
    """The ReplicaSets that get another size."""
    return {u.replica_set.metadata.name: u.replica_set.spec.replicas or 0 for u in found.updates if u.said}


@pytest.mark.parametrize(
    ("replicas", "strategy", "expected"),
    [
        (10, rolling("25%", "25%"), Limits(10, surge=3, unavailable=2)),
        (1, rolling("25%", "25%"), Limits(1, surge=1, unavailable=0)),
        (3, rolling(0, "25%"), Limits(3, surge=0, unavailable=1)),
        (3, rolling("0%", "0%"), Limits(3, surge=0, unavailable=1)),
        (2, rolling(0, 5), Limits(2, surge=0, unavailable=2)),
        (0, rolling("25%", "25%"), Limits(0, surge=0, unavailable=0)),
        (4, rolling("100%", 0), Limits(4, surge=4, unavailable=0)),
        (4, RECREATE, Limits(4)),
    ],
)
def test_percentages_become_pods(replicas: int, strategy: DeploymentStrategy, expected: Limits) -> None:
    assert limits(wants(replicas, strategy=strategy)) == expected


@pytest.mark.parametrize(
    ("case", "strategy", "old", "new", "expected"),
    [
        ("first the new one grows by the surge", rolling(1, 1), [made("a", 4)], made("new", 0), {"new": 1}),
        ("then old pods go", rolling(1, 1), [made("a", 4)], made("new", 1, 0), {"a": 3}),
        ("not while too few serve", rolling(1, 0), [made("a", 4)], made("new", 1, 0), {}),
        ("one for each that serves", rolling(1, 0), [made("a", 4)], made("new", 1, 1), {"a": 3}),
        ("not those that serve", rolling(0, 1), [made("a", 2, 2, 9), made("b", 2, 0)], made("new", 0), {"b": 1}),
        ("the oldest before others", rolling(4, 1), [made("b", 2), made("a", 2, age=9)], made("new", 4, 1), {"a": 0}),
        ("a late status", rolling(1, 0), [made("a", 3, 4)], made("new", 2, 2), {"a": 2}),
        ("the new one has too many", rolling(1, 1), [], made("new", 6), {"new": 4}),
        ("it is over", rolling(1, 1), [made("a", 0)], made("new", 4), {}),
        ("all at once", rolling("100%", 0), [made("a", 4)], made("new", 0), {"new": 4}),
        ("Recreate: all old ones go", RECREATE, [made("a", 4), made("b", 1)], None, {"a": 0, "b": 0}),
    ],
)  # fmt: skip
def test_steps_of_an_update(
    case: str,
    strategy: DeploymentStrategy,
    old: list[ReplicaSet],
    new: ReplicaSet | None,
    expected: dict[str, int],
) -> None:
    there = [*old] if new is None else [*old, new]
    assert sizes(plan(wants(4, strategy=strategy), there, old_pods=bool(old))) == expected, case


def test_a_new_template_gets_a_replica_set_told_by_a_hash() -> None:
    wanted = wants(4, strategy=rolling(1, 1), minReadySeconds=5)
    wanted = replace(
        wanted, metadata=replace(wanted.metadata, annotations={"team": "a", marks.REVISION: "7"})
    )
    found = plan(wanted, [made("a", 4, revision=7)], old_pods=False)
    fresh = found.create
    assert fresh is not None
    hashed = fresh.metadata.labels[HASH]
    assert fresh.metadata.name == f"web-{hashed}"
    assert fresh.spec.template.metadata.labels[HASH] == hashed
    assert fresh.spec.selector is not None
    assert fresh.spec.selector.matchLabels[HASH] == hashed
    assert (fresh.spec.replicas, fresh.spec.minReadySeconds) == (1, 5)
    assert fresh.metadata.annotations == {
        "team": "a",
        marks.REVISION: "8",
        marks.DESIRED: "4",
        marks.MOST: "5",
    }
    assert found.revision == 8
    assert sizes(found) == {"a": 3}, "an old pod makes room at once"
    collided = replace(wanted, status=replace(wanted.status, collisionCount=1))
    again = plan(collided, [made("a", 4, revision=7)], old_pods=False).create
    assert again is not None
    assert again.metadata.name != fresh.metadata.name


def test_recreate_makes_nothing_while_an_old_pod_is_there() -> None:
    wanted = wants(4, strategy=RECREATE)
    ended = made("a", 0)
    assert plan(wanted, [ended], old_pods=True).create is None
    slow = replace(ended, status=replace(ended.status, replicas=1))
    assert plan(wanted, [slow], old_pods=False).create is None
    fresh = plan(wanted, [ended], old_pods=False).create
    assert fresh is not None
    assert fresh.spec.replicas == 4


@pytest.mark.parametrize(
    ("case", "wanted", "there", "expected"),
    [
        (
            "in proportion (the example of the documentation)",
            wants(15, strategy=rolling(3, 2)),
            [made("a", 8, desired=10, most=13, age=9), made("new", 5, 0, desired=10, most=13)],
            {"a": 11, "new": 7},
        ),
        (
            "down in proportion",
            wants(5, strategy=rolling(0, 1)),
            [made("a", 6, desired=10, most=10, age=9), made("new", 4, desired=10, most=10)],
            {"a": 3, "new": 2},
        ),
        (
            "to nothing",
            wants(0),
            [made("a", 6, desired=10, age=9), made("new", 4, desired=10)],
            {"a": 0, "new": 0},
        ),
        ("one alone gets all", wants(7), [made("a", 3, desired=3)], {"a": 7}),
        (
            "old ones go when the new one has all",
            wants(3),
            [made("a", 1, desired=4, age=9), made("new", 3, desired=3)],
            {"a": 0},
        ),
        ("a pause keeps the proportions", wants(4, paused=True), [made("a", 2, desired=4, age=9)], {"a": 4}),
        ("the newest of those without pods", wants(2, paused=True), [made("a", 0, age=9), made("b", 0)], {"b": 2}),
    ],
)  # fmt: skip
def test_scaling(case: str, wanted: Deployment, there: list[ReplicaSet], expected: dict[str, int]) -> None:
    found = plan(wanted, there, old_pods=False)
    assert sizes(found) == expected, case
    assert found.create is None
    assert not found.rolls


def test_what_was_scaled_is_known_afterwards() -> None:
    wanted = wants(15, strategy=rolling(3, 2))
    there = [made("a", 8, desired=10, most=13, age=9), made("new", 5, desired=10, most=13)]
    after = [update.replica_set for update in plan(wanted, there, old_pods=False).updates]
    assert all(marks.number(each.metadata, marks.DESIRED) == 15 for each in after)
    assert plan(wanted, after, old_pods=False).rolls
    # Also where somebody has given the ReplicaSet the right size by hand.
    by_hand = plan(wanted, [made("new", 15, desired=10)], old_pods=False)
    assert sizes(by_hand) == {}
    assert marks.number(by_hand.updates[0].replica_set.metadata, marks.DESIRED) == 15


def test_a_paused_deployment_makes_no_progress_and_a_deleted_one_nothing() -> None:
    paused = plan(wants(4, paused=True), [made("a", 4, desired=4)], old_pods=False)
    assert (paused.create, sizes(paused)) == (None, {})
    going = wants(4)
    going = replace(going, metadata=replace(going.metadata, deletionTimestamp=timestamp(NOW)))
    gone = plan(going, [made("a", 2)], old_pods=False)
    assert (gone.create, gone.updates, gone.delete) == (None, (), ())


def test_a_template_that_is_wanted_again_is_numbered_anew() -> None:
    there = [made("new", 0, desired=2, revision=1, age=9), made("b", 2, desired=2, revision=2)]
    found = plan(wants(2), there, old_pods=False)
    (update,) = [u for u in found.updates if u.replica_set.metadata.name == "new"]
    notes = update.replica_set.metadata.annotations
    assert (notes[marks.REVISION], notes[marks.HISTORY], found.revision) == ("3", "1", 3)
    again = marks.of_newest(wants(2), {**notes, marks.HISTORY: ",".join(["100"] * 499)}, 4)
    assert len(again[marks.HISTORY]) <= marks.LONGEST_HISTORY
    assert again[marks.HISTORY].endswith(",100,3")


def test_the_oldest_revisions_beyond_the_limit_go_when_they_have_no_pods() -> None:
    old = [made(f"r{number}", 0, revision=number) for number in (3, 1, 2, 4)]
    limited = wants(2, revisionHistoryLimit=2)
    assert [each.metadata.name for each in superfluous(limited, old)] == ["r1", "r2"]
    busy = [made("r0", 1, age=9, revision=0), *old]
    assert [each.metadata.name for each in superfluous(limited, busy)] == ["r1", "r2"]
    unseen = replace(old[1], metadata=replace(old[1].metadata, generation=2))
    assert [each.metadata.name for each in superfluous(limited, [unseen, *old[2:], old[0]])] == ["r2"]
    assert superfluous(wants(2, revisionHistoryLimit=2**31 - 1), old) == ()


STARTED = DeploymentStatus(observedGeneration=1, replicas=2, readyReplicas=2, availableReplicas=2)


def told_of(
    wanted: Deployment, there: list[ReplicaSet], now: float
) -> tuple[Deployment, tuple[str, str, str]]:
    """The Deployment with its next status, and the condition Progressing in it."""
    status = told(wanted, Plan(history(wanted, there)), now)
    found = condition(status.conditions, "Progressing")
    assert found is not None
    return replace(wanted, status=status), (found.status, found.reason, found.message)


def test_progress_is_told_until_it_is_over_or_late() -> None:
    wanted = replace(wants(2, progressDeadlineSeconds=60), status=STARTED)
    old, new = made("a", 2, age=9), made("new", 0)
    begun = progress.noted(wanted, history(wanted, [old]), NOW, created="new")
    begun, said = told_of(begun, [old, new], NOW)
    assert said == ("True", "NewReplicaSetCreated", 'Created new replica set "new"')
    assert progress.look_again(begun, begun.status, NOW) == 61
    moved, said = told_of(begun, [old, made("new", 1, 0)], NOW + 50)
    assert said == ("True", "ReplicaSetUpdated", 'ReplicaSet "new" is progressing.')
    same, _ = told_of(moved, [old, made("new", 1, 0)], NOW + 100)
    assert same == moved, "less than a minute without progress"
    late, said = told_of(moved, [old, made("new", 1, 0)], NOW + 111)
    assert said == ("False", "ProgressDeadlineExceeded", 'ReplicaSet "new" has timed out progressing.')
    assert progress.look_again(late, late.status, NOW + 111) is None
    done, said = told_of(late, [made("a", 0, age=9), made("new", 2)], NOW + 200)
    assert said == ("True", "NewReplicaSetAvailable", 'ReplicaSet "new" has successfully progressed.')
    assert progress.look_again(done, done.status, NOW + 200) is None
    # A pod that fails afterwards is no progress undone.
    _, still = told_of(done, [made("a", 0, age=9), made("new", 2, 1)], NOW + 900)
    assert still == said


def test_pauses_and_refusals_are_told() -> None:
    wanted = replace(wants(2, paused=True), status=STARTED)
    there = history(wanted, [made("a", 2)])
    paused = progress.noted(wanted, there, NOW)

    def said(found: Deployment) -> tuple[str, str, str] | None:
        each = condition(found.status.conditions, "Progressing")
        return None if each is None else (each.status, each.reason, each.message)

    assert said(paused) == ("Unknown", "DeploymentPaused", "Deployment is paused")
    assert progress.look_again(paused, paused.status, NOW) is None
    resumed = progress.noted(replace(paused, spec=replace(paused.spec, paused=False)), there, NOW)
    assert said(resumed) == ("Unknown", "DeploymentResumed", "Deployment is resumed")
    refused = progress.noted(resumed, there, NOW, failure="no")
    assert said(refused) == ("False", "ReplicaSetCreateError", "no")
    found = progress.noted(wants(2), history(wants(2), [made("new", 2)]), NOW)
    assert said(found) == ("True", "FoundNewReplicaSet", 'Found new replica set "new"')
    without_deadline = wants(2, progressDeadlineSeconds=2**31 - 1, paused=True)
    assert said(progress.noted(without_deadline, there, NOW)) is None


def test_the_status_counts_and_passes_failures_on() -> None:
    wanted = wants(4, strategy=rolling(1, 1))
    failing = ReplicaSetCondition(
        type="ReplicaFailure", status="True", reason="FailedCreate", message="no room"
    )
    new = made("new", 2, 1)
    new = replace(new, status=replace(new.status, conditions=(failing,), terminatingReplicas=2))
    there = history(wanted, [made("a", 2, age=9), new])
    status = with_failures(counted(wanted, there, NOW), there)
    assert (status.replicas, status.updatedReplicas, status.availableReplicas) == (4, 2, 3)
    assert (status.unavailableReplicas, status.terminatingReplicas, status.observedGeneration) == (1, 2, 1)
    said = {each.type: (each.status, each.reason) for each in status.conditions}
    assert said == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "ReplicaFailure": ("True", "FailedCreate"),
    }
    fewer = history(wanted, [made("a", 1, age=9), made("new", 2, 1)])
    status = with_failures(counted(replace(wanted, status=status), fewer, NOW), fewer)
    said = {each.type: (each.status, each.reason) for each in status.conditions}
    assert said == {"Available": ("False", "MinimumReplicasUnavailable")}
