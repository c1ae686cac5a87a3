"""How fast the pods of dead nodes are moved away: not at all when it may be us who are cut off.

Upstream: pkg/controller/nodelifecycle/node_lifecycle_controller.go (ComputeZoneState, handleDisruption,
setLimiterInZone).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from fairlead.objects.core_v1 import Node
from fairlead.workloads.nodelifecycle.health import ready_status

FEW = 2
"""So many nodes that are not ready are no disruption of a zone, whatever their share."""


class State(Enum):
    """How a zone is."""

    NORMAL = "Normal"
    PARTIAL = "PartialDisruption"
    FULL = "FullDisruption"


@dataclass(frozen=True)
class Rates:
    """Nodes a second whose pods are evicted, in each zone; upstream's option names and defaults."""

    node_eviction_rate: float = 0.1
    secondary_node_eviction_rate: float = 0.01
    unhealthy_zone_threshold: float = 0.55
    """The share of a zone's nodes that are not ready from which on it is disrupted."""
    large_cluster_size_threshold: int = 50
    """Zones of up to so many nodes evict nothing when disrupted, larger ones at the secondary rate."""


def zone_of(node: Node) -> str:
    """The region and zone of the node, as its labels say; upstream: GetZoneKey."""
    labels = node.metadata.labels
    return (
        f"{labels.get('topology.kubernetes.io/region', '')}:{labels.get('topology.kubernetes.io/zone', '')}"
    )


@dataclass(frozen=True)
class Zone:
    """How many nodes of a zone are ready, and how many not."""

    ready: int
    not_ready: int

    def state(self, threshold: float) -> State:
        """How it is; `threshold` is the share of nodes that are not ready from which on it is disrupted."""
        if self.ready == 0 and self.not_ready > 0:
            return State.FULL
        if self.not_ready > FEW and self.not_ready >= threshold * (self.ready + self.not_ready):
            return State.PARTIAL
        return State.NORMAL


def survey(nodes: Iterable[Node]) -> dict[str, Zone]:
    """The zones of these nodes. Cost: proportional to the nodes."""
    counts: Counter[tuple[str, bool]] = Counter((zone_of(n), ready_status(n) == "True") for n in nodes)
    return {zone: Zone(counts[zone, True], counts[zone, False]) for zone, _ in counts}


def rates(zones: Mapping[str, Zone], config: Rates) -> dict[str, float]:
    """Nodes a second whose pods may be evicted, by zone; 0 everywhere if no node at all is ready."""
    states = {name: zone.state(config.unhealthy_zone_threshold) for name, zone in zones.items()}
    if is_cut_off(zones):
        return dict.fromkeys(zones, 0.0)
    found = {}
    for name, state in states.items():
        size = zones[name].ready + zones[name].not_ready
        reduced = config.secondary_node_eviction_rate if size > config.large_cluster_size_threshold else 0.0
        found[name] = reduced if state is State.PARTIAL else config.node_eviction_rate
    return found


def is_cut_off(zones: Mapping[str, Zone]) -> bool:
    """Whether every node of every zone is not ready: then rather we have lost touch than they have all died."""
    return bool(zones) and all(zone.ready == 0 for zone in zones.values())


class Pace:
    """When the next node of each zone may be given up; the first at once. Moments are of a monotonic clock, in s."""

    def __init__(self) -> None:
        self._next: dict[str, float] = {}

    def wait(self, zone: str, rate: float, now: float) -> float | None:
        """Seconds until a node of this zone may be given up, None if none may be; 0 takes the turn."""
        if rate <= 0:
            return None
        due = self._next.get(zone, now)
        if due > now:
            # the rate may have risen since
            due = min(due, now + 1 / rate)
            self._next[zone] = due
            return due - now
        self._next[zone] = now + 1 / rate
        return 0.0
