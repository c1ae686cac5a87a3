"""topologySpreadConstraints, by table; and how pods without any are spread."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from fairlead.objects.core_v1 import Service, ServiceSpec, Taint, Toleration
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.workloads.scheduling.decision import decide
from fairlead.workloads.scheduling.defaults import DefaultSpreads
from fairlead.workloads.scheduling.profile import profile
from fairlead.workloads.scheduling.topologyspread import evenness
from tests.workloads.scheduling.makers import HOSTNAME, ZONE, cluster, node, outcome, pod, spread

SKEWED = "node(s) didn't match pod topology spread constraints"
NO_DOMAIN = "node(s) didn't match pod topology spread constraints (missing required label)"
GPU = Taint(key="gpu", effect="NoSchedule")


def rows() -> Any:
    """Name, numbers of pods on a1, a2, b1 (zones a, a, b), the constraints, other fields, the allowed nodes."""
    zone = (spread(),)
    yield "empty", (0, 0, 0), zone, {}, {"a1", "a2", "b1"}
    yield "one zone ahead", (1, 0, 0), zone, {}, {"b1"}
    yield "even", (1, 0, 1), zone, {}, {"a1", "a2", "b1"}
    yield "a skew of two", (1, 0, 0), (spread(skew=2),), {}, {"a1", "a2", "b1"}
    yield "two ahead of a skew of two", (1, 1, 0), (spread(skew=2),), {}, {"b1"}
    yield "over hosts", (1, 0, 1), (spread(HOSTNAME),), {}, {"a2"}
    yield "over hosts and zones", (1, 0, 0), (spread(HOSTNAME), spread()), {}, {"b1"}
    yield "between both", (1, 0, 1), (spread(HOSTNAME), spread()), {}, {"a2"}
    yield "soft", (5, 0, 0), (spread(hard=False),), {}, {"a1", "a2", "b1"}
    yield "of another app", (5, 0, 0), (spread(app="db"),), {}, {"a1", "a2", "b1"}
    yield "not of those that it counts", (1, 0, 0), (spread(app="web"),), {"app": "x"}, {"a1", "a2", "b1"}
    yield "not of them, and two ahead", (2, 0, 0), (spread(app="web"),), {"app": "x"}, {"b1"}
    yield "enough domains", (1, 0, 1), (spread(minDomains=2),), {}, {"a1", "a2", "b1"}
    yield "too few domains", (1, 0, 1), (spread(minDomains=3),), {}, set()
    yield "too few domains, still empty", (0, 0, 1), (spread(minDomains=3),), {}, {"a1", "a2"}
    yield "no node has the key", (0, 0, 0), (spread("rack"),), {}, set()
    only_a = {"nodeSelector": {ZONE: "a"}}
    yield "unasked zones do not count", (1, 0, 0), zone, only_a, {"a1", "a2"}
    ignoring = (spread(nodeAffinityPolicy="Ignore"),)
    yield "unless they are to", (1, 0, 0), ignoring, only_a, set()
    mine = {"labels": {"app": "web", "version": "2"}}
    yield "only the same version", (5, 0, 0), (spread(matchLabelKeys=("version",)),), mine, {"a1", "a2", "b1"}
    yield "no selector, no pods", (5, 0, 0), (spread(labelSelector=None),), {}, {"a1", "a2", "b1"}


@pytest.mark.parametrize(
    ("case", "numbers", "constraints", "fields", "allowed"), [pytest.param(*row, id=row[0]) for row in rows()]
)
def test_where_a_pod_may_be(
    case: str, numbers: tuple[int, ...], constraints: Any, fields: dict[str, Any], allowed: set[str]
) -> None:
    nodes = [node("a1", zone="a"), node("a2", zone="a"), node("b1", zone="b")]
    state = cluster(nodes)
    for each, number in zip(nodes, numbers, strict=True):
        for i in range(number):
            state.put(profile(pod(f"{each.metadata.name}-{i}")), each.metadata.name)
    found = outcome(pod("p", topologySpreadConstraints=constraints, **fields), state)
    assert {"a1", "a2", "b1"} - found.keys() == allowed, case


def test_terminating_pods_and_other_namespaces_do_not_count() -> None:
    state = cluster([node("a1", zone="a"), node("b1", zone="b")])
    state.put(profile(pod("ending", terminating=True)), "a1")
    state.put(profile(pod("away", namespace="other")), "a1")
    wanted = pod("p", topologySpreadConstraints=(spread(),))
    assert outcome(wanted, state) == {}
    state.put(profile(pod("ending")), "a1")
    assert outcome(wanted, state) == {"a1": SKEWED}


def test_a_node_without_the_key_says_so_and_does_not_count() -> None:
    state = cluster([node("a1", zone="a"), node("b1", zone="b"), node("bare")], {"bare": [pod("o")]})
    assert outcome(pod("p", topologySpreadConstraints=(spread(),)), state) == {"bare": NO_DOMAIN}


@pytest.mark.parametrize(
    ("policy", "tolerations", "allowed"),
    [
        (None, (), set()),
        ("Ignore", (), set()),
        ("Honor", (), {"a1"}),
        ("Honor", (Toleration(operator="Exists"),), {"b1"}),
    ],
)
def test_tainted_nodes_count_unless_they_are_not_to(
    policy: str | None, tolerations: tuple[Toleration, ...], allowed: set[str]
) -> None:
    state = cluster([node("a1", zone="a"), node("b1", GPU, zone="b")], {"a1": [pod("o")]})
    wanted = pod("p", topologySpreadConstraints=(spread(nodeTaintsPolicy=policy),), tolerations=tolerations)
    assert {"a1", "b1"} - outcome(wanted, state).keys() == allowed


def test_soft_constraints_prefer_the_emptier_domain() -> None:
    nodes = [node("a1", zone="a"), node("a2", zone="a"), node("b1", zone="b"), node("bare")]
    state = cluster(nodes, {"a1": [pod("o1"), pod("o2")]})
    mine = profile(pod("p", topologySpreadConstraints=(spread(hard=False), spread(HOSTNAME, hard=False))))
    found = evenness(mine, mine.spreads, list(state.nodes.values()), state, all_keys=True)
    # Each counts the pods of its domain times the logarithm of the domains plus two: 5.99, 2.77 and 0.
    assert found == [0, 50, 100, 0], "a node without one of the keys gets nothing"
    assert decide(mine, state) == "b1"


def service(name: str, **selector: str) -> Service:
    return Service(
        metadata=ObjectMeta(name=name, namespace="default"), spec=ServiceSpec(selector=dict(selector))
    )


def test_pods_behind_a_service_spread_before_strangers_do() -> None:
    defaults = DefaultSpreads()
    defaults.change("default/web", service("web", app="web"))
    strangers = [pod(f"o{i}", "other") for i in range(6)]
    state = cluster([node(name) for name in ("n1", "n2", "n3")], {"n2": strangers})
    chosen = []
    for number in range(6):
        mine = profile(pod(f"p{number}"))
        found = decide(mine, state, defaults)
        assert isinstance(found, str)
        state.put(mine, found)
        chosen.append(found)
    assert Counter(chosen) == {"n1": 2, "n2": 2, "n3": 2}


def test_what_pods_are_spread_by_default() -> None:
    defaults = DefaultSpreads()
    alone = profile(pod("p"))
    assert defaults(alone) == ()
    defaults.change("default/web", service("web", app="web"))
    by_service = defaults(alone)
    assert [(c.key, c.max_skew, c.hard) for c in by_service] == [(HOSTNAME, 3, False), (ZONE, 5, False)]
    assert defaults(profile(pod("p", "db"))) == ()
    assert defaults(profile(pod("p", namespace="other"))) == ()
    of_set = profile(pod("p", "db", owner=("ReplicaSet", "u1")))
    assert [c.query.owner for c in defaults(of_set)] == ["u1", "u1"]
    assert defaults(profile(pod("p", "db", owner=("Job", "u2")))) == ()
    defaults.change("default/web", None)
    assert defaults(alone) == ()
