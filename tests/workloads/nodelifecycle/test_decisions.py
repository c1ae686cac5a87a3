from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.objects.core_v1 import (
    Node,
    NodeCondition,
    NodeSpec,
    NodeStatus,
    Pod,
    PodCondition,
    PodSpec,
    PodStatus,
    Taint,
    Toleration,
)
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.scalars import timestamp
from fairlead.workloads.nodelifecycle import garbage, taints
from fairlead.workloads.nodelifecycle.eviction import NEVER, due
from fairlead.workloads.nodelifecycle.health import JUDGED, silenced, unready
from fairlead.workloads.nodelifecycle.zones import Pace, Rates, Zone, is_cut_off, rates, survey

NOW = 1_800_000_000.0
READY, NOT_READY, UNKNOWN = "True", "False", "Unknown"
SCHEDULE, EXECUTE = "NoSchedule", "NoExecute"


def node(
    ready: str = "", *had: Taint, zone: str = "", unschedulable: bool = False, **conditions: str
) -> Node:
    said = {"Ready": ready, **conditions} if ready else conditions
    return Node(
        metadata=ObjectMeta(name="n", labels={"topology.kubernetes.io/zone": zone} if zone else {}),
        spec=NodeSpec(taints=had, unschedulable=unschedulable),
        status=NodeStatus(conditions=tuple(NodeCondition(type=k, status=v) for k, v in said.items())),
    )


def pod(*tolerations: Toleration, name: str = "p", **status: object) -> Pod:
    came = PodCondition(type="PodScheduled", status="True", lastTransitionTime=timestamp(NOW))
    return Pod(
        metadata=ObjectMeta(name=name, namespace="default"),
        spec=PodSpec(nodeName="n", tolerations=tolerations),
        status=PodStatus(conditions=(came,), **status),  # type: ignore[arg-type]
    )


def test_a_silent_node_is_unknown_in_all_that_it_reports_of_itself() -> None:
    changed = silenced(node(READY, MemoryPressure="False", Custom="True"), NOW)
    assert {c.type: (c.status, c.reason) for c in changed} == {
        "Ready": ("Unknown", "NodeStatusUnknown"),
        "MemoryPressure": ("Unknown", "NodeStatusUnknown"),
        "DiskPressure": ("Unknown", "NodeStatusNeverUpdated"),
        "PIDPressure": ("Unknown", "NodeStatusNeverUpdated"),
    }
    assert {c.message for c in changed if c.reason == "NodeStatusUnknown"} == {
        "Kubelet stopped posting node status."
    }
    unknown = NodeStatus(conditions=tuple(NodeCondition(type=kind, status="Unknown") for kind in JUDGED))
    assert silenced(Node(status=unknown), NOW) == ()


def test_the_pods_of_a_silent_node_are_not_ready() -> None:
    ready = PodCondition(type="Ready", status="True", reason="", lastTransitionTime=timestamp(NOW - 9))
    condition = unready(Pod(status=PodStatus(conditions=(ready,))), NOW)
    assert condition is not None
    assert (condition.status, condition.lastTransitionTime) == ("False", timestamp(NOW))
    assert unready(Pod(status=PodStatus(conditions=(condition,))), NOW) is None
    assert unready(Pod(), NOW) is None


OWN = Taint(key="dedicated", value="db", effect=EXECUTE)


