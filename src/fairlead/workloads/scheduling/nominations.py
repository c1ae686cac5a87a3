"""Nominations: nodes on which others had to go for a pod that waits, and whose room is kept for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fairlead.workloads.scheduling.cluster import Cluster
from fairlead.workloads.scheduling.preemption import Preemption
from fairlead.workloads.scheduling.profile import Profile


@dataclass(frozen=True, slots=True)
class _Nomination:
    pod: Profile
    node: str
    victims: tuple[Profile, ...] = ()


class Nominations:
    """The nominated pods by their keys; they are few."""

    def __init__(self) -> None:
        self._held: dict[str, _Nomination] = {}

    def set(self, pod: Profile, node: str) -> None:
        """The pod has been promised room on this node; "": on none."""
        if not node:
            self._held.pop(pod.key, None)
            return
        known = self._held.get(pod.key)
        if known is None or known.node != node or known.pod is not pod:
            victims = known.victims if known is not None and known.node == node else ()
            self._held[pod.key] = _Nomination(pod, node, victims)

    def begin(self, pod: Profile, preemption: Preemption) -> None:
        """The victims are about to be deleted."""
        self._held[pod.key] = _Nomination(pod, preemption.node, preemption.victims)

    def failed(self, key: str) -> None:
        """One of the victims could not be deleted: they are looked for anew."""
        known = self._held.get(key)
        if known is not None:
            self._held[key] = _Nomination(known.pod, known.node)

    def remove(self, key: str) -> None:
        """The pod has its node, or is gone."""
        self._held.pop(key, None)

    def node(self, key: str) -> str:
        """The node on which the pod has been promised room; "" if none."""
        known = self._held.get(key)
        return known.node if known is not None else ""

    def waits(self, key: str, cluster: Cluster) -> bool:
        """Whether a victim is still on the node."""
        known = self._held.get(key)
        place = cluster.nodes.get(known.node) if known is not None else None
        if known is None or place is None:
            return False
        there = (place.pods.get(victim.key) for victim in known.victims)
        uids = {victim.pod.metadata.uid for victim in known.victims}
        return any(other is not None and other.pod.metadata.uid in uids for other in there)

    def before(self, pod: Profile) -> Mapping[str, tuple[Profile, str]]:
        """The pods, with their nodes, whose room this one may not take: those that are no less important."""
        return {
            key: (held.pod, held.node)
            for key, held in self._held.items()
            if key != pod.key and held.pod.priority >= pod.priority
        }
