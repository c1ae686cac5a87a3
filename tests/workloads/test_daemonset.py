"""DaemonSets: which nodes get a pod, which pods go, and how updates are made."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fairlead.objects.apps_v1 import (
    DaemonSet,
    DaemonSetSpec,
    DaemonSetStatus,
    DaemonSetUpdateStrategy,
    RollingUpdateDaemonSet,
)
from fairlead.objects.core_v1 import (
    Affinity,
    Container,
    Node,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    NodeSpec,
    Pod,
    PodCondition,
    PodSpec,
    PodStatus,
    PodTemplateSpec,
    Taint,
    Toleration,
)
from fairlead.objects.meta_v1 import LabelSelector, ObjectMeta
from fairlead.objects.scalars import timestamp
from fairlead.workloads.daemonset.backoff import FailedPods
from fairlead.workloads.daemonset.eligibility import Eligibility, eligibility
from fairlead.workloads.daemonset.plan import Plan, plan
from fairlead.workloads.daemonset.pods import node_of, pod_for

NOW = 1_800_000_000.0
OLD, NEW = "oldhash", "newhash"
LABELS = {"app": "agent"}


def daemon(
    *,
    unavailable: int | str = 1,
    surge: int | str = 0,
    on_delete: bool = False,
    deleted: bool = False,
    min_ready: int = 0,
    **spec: Any,
) -> DaemonSet:
    rolling = RollingUpdateDaemonSet(maxUnavailable=unavailable, maxSurge=surge)
    strategy = (
        DaemonSetUpdateStrategy(type="OnDelete")
        if on_delete
        else DaemonSetUpdateStrategy(type="RollingUpdate", rollingUpdate=rolling)
    )
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels=LABELS),
        spec=PodSpec(containers=(Container(name="main", image="agent"),), **spec),
    )
    return DaemonSet(
        metadata=ObjectMeta(
            name="agent",
            namespace="kube-system",
            uid="u",
            generation=3,
            deletionTimestamp=timestamp(NOW) if deleted else None,
        ),
        spec=DaemonSetSpec(
            selector=LabelSelector(matchLabels=LABELS),
            template=template,
            updateStrategy=strategy,
            minReadySeconds=min_ready,
        ),
    )


def node(name: str, *taints: Taint, **labels: str) -> Node:
    return Node(metadata=ObjectMeta(name=name, labels=labels), spec=NodeSpec(taints=taints))


def pod(on: str, state: str = "ready", hash: str = NEW, *, name: str = "", age: int = 60) -> Pod:
    """A pod of the set. `state`: ready, pending, unbound, failed, succeeded, or going (ready, and deleted)."""
    made = pod_for(daemon(), on, hash)
    phase = {"failed": "Failed", "succeeded": "Succeeded"}.get(state, "Running")
    ready = "True" if state in ("ready", "going") else "False"
    condition = PodCondition(type="Ready", status=ready, lastTransitionTime=timestamp(NOW - 30))
    return replace(
        made,
        metadata=replace(
            made.metadata,
            name=name or f"{on}-{hash}",
            creationTimestamp=timestamp(NOW - age),
            deletionTimestamp=timestamp(NOW) if state == "going" else None,
        ),
        spec=replace(made.spec, nodeName="" if state == "unbound" else on),
        status=PodStatus(phase=phase, conditions=(condition,)),
    )


def done(found: Plan) -> str:
    """What the plan does, in short: +a makes a pod on node a, -NAME deletes one, ~NAME one that has ended."""
    return " ".join(
        [
            *(f"+{name}" for name in found.create),
            *(f"-{each.metadata.name}" for each in found.delete),
            *(f"~{each.metadata.name}" for each in found.ended),
        ]
    )


THREE = [node("a"), node("b"), node("c")]
SOFT, HARD, EXPELS = (
    Taint(key="dedicated", effect=effect) for effect in ("PreferNoSchedule", "NoSchedule", "NoExecute")
)
GONE = Taint(key="node.kubernetes.io/unreachable", effect="NoExecute")
CORDONED = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
NO_NETWORK = Taint(key="node.kubernetes.io/network-unavailable", effect="NoSchedule")


def required(*terms: NodeSelectorTerm) -> Affinity:
    chosen = NodeSelector(nodeSelectorTerms=terms)
    return Affinity(nodeAffinity=NodeAffinity(requiredDuringSchedulingIgnoredDuringExecution=chosen))


NAMED_A = required(
    NodeSelectorTerm(
        matchFields=(NodeSelectorRequirement(key="metadata.name", operator="In", values=("a",)),)
    )
)


@pytest.mark.parametrize(
    ("case", "of", "on", "runs", "keeps"),
    [
        ("any node", daemon(), node("a"), True, True),
        ("chosen by label", daemon(nodeSelector={"disk": "ssd"}), node("a", disk="ssd"), True, True),
        ("not chosen by label", daemon(nodeSelector={"disk": "ssd"}), node("a"), False, False),
        ("chosen by name", daemon(affinity=NAMED_A), node("a"), True, True),
        ("not chosen by name", daemon(affinity=NAMED_A), node("b"), False, False),
        ("nodeName of the template", daemon(nodeName="b"), node("a"), False, False),
        ("tainted softly", daemon(), node("a", SOFT), True, True),
        ("tainted: none comes, one that is there stays", daemon(), node("a", HARD), False, True),
        ("tainted so that pods leave", daemon(), node("a", EXPELS), False, False),
        ("tolerated", daemon(tolerations=(Toleration(operator="Exists"),)), node("a", HARD, EXPELS), True, True),
        ("silent", daemon(), node("a", GONE), True, True),
        ("cordoned", daemon(), node("a", CORDONED), True, True),
        ("without network", daemon(), node("a", NO_NETWORK), False, True),
        ("without network, on the node's own", daemon(hostNetwork=True), node("a", NO_NETWORK), True, True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_which_nodes_are_eligible(case: str, of: DaemonSet, on: Node, runs: bool, keeps: bool) -> None:
    assert eligibility(of, on) == Eligibility(runs, keeps), case


def test_a_pod_asks_for_its_node_by_name_and_bears_what_befalls_it() -> None:
    made = pod_for(daemon(affinity=required(NodeSelectorTerm())), "a", NEW)
    assert node_of(made) == "a"
    assert made.metadata.generateName == "agent-"
    assert made.metadata.labels == {"app": "agent", "controller-revision-hash": NEW}
    borne = {(t.key.removeprefix("node.kubernetes.io/"), t.effect) for t in made.spec.tolerations}
    assert borne == {
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    }
    assert all(t.tolerationSeconds is None for t in made.spec.tolerations)


@pytest.mark.parametrize(
    ("case", "of", "nodes", "pods", "expected"),
    [
        ("one on each", daemon(), THREE, [], "+a +b +c"),
        ("one is missing", daemon(), THREE, [pod("a"), pod("c", "pending")], "+b"),
        ("one that goes is waited for", daemon(), THREE, [pod("a"), pod("b", "going"), pod("c")], ""),
        ("two on one: the older stays", daemon(), [node("a")],
         [pod("a", name="young", age=1), pod("a", name="old")], "-young"),
        ("a node that is eligible no more", daemon(nodeSelector={"x": "y"}), [node("a")], [pod("a")],
         "-a-newhash"),
        ("a taint that only keeps away", daemon(), [node("a", HARD)], [pod("a")], ""),
        ("a taint that expels", daemon(), [node("a", EXPELS)], [pod("a")], "-a-newhash"),
        ("a failed pod is replaced", daemon(), [node("a")], [pod("a", "failed")], "~a-newhash"),
        ("one that ended well, too", daemon(), [node("a")], [pod("a", "succeeded")], "~a-newhash"),
        ("the node of a waiting pod is gone", daemon(), [node("a")], [pod("a"), pod("x", "unbound")],
         "-x-newhash"),
        ("the node of a bound pod is gone: for the pod garbage collector", daemon(), [node("a")],
         [pod("a"), pod("x")], ""),
        ("being deleted: nothing", daemon(deleted=True), THREE, [], ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_one_pod_on_each_node(
    case: str, of: DaemonSet, nodes: list[Node], pods: list[Pod], expected: str
) -> None:
    assert done(plan(of, NEW, nodes, pods, NOW)) == expected, case


def olds(*states: str) -> list[Pod]:
    return [pod(each.metadata.name, state, OLD) for each, state in zip(THREE, states, strict=False)]


@pytest.mark.parametrize(
    ("case", "of", "pods", "expected"),
    [
        ("one at a time", daemon(), olds("ready", "ready", "ready"), "-a-oldhash"),
        ("the next waits", daemon(), [pod("a", "pending"), *olds("ready", "ready", "ready")[1:]], ""),
        ("then the next", daemon(), [pod("a"), *olds("ready", "ready", "ready")[1:]], "-b-oldhash"),
        ("a broken old one first", daemon(), olds("ready", "ready", "pending"), "-c-oldhash"),
        ("two at a time", daemon(unavailable=2), olds("ready", "ready", "ready"), "-a-oldhash -b-oldhash"),
        ("half, rounded up", daemon(unavailable="50%"), olds("ready", "ready", "ready"),
         "-a-oldhash -b-oldhash"),
        ("by hand only", daemon(on_delete=True), olds("ready", "ready", "ready"), ""),
        ("surge: a second pod first", daemon(unavailable=0, surge=1), olds("ready", "ready", "ready"), "+a"),
        ("surge: the old one stays until the new one serves", daemon(unavailable=0, surge=1),
         [*olds("ready", "ready", "ready"), pod("a", "pending")], ""),
        ("surge: then it goes", daemon(unavailable=0, surge=1),
         [*olds("ready", "ready", "ready"), pod("a")], "-a-oldhash"),
        ("surge: where the old one is broken at once", daemon(unavailable=0, surge=1),
         olds("ready", "ready", "pending"), "+c +a"),
        ("surge: an old one that breaks meanwhile goes", daemon(unavailable=0, surge=1),
         [*olds("pending", "ready", "ready"), pod("a", "pending")], "-a-oldhash"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_updates(case: str, of: DaemonSet, pods: list[Pod], expected: str) -> None:
    assert done(plan(of, NEW, THREE, pods, NOW)) == expected, case


def test_status_counts_nodes() -> None:
    nodes = [*THREE, node("d", HARD), node("e")]
    pods = [pod("a"), pod("b", "ready", OLD), pod("c", "pending"), pod("d")]
    found = plan(daemon(min_ready=20), NEW, nodes, pods, NOW)
    assert found.status == DaemonSetStatus(
        observedGeneration=3,
        desiredNumberScheduled=4,
        currentNumberScheduled=3,
        numberMisscheduled=1,
        numberReady=2,
        numberAvailable=2,
        numberUnavailable=2,
        updatedNumberScheduled=2,
    )
    early = plan(daemon(min_ready=50), NEW, nodes, pods, NOW)
    assert (early.status.numberReady, early.status.numberAvailable, early.again) == (2, 0, 20)


def test_a_pod_that_fails_again_and_again_is_replaced_later_each_time() -> None:
    failed = FailedPods()
    assert failed.wait("ns/agent", "a", 100.0) == 0
    waits = []
    now = 100.0
    for _ in range(12):
        failed.deleted("ns/agent", "a", now)
        waits.append(failed.wait("ns/agent", "a", now))
        now += waits[-1]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    assert failed.wait("ns/agent", "b", now) == 0
    found = plan(daemon(), NEW, [node("a")], [pod("a", "failed")], NOW, lambda _: 7.0)
    assert (done(found), found.again) == ("", 7.0)


STATES = st.sampled_from(["ready", "pending", "failed"])


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([(1, 0), (2, 0), ("50%", 0), (0, 1), (0, 2), (0, "40%")]),
    st.lists(
        st.tuples(st.sampled_from("abcde"), STATES, st.booleans()), max_size=5, unique_by=lambda t: t[0]
    ),
    st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(["fail", "break", "gone"])), max_size=15),
)
def test_whatever_happens_to_its_pods_the_set_comes_to_rest(
    strategy: tuple[int | str, int | str],
    there: list[tuple[str, str, bool]],
    events: list[tuple[str, str]],
) -> None:
    of = daemon(unavailable=strategy[0], surge=strategy[1])
    nodes = [node(name) for name in "abcde"]
    pods: dict[str, Pod] = {}
    made = 0

    def add(on: str, state: str, hash: str) -> None:
        nonlocal made
        made += 1
        pods[f"p{made}"] = pod(on, state, hash, name=f"p{made}", age=1000 - made)

    for on, state, is_old in there:
        add(on, state, OLD if is_old else NEW)

    def serving() -> set[str]:
        return {
            node_of(each)
            for each in pods.values()
            if each.status.phase == "Running"
            and each.metadata.deletionTimestamp is None
            and each.status.conditions[0].status == "True"
        }

    def step() -> bool:
        found = plan(of, NEW, nodes, pods.values(), NOW)
        before = serving()
        for name in found.create:
            add(name, "pending", NEW)
        for each in (*found.delete, *found.ended):
            meta = each.metadata
            pods[meta.name] = replace(each, metadata=replace(meta, deletionTimestamp=timestamp(NOW)))
        lost = before - serving()
        if strategy[1]:
            assert not lost, "with surge no node is without a pod that serves"
        else:
            limit = {1: 1, 2: 2, "50%": 3}[strategy[0]]
            assert not lost or len(nodes) - len(serving()) <= limit, "never more are down than may be"
        return bool(found.create or found.delete or found.ended)

    def settle() -> None:
        for name, each in list(pods.items()):
            if each.metadata.deletionTimestamp is not None:
                del pods[name]
            elif each.status.phase == "Running":
                pods[name] = pod(
                    node_of(each), "ready", each.metadata.labels["controller-revision-hash"], name=name
                )

    for on, kind in events:
        step()
        hit = next((name for name, each in pods.items() if node_of(each) == on), None)
        if hit is None:
            continue
        if kind == "gone":
            del pods[hit]
        else:
            hash = pods[hit].metadata.labels["controller-revision-hash"]
            pods[hit] = pod(on, "failed" if kind == "fail" else "pending", hash, name=hit)
    for _ in range(40):
        step()
        settle()
    assert not step()
    assert sorted(node_of(each) for each in pods.values()) == list("abcde")
    assert {each.metadata.labels["controller-revision-hash"] for each in pods.values()} == {NEW}
