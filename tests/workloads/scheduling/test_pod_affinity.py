"""Affinity and anti-affinity between pods, by table."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.objects.core_v1 import Affinity, Pod
from fairlead.objects.meta_v1 import LabelSelector, LabelSelectorRequirement
from fairlead.workloads.scheduling.decision import decide
from fairlead.workloads.scheduling.podaffinity import company
from fairlead.workloads.scheduling.profile import profile
from tests.workloads.scheduling.makers import HOSTNAME, ZONE, cluster, far, near, node, outcome, pod, term

NODES = [node("a1", zone="a"), node("a2", zone="a"), node("b1", zone="b"), node("bare")]
NOT_NEAR = "node(s) didn't match pod affinity rules"
TOO_NEAR = "node(s) didn't match pod anti-affinity rules"
SHUNNED = "node(s) didn't satisfy existing pods anti-affinity rules"
ALL = {"a1", "a2", "b1", "bare"}
WEB, DB = pod("web"), pod("db", app="db")
EVERYWHERE = LabelSelector()


def rows() -> Any:
    """Name, the pods on a1, the pod to come, the nodes that it may be on, and why not on the others."""
    yield "near a host", [WEB], pod("p", "x", affinity=near(term())), {"a1"}, NOT_NEAR
    yield "near a zone", [WEB], pod("p", "x", affinity=near(term(ZONE))), {"a1", "a2"}, NOT_NEAR
    yield "near nobody", [DB], pod("p", "x", affinity=near(term(ZONE))), set(), NOT_NEAR
    yield "near both", [WEB, DB], pod("p", "x", affinity=near(term(), term(ZONE, "db"))), set(), NOT_NEAR
    both = pod("both", labels={"app": "web", "tier": "db"})
    tier = term(ZONE, labelSelector=LabelSelector(matchLabels={"tier": "db"}))
    yield "near one that is both", [both], pod("p", "x", affinity=near(term(), tier)), {"a1"}, NOT_NEAR
    yield "first of its group", [], pod("p", affinity=near(term())), ALL, ""
    yield (
        "first, but the key is missing",
        [],
        pod("p", affinity=near(term(ZONE))),
        {"a1", "a2", "b1"},
        NOT_NEAR,
    )
    yield "second of its group", [WEB], pod("p", affinity=near(term(ZONE))), {"a1", "a2"}, NOT_NEAR
    yield "not of the group that it seeks", [], pod("p", "x", affinity=near(term())), set(), NOT_NEAR
    yield "away from a host", [WEB], pod("p", affinity=far(term())), ALL - {"a1"}, TOO_NEAR
    yield "away from a zone", [WEB], pod("p", affinity=far(term(ZONE))), {"b1", "bare"}, TOO_NEAR
    yield "away from another", [DB], pod("p", affinity=far(term(ZONE))), ALL, ""
    yield "away from either", [DB], pod("p", affinity=far(term(), term(ZONE, "db"))), {"b1", "bare"}, TOO_NEAR
    shy = pod("shy", "x", affinity=far(term()))
    yield "shunned by a host's pod", [shy], pod("p"), ALL - {"a1"}, SHUNNED
    yield "not the one shunned", [shy], pod("p", "db"), ALL, ""
    shy_of_zone = pod("shy", "x", affinity=far(term(ZONE)))
    yield "shunned in a zone", [shy_of_zone], pod("p"), {"b1", "bare"}, SHUNNED
    lost = pod("lost", "x", affinity=far(term("rack")))
    yield "shunned by a key that no node has", [lost], pod("p"), ALL, ""
    ending = pod("web", terminating=True)
    yield "a terminating pod counts", [ending], pod("p", affinity=far(term())), ALL - {"a1"}, TOO_NEAR
    yield "no selector, no pods", [WEB], pod("p", affinity=far(term(labelSelector=None))), ALL, ""
    every = term(labelSelector=EVERYWHERE)
    yield "an empty selector, all pods", [DB], pod("p", affinity=far(every)), ALL - {"a1"}, TOO_NEAR
    malformed = LabelSelector(matchExpressions=(LabelSelectorRequirement(key="app", operator="Like"),))
    yield "a malformed selector", [WEB], pod("p", affinity=far(term(labelSelector=malformed))), ALL, ""
    # Namespaces: `other` has the label team=red, `default` none.
    away = pod("web", namespace="other")
    yield "another namespace", [away], pod("p", affinity=far(term())), ALL, ""
    named = term(namespaces=("other",))
    yield "a namespace by name", [away], pod("p", affinity=far(named)), ALL - {"a1"}, TOO_NEAR
    yield "only the named", [WEB], pod("p", affinity=far(named)), ALL, ""
    red = term(namespaceSelector=LabelSelector(matchLabels={"team": "red"}))
    yield "a namespace by label", [away], pod("p", affinity=far(red)), ALL - {"a1"}, TOO_NEAR
    yield "the own is not among them", [WEB], pod("p", affinity=far(red)), ALL, ""
    anywhere = term(namespaceSelector=EVERYWHERE)
    yield "all namespaces", [away], pod("p", affinity=far(anywhere)), ALL - {"a1"}, TOO_NEAR
    widely = pod("shy", "x", namespace="other", affinity=far(anywhere))
    yield "shunned from another namespace", [widely], pod("p"), ALL - {"a1"}, SHUNNED
    narrowly = pod("shy", "x", namespace="other", affinity=far(term()))
    yield "shunned there, not here", [narrowly], pod("p"), ALL, ""
    # Labels of the pod's own in the selector.
    same = term(matchLabelKeys=("version",))
    v1, v2 = ({"app": "web", "version": v} for v in ("1", "2"))
    yield (
        "the same version",
        [pod("o", labels=v1)],
        pod("p", labels=v1, affinity=far(same)),
        ALL - {"a1"},
        TOO_NEAR,
    )
    yield "another version", [pod("o", labels=v1)], pod("p", labels=v2, affinity=far(same)), ALL, ""
    yield "no version", [pod("o", labels=v1)], pod("p", affinity=far(same)), ALL - {"a1"}, TOO_NEAR
    other = term(mismatchLabelKeys=("version",))
    yield (
        "not others",
        [pod("o", labels=v1)],
        pod("p", labels=v2, affinity=far(other)),
        ALL - {"a1"},
        TOO_NEAR,
    )
    yield "but the same", [pod("o", labels=v1)], pod("p", labels=v1, affinity=far(other)), ALL, ""


@pytest.mark.parametrize(
    ("case", "there", "candidate", "allowed", "reason"), [pytest.param(*row, id=row[0]) for row in rows()]
)
def test_where_a_pod_may_be(
    case: str, there: list[Pod], candidate: Pod, allowed: set[str], reason: str
) -> None:
    state = cluster(NODES)
    state.census.set_namespace("other", {"team": "red"})
    state.census.set_namespace("default", {})
    for each in there:
        state.put(profile(each), "a1")
    found = outcome(candidate, state)
    assert ALL - found.keys() == allowed, case
    assert set(found.values()) <= {reason}


def test_labels_of_a_namespace_change_what_is_meant() -> None:
    wanted = pod("p", affinity=far(term(namespaceSelector=LabelSelector(matchLabels={"team": "red"}))))
    state = cluster(NODES, {"a1": [pod("web", namespace="other")]})
    assert outcome(wanted, state) == {}
    assert state.census.set_namespace("other", {"team": "red"})
    assert outcome(wanted, state) == {"a1": TOO_NEAR}
    assert not state.census.set_namespace("other", {"team": "red"})
    assert state.census.set_namespace("other", None)
    assert outcome(wanted, state) == {}


@pytest.mark.parametrize(
    ("case", "on_a1", "own", "expected"),
    [
        ("nobody minds", None, None, None),
        ("likes the host", None, near(preferred=[(7, term())]), [100, 0, 0, 0]),
        ("likes the zone", None, near(preferred=[(7, term(ZONE))]), [100, 100, 0, 0]),
        ("dislikes the host", None, far(preferred=[(7, term())]), [0, 100, 100, 100]),
        (
            "likes the zone more than it dislikes the host",
            None,
            Affinity(
                podAffinity=near(preferred=[(30, term(ZONE))]).podAffinity,
                podAntiAffinity=far(preferred=[(15, term())]).podAntiAffinity,
            ),
            [50, 100, 0, 0],
        ),
        ("is liked", near(preferred=[(1, term(ZONE, "x"))]), None, [100, 100, 0, 0]),
        ("is disliked", far(preferred=[(1, term(HOSTNAME, "x"))]), None, [0, 100, 100, 100]),
        ("is required by one that runs", near(term(HOSTNAME, "x")), None, [100, 0, 0, 0]),
        ("liked is another", near(preferred=[(1, term(ZONE, "y"))]), None, None),
    ],
)
def test_how_much_a_node_is_liked(
    case: str, on_a1: Affinity | None, own: Affinity | None, expected: list[int] | None
) -> None:
    state = cluster(NODES, {"a1": [pod("web", affinity=on_a1)]})
    places = list(state.nodes.values())
    assert company(profile(pod("p", "x", affinity=own)), places, state) == expected, case


def test_what_is_liked_decides_between_equals() -> None:
    state = cluster(NODES, {"b1": [WEB]})
    assert decide(profile(pod("p", "x", affinity=near(preferred=[(100, term())]))), state) == "b1"
    assert decide(profile(pod("p", "x", affinity=far(preferred=[(100, term())]))), state) == "a1"
