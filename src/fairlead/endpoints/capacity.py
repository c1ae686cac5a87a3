"""The zones' parts of the cluster's CPU, kept up to date with the nodes."""

from __future__ import annotations

import math
from collections import Counter

from fairlead.endpoints.pods import ZONE
from fairlead.endpoints.topology import Shares
from fairlead.objects.core_v1 import Node
from fairlead.objects.quantities import parse

_EXCLUDED = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


def contribution(node: Node | None) -> tuple[str, int] | None:
    """The node's zone and its CPU in thousandths; None if it does not count: not ready, or of the control plane.

    The zone may be "" and the CPU 0 where the node does not say.
    """
    if node is None or any(label in node.metadata.labels for label in _EXCLUDED):
        return None
    if not any(c.type == "Ready" and c.status == "True" for c in node.status.conditions):
        return None
    cpu = node.status.allocatable.get("cpu", "0")
    try:
        return node.metadata.labels.get(ZONE, ""), math.ceil(parse(cpu) * 1000)
    except ValueError:
        return node.metadata.labels.get(ZONE, ""), 0


class Capacity:
    """The CPU of each zone's nodes. Cost of a node's change: the number of zones."""

    def __init__(self) -> None:
        self._cpu: Counter[str] = Counter()
        self._nodes: Counter[str] = Counter()
        self._silent = 0
        self.shares: Shares | None = None
        """None if they are not known: a ready node does not say its zone or CPU, or there is only one zone."""

    def change(self, old: Node | None, new: Node | None) -> bool:
        """Takes over the change of a node; whether the shares are others now."""
        before, after = contribution(old), contribution(new)
        if before == after:
            return False
        for sign, counted in ((-1, before), (1, after)):
            if counted is None:
                continue
            zone, cpu = counted
            if not zone or not cpu:
                self._silent += sign
                continue
            self._cpu[zone] += sign * cpu
            self._nodes[zone] += sign
            if not self._nodes[zone]:
                del self._nodes[zone], self._cpu[zone]
        shares = self._shares()
        changed = shares != self.shares
        self.shares = shares
        return changed

    def _shares(self) -> Shares | None:
        if self._silent or len(self._cpu) < 2:
            return None
        total = self._cpu.total()
        return {zone: cpu / total for zone, cpu in self._cpu.items()}
