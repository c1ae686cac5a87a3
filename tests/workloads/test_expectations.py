from __future__ import annotations

from fairlead.objects.resources import PODS
from fairlead.workloads.expectations import Expectations
from tests.workloads.lagging import World
from tests.workloads.objects import pod


def test_what_was_made_is_waited_for_until_the_informer_shows_it() -> None:
    world = World()
    informer = world.context().cluster.informer(PODS)
    expected = Expectations(informer)
    expected.created("web", world.put(PODS, pod("a")))
    expected.created("web", world.put(PODS, pod("b")))
    assert not expected.satisfied("web")
    assert expected.satisfied("other")
    world.show(informer, 1)
    assert not expected.satisfied("web")
    world.show(informer, 1)
    assert expected.satisfied("web")


def test_what_the_informer_shows_before_the_answer_is_not_waited_for() -> None:
    world = World()
    informer = world.context().cluster.informer(PODS)
    made = world.put(PODS, pod("a"))
    world.show(informer, 1)
    expected = Expectations(informer)
    expected.created("web", made)
    assert expected.satisfied("web")
    world.drop(PODS, "default/a")
    world.show(informer, 1)
    expected.created("web", made)
    assert expected.satisfied("web"), "it came and went before the answer"


def test_what_was_deleted_is_waited_for_until_the_informer_shows_that() -> None:
    world = World()
    informer = world.context().cluster.informer(PODS)
    there = [world.put(PODS, pod(name)) for name in ("a", "b")]
    world.show(informer, 2)
    expected = Expectations(informer)
    for each in there:
        expected.deleted("web", each)
    world.put(PODS, there[0], deletionTimestamp="2026-11-23T09:00:00Z")
    world.drop(PODS, "default/b")
    assert not expected.satisfied("web")
    world.show(informer, 1)
    assert not expected.satisfied("web")
    world.show(informer, 1)
    assert expected.satisfied("web")


def test_an_owner_that_is_gone_waits_for_nothing() -> None:
    world = World()
    informer = world.context().cluster.informer(PODS)
    expected = Expectations(informer)
    expected.created("web", world.put(PODS, pod("a")))
    expected.forget("web")
    assert expected.satisfied("web")
