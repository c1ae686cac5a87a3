"""The rules that look at the node alone: taints, cordons, affinity, by table."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.objects.core_v1 import (
    Affinity,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PodSpec,
    PreferredSchedulingTerm,
    Taint,
    Toleration,
)
from fairlead.workloads.scheduling import nodeaffinity, taints
from tests.workloads.scheduling.makers import cluster, message, node, outcome, pod

DB = Taint(key="dedicated", value="db", effect="NoSchedule")
NOT_MEANT = "node(s) didn't match Pod's node affinity/selector"


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute", "PreferNoSchedule"])
@pytest.mark.parametrize(
    ("toleration", "tolerates"),
    [
        (None, False),
        (Toleration(key="dedicated", operator="Equal", value="db"), True),
        (Toleration(key="dedicated", value="db"), True),
        (Toleration(key="dedicated", operator="Equal", value="web"), False),
        (Toleration(key="dedicated", operator="Equal"), False),
        (Toleration(key="other", operator="Equal", value="db"), False),
        (Toleration(key="dedicated", operator="Exists"), True),
        (Toleration(key="other", operator="Exists"), False),
        (Toleration(operator="Exists"), True),
        (Toleration(operator="Equal", value="db"), False),
        (Toleration(key="dedicated", operator="Like", value="db"), False),
    ],
)
def test_what_a_toleration_is_for(effect: str, toleration: Toleration | None, tolerates: bool) -> None:
    taint = Taint(key="dedicated", value="db", effect=effect)
    held = () if toleration is None else (toleration,)
    for own in ("", effect):
        marked = tuple(Toleration(key=t.key, operator=t.operator, value=t.value, effect=own) for t in held)
        assert taints.is_tolerated(taint, marked) is tolerates
    others = {"NoSchedule", "NoExecute", "PreferNoSchedule"} - {effect}
    for other in others:
        marked = tuple(Toleration(key=t.key, operator=t.operator, value=t.value, effect=other) for t in held)
        assert not taints.is_tolerated(taint, marked)


@pytest.mark.parametrize(
    ("value", "operator", "bound", "tolerates"),
    [
        ("5", "Gt", "4", True),
        ("5", "Gt", "5", False),
        ("5", "Lt", "6", True),
        ("5", "Lt", "5", False),
        ("-3", "Lt", "0", True),
        ("05", "Gt", "4", False),
        ("5", "Gt", "four", False),
        ("", "Lt", "4", False),
    ],
)
def test_tolerations_that_compare(value: str, operator: str, bound: str, tolerates: bool) -> None:
    taint = Taint(key="reliability", value=value, effect="NoSchedule")
    toleration = Toleration(key="reliability", operator=operator, value=bound)
    assert taints.is_tolerated(taint, (toleration,)) is tolerates


@pytest.mark.parametrize(
    ("case", "tolerations", "state", "reason"),
    [
        ("plain", (), node("n"), ""),
        ("cordoned", (), node("n", unschedulable=True), "node(s) were unschedulable"),
        ("tainted", (), node("n", DB), "node(s) had untolerated taint(s)"),
        ("not ready", (), node("n", ready=False), "node(s) had untolerated taint(s)"),
        ("cordoned comes first", (), node("n", DB, unschedulable=True), "node(s) were unschedulable"),
        ("softly tainted", (), node("n", Taint(key="a", effect="PreferNoSchedule")), ""),
        (
            "one of two tolerated",
            (Toleration(key="dedicated", operator="Exists"),),
            node("n", DB, Taint(key="gpu", effect="NoExecute")),
            "node(s) had untolerated taint(s)",
        ),
        (
            "a cordon tolerated",
            (Toleration(key="node.kubernetes.io/unschedulable", operator="Exists", effect="NoSchedule"),),
            node("n", unschedulable=True),
            "",
        ),
        (
            "everything tolerated",
            (Toleration(operator="Exists"),),
            node("n", DB, ready=False, unschedulable=True),
            "",
        ),
    ],
)
def test_taints_and_cordons(case: str, tolerations: tuple[Toleration, ...], state: Any, reason: str) -> None:
    found = outcome(pod("a", tolerations=tolerations), cluster([state]))
    assert found == ({"n": reason} if reason else {}), case


def requirement(key: str, operator: str, *values: str) -> NodeSelectorRequirement:
    return NodeSelectorRequirement(key=key, operator=operator, values=values)


@pytest.mark.parametrize(
    ("operator", "values", "matched"),
    [
        # Of a node with disk=ssd, one with disk=hdd, one with disk=7 and one without the label.
        ("In", ("ssd", "nvme"), {"ssd"}),
        ("In", (), set()),
        ("NotIn", ("ssd",), {"hdd", "7", "none"}),
        ("Exists", (), {"ssd", "hdd", "7"}),
        ("DoesNotExist", (), {"none"}),
        ("Gt", ("6",), {"7"}),
        ("Gt", ("7",), set()),
        ("Lt", ("8",), {"7"}),
        ("Lt", ("7",), set()),
        ("Gt", ("x",), set()),
        ("Gt", (), set()),
        ("Like", ("ssd",), set()),
    ],
)
def test_operators_of_node_affinity(operator: str, values: tuple[str, ...], matched: set[str]) -> None:
    term = NodeSelectorTerm(matchExpressions=(requirement("disk", operator, *values),))
    nodes = {"ssd": {"disk": "ssd"}, "hdd": {"disk": "hdd"}, "7": {"disk": "7"}, "none": {}}
    assert {name for name, labels in nodes.items() if nodeaffinity.meets(term, name, labels)} == matched


def required(*terms: NodeSelectorTerm) -> Affinity:
    return Affinity(
        nodeAffinity=NodeAffinity(
            requiredDuringSchedulingIgnoredDuringExecution=NodeSelector(nodeSelectorTerms=terms)
        )
    )


SSD = NodeSelectorTerm(matchExpressions=(requirement("disk", "In", "ssd"),))
NAMED = NodeSelectorTerm(matchFields=(requirement("metadata.name", "In", "n2"),))
NOT_NAMED = NodeSelectorTerm(matchFields=(requirement("metadata.name", "NotIn", "n1"),))


@pytest.mark.parametrize(
    ("case", "spec", "allowed"),
    [
        ("nothing asked", {}, {"n1", "n2", "n3"}),
        ("by label", {"nodeSelector": {"disk": "ssd"}}, {"n1"}),
        ("by two labels", {"nodeSelector": {"disk": "ssd", "arch": "arm"}}, set()),
        ("a term", {"affinity": required(SSD)}, {"n1"}),
        ("either term", {"affinity": required(SSD, NAMED)}, {"n1", "n2"}),
        ("no terms", {"affinity": required()}, set()),
        ("an empty term", {"affinity": required(NodeSelectorTerm())}, set()),
        ("by name", {"affinity": required(NAMED)}, {"n2"}),
        ("not by name", {"affinity": required(NOT_NAMED)}, {"n2", "n3"}),
        ("selector and term", {"nodeSelector": {"arch": "arm"}, "affinity": required(SSD, NAMED)}, {"n2"}),
        (
            "an unknown field",
            {"affinity": required(NodeSelectorTerm(matchFields=(requirement("spec.x", "In", "n1"),)))},
            set(),
        ),
    ],
)
def test_which_nodes_are_asked_for(case: str, spec: dict[str, Any], allowed: set[str]) -> None:
    state = cluster([node("n1", labels={"disk": "ssd"}), node("n2", labels={"arch": "arm"}), node("n3")])
    refused = outcome(pod("a", **spec), state)
    assert state.nodes.keys() - refused.keys() == allowed, case


def test_nodes_that_a_name_leaves_out_are_told_apart() -> None:
    state = cluster([node("n1"), node("n2", cpu="1")])
    wanted = pod("a", cpu="2", affinity=required(NAMED))
    assert message(wanted, state) == (
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )


def test_names_that_contradict_each_other() -> None:
    both = NodeSelectorTerm(
        matchFields=(requirement("metadata.name", "In", "n1"), requirement("metadata.name", "In", "n2"))
    )
    found = message(pod("a", affinity=required(both)), cluster([node("n1"), node("n2")]))
    assert found == "0/2 nodes are available: pod affinity terms conflict."


def test_preferred_terms_add_up() -> None:
    affinity = Affinity(
        nodeAffinity=NodeAffinity(
            preferredDuringSchedulingIgnoredDuringExecution=(
                PreferredSchedulingTerm(weight=10, preference=SSD),
                PreferredSchedulingTerm(weight=5, preference=NOT_NAMED),
            )
        )
    )
    spec = PodSpec(containers=(), affinity=affinity)
    found = [
        nodeaffinity.preference(spec, name, labels)
        for name, labels in (("n1", {"disk": "ssd"}), ("n2", {"disk": "ssd"}), ("n3", {}), ("n1", {}))
    ]
    assert found == [10, 15, 5, 0]
