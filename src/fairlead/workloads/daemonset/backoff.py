"""How soon a pod that failed on a node is replaced: the more often it did, the later.

Upstream: failedPodsBackoff in pkg/controller/daemon, client-go/util/flowcontrol.
"""

from __future__ import annotations

FIRST, MOST = 1.0, 900.0
"""Seconds after the first failed pod of a node, doubled by each more, up to 15 minutes."""


class FailedPods:
    """By set and node, when a failed pod was deleted last, and how long the next one stays. Moments: monotonic, s."""

    def __init__(self) -> None:
        self._nodes: dict[str, dict[str, tuple[float, float]]] = {}

    def wait(self, key: str, node: str, now: float) -> float:
        """Seconds for which a failed pod of the set has still to stay on the node; 0 if it may be deleted."""
        since, delay = self._nodes.get(key, {}).get(node, (now, 0.0))
        return max(since + delay - now, 0.0)

    def deleted(self, key: str, node: str, now: float) -> None:
        """A failed pod was deleted. After twice the longest delay without one the count begins anew."""
        nodes = self._nodes.setdefault(key, {})
        for each in [name for name, (since, _) in nodes.items() if now - since > 2 * MOST]:
            del nodes[each]
        _, delay = nodes.get(node, (now, 0.0))
        nodes[node] = (now, min(max(2 * delay, FIRST), MOST))

    def forget(self, key: str) -> None:
        """The set is gone."""
        self._nodes.pop(key, None)
