"""The rules that a node has to pass before it may run a pod, in the order in which they are asked.

Upstream: the default profile's filter plugins (apis/config/v1/default_plugins.go). Rules on volumes are not among them.
"""

from __future__ import annotations

from collections.abc import Callable

from fairlead.objects.core_v1 import Toleration
from fairlead.workloads.scheduling import hostports, nodeaffinity, room, taints
from fairlead.workloads.scheduling.cluster import Cluster, Place
from fairlead.workloads.scheduling.podaffinity import Neighbours
from fairlead.workloads.scheduling.profile import Profile
from fairlead.workloads.scheduling.refusal import (
    NOT_MEANT,
    NOT_NAMED,
    PORTS_TAKEN,
    TAINTED,
    UNSCHEDULABLE,
    Refusal,
)
from fairlead.workloads.scheduling.topologyspread import Skew

Check = Callable[[Place], Refusal | None]


class Filters:
    """All rules, prepared for one pod and the cluster as it is now."""

    def __init__(self, pod: Profile, cluster: Cluster) -> None:
        spec = pod.pod.spec
        self._named = nodeaffinity.named(spec)
        self._tolerations: tuple[Toleration, ...] = spec.tolerations
        checks: list[Check] = []
        if nodeaffinity.asks(spec):
            checks.append(
                lambda place: None if nodeaffinity.matches(spec, place.name, place.labels) else NOT_MEANT
            )
        if pod.ports:
            checks.append(
                lambda place: PORTS_TAKEN if hostports.conflicts(pod.ports, place.ports.keys()) else None
            )
        checks.append(lambda place: room.lacks(pod, place))
        constraints = [constraint for constraint in pod.spreads if constraint.hard]
        if constraints:
            checks.append(Skew(pod, constraints, cluster).refuses)
        neighbours = Neighbours(pod, cluster)
        if neighbours.asks:
            checks.append(neighbours.refuses)
        self._checks = checks

    @property
    def contradictory(self) -> bool:
        """Whether the pod names nodes in a way that none can be meant."""
        return self._named is not None and not self._named

    def refusal(self, place: Place) -> Refusal | None:
        """What the first rule says that is against this node."""
        if self._named is not None and place.name not in self._named:
            return NOT_NAMED
        if place.unschedulable and not taints.is_tolerated(taints.UNSCHEDULABLE, self._tolerations):
            return UNSCHEDULABLE
        if place.hard and taints.untolerated(place.hard, self._tolerations) is not None:
            return TAINTED
        for check in self._checks:
            refusal = check(place)
            if refusal is not None:
                return refusal
        return None
