from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from fairlead.client.api import Api
from fairlead.objects.core_v1 import (
    Container,
    Node,
    NodeCondition,
    NodeSpec,
    NodeStatus,
    Pod,
    PodSpec,
    Taint,
    Toleration,
)
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import EVENTS, NODES, PODS
from fairlead.workloads.load import Loads
from fairlead.workloads.scheduler import Unschedulable, assign, run
from tests.client.cluster import eventually, with_server


def node(
    name: str,
    *taints: Taint,
    ready: bool = True,
    unschedulable: bool = False,
    labels: dict[str, str] | None = None,
    room: int = 110,
) -> Node:
    condition = NodeCondition(type="Ready", status="True" if ready else "False")
    return Node(
        metadata=ObjectMeta(name=name, labels=labels or {}),
        spec=NodeSpec(taints=taints, unschedulable=unschedulable),
        status=NodeStatus(conditions=(condition,), allocatable={"pods": str(room)}),
    )


def pod(name: str, app: str = "web", **spec: Any) -> Pod:
    return Pod(
        metadata=ObjectMeta(name=name, namespace="default", labels={"app": app}),
        spec=PodSpec(containers=(Container(name="main", image="fairlead/echo"),), **spec),
    )


DEDICATED = Taint(key="dedicated", value="db", effect="NoSchedule")


@pytest.mark.parametrize(
    ("case", "candidate", "only", "message"),
    [
        ("ready", pod("a"), node("n"), ""),
        (
            "not ready",
            pod("a"),
            node("n", ready=False),
            "1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }",
        ),
        ("cordoned", pod("a"), node("n", unschedulable=True), "1 node(s) were unschedulable"),
        ("tainted", pod("a"), node("n", DEDICATED), "1 node(s) had untolerated taint {dedicated: db}"),
        (
            "tainted softly",
            pod("a"),
            node("n", Taint(key="dedicated", value="db", effect="PreferNoSchedule")),
            "",
        ),
        (
            "tolerated by value",
            pod("a", tolerations=(Toleration(key="dedicated", value="db", effect="NoSchedule"),)),
            node("n", DEDICATED),
            "",
        ),
        (
            "another value tolerated",
            pod("a", tolerations=(Toleration(key="dedicated", value="web"),)),
            node("n", DEDICATED),
            "1 node(s) had untolerated taint {dedicated: db}",
        ),
        (
            "everything tolerated",
            pod("a", tolerations=(Toleration(operator="Exists"),)),
            node("n", DEDICATED, ready=False, unschedulable=True),
            "",
        ),
        ("selected", pod("a", nodeSelector={"disk": "ssd"}), node("n", labels={"disk": "ssd"}), ""),
        (
            "not selected",
            pod("a", nodeSelector={"disk": "ssd"}),
            node("n"),
            "1 node(s) didn't match Pod's node affinity/selector",
        ),
        ("full", pod("a"), node("n", room=0), "1 Too many pods"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_which_node_may_run_a_pod(case: str, candidate: Pod, only: Node, message: str) -> None:
    expected = Unschedulable(f"0/1 nodes are available: {message}.") if message else "n"
    assert assign(candidate, {"n": only}, Loads()) == expected, case


def test_without_nodes() -> None:
    assert assign(pod("a"), {}, Loads()) == Unschedulable("no nodes available to schedule pods")


def test_copies_spread_before_strangers_do() -> None:
    nodes = {name: node(name) for name in ("n1", "n2", "n3")}
    loads = Loads()
    for number in range(6):
        loads.place(f"default/other{number}", "n2", pod(f"other{number}", app="other"))
    chosen = []
    for number in range(6):
        found = assign(pod(f"p{number}"), nodes, loads)
        assert isinstance(found, str)
        loads.place(f"default/p{number}", found, pod(f"p{number}"))
        chosen.append(found)
    assert Counter(chosen) == {"n1": 2, "n2": 2, "n3": 2}


def test_ten_pods_made_at_once_are_spread_and_told() -> None:
    async def told(api: Api) -> None:
        for name in ("n1", "n2"):
            await api.create(NODES, node(name))
        await asyncio.gather(*(api.create(PODS, pod(f"p{n}")) for n in range(10)))

        async def bound() -> bool:
            found = (await api.list(PODS, "default")).items
            return Counter(p.spec.nodeName for p in found) == {"n1": 5, "n2": 5}

        async def said() -> bool:
            found = (await api.list(EVENTS, "default")).items
            return {e.reason for e in found} == {"Scheduled"} and len(found) == 10

        await eventually(bound, "five pods are on each node")
        await eventually(said, "an Event tells of each")

    with_server(told, run)


def test_a_pod_that_fits_nowhere_says_why_and_waits_for_a_node() -> None:
    async def told(api: Api) -> None:
        await api.create(NODES, node("n1"))
        await api.create(PODS, pod("a", nodeSelector={"disk": "ssd"}))

        async def unschedulable() -> bool:
            found = (await api.get(PODS, "a", "default")).status.conditions
            return [(c.status, c.reason, c.message) for c in found if c.type == "PodScheduled"] == [
                (
                    "False",
                    "Unschedulable",
                    "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
                )
            ]

        async def bound() -> bool:
            return (await api.get(PODS, "a", "default")).spec.nodeName == "n2"

        await eventually(unschedulable, "its condition says why")
        await api.create(NODES, node("n2", labels={"disk": "ssd"}))
        await eventually(bound, "it is on the node that came")

    with_server(told, run)
