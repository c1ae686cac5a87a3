from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fairlead.objects.apps_v1 import (
    RollingUpdateStatefulSetStrategy,
    StatefulSet,
    StatefulSetOrdinals,
    StatefulSetPersistentVolumeClaimRetentionPolicy,
    StatefulSetSpec,
    StatefulSetStatus,
    StatefulSetUpdateStrategy,
)
from fairlead.objects.core_v1 import (
    Container,
    PersistentVolumeClaim,
    Pod,
    PodCondition,
    PodSpec,
    PodStatus,
    PodTemplateSpec,
    Volume,
)
from fairlead.objects.meta_v1 import LabelSelector, ObjectMeta
from fairlead.objects.scalars import timestamp
from fairlead.workloads.statefulset import identity, retention
from fairlead.workloads.statefulset.plan import Plan, Revision, complete, most_unavailable, plan

NOW = 1_800_000_000.0
LABELS = {"app": "db"}


def template(image: str) -> PodTemplateSpec:
    return PodTemplateSpec(
        metadata=ObjectMeta(labels=LABELS), spec=PodSpec(containers=(Container(name="main", image=image),))
    )


OLD, NEW = Revision("db-old", template("one")), Revision("db-new", template("two"))


def stateful(
    replicas: int = 3,
    *,
    parallel: bool = False,
    partition: int | None = 0,
    most: int | str | None = None,
    on_delete: bool = False,
    deleted: bool = False,
    **spec: Any,
) -> StatefulSet:
    rolling = RollingUpdateStatefulSetStrategy(partition=partition, maxUnavailable=most)
    strategy = (
        StatefulSetUpdateStrategy(type="OnDelete")
        if on_delete
        else StatefulSetUpdateStrategy(
            type="RollingUpdate", rollingUpdate=None if partition is None else rolling
        )
    )
    return StatefulSet(
        metadata=ObjectMeta(
            name="db",
            namespace="shop",
            uid="u",
            generation=7,
            deletionTimestamp=timestamp(NOW) if deleted else None,
        ),
        spec=StatefulSetSpec(
            replicas=replicas,
            selector=LabelSelector(matchLabels=LABELS),
            serviceName="db",
            podManagementPolicy="Parallel" if parallel else "OrderedReady",
            updateStrategy=strategy,
            template=NEW.template,
            **spec,
        ),
    )


def pod(place: int, state: str = "ready", revision: Revision = NEW, of: StatefulSet | None = None) -> Pod:
    """A pod of the set. `state`: ready, pending, failed, succeeded, or going (ready, and deleted)."""
    made = identity.pod_of(of or stateful(), revision.template, revision.name, place)
    phase = {"pending": "Pending", "failed": "Failed", "succeeded": "Succeeded"}.get(state, "Running")
    ready = "True" if state in ("ready", "going") else "False"
    condition = PodCondition(type="Ready", status=ready, lastTransitionTime=timestamp(NOW - 30))
    return replace(
        made,
        metadata=replace(
            made.metadata,
            uid=f"{place}-{revision.name}",
            deletionTimestamp=timestamp(NOW) if state == "going" else None,
        ),
        status=PodStatus(phase=phase, conditions=(condition,)),
    )


def done(found: Plan) -> str:
    """What the plan does, in short: +0 makes, -2 deletes, ~1 deletes an ended pod to make it anew."""
    return " ".join(
        f"{sign}{identity.ordinal(each)}"
        for sign, pods in (("+", found.create), ("~", found.replace), ("-", found.delete))
        for each in pods
    )


def new(place: int, state: str = "ready") -> Pod:
    return pod(place, state, NEW)


