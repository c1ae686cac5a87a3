"""Preemption: which pods of lower priority have to go so that a pod has a node.

Upstream: framework/preemption, plugins/defaultpreemption.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fairlead.objects import labels as selectors
from fairlead.objects.policy_v1 import PodDisruptionBudget
from fairlead.workloads.scheduling.cluster import Cluster, Place
from fairlead.workloads.scheduling.decision import Unschedulable, counted
from fairlead.workloads.scheduling.filters import Filters
from fairlead.workloads.scheduling.profile import Profile

CANDIDATES = 100
"""Nodes for which victims are found before the best is taken: minCandidateNodesAbsolute."""

NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"
NEVER = "not eligible due to preemptionPolicy=Never."
WAITS = "not eligible due to a terminating pod on the nominated node."


@dataclass(frozen=True)
class Preemption:
    """The victims that have to go from the node, the most important first, and how many budgets that violates."""

    node: str
    victims: tuple[Profile, ...]
    violations: int = 0


def preempt(
    pod: Profile,
    refused: Unschedulable,
    cluster: Cluster,
    budgets: Iterable[PodDisruptionBudget] = (),
    nominated: str = "",
) -> Preemption | str:
    """Whom to remove so that the pod, which was refused, fits; or why nobody is removed, as the message says it.

    `nominated` is the node on which earlier victims may still be ending. Cost: of each node that has pods of lower
    priority and might do, those pods times the rules. The cluster is changed on the way, and is at the end what it was.
    """
    if pod.pod.spec.preemptionPolicy == "Never":
        return NEVER
    if nominated and _waits(pod, nominated, refused, cluster):
        return WAITS
    found: list[Preemption] = []
    reasons: Counter[str] = Counter()
    listed = tuple(budgets)
    for name, place in cluster.nodes.items():
        refusal = refused.refusals.get(name)
        if refusal is None or refusal.final:
            reasons[NOT_HELPFUL] += 1
            continue
        preemption = _on(place, pod, cluster, listed)
        if preemption is None:
            reasons[NO_VICTIMS] += 1
            continue
        found.append(preemption)
        if len(found) >= CANDIDATES:
            break
    if found:
        return min(found, key=lambda one: (_pain(one), one.node))
    return f"0/{len(cluster.nodes)} nodes are available: {counted(reasons)}."


def _waits(pod: Profile, nominated: str, refused: Unschedulable, cluster: Cluster) -> bool:
    """Whether victims of an earlier preemption are still going. Upstream: PodEligibleToPreemptOthers."""
    place, refusal = cluster.nodes.get(nominated), refused.refusals.get(nominated)
    if place is None or refusal is None or refusal.final or not _has_lower(place, pod):
        return False
    return any(
        other.kind.terminating and other.priority < pod.priority and _is_victim(other)
        for other in place.pods.values()
    )


def _is_victim(pod: Profile) -> bool:
    return any(
        c.type == "DisruptionTarget" and c.status == "True" and c.reason == "PreemptionByScheduler"
        for c in pod.pod.status.conditions
    )


def _has_lower(place: Place, pod: Profile) -> bool:
    return any(priority < pod.priority for priority in place.priorities)


def _on(
    place: Place, pod: Profile, cluster: Cluster, budgets: Sequence[PodDisruptionBudget]
) -> Preemption | None:
    """The fewest victims on this node; None where even all of them are not enough. Upstream: SelectVictimsOnNode."""
    if not _has_lower(place, pod):
        return None
    lower = sorted((other for other in place.pods.values() if other.priority < pod.priority), key=_importance)
    name = place.name
    for other in lower:
        cluster.take(other.key)
    gone = dict.fromkeys(lower)
    try:
        if Filters(pod, cluster).refusal(place) is not None:
            return None
        protected = _protected(lower, budgets)
        violations = 0
        # Those whose budget would be violated are spared first, then the more important ones.
        for other in sorted(lower, key=lambda one: one.key not in protected):
            cluster.put(other, name)
            if Filters(pod, cluster).refusal(place) is None:
                del gone[other]
            else:
                cluster.take(other.key)
                violations += other.key in protected
        victims = tuple(other for other in lower if other in gone)
        return Preemption(name, victims, violations) if victims else None
    finally:
        for other in gone:
            cluster.put(other, name)


def _importance(pod: Profile) -> tuple[int, str, str]:
    """The more important pods come first: by priority, then by age."""
    return (-pod.priority, _started(pod), pod.key)


def _started(pod: Profile) -> str:
    """When the pod started, as text that sorts; one that has not comes last."""
    return str(pod.pod.status.startTime or "9999")


def _protected(pods: Iterable[Profile], budgets: Sequence[PodDisruptionBudget]) -> set[str]:
    """Of the pods, given in the order of their importance, those whose going a budget does not allow."""
    left = {id(budget): budget.status.disruptionsAllowed for budget in budgets}
    chosen = [(budget, _selector(budget)) for budget in budgets]
    found: set[str] = set()
    for pod in pods:
        if not pod.labels:
            continue
        for budget, selector in chosen:
            if budget.metadata.namespace != pod.namespace or selector.everything:
                continue
            if not selector.matches(pod.labels) or pod.pod.metadata.name in budget.status.disruptedPods:
                continue
            left[id(budget)] -= 1
            if left[id(budget)] < 0:
                found.add(pod.key)
    return found


def _selector(budget: PodDisruptionBudget) -> selectors.Selector:
    try:
        return selectors.from_selector(budget.spec.selector)
    except ValueError:
        return selectors.NOTHING


def _pain(one: Preemption) -> tuple[int, int, int, int, tuple[int, ...]]:
    """How bad the preemption is; the least is chosen. Upstream: pickOneNodeForPreemption."""
    highest = one.victims[0].priority
    offset = 2**31  # so that every victim counts, whatever its priority
    total = sum(victim.priority + offset for victim in one.victims)
    earliest = min(_started(victim) for victim in one.victims if victim.priority == highest)
    # The later it started, the better: nothing is older than nothing.
    latest_first = tuple(-ord(letter) for letter in earliest)
    return (one.violations, highest, total, len(one.victims), latest_first)
