"""Topology hints: by the zones' share of CPU (topology-mode), and by trafficDistribution."""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import replace

from fairlead.endpoints.capacity import Capacity
from fairlead.endpoints.layout import hinted_zones
from fairlead.endpoints.plan import Options, plan_slices
from fairlead.endpoints.slicecontroller import outcome_events
from fairlead.endpoints.topology import (
    DISABLED,
    ENABLED,
    INSUFFICIENT_NODES,
    NO_ZONE,
    OVERLOADED,
    TOO_FEW,
    TOPOLOGY_AWARE_HINTS,
    TOPOLOGY_MODE,
    Outcome,
    Shares,
    hints_mode,
)
from fairlead.objects.core_v1 import Node, Pod, Service

from .objects import Stored, node, nodes, pod, service

AUTO = service(annotations={TOPOLOGY_MODE: "Auto"})
THREE = [pod("a1", "10.0.0.1"), pod("a2", "10.0.0.2"), pod("b1", "10.0.1.1", node="node2")]
"""The seed's example: two backend pods in zone a, one in zone b."""


def shares(*there: Node) -> Shares | None:
    capacity = Capacity()
    for each in there:
        capacity.change(None, each)
    return capacity.shares


def planned(
    there: dict[str, Node], pods: list[Pod], web: Service = AUTO, stored: Stored | None = None
) -> tuple[Stored, Outcome | None]:
    """What is stored after a plan, and what became of the wish for hints."""
    stored = stored or Stored()
    plan = plan_slices(web, pods, there, stored.all, Options(shares=shares(*there.values())))
    stored.apply(plan)
    return stored, plan.outcomes.get("IPv4")


def hints(stored: Stored) -> dict[str, list[str]]:
    return {e.targetRef.name: hinted_zones(e) for e in stored.endpoints() if e.targetRef}


def per_zone(stored: Stored) -> Counter[str]:
    return Counter(zone for zones in hints(stored).values() for zone in zones)


def test_the_seeds_example_with_three_equal_nodes() -> None:
    """Zone a has two thirds of the CPU and two of the three pods: each serves its own zone."""
    stored, outcome = planned(nodes(node1="a", node2="b", node3="a"), THREE)
    assert hints(stored) == {"a1": ["a"], "a2": ["a"], "b1": ["b"]}
    assert outcome_events(None, outcome) == [("Normal", "TopologyAwareHintsEnabled", ENABLED)]


def test_the_seeds_example_with_two_equal_zones() -> None:
    """Each zone would need two endpoints at least, four in all: no hints, and an Event that says why."""
    stored, outcome = planned(nodes(node1="a", node2="b"), THREE)
    assert hints(stored) == {"a1": [], "a2": [], "b1": []}
    assert outcome_events(None, outcome) == [
        ("Warning", "TopologyAwareHintsDisabled", f"{OVERLOADED} (3 endpoints, 2 zones)")
    ]


def spread(**counts: int) -> list[Pod]:
    """So many pods on each node."""
    return [
        pod(f"{name}-{n}", f"10.{i}.0.{n + 1}", node=name)
        for i, (name, count) in enumerate(counts.items())
        for n in range(count)
    ]


def cpus(*amounts: int) -> dict[str, Node]:
    """A node in each of the zones a, b, c, with so many CPUs."""
    return {f"n{zone}": node(f"n{zone}", zone, str(cpu)) for zone, cpu in zip("abc", amounts, strict=True)}