@pytest.mark.parametrize(
    ("case", "of", "evict", "expected"),
    [
        ("a ready node has none", node(READY), True, []),
        ("not ready", node(NOT_READY), False, [("not-ready", SCHEDULE)]),
        ("not ready, its pods go", node(NOT_READY), True, [("not-ready", EXECUTE), ("not-ready", SCHEDULE)]),
        ("silent", node(UNKNOWN), True, [("unreachable", EXECUTE), ("unreachable", SCHEDULE)]),
        ("short of memory", node(READY, MemoryPressure="True"), True, [("memory-pressure", SCHEDULE)]),
        ("short of disk and PIDs", node(READY, DiskPressure="True", PIDPressure="True"), True,
         [("disk-pressure", SCHEDULE), ("pid-pressure", SCHEDULE)]),
        ("without network", node(READY, NetworkUnavailable="True"), True, [("network-unavailable", SCHEDULE)]),
        ("cordoned", node(READY, unschedulable=True), True, [("unschedulable", SCHEDULE)]),
        ("uncordoned", node(READY, Taint(key=taints.UNSCHEDULABLE, effect=SCHEDULE)), True, []),
        ("ready again", node(READY, Taint(key=taints.UNREACHABLE, effect=EXECUTE)), False, []),
        ("silent, then unwell: one for the other",
         node(NOT_READY, Taint(key=taints.UNREACHABLE, effect=EXECUTE)), False,
         [("not-ready", EXECUTE), ("not-ready", SCHEDULE)]),
        ("the user's own stay", node(READY, OWN), True, [("dedicated", EXECUTE)]),
        ("nothing is known of it", node(), True, []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_the_taints_of_a_node(case: str, of: Node, evict: bool, expected: list[tuple[str, str]]) -> None:
    found = taints.tainted(of, evict=evict, now=NOW)
    assert sorted((t.key.removeprefix("node.kubernetes.io/"), t.effect) for t in found) == expected, case


def test_a_taint_that_stays_keeps_its_moment() -> None:
    first = taints.tainted(node(UNKNOWN), evict=True, now=NOW)
    assert taints.tainted(node(UNKNOWN, *first), evict=False, now=NOW + 60) == first
    assert {t.timeAdded for t in first} == {timestamp(NOW)}
    assert [t.effect for t in taints.released(first)] == [SCHEDULE]


CONDITIONS = st.dictionaries(
    st.sampled_from(["Ready", "MemoryPressure", "DiskPressure", "NetworkUnavailable", "PIDPressure"]),
    st.sampled_from([READY, NOT_READY, UNKNOWN]),
)


@given(st.lists(st.tuples(CONDITIONS, st.booleans(), st.booleans()), min_size=1, max_size=8))
def test_taints_follow_conditions_whatever_came_before(
    history: list[tuple[dict[str, str], bool, bool]],
) -> None:
    had: tuple[Taint, ...] = (OWN,)
    for conditions, cordoned, evict in history:
        had = taints.tainted(node("", *had, unschedulable=cordoned, **conditions), evict=evict, now=NOW)
        assert OWN in had
        said = {taints.BY_CONDITION.get(item) for item in conditions.items()} - {None}
        assert {t.key for t in had if t.effect == SCHEDULE} == said | (
            {taints.UNSCHEDULABLE} if cordoned else set()
        )
        assert len({(t.key, t.effect) for t in had}) == len(had)
        # one at most expels, and it names the trouble of the moment
        assert {t.key for t in had if t.effect == EXECUTE} - {OWN.key} <= {
            taints.BY_CONDITION.get(("Ready", conditions.get("Ready", "")))
        }


UNREACHABLE = Taint(key=taints.UNREACHABLE, effect=EXECUTE, timeAdded=timestamp(NOW + 100))


def tolerating(seconds: int | None, key: str = taints.UNREACHABLE) -> Toleration:
    return Toleration(key=key, operator="Exists", effect=EXECUTE, tolerationSeconds=seconds)


@pytest.mark.parametrize(
    ("case", "of", "when"),
    [
        ("not tolerated: at once", pod(), 0.0),
        ("tolerated for a time", pod(tolerating(300)), NOW + 400),
        ("tolerated for ever", pod(tolerating(None)), NEVER),
        ("the shortest counts", pod(tolerating(300), tolerating(5)), NOW + 105),
        ("of a limit and none, the limit", pod(tolerating(None), tolerating(30)), NOW + 130),
        ("a negative time is none at all", pod(tolerating(-7)), NOW + 100),
        ("another taint tolerated", pod(tolerating(300, "other")), 0.0),
        ("everything tolerated", pod(Toleration(operator="Exists")), NEVER),
        ("tolerated but for its effect", pod(Toleration(key=taints.UNREACHABLE, effect=SCHEDULE)), 0.0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_when_a_pod_has_to_go(case: str, of: Pod, when: float) -> None:
    assert due(of, (UNREACHABLE,), lambda _: NOW) == when, case


def test_a_toleration_of_a_pod_that_came_later_runs_from_then() -> None:
    old = Taint(key=taints.UNREACHABLE, effect=EXECUTE, timeAdded=timestamp(NOW - 1000))
    assert due(pod(tolerating(300)), (old,), lambda _: 0.0) == NOW + 300


def test_a_taint_that_does_not_say_since_when_counts_from_when_it_was_seen() -> None:
    plain = Taint(key="maintenance", effect=EXECUTE)
    assert due(pod(tolerating(10, "maintenance")), (plain,), lambda _: NOW + 50) == NOW + 60


def test_taints_that_do_not_expel_expel_nobody() -> None:
    assert due(pod(), (Taint(key="dedicated", effect=SCHEDULE),), lambda _: NOW) == NEVER


@pytest.mark.parametrize(
    ("case", "zones", "expected"),
    [
        ("well", {"a": Zone(3, 0)}, {"a": 0.1}),
        ("one of three dead", {"a": Zone(2, 1)}, {"a": 0.1}),
        ("two of three dead are not yet many", {"a": Zone(1, 2)}, {"a": 0.1}),
        ("most of a small zone dead", {"a": Zone(2, 3)}, {"a": 0.0}),
        ("most of a large zone dead", {"a": Zone(20, 40)}, {"a": 0.01}),
        ("a zone all dead beside one that is well", {"a": Zone(0, 3), "b": Zone(3, 0)}, {"a": 0.1, "b": 0.1}),
        ("all dead: rather we are cut off", {"a": Zone(0, 3), "b": Zone(0, 1)}, {"a": 0.0, "b": 0.0}),
        ("the only node dead", {"a": Zone(0, 1)}, {"a": 0.0}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_how_fast_dead_nodes_are_given_up(
    case: str, zones: dict[str, Zone], expected: dict[str, float]
) -> None:
    assert rates(zones, Rates()) == expected, case


def test_zones_are_counted_by_labels() -> None:
    found = survey([node(READY, zone="a"), node(UNKNOWN, zone="a"), node(READY)])
    assert found == {":a": Zone(1, 1), ":": Zone(1, 0)}
    assert not is_cut_off(found)
    assert not is_cut_off({})


def test_one_node_at_a_time_is_given_up() -> None:
    pace = Pace()
    assert pace.wait("a", 0.1, 100.0) == 0.0
    assert pace.wait("a", 0.1, 104.0) == pytest.approx(6.0)
    assert pace.wait("b", 0.1, 104.0) == 0.0
    assert pace.wait("a", 0.1, 110.0) == 0.0
    assert pace.wait("a", 0.0, 999.0) is None
    assert pace.wait("a", 1.0, 112.0) == pytest.approx(1.0), "a higher rate counts at once"


GOING = ObjectMeta(name="p", namespace="default", deletionTimestamp=timestamp(NOW))
OFF = Taint(key=taints.OUT_OF_SERVICE, effect=EXECUTE)


@pytest.mark.parametrize(
    ("case", "of", "on", "expected"),
    [
        ("all well", pod(), node(READY), None),
        ("its node is gone", pod(), None, garbage.ORPHANED),
        ("waits for a node", Pod(metadata=ObjectMeta(name="p")), None, None),
        ("deleted before it had a node", Pod(metadata=GOING), None, garbage.UNPLACED),
        ("terminates on a dead node", Pod(metadata=GOING, spec=PodSpec(nodeName="n")), node(UNKNOWN), None),
        ("terminates on a node that is off", Pod(metadata=GOING, spec=PodSpec(nodeName="n")),
         node(UNKNOWN, OFF), garbage.STRANDED),
        ("terminates on a node said to be off that is not", Pod(metadata=GOING, spec=PodSpec(nodeName="n")),
         node(READY, OFF), None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_which_pods_are_garbage(case: str, of: Pod, on: Node | None, expected: object) -> None:
    assert garbage.verdict(of, on) is expected, case


def test_of_too_many_ended_pods_the_evicted_and_the_oldest_go() -> None:
    def ended(name: str, minutes: int, reason: str = "") -> Pod:
        created = ObjectMeta(name=name, creationTimestamp=timestamp(NOW + 60 * minutes))
        return Pod(metadata=created, status=PodStatus(phase="Failed", reason=reason))

    pods = [ended("new", 9), ended("old", 1), ended("evicted", 5, "Evicted"), ended("older", 0)]
    assert [p.metadata.name for p in garbage.surplus(pods, 2)] == ["evicted", "older"]
    assert garbage.surplus(pods, 4) == garbage.surplus(pods, 0) == []
