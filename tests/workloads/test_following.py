"""Which owners are looked at after a change of a pod."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from fairlead.client.informer import Informer
from fairlead.client.queue import WorkQueue
from fairlead.objects import labels
from fairlead.objects.apps_v1 import ReplicaSet
from fairlead.objects.core_v1 import Pod
from fairlead.objects.meta_v1 import LabelSelector, ObjectMeta
from fairlead.objects.resources import PODS, REPLICASETS
from fairlead.workloads.following import follow_dependents
from fairlead.workloads.replicas import concerns
from tests.workloads.lagging import World
from tests.workloads.objects import pod, replica_set


def relabelled(each: Pod, **pairs: str) -> Pod:
    return replace(each, metadata=replace(each.metadata, labels=pairs))


def orphaned(each: Pod) -> Pod:
    return replace(each, metadata=replace(each.metadata, ownerReferences=()))


class Queue(WorkQueue[str]):
    """Notes what is added."""

    def __init__(self) -> None:
        super().__init__()
        self.added: set[str] = set()

    def add(self, key: str) -> None:
        self.added.add(key)


OWN, NOBODYS, STRANGERS = pod("a", owner="rs"), pod("a"), pod("a", owner="other")


@pytest.mark.parametrize(
    ("case", "old", "new", "expected"),
    [
        ("its own comes", None, OWN, {"default/web"}),
        ("its own goes", OWN, None, {"default/web"}),
        ("its own fails", OWN, replace(OWN, status=replace(OWN.status, phase="Failed")), {"default/web"}),
        ("its own gets an address", OWN, replace(OWN, status=replace(OWN.status, podIP="10.0.0.1")), set()),
        ("its own gets other labels", OWN, relabelled(OWN, app="x"), {"default/web"}),
        ("its own is nobody's", OWN, orphaned(OWN), {"default/web", "default/twin"}),
        ("its own is another's", OWN, STRANGERS, {"default/web"}),
        ("another's comes", None, STRANGERS, set()),
        ("nobody's comes", None, NOBODYS, {"default/web", "default/twin"}),
        ("nobody's comes, selected by none", None, relabelled(NOBODYS, app="x"), set()),
        ("nobody's is selected now", relabelled(NOBODYS, app="x"), NOBODYS, {"default/web", "default/twin"}),
        ("nobody's runs", replace(NOBODYS, status=replace(NOBODYS.status, phase="Pending")), NOBODYS, set()),
        ("nobody's goes", NOBODYS, None, set()),
    ],
)
def test_who_is_concerned(case: str, old: Pod | None, new: Pod | None, expected: set[str]) -> None:
    world = World()
    cluster = world.context().cluster
    owners: Informer[ReplicaSet] = cluster.informer(REPLICASETS)
    pods: Informer[Pod] = cluster.informer(PODS)
    world.put(REPLICASETS, replica_set())
    world.put(REPLICASETS, replica_set(name="twin", uid="twin"))
    elsewhere = replica_set(name="away", uid="away")
    world.put(
        REPLICASETS, replace(elsewhere, metadata=ObjectMeta(name="away", namespace="other", uid="away"))
    )
    unlike = replica_set(name="unlike", uid="unlike", selector=LabelSelector(matchLabels={"app": "unlike"}))
    world.put(REPLICASETS, unlike)
    if old is not None:
        world.put(PODS, old)
    world.show_all(owners)
    world.show_all(pods)
    queue = Queue()
    follow_dependents(queue, owners, pods, lambda owner: labels.from_selector(owner.spec.selector), concerns)
    queue.added.clear()
    if new is not None:
        world.put(PODS, new)
    else:
        world.drop(PODS, "default/a")
    world.show(pods, 1)
    assert queue.added == expected, case
