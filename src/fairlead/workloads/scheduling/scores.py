"""Which of the nodes that may run a pod is best.

Upstream: the default profile's score plugins with their weights; how pods are balanced over images is not among them,
since nodes have none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fairlead.workloads.scheduling import nodeaffinity, room, taints
from fairlead.workloads.scheduling.cluster import Cluster, Place
from fairlead.workloads.scheduling.podaffinity import company
from fairlead.workloads.scheduling.profile import Profile
from fairlead.workloads.scheduling.room import FULL
from fairlead.workloads.scheduling.terms import Spread
from fairlead.workloads.scheduling.topologyspread import evenness

TAINTS, AFFINITY, SPREADING, COMPANY = 3, 2, 2, 2
"""Weights of TaintToleration, NodeAffinity, PodTopologySpread, InterPodAffinity; all others count once."""

Defaults = Callable[[Profile], Sequence[Spread]]
"""How a pod without constraints of its own is spread."""


def best(pod: Profile, feasible: Sequence[Place], cluster: Cluster, defaults: Defaults) -> Place:
    """The best of the nodes; of equal ones that with the fewest pods, then the first by name.

    Upstream takes one of the equal ones at random.
    """
    if len(feasible) == 1:
        return feasible[0]
    totals = scores(pod, feasible, cluster, defaults)
    chosen = min(range(len(feasible)), key=lambda i: (-totals[i], len(feasible[i].pods), feasible[i].name))
    return feasible[chosen]


def scores(pod: Profile, feasible: Sequence[Place], cluster: Cluster, defaults: Defaults) -> list[int]:
    """The weighted sum of all scores, by node. Cost: nodes times what the pod asks for."""
    spec = pod.pod.spec
    balances = "cpu" in pod.requests or "memory" in pod.requests
    totals = [room.left(pod, place) + (room.balance(pod, place) if balances else 0) for place in feasible]
    if any(place.soft for place in feasible):
        raw = [
            sum(not taints.is_tolerated(taint, spec.tolerations) for taint in place.soft)
            for place in feasible
        ]
        _add(totals, TAINTS, [FULL - score for score in _to_full(raw)])
    if nodeaffinity.prefers(spec):
        raw = [nodeaffinity.preference(spec, place.name, place.labels) for place in feasible]
        _add(totals, AFFINITY, _to_full(raw))
    own = pod.spreads
    constraints = [c for c in own if not c.hard] if own else defaults(pod)
    if constraints:
        _add(totals, SPREADING, evenness(pod, constraints, feasible, cluster, all_keys=bool(own)))
    liked = company(pod, feasible, cluster)
    if liked is not None:
        _add(totals, COMPANY, liked)
    return totals


def _add(totals: list[int], weight: int, more: Sequence[int]) -> None:
    for i, score in enumerate(more):
        totals[i] += weight * score


def _to_full(raw: Sequence[int]) -> list[int]:
    """Scaled so that the highest is 100. Upstream: helper.DefaultNormalizeScore."""
    highest = max(raw)
    return [FULL * score // highest for score in raw] if highest else [0] * len(raw)
