"""What changes can help a pod that fits nowhere, by table; and that none which would help is missed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.objects.core_v1 import Node, Pod, Taint
from fairlead.workloads.scheduling import hints
from fairlead.workloads.scheduling.cluster import Cluster
from fairlead.workloads.scheduling.decision import Unschedulable, decide
from fairlead.workloads.scheduling.profile import profile
from tests.workloads.scheduling.makers import ZONE, cluster, far, near, node, pod, spread, term
from tests.workloads.scheduling.reading import World
from tests.workloads.scheduling.test_histories import apply as take_step
from tests.workloads.scheduling.test_histories import nodes, pods, steps

GPU = Taint(key="gpu", effect="NoSchedule")
SMALL, LARGE = node("n", cpu="1"), node("n", cpu="4")


@pytest.mark.parametrize(
    ("case", "waiting", "there", "old", "new", "helps"),
    [
        ("a node with room comes", pod("a", cpu="2"), SMALL, None, LARGE, True),
        ("one without comes", pod("a", cpu="2"), SMALL, None, SMALL, False),
        ("a node grows", pod("a", cpu="2"), SMALL, SMALL, LARGE, True),
        ("a heartbeat", pod("a", cpu="2"), SMALL, SMALL, SMALL, False),
        (
            "a cordon is lifted",
            pod("a"),
            node("n", unschedulable=True),
            node("n", unschedulable=True),
            node("n"),
            True,
        ),
        (
            "a cordoned one comes",
            pod("a"),
            node("n", unschedulable=True),
            None,
            node("m", unschedulable=True),
            False,
        ),
        ("a taint goes", pod("a"), node("n", GPU), node("n", GPU), node("n"), True),
        ("a tainted one comes", pod("a"), node("n", GPU), None, node("m", GPU), False),
        ("becomes ready", pod("a"), node("n", ready=False), node("n", ready=False), node("n"), True),
        (
            "another label",
            pod("a", nodeSelector={ZONE: "x"}),
            node("n"),
            node("n"),
            node("n", zone="y"),
            False,
        ),
        ("the label", pod("a", nodeSelector={ZONE: "x"}), node("n"), node("n"), node("n", zone="x"), True),
        ("a node goes", pod("a", cpu="2"), SMALL, SMALL, None, False),
    ],
)
def test_changes_of_nodes(
    case: str, waiting: Pod, there: Node, old: Node | None, new: Node | None, helps: bool
) -> None:
    mine = profile(waiting)
    decided = decide(mine, cluster([there]))
    assert isinstance(decided, Unschedulable)
    assert hints.node_helps(mine, decided.rules, old, new) is helps, case


PORT = (("TCP", 80, ""),)


@pytest.mark.parametrize(
    ("case", "waiting", "there", "other", "goes_helps", "comes_helps"),
    [
        ("room", pod("a", cpu="4"), pod("o", cpu="1"), pod("o", cpu="1"), True, False),
        ("its port", pod("a", ports=PORT), pod("o", ports=PORT), pod("o", ports=PORT), True, False),
        ("another's port", pod("a", ports=PORT), pod("o", ports=PORT), pod("x"), False, False),
        ("one it shuns", pod("a", affinity=far(term())), pod("o"), pod("o"), True, False),
        ("one it does not mind", pod("a", affinity=far(term())), pod("o"), pod("x", "db"), False, False),
        (
            "one that shuns it",
            pod("a"),
            pod("o", "db", affinity=far(term())),
            pod("o", "db", affinity=far(term())),
            True,
            False,
        ),
        ("one it seeks", pod("a", "db", affinity=near(term())), pod("x", "db"), pod("o"), False, True),
        (
            "one it does not seek",
            pod("a", "db", affinity=near(term())),
            pod("x", "db"),
            pod("o", "db"),
            False,
            False,
        ),
    ],
)
def test_changes_of_pods(
    case: str, waiting: Pod, there: Pod, other: Pod, goes_helps: bool, comes_helps: bool
) -> None:
    mine = profile(waiting)
    decided = decide(mine, cluster([node("n")], {"n": [there]}))
    assert isinstance(decided, Unschedulable)
    changed = profile(other)
    assert hints.departure_helps(mine, changed, decided.rules, {}) is goes_helps, case
    assert hints.arrival_helps(mine, changed, decided.rules, {}) is comes_helps, case


def test_a_constraint_can_be_met_when_a_pod_comes_or_goes_elsewhere() -> None:
    state = cluster([node("a1", zone="a"), node("b1", GPU, zone="b")], {"a1": [pod("o")]})
    mine = profile(pod("p", topologySpreadConstraints=(spread(),)))
    decided = decide(mine, state)
    assert isinstance(decided, Unschedulable)
    for helps in (hints.arrival_helps, hints.departure_helps):
        assert helps(mine, profile(pod("x")), decided.rules, {})
        assert not helps(mine, profile(pod("x", "db")), decided.rules, {})


def _hinted(step: Any, before: dict[str, Node], mine: Any, rules: frozenset[str], state: Cluster) -> bool:
    """What the hints say of a step that has not been taken yet."""
    known = state.census.namespaces
    match step:
        case Node():
            return hints.node_helps(mine, rules, before.get(step.metadata.name), step)
        case ("drop", name):
            return name in before and hints.node_helps(mine, rules, before[name], None)
        case (Pod() as placed, _):
            come = profile(placed)
            gone = _known(state, come.key)
            left = gone is not None and hints.departure_helps(mine, gone, rules, known)
            return left or hints.arrival_helps(mine, come, rules, known)
        case ("take", space, number):
            gone = _known(state, f"{space}/p{number}")
            return gone is not None and hints.departure_helps(mine, gone, rules, known)
        case ("label", _, _):
            return bool(rules.intersection(hints.OF_NAMESPACES))
    raise AssertionError(step)


def _known(state: Cluster, key: str) -> Any:
    place = state.nodes.get(state.where(key))
    return place.pods.get(key) if place is not None else None


@settings(max_examples=150, deadline=None)
@given(st.lists(nodes, min_size=1, max_size=4), st.lists(steps, max_size=25), pods())
def test_no_change_that_helps_is_missed(begin: list[Node], history: list[Any], waiting: Pod) -> None:
    state, world = Cluster(), World()
    mine = profile(waiting)
    for step in begin:
        take_step(step, state, world)
    rules: frozenset[str] | None = None  # of the last vain try; none since a change that may help
    for step in history:
        if isinstance(step, Pod):
            continue
        if rules is None:
            decided = decide(mine, state)
            rules = decided.rules if isinstance(decided, Unschedulable) and state.nodes else None
        if rules is not None and _hinted(step, world.nodes, mine, rules, state):
            rules = None
        take_step(step, state, world)
        if rules is not None:
            assert isinstance(decide(mine, state), Unschedulable), step
