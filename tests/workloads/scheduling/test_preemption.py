"""Whom a pod may have removed, by table; and that the cluster is what it was when the question is answered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fairlead.objects.core_v1 import Node, Pod, PodCondition, PodStatus
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.policy_v1 import (
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
    PodDisruptionBudgetStatus,
)
from fairlead.workloads.scheduling.cluster import Cluster
from fairlead.workloads.scheduling.decision import Unschedulable, decide, decide_beside
from fairlead.workloads.scheduling.filters import Filters
from fairlead.workloads.scheduling.nominations import Nominations
from fairlead.workloads.scheduling.preemption import NEVER, WAITS, Preemption, preempt
from fairlead.workloads.scheduling.profile import profile
from tests.workloads.scheduling.makers import ZONE, cluster, far, node, pod, selector, spread, term
from tests.workloads.scheduling.reading import World
from tests.workloads.scheduling.test_histories import apply, compare, nodes, pods, steps


def budget(app: str, allowed: int) -> PodDisruptionBudget:
    return PodDisruptionBudget(
        metadata=ObjectMeta(name=app, namespace="default"),
        spec=PodDisruptionBudgetSpec(selector=selector(app=app)),
        status=PodDisruptionBudgetStatus(
            disruptionsAllowed=allowed, currentHealthy=1, desiredHealthy=1, expectedPods=1
        ),
    )


def low(name: str, app: str = "low", priority: int = 0, started: str = "", **fields: Any) -> Pod:
    made = pod(name, app, priority=priority, **{"cpu": "2", **fields})
    return replace(made, status=PodStatus(startTime=started or None))


def found(
    candidate: Pod, state: Cluster, *budgets: PodDisruptionBudget, nominated: str = ""
) -> tuple[str, list[str]] | str:
    """The node, and the names of the victims; or why there are none."""
    mine = profile(candidate)
    refused = decide(mine, state)
    assert isinstance(refused, Unschedulable)
    chosen = preempt(mine, refused, state, budgets, nominated)
    if isinstance(chosen, str):
        return chosen
    return chosen.node, [victim.key.partition("/")[2] for victim in chosen.victims]


HIGH = pod("high", "high", cpu="2", priority=10)


def rows() -> Any:
    """Name, the pods by node, the budgets, the pod, what is found. Nodes n1 and n2 have 4 cores."""
    full = {"n1": [low("a1"), low("a2")], "n2": [low("b1"), low("b2", priority=5)]}
    yield (
        "the least important goes",
        {"n1": [low("a1", priority=1), low("a2")], "n2": full["n2"]},
        (),
        HIGH,
        ("n1", ["a2"]),
    )
    yield (
        "equal ones: the first node by name",
        {"n1": [low("a1"), low("a2")], "n2": [low("b1"), low("b2")]},
        (),
        HIGH,
        ("n1", ["a2"]),
    )
    yield (
        "equal ones: the younger",
        {
            "n1": [low("a1", started="2026-01-02T00:00:00Z"), low("a2", started="2026-01-01T00:00:00Z")],
            "n2": [low("b1", priority=3), low("b2", priority=3)],
        },
        (),
        HIGH,
        ("n1", ["a1"]),
    )
    yield (
        "equal nodes: where the youngest goes",
        {
            "n1": [low("a1", cpu="4", started="2026-01-01T00:00:00Z")],
            "n2": [low("b1", cpu="4", started="2026-01-02T00:00:00Z")],
        },
        (),
        HIGH,
        ("n2", ["b1"]),
    )
    yield (
        "one rather than two",
        {"n1": [low("a1", cpu="2"), low("a2", cpu="2")], "n2": [low("b1", cpu="4")]},
        (),
        pod("high", cpu="4", priority=10),
        ("n2", ["b1"]),
    )
    yield "a budget that is used up", full, (budget("low", 0),), HIGH, ("n1", ["a2"])
    protected = {
        "n1": [low("a1", "kept"), low("a2", "kept")],
        "n2": [low("b1", priority=5), low("b2", priority=5)],
    }
    yield "rather a more important pod than a budget", protected, (budget("kept", 0),), HIGH, ("n2", ["b2"])
    yield "a budget that allows one", protected, (budget("kept", 1),), HIGH, ("n1", ["a1"])
    mixed = {"n1": [low("a1", "kept"), low("a2", "free", priority=3)], "n2": [low("b1", priority=9, cpu="4")]}
    yield "on one node, the one without budget", mixed, (budget("kept", 0),), HIGH, ("n1", ["a2"])
    same = {"n1": [low("a1", priority=10, cpu="4")], "n2": [low("b1", priority=11, cpu="4")]}
    none = "0/2 nodes are available: 2 No preemption victims found for incoming pod."
    yield "nobody is less important", same, (), HIGH, none
    helpless = "0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    yield "no node would ever do", full, (), pod("high", cpu="5", priority=10), helpless
    yield "no node is meant", full, (), pod("high", priority=10, nodeSelector={"a": "b"}), helpless
    yield "it may not", full, (), pod("high", cpu="2", priority=10, preemptionPolicy="Never"), NEVER
    apart = {"n1": [low("a1", cpu="1")], "n2": [low("b1", priority=11, cpu="1")]}
    shy = pod("high", priority=10, affinity=far(term(app="low")))
    yield "one that it shuns goes", apart, (), shy, ("n1", ["a1"])
    port = (("TCP", 80, ""),)
    yield (
        "one that has its port goes",
        {"n1": [low("a1", ports=port), low("a2")], "n2": [low("b1", priority=11, ports=port)]},
        (),
        pod("high", priority=10, ports=port),
        ("n1", ["a1"]),
    )


@pytest.mark.parametrize(
    ("case", "placed", "budgets", "candidate", "expected"), [pytest.param(*row, id=row[0]) for row in rows()]
)
def test_who_has_to_go(case: str, placed: Any, budgets: Any, candidate: Pod, expected: Any) -> None:
    assert found(candidate, cluster([node("n1"), node("n2")], placed), *budgets) == expected, case


def test_a_domain_that_is_too_full_is_relieved() -> None:
    state = cluster(
        [node("a1", zone="a"), node("b1", zone="b")],
        {"a1": [low("x", "high", priority=10)], "b1": [low("y", cpu="4")]},
    )
    constrained = replace(HIGH.spec, topologySpreadConstraints=(spread(ZONE, app="high"),))
    assert found(replace(HIGH, spec=constrained), state) == ("b1", ["y"])


def test_it_waits_for_victims_that_are_ending() -> None:
    going = low("a1", cpu="4", terminating=True)
    ending = PodCondition(type="DisruptionTarget", status="True", reason="PreemptionByScheduler")
    victim = replace(going, status=PodStatus(conditions=(ending,)))
    state = cluster([node("n1"), node("n2")], {"n1": [victim], "n2": [low("b1", cpu="4")]})
    assert found(HIGH, state, nominated="n1") == WAITS
    assert found(HIGH, state, nominated="n2") == ("n1", ["a1"])
    state.put(profile(going), "n1")
    assert found(HIGH, state, nominated="n1") == ("n1", ["a1"]), "it ends for another reason"


def test_room_is_kept_for_those_that_are_no_less_important() -> None:
    state = cluster([node("n1")])
    nominations = Nominations()
    nominations.set(profile(pod("first", cpu="3", priority=5)), "n1")
    for priority, fits in ((0, False), (5, False), (6, True)):
        mine = profile(pod("mine", cpu="2", priority=priority))
        decided = decide_beside(mine, state, nominations.before(mine))
        assert isinstance(decided, str) is fits
    own = profile(pod("first", cpu="3", priority=5))
    assert decide_beside(own, state, nominations.before(own)) == "n1"
    nominations.remove("default/first")
    mine = profile(pod("mine", cpu="2"))
    assert decide_beside(mine, state, nominations.before(mine)) == "n1"
    assert state.where("default/first") == ""


def test_victims_are_waited_for_until_they_are_gone_or_cannot_be_removed() -> None:
    state = cluster([node("n1")], {"n1": [low("a1", cpu="4")]})
    mine = profile(HIGH)
    refused = decide(mine, state)
    assert isinstance(refused, Unschedulable)
    chosen = preempt(mine, refused, state)
    assert isinstance(chosen, Preemption)
    nominations = Nominations()
    nominations.begin(mine, chosen)
    assert (nominations.node(mine.key), nominations.waits(mine.key, state)) == ("n1", True)
    nominations.set(mine, "n1")
    assert nominations.waits(mine.key, state)
    state.take("default/a1")
    assert not nominations.waits(mine.key, state)
    another = low("a1", cpu="4")
    state.put(profile(replace(another, metadata=replace(another.metadata, uid="new"))), "n1")
    assert not nominations.waits(mine.key, state), "it has the victim's name, and is another"
    state.put(profile(another), "n1")
    nominations.failed(mine.key)
    assert (nominations.node(mine.key), nominations.waits(mine.key, state)) == ("n1", False)


priorities = st.integers(0, 3)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(nodes, min_size=1, max_size=4),
    st.lists(st.tuples(steps, priorities), max_size=25),
    pods(),
)
def test_victims_are_enough_and_none_of_them_too_many(
    begin: list[Node], history: list[Any], last: Pod
) -> None:
    state, world = Cluster(), World()
    for first in begin:
        apply(first, state, world)
    for drawn, priority in history:
        step: Any = drawn
        match step:
            case Pod():
                continue
            case (Pod() as placed, name):
                step = (replace(placed, spec=replace(placed.spec, priority=priority)), name)
        apply(step, state, world)
    mine = profile(replace(last, spec=replace(last.spec, priority=2)))
    state.take(mine.key)
    world.pods.pop(mine.key, None)
    refused = decide(mine, state)
    if not isinstance(refused, Unschedulable) or not state.nodes:
        return
    chosen = preempt(mine, refused, state)
    compare(last, state, world)  # nothing has changed
    if isinstance(chosen, str):
        return
    place = state.nodes[chosen.node]
    assert all(victim.priority < 2 for victim in chosen.victims)
    for victim in chosen.victims:
        state.take(victim.key)
    assert Filters(mine, state).refusal(place) is None
    for victim in chosen.victims:
        state.put(victim, chosen.node)
    assert Filters(mine, state).refusal(place) is not None
