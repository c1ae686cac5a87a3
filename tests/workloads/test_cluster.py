"""What an owner may adopt is found by one of its labels."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from fairlead.objects.core_v1 import Pod
from fairlead.objects.labels import parse
from fairlead.objects.resources import PODS
from fairlead.workloads.cluster import dependents, orphans
from tests.workloads.lagging import World
from tests.workloads.objects import pod, replica_set


def labelled(name: str, owner: str = "", **labels: str) -> Pod:
    made = pod(name, owner=owner) if owner else pod(name)
    return replace(made, metadata=replace(made.metadata, labels=labels))


ALL = (
    labelled("own", "rs", app="web"),
    labelled("another's", "other", app="web"),
    labelled("web", app="web", tier="front"),
    labelled("old", app="web", tier="back"),
    labelled("db", app="db"),
    labelled("bare"),
)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("app=web", {"web", "old"}),
        ("app=web,tier=back", {"old"}),
        ("tier=back,app=web", {"old"}),
        ("app in (web),tier", {"web", "old"}),
        ("app=nowhere", set()),
        ("app in (web,db)", {"web", "old", "db", "bare"}),
        ("!app", {"web", "old", "db", "bare"}),
    ],
)
def test_only_those_with_the_rarest_label_are_looked_at(selector: str, expected: set[str]) -> None:
    world = World()
    for each in ALL:
        world.put(PODS, each)
    informer = world.context().cluster.informer(PODS)
    world.show_all(informer)
    wanted = parse(selector)
    found = {each.metadata.name for each in orphans(informer, "default", wanted)}
    assert found == expected
    assert found >= {
        each.metadata.name
        for each in ALL
        if not each.metadata.ownerReferences and wanted.matches(each.metadata.labels)
    }
    assert list(orphans(informer, "elsewhere", wanted)) == []
    owner = replica_set(uid="rs").metadata
    assert {each.metadata.name for each in dependents(informer, owner, wanted)} == {"own", *expected}


def test_a_pod_that_changes_is_found_by_what_it_is_now() -> None:
    world = World()
    informer = world.context().cluster.informer(PODS)
    world.put(PODS, labelled("a", app="web"))
    world.show(informer, 1)
    world.put(PODS, labelled("a", app="db"))
    world.show(informer, 1)
    assert [list(orphans(informer, "default", parse(f"app={app}"))) != [] for app in ("web", "db")] == [
        False,
        True,
    ]
    world.put(PODS, labelled("a", "rs", app="db"))
    world.show(informer, 1)
    assert list(orphans(informer, "default", parse("app=db"))) == []
