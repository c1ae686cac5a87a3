"""Where the endpoints of a Service stand: its slices, each with what the planners ask of it.

A `Layout` follows the slices of one Service in one family, so that a plan for the change of one pod need not look at
all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from fairlead.endpoints.ports import PortsKey, ports_key
from fairlead.objects.discovery_v1 import Endpoint, EndpointSlice


def hinted_zones(endpoint: Endpoint) -> list[str]:
    """The zones that the endpoint is meant for."""
    return [zone.name for zone in endpoint.hints.forZones] if endpoint.hints is not None else []


@dataclass(frozen=True, eq=False)
class Held:
    """A slice as it is held by the API server. What is derived of it is computed once for each of its versions."""

    piece: EndpointSlice

    @property
    def name(self) -> str:
        """The slice's name."""
        return self.piece.metadata.name

    @cached_property
    def ports(self) -> PortsKey:
        """Which group of slices it belongs to."""
        return ports_key(self.piece.ports)

    @cached_property
    def ready(self) -> int:
        """The number of its ready endpoints."""
        return sum(1 for e in self.piece.endpoints if e.conditions is not None and e.conditions.ready)

    @cached_property
    def hinted(self) -> bool:
        """Whether any endpoint has hints."""
        return any(e.hints is not None for e in self.piece.endpoints)

    @cached_property
    def zones(self) -> Mapping[str, int] | None:
        """The number of ready endpoints meant for each zone; None if one of them is meant for none."""
        counts: Counter[str] = Counter()
        for endpoint in self.piece.endpoints:
            if endpoint.conditions is not None and endpoint.conditions.ready:
                zones = hinted_zones(endpoint)
                if not zones:
                    return None
                counts.update(zones)
        return counts


class Layout:
    """The slices of a Service in one family by name, and the slice that each pod stands in."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}
        self._holder: dict[str, str] = {}

    def follow(self, slices: Iterable[EndpointSlice]) -> bool:
        """Takes over what the slices are now. Cost: their number, and the endpoints of those that changed.

        False if a pod stands in two slices: then no plan that looks at a part of them can be right.
        """
        now = {piece.metadata.name: piece for piece in slices}
        stale = [name for name, held in self.held.items() if now.get(name) is not held.piece]
        for name in stale:
            for pod in _pods(self.held.pop(name).piece):
                if self._holder.get(pod) == name:
                    del self._holder[pod]
        single = True
        for name, piece in now.items():
            if name in self.held:
                continue
            self.held[name] = Held(piece)
            for pod in _pods(piece):
                single = self._holder.setdefault(pod, name) == name and single
        return single

    def holding(self, pods: Iterable[str]) -> list[Held]:
        """The slices in which pods of these names stand, each once."""
        names = dict.fromkeys(name for pod in pods if (name := self._holder.get(pod)) is not None)
        return [self.held[name] for name in names]


def _pods(piece: EndpointSlice) -> list[str]:
    return [e.targetRef.name for e in piece.endpoints if e.targetRef is not None]
