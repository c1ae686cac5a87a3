"""Spreading pods over hosts, zones and the like: topologySpreadConstraints.

Upstream: plugins/podtopologyspread (filtering.go, scoring.go).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from fairlead.workloads.scheduling import nodeaffinity, taints
from fairlead.workloads.scheduling.cluster import Cluster, Place
from fairlead.workloads.scheduling.profile import Profile
from fairlead.workloads.scheduling.refusal import NO_DOMAIN, SKEWED, Refusal
from fairlead.workloads.scheduling.room import FULL
from fairlead.workloads.scheduling.terms import HOSTNAME, Spread


class Skew:
    """The pod's hard constraints against the pods that there are. Making it costs the nodes times the constraints."""

    def __init__(self, pod: Profile, constraints: Sequence[Spread], cluster: Cluster) -> None:
        self._rules: list[tuple[str, int, Mapping[str, int]]] = []
        eligible = [p for p in cluster.nodes.values() if all(c.key in p.labels for c in constraints)]
        for constraint in constraints:
            counts = cluster.census.counts(constraint.query)
            domains: dict[str, int] = {}
            for place in eligible:
                if _counts(constraint, pod, place):
                    domain = place.labels[constraint.key]
                    domains[domain] = domains.get(domain, 0) + counts.get(place.name, 0)
            least = min(domains.values(), default=math.inf)
            if len(domains) < constraint.min_domains:
                least = 0
            own = 1 if constraint.query.selector.matches(pod.labels) else 0
            # How many pods a domain may have before this one comes.
            most = constraint.max_skew + int(min(least, 2**31 - 1)) - own
            self._rules.append((constraint.key, most, domains))

    def refuses(self, place: Place) -> Refusal | None:
        """Whether the pod would make the node's domains too full."""
        for key, most, domains in self._rules:
            domain = place.labels.get(key)
            if domain is None:
                return NO_DOMAIN
            if domains.get(domain, 0) > most:
                return SKEWED
        return None


def evenness(
    pod: Profile,
    constraints: Sequence[Spread],
    feasible: Sequence[Place],
    cluster: Cluster,
    *,
    all_keys: bool,
) -> list[int]:
    """How few of the pod's like are in the domains of each feasible node, 0 to 100.

    `all_keys`: a node without one of the topology keys gets nothing, as with constraints of the pod's own.
    Cost: all nodes times the constraints; only the feasible ones for constraints on hosts.
    """
    keys = [constraint.key for constraint in constraints]
    ignored = {p.name for p in feasible if all_keys and not all(key in p.labels for key in keys)}
    scored = [place for place in feasible if place.name not in ignored]
    raw = dict.fromkeys((place.name for place in scored), 0.0)
    for constraint in constraints:
        key = constraint.key
        counts = cluster.census.counts(constraint.query)
        if key == HOSTNAME:
            weight = math.log(len(scored) + 2)
            for place in scored:
                if key in place.labels:
                    raw[place.name] += counts.get(place.name, 0) * weight + constraint.max_skew - 1
            continue
        domains = dict.fromkeys((place.labels.get(key, "") for place in scored), 0)
        weight = math.log(len(domains) + 2)
        _add_up(domains, constraint, pod, counts, cluster, keys if all_keys else ())
        for place in scored:
            if key in place.labels:
                raw[place.name] += domains[place.labels[key]] * weight + constraint.max_skew - 1
    rounded = {name: math.floor(score + 0.5) for name, score in raw.items()}
    highest, lowest = max(rounded.values(), default=0), min(rounded.values(), default=0)
    if not highest:
        return [0 if place.name in ignored else FULL for place in feasible]
    return [
        0 if place.name in ignored else FULL * (highest + lowest - rounded[place.name]) // highest
        for place in feasible
    ]


def _add_up(
    domains: dict[str, int],
    constraint: Spread,
    pod: Profile,
    counts: Mapping[str, int],
    cluster: Cluster,
    keys: Iterable[str],
) -> None:
    """Adds the pods of each node to its domain, if a feasible node is in it."""
    for name, number in counts.items():
        place = cluster.nodes.get(name)
        if place is None or not all(key in place.labels for key in keys):
            continue
        domain = place.labels.get(constraint.key, "")
        if domain in domains and _counts(constraint, pod, place):
            domains[domain] += number


def _counts(constraint: Spread, pod: Profile, place: Place) -> bool:
    """Whether the node counts for the constraint. Upstream: matchNodeInclusionPolicies."""
    spec = pod.pod.spec
    if constraint.honors_affinity and not nodeaffinity.matches(spec, place.name, place.labels):
        return False
    return not constraint.honors_taints or taints.untolerated(place.hard, spec.tolerations) is None