@pytest.mark.parametrize(
    ("case", "of", "pods", "expected"),
    [
        ("nothing there: the first", stateful(), [], "+0"),
        ("the first is not ready yet", stateful(), [new(0, "pending")], ""),
        ("the first is ready: the second", stateful(), [new(0)], "+1"),
        ("a gap in the middle is filled first", stateful(), [new(0), new(2)], "+1"),
        ("a gap waits for those before it", stateful(), [new(0, "pending"), new(2)], ""),
        ("all there", stateful(), [new(0), new(1), new(2)], ""),
        ("in parallel: all", stateful(parallel=True), [], "+0 +1 +2"),
        ("in parallel: nobody waits", stateful(parallel=True), [new(1, "pending")], "+0 +2"),
        ("scaled down: the last", stateful(1), [new(0), new(1), new(2)], "-2"),
        ("scaled down: the last goes first, wholly", stateful(1), [new(0), new(1), new(2, "going")], ""),
        ("scaled down: not while one that stays is not ready", stateful(1), [new(0, "pending"), new(1)], ""),
        ("scaled down: the unready last may go", stateful(1), [new(0), new(1, "pending")], "-1"),
        ("scaled down: a serving last does not wait for an unready one before it", stateful(1),
         [new(0), new(1, "pending"), new(2)], "-2"),
        ("scaled down: an unready last waits for an unready one before it", stateful(1),
         [new(0), new(1, "pending"), new(2, "pending")], ""),
        ("scaled down: an ended last waits for nobody", stateful(1),
         [new(0), new(1, "failed"), new(2, "failed")], "-2"),
        ("scaled down in parallel: all", stateful(1, parallel=True), [new(0), new(1), new(2)], "-2 -1"),
        ("scaled to nothing", stateful(0), [new(0), new(1)], "-1"),
        ("a failed pod is made anew", stateful(), [new(0), new(1, "failed"), new(2)], "~1"),
        ("a pod that ended well is, too", stateful(), [new(0, "succeeded")], "~0"),
        ("being deleted: nothing is made or deleted", stateful(deleted=True), [new(0), new(5)], ""),
        ("ordinals that do not start at 0", stateful(2, ordinals=StatefulSetOrdinals(start=5)), [new(5)], "+6"),
        ("ordinals moved: the new first", stateful(2, ordinals=StatefulSetOrdinals(start=5)),
         [new(0), new(1)], "+5"),
        ("ordinals moved: then the old go", stateful(2, ordinals=StatefulSetOrdinals(start=5)),
         [new(0), new(1), new(5), new(6)], "-1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_pods_come_and_go_in_order(case: str, of: StatefulSet, pods: list[Pod], expected: str) -> None:
    assert done(plan(of, NEW, NEW, pods, NOW)) == expected, case


def old(place: int, state: str = "ready") -> Pod:
    return pod(place, state, OLD)


@pytest.mark.parametrize(
    ("case", "of", "pods", "expected"),
    [
        ("the last first", stateful(), [old(0), old(1), old(2)], "-2"),
        ("one at a time", stateful(), [old(0), old(1), old(2, "going")], ""),
        ("made anew, of the new revision", stateful(), [old(0), old(1)], "+2"),
        ("the next waits for it", stateful(), [old(0), old(1), new(2, "pending")], ""),
        ("then the next", stateful(), [old(0), old(1), new(2)], "-1"),
        ("down to the partition", stateful(partition=2), [old(0), old(1), old(2)], "-2"),
        ("and no further", stateful(partition=2), [old(0), old(1), new(2)], ""),
        ("below the partition a lost pod is of the old revision", stateful(partition=2), [old(0), new(2)], "+1"),
        ("by hand only", stateful(on_delete=True), [old(0), old(1), old(2)], ""),
        ("two at a time", stateful(most=2), [old(0), old(1), old(2)], "-2 -1"),
        ("a half, rounded up, in parallel", stateful(most="50%", parallel=True), [old(0), old(1), old(2)], "-2 -1"),
        ("in parallel, one is down already", stateful(most=2, parallel=True),
         [old(0), old(1), new(2, "pending")], "-1"),
        ("in parallel, as many down as may be", stateful(parallel=True), [old(0), old(1), new(2, "pending")], ""),
        ("in parallel, a broken old pod goes before those that serve", stateful(parallel=True),
         [old(0, "pending"), old(1), old(2)], "-0"),
        ("scaling comes first", stateful(2), [old(0), old(1), old(2)], "-2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_updates(case: str, of: StatefulSet, pods: list[Pod], expected: str) -> None:
    assert done(plan(of, OLD, NEW, pods, NOW)) == expected, case


@pytest.mark.parametrize(
    ("case", "of", "pods", "expected"),
    [
        ("above the partition", stateful(partition=1), [old(0)], "db-new"),
        ("below the partition", stateful(partition=2), [old(0)], "db-old"),
        ("by hand only", stateful(on_delete=True), [old(0)], "db-new"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_revision_of_a_new_pod(case: str, of: StatefulSet, pods: list[Pod], expected: str) -> None:
    (made,) = plan(of, OLD, NEW, pods, NOW).create
    assert identity.revision(made) == expected, case
    assert made.spec.containers[0].image == ("two" if expected == "db-new" else "one")


def test_a_pod_counts_as_available_after_min_ready_seconds() -> None:
    late = plan(stateful(minReadySeconds=40), NEW, NEW, [new(0)], NOW)
    assert (done(late), late.again, late.status.readyReplicas, late.status.availableReplicas) == (
        "",
        10,
        1,
        0,
    )
    in_time = plan(stateful(minReadySeconds=30), NEW, NEW, [new(0)], NOW)
    assert (done(in_time), in_time.again, in_time.status.availableReplicas) == ("+1", None, 1)


def test_status_counts_what_is_there() -> None:
    status = plan(stateful(4), OLD, NEW, [old(0), old(1, "going"), new(2), new(3, "pending")], NOW).status
    assert status == StatefulSetStatus(
        observedGeneration=7,
        replicas=4,
        readyReplicas=3,
        availableReplicas=3,
        currentReplicas=1,
        updatedReplicas=2,
        currentRevision="db-old",
        updateRevision="db-new",
        collisionCount=0,
    )


def test_an_update_is_over_when_all_pods_are_new_and_ready() -> None:
    pods = [new(0), new(1), new(2)]
    over = complete(stateful(), plan(stateful(), OLD, NEW, pods, NOW).status)
    assert (over.currentRevision, over.currentReplicas) == ("db-new", 3)
    by_hand = stateful(on_delete=True)
    assert complete(by_hand, plan(by_hand, OLD, NEW, pods, NOW).status).currentRevision == "db-old"
    early = plan(stateful(), OLD, NEW, [new(0), new(1), new(2, "pending")], NOW).status
    assert complete(stateful(), early).currentRevision == "db-old"


@pytest.mark.parametrize(
    ("value", "replicas", "expected"), [(None, 9, 1), (3, 9, 3), ("30%", 9, 3), ("1%", 9, 1), ("50%", 0, 1)]
)
def test_how_many_may_be_down(value: int | str | None, replicas: int, expected: int) -> None:
    assert most_unavailable(value, replicas) == expected


CLAIM = PersistentVolumeClaim(metadata=ObjectMeta(name="data", labels={"tier": "fast"}))


def test_a_pod_has_its_name_its_labels_and_its_claims() -> None:
    of = stateful(volumeClaimTemplates=(CLAIM,))
    with_volumes = replace(
        NEW.template,
        spec=replace(NEW.template.spec, volumes=(Volume(name="data"), Volume(name="scratch"))),
    )
    made = identity.pod_of(of, with_volumes, "db-new", 2)
    assert made.metadata.labels == {
        "app": "db",
        "statefulset.kubernetes.io/pod-name": "db-2",
        "apps.kubernetes.io/pod-index": "2",
        "controller-revision-hash": "db-new",
    }
    assert (made.metadata.name, made.spec.hostname, made.spec.subdomain) == ("db-2", "db-2", "db")
    (reference,) = made.metadata.ownerReferences
    assert (reference.kind, reference.uid, reference.controller) == ("StatefulSet", "u", True)
    claimed = {
        v.name: v.persistentVolumeClaim and v.persistentVolumeClaim.claimName for v in made.spec.volumes
    }
    assert claimed == {"data": "data-db-2", "scratch": None}
    (claim,) = identity.claims_of(of, 2)
    assert (claim.metadata.name, claim.metadata.namespace) == ("data-db-2", "shop")
    assert claim.metadata.labels == {"tier": "fast", "app": "db"}
    assert identity.identified(of, made) is made
    assert identity.identified(of, replace(made, metadata=replace(made.metadata, labels=LABELS))) != made


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("db-0", ("db", 0)),
        ("db-x-12", ("db-x", 12)),
        ("db", ("", -1)),
        ("db-", ("", -1)),
        ("db-1a", ("", -1)),
    ],
)
def test_the_place_in_a_name(name: str, expected: tuple[str, int]) -> None:
    assert identity.split(name) == expected


@pytest.mark.parametrize(
    ("deleted", "scaled", "condemned", "owners"),
    [
        ("Retain", "Retain", False, []),
        ("Retain", "Retain", True, []),
        ("Delete", "Retain", False, ["StatefulSet"]),
        ("Delete", "Retain", True, ["StatefulSet"]),
        ("Retain", "Delete", False, []),
        ("Retain", "Delete", True, ["Pod"]),
        ("Delete", "Delete", False, ["StatefulSet"]),
        ("Delete", "Delete", True, ["Pod"]),
    ],
)
def test_who_owns_a_claim(deleted: str, scaled: str, condemned: bool, owners: list[str]) -> None:
    policy = StatefulSetPersistentVolumeClaimRetentionPolicy(whenDeleted=deleted, whenScaled=scaled)
    of = stateful(volumeClaimTemplates=(CLAIM,), persistentVolumeClaimRetentionPolicy=policy)
    (claim,) = identity.claims_of(of, 0)
    found = retention.owned(of, new(0), claim, condemned=condemned)
    assert [ref.kind for ref in found.metadata.ownerReferences] == owners
    assert retention.owned(of, new(0), found, condemned=condemned) is found
    # and back, when the set grows or its policy changes
    back = retention.owned(replace(of, spec=stateful().spec), new(0), found, condemned=False)
    assert back.metadata.ownerReferences == ()


def test_a_claim_that_goes_with_the_pod_before_is_waited_for() -> None:
    policy = StatefulSetPersistentVolumeClaimRetentionPolicy(whenScaled="Delete", whenDeleted="Retain")
    of = stateful(volumeClaimTemplates=(CLAIM,), persistentVolumeClaimRetentionPolicy=policy)
    (claim,) = identity.claims_of(of, 0)
    assert not retention.is_stale(claim, None)
    before = retention.owned(of, new(0), claim, condemned=True)
    assert retention.is_stale(before, None)
    assert not retention.is_stale(before, new(0))
    going = replace(claim, metadata=replace(claim.metadata, deletionTimestamp=timestamp(NOW)))
    assert retention.is_stale(going, new(0))


EVENTS = st.lists(
    st.tuples(st.sampled_from(["ready", "fail", "break", "gone"]), st.integers(0, 5)), max_size=25
)


@settings(max_examples=150, deadline=None)
@given(
    replicas=st.integers(0, 5),
    parallel=st.booleans(),
    most=st.sampled_from([None, 1, 2, "50%"]),
    there=st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=6, unique_by=lambda t: t[0]),
    events=EVENTS,
)
def test_whatever_happens_to_its_pods_the_set_comes_to_rest(
    replicas: int,
    parallel: bool,
    most: int | str | None,
    there: list[tuple[int, bool]],
    events: list[tuple[str, int]],
) -> None:
    of = stateful(replicas, parallel=parallel, most=most)
    pods = {place: pod(place, "ready", OLD if is_old else NEW) for place, is_old in there}
    limit = most_unavailable(most, replicas)

    def step() -> bool:
        found = plan(of, OLD, NEW, pods.values(), NOW)
        serving = {i for i, each in pods.items() if i < replicas and not _is_down(each)}
        for each in found.create:
            place = identity.ordinal(each)
            assert place not in pods, "a name is never given twice"
            if not parallel:
                assert all(i in serving for i in range(place)), "each waits for those before it"
            pods[place] = pod(place, "pending")
            assert identity.revision(each) == NEW.name
        touched = {identity.ordinal(each) for each in (*found.delete, *found.replace)}
        if serving & touched:
            assert len(serving - touched) >= replicas - limit, "never more are down than may be"
        if not parallel:
            assert len(found.create) + len(touched) <= max(1, limit)
        for place in touched:
            pods[place] = pod(place, "going", OLD if identity.revision(pods[place]) == OLD.name else NEW)
        return bool(found.create or touched)

    for kind, place in events:
        step()
        if place not in pods:
            continue
        state = {"ready": "ready", "fail": "failed", "break": "pending"}.get(kind)
        was = OLD if identity.revision(pods[place]) == OLD.name else NEW
        if kind == "gone" or pods[place].metadata.deletionTimestamp is not None:
            del pods[place]
        elif state:
            pods[place] = pod(place, state, was)
    for _ in range(50):
        step()
        for place, each in list(pods.items()):
            if each.metadata.deletionTimestamp is not None:
                del pods[place]
            elif each.status.phase not in ("Failed", "Succeeded"):
                pods[place] = pod(place, "ready", OLD if identity.revision(each) == OLD.name else NEW)
    assert sorted(pods) == list(range(replicas))
    assert {identity.revision(each) for each in pods.values()} <= {NEW.name}
    assert plan(of, NEW, NEW, pods.values(), NOW).status.availableReplicas == replicas


def _is_down(each: Pod) -> bool:
    ready = next(c.status for c in each.status.conditions if c.type == "Ready")
    return ready != "True" or each.metadata.deletionTimestamp is not None
