"""Requests, ports and how full nodes are, by table."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.objects.core_v1 import Container, Pod, PodSpec, ResourceRequirements
from fairlead.objects.scalars import Quantity
from fairlead.workloads.scheduling import room
from fairlead.workloads.scheduling.amounts import amount, requests
from fairlead.workloads.scheduling.hostports import HostPort, conflict
from fairlead.workloads.scheduling.profile import profile
from tests.workloads.scheduling.makers import cluster, far, message, node, outcome, pod, term

PORTS = "node(s) didn't have free ports for the requested pod ports"


@pytest.mark.parametrize(
    ("resource", "quantity", "number"),
    [
        ("cpu", "1", 1000),
        ("cpu", "250m", 250),
        ("cpu", "0.1", 100),
        ("cpu", "100u", 1),
        ("memory", "1Ki", 1024),
        ("memory", "1500m", 2),
        ("memory", "1e3", 1000),
        ("example.com/gpu", "2", 2),
        ("memory", "much", 0),
        ("memory", "9E9E", 0),
        ("memory", "99999999999E", 2**63 - 1),
    ],
)
def test_amounts_in_whole_numbers(resource: str, quantity: str, number: int) -> None:
    assert amount(resource, quantity) == number


def container(cpu: str = "", memory: str = "", *, sidecar: bool = False) -> Container:
    asked: dict[str, Quantity] = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    return Container(
        name="c",
        resources=ResourceRequirements(requests=asked),
        restartPolicy="Always" if sidecar else None,
    )


@pytest.mark.parametrize(
    ("case", "spec", "cpu", "memory"),
    [
        ("nothing", {"containers": (container(),)}, 0, 0),
        ("two containers", {"containers": (container("1"), container("2", "1Ki"))}, 3000, 1024),
        (
            "a small init container",
            {"containers": (container("2"),), "initContainers": (container("1"),)},
            2000,
            0,
        ),
        (
            "a large init container",
            {"containers": (container("2", "4Ki"),), "initContainers": (container("3", "1Ki"),)},
            3000,
            4096,
        ),
        (
            "a sidecar runs with the containers",
            {"containers": (container("2"),), "initContainers": (container("1", sidecar=True),)},
            3000,
            0,
        ),
        (
            "an init container after a sidecar",
            {
                "containers": (container("1"),),
                "initContainers": (container("1", sidecar=True), container("2")),
            },
            3000,
            0,
        ),
        (
            "an init container before a sidecar",
            {
                "containers": (container("1"),),
                "initContainers": (container("2"), container("1", sidecar=True)),
            },
            2000,
            0,
        ),
        (
            "overhead comes on top",
            {
                "containers": (container("1"),),
                "initContainers": (container("2"),),
                "overhead": {"cpu": "100m"},
            },
            2100,
            0,
        ),
        (
            "requests of the whole pod",
            {
                "containers": (container("1"), container("1")),
                "resources": ResourceRequirements(requests={"cpu": "5"}),
                "overhead": {"cpu": "1"},
            },
            6000,
            0,
        ),
    ],
)
def test_what_a_pod_needs_at_its_most(case: str, spec: dict[str, Any], cpu: int, memory: int) -> None:
    found = requests(Pod(spec=PodSpec(**spec)))
    assert (found.get("cpu", 0), found.get("memory", 0)) == (cpu, memory), case


def test_containers_without_requests_count_a_little_in_comparisons() -> None:
    found = requests(Pod(spec=PodSpec(containers=(container(), container("1")))), least=True)
    assert found == {"cpu": 1100, "memory": 2 * 200 * 1024 * 1024}


@pytest.mark.parametrize(
    ("case", "state", "candidate", "reasons", "final"),
    [
        ("fits", node("n"), pod("a", cpu="2"), "", False),
        ("fits exactly", node("n", cpu="3"), pod("a", cpu="2"), "", False),
        ("too little left", node("n", cpu="2500m"), pod("a", cpu="2"), "Insufficient cpu", False),
        ("too little ever", node("n", cpu="1500m"), pod("a", cpu="2"), "Insufficient cpu", True),
        (
            "two at once",
            node("n", cpu="2500m", memory="1Gi"),
            pod("a", cpu="2", memory="512Mi"),
            "Insufficient cpu, Insufficient memory",
            False,
        ),
        (
            "no such resource",
            node("n"),
            pod("a", overhead={"example.com/gpu": "1"}),
            "Insufficient example.com/gpu",
            True,
        ),
        ("such a resource", node("n", example_com__gpu="1"), pod("a"), "", False),
        (
            "storage",
            node("n", ephemeral_storage="1Gi"),
            pod("a", overhead={"ephemeral-storage": "2Gi"}),
            "Insufficient ephemeral-storage",
            True,
        ),
        ("too many pods", node("n", pods="1"), pod("a"), "Too many pods", False),
        ("no pods", node("n", pods="0"), pod("a"), "Too many pods", True),
        ("nothing asked of a full node", node("n", cpu="1"), pod("a"), "", False),
    ],
)
def test_whether_there_is_room(case: str, state: Any, candidate: Pod, reasons: str, final: bool) -> None:
    there = cluster([state], {"n": [pod("other", cpu="1", memory="768Mi")]})
    refusal = room.lacks(profile(candidate), there.nodes["n"])
    assert (", ".join(refusal.reasons) if refusal else "") == reasons, case
    assert (refusal is not None and refusal.final) is final


ANY = "0.0.0.0"


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        (("TCP", 80, ANY), ("TCP", 80, ANY), True),
        (("TCP", 80, ANY), ("TCP", 81, ANY), False),
        (("TCP", 80, ANY), ("UDP", 80, ANY), False),
        (("TCP", 80, ANY), ("SCTP", 80, ANY), False),
        (("TCP", 80, ANY), ("TCP", 80, "127.0.0.1"), True),
        (("TCP", 80, "10.0.0.1"), ("TCP", 80, "127.0.0.1"), False),
        (("TCP", 80, "10.0.0.1"), ("TCP", 80, "10.0.0.1"), True),
        (("TCP", 80, "fd00::1"), ("TCP", 80, ANY), True),
        (("TCP", 80, "fd00::1"), ("TCP", 80, "fd00::2"), False),
        (("UDP", 53, "127.0.0.1"), ("UDP", 53, ANY), True),
    ],
)
def test_which_host_ports_collide(one: HostPort, other: HostPort, collide: bool) -> None:
    assert conflict(HostPort(*one), HostPort(*other)) is collide
    assert conflict(HostPort(*other), HostPort(*one)) is collide
    state = cluster([node("n")], {"n": [pod("other", ports=(other,))]})
    assert outcome(pod("a", ports=(one,)), state) == ({"n": PORTS} if collide else {})
    state.take("default/other")
    assert outcome(pod("a", ports=(one,)), state) == {}


@pytest.mark.parametrize(
    ("used_cpu", "used_memory", "left", "balance"),
    [
        # Of a node with 4 cores and 8Gi, after a pod of 1 core and 2Gi.
        ("", "", 72, 100),
        ("1", "2Gi", 50, 100),
        ("3", "", 36, 62),
        ("3", "6Gi", 0, 100),
        ("4", "8Gi", 0, 100),
    ],
)
def test_how_full_a_node_would_be(used_cpu: str, used_memory: str, left: int, balance: int) -> None:
    state = cluster([node("n")], {"n": [pod("other", cpu=used_cpu, memory=used_memory)]})
    place = state.nodes["n"]
    mine = profile(pod("a", cpu="1", memory="2Gi"))
    assert (room.left(mine, place), room.balance(mine, place)) == (left, balance)


def test_reasons_are_counted_and_sorted() -> None:
    state = cluster(
        [node("n1", cpu="1"), node("n2", cpu="1"), node("n3", unschedulable=True), node("n4", pods="0")]
    )
    assert message(pod("a", cpu="2"), state) == (
        "0/4 nodes are available: 1 Too many pods, 1 node(s) were unschedulable, 2 Insufficient cpu."
    )


def test_pods_of_one_template_share_what_is_equal_of_theirs() -> None:
    one, other = (profile(pod(name, cpu="1", affinity=far(term()))) for name in ("a", "b"))
    assert one.key != other.key
    assert one.kind is other.kind
    assert one.requests is other.requests
    assert one.affinity is other.affinity


def test_without_nodes() -> None:
    assert message(pod("a"), cluster([])) == "no nodes available to schedule pods"
