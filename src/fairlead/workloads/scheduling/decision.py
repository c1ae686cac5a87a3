"""The decision: a node for a pod, or why there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
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


def counted(reasons: Mapping[str, int]) -> str:
    """The reasons with their numbers, in upstream's order: as text is sorted."""
    return ", ".join(sorted(f"{number} {reason}" for reason, number in reasons.items()))


def _message(nodes: int, told: str) -> str:
    return f"0/{nodes} nodes are available: {told}."
