"""Whatever has come and gone before: what was counted on the way says the same as a direct reading of all pods."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.objects.core_v1 import Affinity, Node, Pod, PodAffinityTerm, Taint
from fairlead.objects.meta_v1 import LabelSelector
from fairlead.workloads.scheduling.amounts import requests
from fairlead.workloads.scheduling.cluster import Cluster
from fairlead.workloads.scheduling.hostports import host_ports
from fairlead.workloads.scheduling.podaffinity import Neighbours
from fairlead.workloads.scheduling.profile import profile
from fairlead.workloads.scheduling.topologyspread import Skew
from tests.workloads.scheduling.makers import HOSTNAME, ZONE, far, near, node, pod, spread
from tests.workloads.scheduling.reading import World, neighbours_refuse, skew_refuses

NAMES = ("n1", "n2", "n3", "n4")
SPACES = ("default", "other")
WORDS = {
    "": "",
    "node(s) didn't match pod affinity rules": "affinity",
    "node(s) didn't match pod anti-affinity rules": "anti-affinity",
    "node(s) didn't satisfy existing pods anti-affinity rules": "existing",
}

namespaces = st.sampled_from(SPACES)
labels = st.fixed_dictionaries({}, optional={"app": st.sampled_from("ab"), "v": st.sampled_from("12")})
selectors = st.one_of(st.none(), labels.map(lambda chosen: LabelSelector(matchLabels=chosen)))
keys = st.sampled_from((HOSTNAME, ZONE))
terms = st.builds(
    PodAffinityTerm,
    topologyKey=keys,
    labelSelector=selectors,
    namespaces=st.sampled_from(((), (), ("other",))),
    namespaceSelector=st.sampled_from(
        (None, None, LabelSelector(), LabelSelector(matchLabels={"team": "red"}))
    ),
    matchLabelKeys=st.sampled_from(((), ("v",))),
).filter(lambda term: term.labelSelector is not None or not term.matchLabelKeys)
lists = st.lists(terms, max_size=2).map(tuple)
affinities = st.builds(
    lambda wanted, shunned: Affinity(
        podAffinity=near(*wanted).podAffinity, podAntiAffinity=far(*shunned).podAntiAffinity
    ),
    st.one_of(st.just(()), st.just(()), lists),
    lists,
)
constraints = st.lists(
    st.builds(
        lambda key, skew, chosen, fewest, policy, tainted: spread(
            key,
            skew,
            labelSelector=chosen,
            minDomains=fewest,
            nodeAffinityPolicy=policy,
            nodeTaintsPolicy=tainted,
        ),
        keys,
        st.integers(1, 2),
        selectors,
        st.sampled_from((None, None, 2, 3)),
        st.sampled_from((None, "Honor", "Ignore")),
        st.sampled_from((None, "Honor", "Ignore")),
    ),
    max_size=2,
).map(tuple)


@st.composite
def pods(draw: st.DrawFn) -> Pod:
    fields: dict[str, Any] = {"affinity": draw(affinities), "topologySpreadConstraints": draw(constraints)}
    if draw(st.booleans()):
        fields["nodeSelector"] = {ZONE: draw(st.sampled_from("xy"))}
    return pod(
        draw(st.sampled_from(("p1", "p2", "p3", "p4", "p5", "p6"))),
        namespace=draw(namespaces),
        labels=draw(labels),
        cpu=draw(st.sampled_from(("", "500m", "1"))),
        ports=draw(st.sampled_from(((), (("TCP", 80, ""),)))),
        terminating=draw(st.booleans()) and draw(st.booleans()),
        **fields,
    )


nodes = st.builds(
    lambda name, zone, tainted: node(
        name, *((Taint(key="t", effect="NoSchedule"),) if tainted else ()), zone=zone
    ),
    st.sampled_from(NAMES),
    st.sampled_from(("", "x", "y")),
    st.booleans(),
)
steps = st.one_of(
    nodes,
    st.tuples(pods(), st.sampled_from(NAMES)),
    st.tuples(pods(), st.sampled_from(NAMES)),
    st.tuples(st.just("take"), namespaces, st.integers(1, 6)),
    st.tuples(st.just("drop"), st.sampled_from(NAMES)),
    st.tuples(st.just("label"), namespaces, st.sampled_from(({}, {"team": "red"}))),
    pods(),
)


def apply(step: Any, state: Cluster, world: World) -> None:
    """Takes the step in both."""
    match step:
        case Node():
            state.set_node(step)
            world.nodes[step.metadata.name] = step
        case (Pod() as placed, name):
            key = f"{placed.metadata.namespace}/{placed.metadata.name}"
            state.put(profile(placed), name)
            world.pods[key] = (placed, name)
        case ("take", space, number):
            state.take(f"{space}/p{number}")
            world.pods.pop(f"{space}/p{number}", None)
        case ("drop", name):
            state.remove_node(name)
            world.nodes.pop(name, None)
        case ("label", space, chosen):
            state.census.set_namespace(space, chosen)
            world.namespaces[space] = chosen


def compare(candidate: Pod, state: Cluster, world: World) -> None:
    """Asks both where the pod may be."""
    mine = profile(candidate)
    neighbours = Neighbours(mine, state)
    hard = [constraint for constraint in mine.spreads if constraint.hard]
    skew = Skew(mine, hard, state)
    assert state.nodes.keys() == world.nodes.keys()
    for name, each in world.nodes.items():
        place = state.nodes[name]
        refusal = neighbours.refuses(place)
        said = WORDS[refusal.reasons[0] if refusal else ""]
        assert said == neighbours_refuse(candidate, each, world), name
        assert (skew.refuses(place) is not None) is skew_refuses(candidate, each, world), name
        there = world.on(name)
        assert place.requested.get("cpu", 0) == sum(requests(p).get("cpu", 0) for p in there)
        assert place.cpu == sum(requests(p, least=True)["cpu"] for p in there)
        assert set(place.ports) == {port for p in there for port in host_ports(p)}
        assert len(place.pods) == len(there)


@settings(max_examples=150, deadline=None)
@given(st.lists(nodes, min_size=1, max_size=4), st.lists(steps, max_size=25), pods())
def test_the_counters_say_what_a_direct_reading_says(
    begin: list[Node], history: list[Any], last: Pod
) -> None:
    state, world = Cluster(), World()
    for step in [*begin, *history, last]:
        if isinstance(step, Pod):
            compare(step, state, world)
        else:
            apply(step, state, world)


@settings(max_examples=50, deadline=None)
@given(st.lists(steps, max_size=25))
def test_when_all_has_gone_nothing_is_kept(history: list[Any]) -> None:
    state, world = Cluster(), World()
    for step in history:
        if isinstance(step, Pod):
            compare(step, state, world)
        else:
            apply(step, state, world)
    for key in list(world.pods):
        state.take(key)
    for name in list(world.nodes):
        state.remove_node(name)
    census = state.census
    assert not census.shunned
    assert not census.wished
    assert vars(census)["_kinds"] == {}
    assert all(not counts for counts in vars(census)["_counters"].values())
    assert vars(state)["_places"] == {}
