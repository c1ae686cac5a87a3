"""Random histories: pods come, go and change, the Service too; each plan is applied to what the last one left."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fairlead.endpoints.capacity import Capacity
from fairlead.endpoints.layout import Layout, hinted_zones
from fairlead.endpoints.plan import Options, Plan, plan_pods, plan_slices
from fairlead.endpoints.pods import concerns_endpoints, endpoint
from fairlead.endpoints.roster import Roster
from fairlead.endpoints.slices import address_types
from fairlead.endpoints.topology import TOPOLOGY_MODE, allocations
from fairlead.objects.core_v1 import Node, Pod, Service

from .objects import WEB, Stored, node, nodes, pod, service
from .test_slices import HTTP, named


class Sketch(NamedTuple):
    """A pod in a few words."""

    ip: int
    ready: bool
    node: str
    phase: str
    deleted: bool
    port: int


sketches = st.builds(
    Sketch,
    st.integers(0, 60),
    st.booleans(),
    st.sampled_from(["node1", "node2", "node3", "gone"]),
    st.sampled_from(["Running", "Running", "Running", "Succeeded"]),
    st.sampled_from([False, False, True]),
    st.sampled_from([8080, 9090]),
)
populations = st.dictionaries(st.integers(0, 30), sketches, max_size=30)
services = st.builds(
    lambda port, families, mode, published: service(
        "web",
        port,
        ipFamilies=families,
        annotations={TOPOLOGY_MODE: "Auto"} if mode == "Auto" else {},
        trafficDistribution=mode if mode.startswith("Prefer") else None,
        publishNotReadyAddresses=published,
    ),
    st.sampled_from([WEB, HTTP]),
    st.sampled_from([("IPv4",), ("IPv4", "IPv6")]),
    st.sampled_from(["", "Auto", "PreferSameNode", "PreferSameZone"]),
    st.booleans(),
)
clusters = st.sampled_from(
    [
        nodes(),
        nodes(node1="a", node2="b", node3="c"),
        nodes(node1="a", node2="b", node3=""),
        {"node1": node("node1", "a", "9"), "node2": node("node2", "b", "1"), **nodes(node3="c")},
    ]
)


def drawn(population: dict[int, Sketch]) -> dict[str, Pod]:
    return {
        f"p{n}": pod(
            f"p{n}",
            f"10.0.0.{sketch.ip},fd00::{sketch.ip:x}" if sketch.ip else "",
            ready=sketch.ready,
            node=sketch.node,
            phase=sketch.phase,
            deleted=sketch.deleted,
            ports=[named(sketch.port)],
        )
        for n, sketch in population.items()
    }


def options(there: dict[str, Node], limit: int) -> Options:
    capacity = Capacity()
    for each in there.values():
        capacity.change(None, each)
    return Options(limit, capacity.shares)


def check(web: Service, pods: dict[str, Pod], there: dict[str, Node], stored: Stored, limit: int) -> None:
    """What has to hold after each plan."""
    chosen = options(there, limit)
    eligible = [
        p
        for p in pods.values()
        if p.status.podIP
        and p.status.phase == "Running"
        and (p.spec.nodeName in there or web.spec.publishNotReadyAddresses)
    ]
    assert all(len(s.endpoints) <= limit for s in stored.all), "no slice over the limit"
    assert not plan_slices(web, pods.values(), there, stored.all, chosen), "the plan of a plan is empty"
    for family in address_types(web):
        held = [s for s in stored.all if s.addressType == family]
        assert held, "always a slice"
        found = sorted(
            (e.targetRef.name, *(p.port or 0 for p in s.ports))
            for s in held
            for e in s.endpoints
            if e.targetRef
        )
        expected = sorted(
            (
                p.metadata.name,
                p.spec.containers[0].ports[0].containerPort if web.spec.ports[0] == HTTP else 8080,
            )
            for p in eligible
        )
        assert found == expected, "every eligible pod exactly once, with its port"
        if web.metadata.annotations:
            ready = [e for s in held for e in s.endpoints if e.conditions and e.conditions.ready]
            zones = Counter(zone for e in ready for zone in hinted_zones(e))
            fair = allocations(chosen.shares, len(ready))
            if zones:
                assert not isinstance(fair, str)
                assert zones.total() == len(ready), "each ready endpoint has one hint"
                assert zones.keys() <= fair.keys(), "for a zone that has nodes"
                assert all(a.minimum <= zones[z] <= a.maximum for z, a in fair.items()), (
                    "and each zone its part"
                )
            else:
                assert isinstance(fair, str) or not all(e.zone for e in ready), "none only with a reason"


@given(st.lists(st.tuples(services, populations, clusters), min_size=1, max_size=5), st.integers(1, 7))
@settings(max_examples=150)
def test_every_plan_leads_to_what_is_right(
    history: list[tuple[Service, dict[int, Sketch], dict[str, Node]]], limit: int
) -> None:
    stored = Stored()
    for web, population, there in history:
        pods = drawn(population)
        stored.apply(plan_slices(web, pods.values(), there, stored.all, options(there, limit)))
        check(web, pods, there, stored, limit)


@given(services, clusters, st.lists(populations, min_size=2, max_size=5), st.integers(1, 7))
@settings(max_examples=150)
def test_a_plan_for_the_pods_that_changed_is_as_good_as_one_for_all(
    web: Service, there: dict[str, Node], history: list[dict[int, Sketch]], limit: int
) -> None:
    stored = Stored()
    chosen = options(there, limit)
    layouts = {family: Layout() for family in address_types(web)}
    pods: dict[str, Pod] = {}
    roster = Roster.of(web, [])
    stored.apply(plan_slices(web, [], there, [], chosen))
    population: dict[int, Sketch] = {}
    for change in history:
        before, population = pods, {**population, **change}
        if len(change) > 15:  # now and then many go at once
            population = change
        pods = drawn(population)
        changed = {
            name: pods.get(name) for name in before.keys() | pods.keys() if before.get(name) != pods.get(name)
        }
        for family, layout in layouts.items():
            assert layout.follow(s for s in stored.all if s.addressType == family)
        plan = plan_pods(web, changed, there, layouts, chosen)
        whole = plan_slices(web, pods.values(), there, stored.all, chosen)
        assert (plan.added, plan.removed) == (whole.added, whole.removed)
        assert len(plan) <= len(whole) or web.metadata.annotations, "and no more writes"
        stored.apply(plan)
        check(web, pods, there, stored, limit)
        roster.change(changed)
        assert roster.subsets() == Roster.of(web, pods.values()).subsets()


@given(services, clusters, populations, sketches, st.integers(1, 7))
@settings(max_examples=100)
def test_one_pods_change_is_one_write_for_each_family(
    web: Service, there: dict[str, Node], population: dict[int, Sketch], sketch: Sketch, limit: int
) -> None:
    web = replace(web, metadata=replace(web.metadata, annotations={}))  # for topology see the test above
    pods = drawn(population)
    stored = Stored()
    stored.apply(plan_slices(web, pods.values(), there, [], Options(limit)))
    name, other = next(iter(drawn({0: sketch}).items()))
    before = pods.get(name)
    pods[name] = other
    plan = plan_slices(web, pods.values(), there, stored.all, Options(limit))
    for family in address_types(web):
        writes = [s for s in (*plan.create, *plan.update, *plan.delete) if s.addressType == family]
        ports = {p.containerPort for p in (before or other).spec.containers[0].ports}
        moved = web.spec.ports[0] == HTTP and ports != {sketch.port}
        assert len(writes) <= (2 if moved else 1), plan
    if before is not None and not concerns_endpoints(before, other) and before.spec == other.spec:
        assert not plan
        assert endpoint(before, there.get(sketch.node), web, "IPv4") == endpoint(
            other, there.get(sketch.node), web, "IPv4"
        )


def test_a_plan_says_what_it_adds_and_removes() -> None:
    stored = Stored()
    for population, counts in (({1: (1, 2), 2: (2, 2)}, (2, 0)), ({2: (2, 2), 3: (3, 2)}, (1, 1))):
        pods = drawn(
            {n: Sketch(ip, True, "node1", "Running", False, 8080) for n, (ip, _) in population.items()}
        )
        plan: Plan = plan_slices(service(), pods.values(), nodes(), stored.all)
        assert (plan.added, plan.removed) == counts
        stored.apply(plan)
