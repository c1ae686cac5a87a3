"""The decision: a node for a pod, or why there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from fairlead.workloads.scheduling.cluster import Cluster
from fairlead.workloads.scheduling.filters import Filters
from fairlead.workloads.scheduling.profile import Profile
from fairlead.workloads.scheduling.refusal import NODE_AFFINITY, Refusal
from fairlead.workloads.scheduling.scores import Defaults, best


@dataclass(frozen=True)
class Unschedulable:
    """No node may run the pod. `message` counts the reasons, in upstream's form (framework.FitError).

    `rules` are those that refused a node: what they look at has to change before another try can help.
    """

    message: str
    refusals: Mapping[str, Refusal]
    rules: frozenset[str] = frozenset()


def no_defaults(pod: Profile) -> tuple[()]:
    """Pods without constraints are not spread."""
    return ()


def decide(pod: Profile, cluster: Cluster, defaults: Defaults = no_defaults) -> str | Unschedulable:
    """The name of the node for the pod. The same cluster gives the same answer.

    Cost: nodes times rules that the pod has to do with; how many pods there are does not matter. All nodes are
    looked at, where upstream is content with a sample of a hundred or more.
    """
    if not cluster.nodes:
        return Unschedulable("no nodes available to schedule pods", {})
    filters = Filters(pod, cluster)
    if filters.contradictory:
        message = _message(len(cluster.nodes), "pod affinity terms conflict")
        return Unschedulable(message, {}, frozenset((NODE_AFFINITY,)))
    feasible = []
    refusals: dict[str, Refusal] = {}
    for place in cluster.nodes.values():
        refusal = filters.refusal(place)
        if refusal is None:
            feasible.append(place)
        else:
            refusals[place.name] = refusal
    if feasible:
        return best(pod, feasible, cluster, defaults).name
    reasons = Counter(reason for refusal in refusals.values() for reason in refusal.reasons)
    return Unschedulable(
        _message(len(cluster.nodes), counted(reasons)),
        refusals,
        frozenset(refusal.rule for refusal in refusals.values()),
    )


def decide_beside(
    pod: Profile,
    cluster: Cluster,
    reserved: Mapping[str, tuple[Profile, str]],
    defaults: Defaults = no_defaults,
) -> str | Unschedulable:
    """The same, with room kept for pods that are not on their nodes yet, given with the names of these.

    The pod has to fit with them and without. Upstream: RunFilterPluginsWithNominatedPods.
    """
    if not reserved:
        return decide(pod, cluster, defaults)
    with kept(cluster, reserved):
        decided = decide(pod, cluster, defaults)
    if isinstance(decided, str) and Filters(pod, cluster).refusal(cluster.nodes[decided]) is not None:
        return decide(pod, cluster, defaults)
    return decided


@contextmanager
def kept(cluster: Cluster, reserved: Mapping[str, tuple[Profile, str]]) -> Iterator[None]:
    """The cluster as if the pods were on their nodes already. Cost: their number."""
    put = [held for key, held in reserved.items() if not cluster.where(key)]
    for other, node in put:
        cluster.put(other, node)
    try:
        yield
    finally:
        for other, _ in put:
            cluster.take(other.key)


def counted(reasons: Mapping[str, int]) -> str:
    """The reasons with their numbers, in upstream's order: as text is sorted."""
    return ", ".join(sorted(f"{number} {reason}" for reason, number in reasons.items()))


def _message(nodes: int, told: str) -> str:
    return f"0/{nodes} nodes are available: {told}."