@pytest.mark.parametrize(
    ("case", "there", "pods", "zones"),
    [
        ("each has its part", nodes(node1="a", node2="b"), spread(node1=2, node2=2), {"a": 2, "b": 2}),
        ("one zone gives to the other", nodes(node1="a", node2="b"), spread(node1=4), {"a": 2, "b": 2}),
        (
            "three zones, all pods in one",
            nodes(node1="a", node2="b", node3="c"),
            spread(node1=9),
            {"a": 3, "b": 3, "c": 3},
        ),
        (
            "by CPU, not by nodes",
            {"node1": node("node1", "a", "6"), "node2": node("node2", "b", "2")},
            spread(node1=4, node2=4),
            {"a": 6, "b": 2},
        ),
        (
            "thousandths of a CPU",
            {"node1": node("node1", "a", "1500m"), "node2": node("node2", "b", "500m")},
            spread(node1=2, node2=2),
            {"a": 3, "b": 1},
        ),
        (
            "a zone's own endpoints before the best fit",
            cpus(51, 51, 58),
            spread(na=16),
            {"a": 6, "b": 5, "c": 5},
        ),
        ("less than one to give: who lacks most", cpus(50, 56, 54), spread(na=16), {"a": 5, "b": 6, "c": 5}),
        (
            "of two who give, who has most too much",
            cpus(50, 56, 54),
            spread(nb=8, nc=8),
            {"a": 5, "b": 6, "c": 5},
        ),
        (
            "little too much and little too few",
            cpus(35, 35, 30),
            spread(na=5, nb=2, nc=3),
            {"a": 4, "b": 3, "c": 3},
        ),
        (
            "an endpoint where no node is ready serves those that are",
            {**nodes(node1="a", node2="b"), "node3": node("node3", "c", ready=False)},
            spread(node1=2, node2=1, node3=1),
            {"a": 2, "b": 2},
        ),
        (
            "a small zone gets its minimum though the givers have little too much",
            cpus(36, 36, 8),
            spread(na=4, nb=4),
            {"a": 3, "b": 4, "c": 1},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_shares(case: str, there: dict[str, Node], pods: list[Pod], zones: dict[str, int]) -> None:
    stored, outcome = planned(there, pods)
    assert per_zone(stored) == zones, case
    assert outcome == Outcome(zones, len(pods))
    assert not plan_slices(AUTO, pods, there, stored.all, Options(shares=shares(*there.values())))


@pytest.mark.parametrize(
    ("case", "there", "pods", "reason"),
    [
        ("one zone", nodes(node1="a", node3="a"), spread(node1=4), INSUFFICIENT_NODES),
        (
            "a ready node without zone",
            {**nodes(node1="a", node2="b"), "node3": node("node3", "")},
            spread(node1=2, node2=2),
            INSUFFICIENT_NODES,
        ),
        (
            "a ready node without CPU",
            {**nodes(node1="a", node2="b"), "node3": node("node3", "a", "")},
            spread(node1=2, node2=2),
            INSUFFICIENT_NODES,
        ),
        (
            "fewer endpoints than zones",
            nodes(node1="a", node2="b"),
            spread(node1=1),
            f"{TOO_FEW} (1 endpoints, 2 zones)",
        ),
        (
            "an endpoint without zone",
            {**nodes(node1="a", node2="b"), "node3": node("node3", "", ready=False)},
            spread(node1=2, node2=3, node3=1),
            NO_ZONE,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_reasons_for_no_hints(case: str, there: dict[str, Node], pods: list[Pod], reason: str) -> None:
    hinted, _ = planned(nodes(node1="a", node2="b", node3="b"), pods)
    stored, outcome = planned(there, pods, stored=hinted)
    assert per_zone(stored) == {}, case
    assert outcome == Outcome(ready=len(pods), reason=reason)


@pytest.mark.parametrize(
    ("case", "extra"),
    [
        ("of the control plane", node("x", "c", "64", control_plane="")),
        ("a master, as it was called", node("x", "c", "64", master="true")),
        ("not ready", node("x", "c", "64", ready=False)),
        ("of the control plane, without a zone", node("x", "", "64", control_plane="")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nodes_that_do_not_count(case: str, extra: Node) -> None:
    there = list(nodes(node1="a", node2="b").values())
    assert shares(*there, extra) == {"a": 0.5, "b": 0.5}, case


def test_capacity_follows_the_nodes() -> None:
    capacity = Capacity()
    a, b, nowhere = node("a", "a"), node("b", "b"), node("x", "")
    changes = [(None, a), (None, b), (b, node("b", "b", "12")), (None, nowhere), (nowhere, None), (a, a)]
    found = [(capacity.change(old, new), capacity.shares) for old, new in changes]
    assert found == [
        (False, None),
        (True, {"a": 0.5, "b": 0.5}),
        (True, {"a": 0.25, "b": 0.75}),
        (True, None),
        (True, {"a": 0.25, "b": 0.75}),
        (False, {"a": 0.25, "b": 0.75}),
    ]
    assert capacity.change(a, None)
    assert capacity.shares is None


@pytest.mark.parametrize(
    ("case", "annotations", "field", "mode"),
    [
        ("nothing", {}, None, ""),
        ("the annotation", {TOPOLOGY_MODE: "Auto"}, None, "Auto"),
        ("in small letters", {TOPOLOGY_MODE: "auto"}, None, "Auto"),
        ("another value", {TOPOLOGY_MODE: "Disabled"}, None, ""),
        ("the annotation wins over the field", {TOPOLOGY_MODE: "Auto"}, "PreferSameNode", "Auto"),
        (
            "the deprecated one wins over both",
            {TOPOLOGY_AWARE_HINTS: "Disabled", TOPOLOGY_MODE: "Auto"},
            "PreferClose",
            "PreferClose",
        ),
        ("the deprecated one alone", {TOPOLOGY_AWARE_HINTS: "auto"}, None, "Auto"),
        (
            "an annotation of no effect leaves the field",
            {TOPOLOGY_MODE: ""},
            "PreferSameZone",
            "PreferSameZone",
        ),
        ("a field of somebody else's", {}, "example.com/nearest", ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_asked_for(case: str, annotations: dict[str, str], field: str | None, mode: str) -> None:
    assert hints_mode(service(annotations=annotations, trafficDistribution=field)) == mode, case


@pytest.mark.parametrize(
    ("distribution", "zone", "expected"),
    [
        ("PreferSameZone", "a", (["a"], [])),
        ("PreferClose", "a", (["a"], [])),
        ("PreferSameNode", "a", (["a"], ["node1"])),
        ("PreferSameNode", "", ([], ["node1"])),
        ("PreferSameZone", "", None),
        (None, "a", None),
    ],
)
def test_traffic_distribution(
    distribution: str | None, zone: str, expected: tuple[list[str], list[str]] | None
) -> None:
    web = service(trafficDistribution=distribution)
    pods = [pod("ready", "10.0.0.1"), pod("not-ready", "10.0.0.2", ready=False)]
    stored, outcome = planned(nodes(node1=zone), pods, web)
    found = {
        e.targetRef.name: e.hints and ([z.name for z in e.hints.forZones], [n.name for n in e.hints.forNodes])
        for e in stored.endpoints()
        if e.targetRef
    }
    assert found == {"ready": expected, "not-ready": None}
    assert outcome is None


def test_a_field_taken_away_takes_the_hints_along() -> None:
    there = nodes()
    stored, _ = planned(there, THREE, service(trafficDistribution="PreferSameNode"))
    stored, _ = planned(there, THREE, service(), stored)
    assert all(e.hints is None for e in stored.endpoints())


def test_a_node_that_moves_to_another_zone_takes_its_endpoints_along() -> None:
    web = service(trafficDistribution="PreferSameZone")
    stored, _ = planned(nodes(node1="a", node2="b"), THREE, web)
    stored, _ = planned(nodes(node1="c", node2="b"), THREE, web, stored)
    assert hints(stored) == {"a1": ["c"], "a2": ["c"], "b1": ["b"]}


def test_slices_that_are_fair_already_are_left_alone() -> None:
    there = nodes(node1="a", node2="b")
    pods = spread(node1=150, node2=150)
    stored, _ = planned(there, pods)
    fewer = replace(pods[7], status=replace(pods[7].status, conditions=()))
    pods[7] = fewer
    plan = plan_slices(AUTO, pods, there, stored.all, Options(shares=shares(*there.values())))
    assert (len(plan), len(plan.update)) == (1, 1)


FAIR = Outcome({"a": 2, "b": 2}, 4)
HALVES = {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize(
    ("case", "outcome", "now", "fits"),
    [
        ("nothing changed", FAIR, HALVES, True),
        ("a little more in a zone", FAIR, {"a": 0.55, "b": 0.45}, True),
        ("more than the endpoints can bear", FAIR, {"a": 0.7, "b": 0.3}, False),
        ("a zone more", FAIR, {"a": 0.4, "b": 0.4, "c": 0.2}, False),
        ("a zone gone", Outcome({"a": 2, "b": 2, "c": 1}, 5), HALVES, False),
        ("the nodes are silent now", FAIR, None, False),
        ("still silent", Outcome(ready=4, reason=INSUFFICIENT_NODES), None, True),
        ("silent no more", Outcome(ready=4, reason=INSUFFICIENT_NODES), HALVES, False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whether_a_change_of_the_nodes_calls_for_a_new_plan(
    case: str, outcome: Outcome, now: Shares | None, fits: bool
) -> None:
    assert outcome.fits(now) is fits, case


@pytest.mark.parametrize(
    ("case", "before", "after", "told"),
    [
        ("never asked for", None, None, []),
        ("new", None, FAIR, ["TopologyAwareHintsEnabled"]),
        ("as before", FAIR, Outcome({"a": 3, "b": 2}, 5), []),
        ("lost", FAIR, Outcome(reason=NO_ZONE), ["TopologyAwareHintsDisabled"]),
        ("lost for the same reason", Outcome(reason=NO_ZONE), Outcome(reason=NO_ZONE), []),
        ("back", Outcome(reason=NO_ZONE), FAIR, ["TopologyAwareHintsEnabled"]),
        ("the annotation is gone", FAIR, None, ["TopologyAwareHintsDisabled"]),
        ("the annotation that had no effect is gone", Outcome(reason=NO_ZONE), None, []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_events(case: str, before: Outcome | None, after: Outcome | None, told: list[str]) -> None:
    assert [reason for _, reason, _ in outcome_events(before, after)] == told, case


def test_the_events_words() -> None:
    assert outcome_events(FAIR, None) == [("Warning", "TopologyAwareHintsDisabled", DISABLED)]
