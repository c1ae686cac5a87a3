"""How many pods each node has, and of which kin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field

from fairlead.objects.core_v1 import Pod

Kin = Hashable
"""What pods that are copies of each other have in common."""


def kin(pod: Pod) -> Kin:
    """The controller that made the pod; without one, its labels. Pods with neither are kin of nobody."""
    meta = pod.metadata
    for owner in meta.ownerReferences:
        if owner.controller:
            return (meta.namespace, owner.uid)
    return (meta.namespace, frozenset(meta.labels.items())) if meta.labels else (meta.namespace, meta.name)


@dataclass
class Load:
    """The pods of one node: all of them, and the number of each kin."""

    pods: int = 0
    kin: Counter[Kin] = field(default_factory=Counter)


class Loads:
    """The loads of all nodes, changed pod by pod."""

    def __init__(self) -> None:
        self._loads: dict[str, Load] = {}
        self._places: dict[str, tuple[str, Kin]] = {}

    def __getitem__(self, node: str) -> Load:
        return self._loads.get(node) or Load()

    def place(self, key: str, node: str, pod: Pod) -> None:
        """The pod with this key is on this node, wherever it was counted before."""
        place = (node, kin(pod))
        if self._places.get(key) == place:
            return
        self.remove(key)
        self._places[key] = place
        load = self._loads.setdefault(node, Load())
        load.pods += 1
        load.kin[place[1]] += 1

    def remove(self, key: str) -> None:
        """The pod with this key is on no node."""
        place = self._places.pop(key, None)
        if place is None:
            return
        load = self._loads[place[0]]
        load.pods -= 1
        load.kin[place[1]] -= 1
        if not load.kin[place[1]]:
            del load.kin[place[1]]
        if not load.pods:
            del self._loads[place[0]]
