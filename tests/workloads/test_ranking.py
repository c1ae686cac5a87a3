from __future__ import annotations

import random

import pytest

from fairlead.objects.core_v1 import Pod
from fairlead.workloads.ranking import DELETION_COST, deletion_cost, deletion_order, first_to_go
from tests.workloads.objects import NOW, pod


def costing(name: str, cost: str) -> Pod:
    return pod(name, ready=10, annotations={DELETION_COST: cost})


@pytest.mark.parametrize(
    ("case", "first", "then"),
    [
        ("bound to no node", pod("b", node="", phase="Pending"), pod("a", phase="Pending")),
        ("pending", pod("b", phase="Pending"), pod("a", phase="Unknown")),
        ("unknown", pod("b", phase="Unknown"), pod("a")),
        ("not ready", pod("b"), pod("a", ready=10)),
        ("cheaper", costing("b", "-5"), costing("a", "0")),
        ("cheaper by numbers, not letters", costing("b", "9"), costing("a", "10")),
        ("ready for less long", pod("b", ready=10), pod("a", ready=1000)),
        ("restarted more often", pod("b", restarts=3), pod("a", restarts=1)),
        ("younger", pod("b", age=10), pod("a", age=10000)),
        ("ready for about as long: the uid decides", pod("a", ready=1000), pod("b", ready=1001)),
    ],
)
def test_who_goes_first(case: str, first: Pod, then: Pod) -> None:
    assert deletion_order([then, first], (), NOW) == [first, then], case
    assert deletion_order([first, then], (), NOW) == [first, then], case


def test_of_two_the_one_whose_node_has_more_of_the_workload_goes() -> None:
    alone, crowded = pod("a", node="n1", ready=10), pod("b", node="n2", ready=10)
    sibling = pod("sibling", node="n2", owner="older")
    assert deletion_order([alone, crowded], [alone, crowded, sibling], NOW) == [crowded, alone]
    ended = pod("ended", node="n2", owner="older", phase="Succeeded")
    assert deletion_order([alone, crowded], [alone, crowded, ended], NOW) == [alone, crowded]


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("5", 5),
        ("-5", -5),
        ("", 0),
        ("+5", 0),
        ("05", 0),
        ("1.5", 0),
        ("2147483648", 0),
        ("-2147483648", -(2**31)),
    ],
)
def test_what_a_deletion_cost_is(text: str, cost: int) -> None:
    assert deletion_cost(costing("a", text)) == cost


def test_where_all_go_nothing_is_ranked() -> None:
    pods = [pod("a", ready=10), pod("b")]
    assert first_to_go(pods, (), 2, NOW) == pods
    assert first_to_go(pods, (), 1, NOW) == [pods[1]]


def test_the_order_does_not_depend_on_the_order_before() -> None:
    pods = [
        pod(f"p{n}", phase=("Pending", "Running")[n % 2], ready=(None, 10.0, 500.0)[n % 3], restarts=n % 4)
        for n in range(12)
    ]
    expected = deletion_order(pods, pods, NOW)
    shuffled = pods[:]
    random.Random(1).shuffle(shuffled)
    assert deletion_order(shuffled, shuffled, NOW) == expected
