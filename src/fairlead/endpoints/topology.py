"""Topology hints: which zones and nodes an endpoint is meant for.

Two ways to ask for them. `trafficDistribution` (KEP-2433, KEP-3015) needs nothing but the endpoint itself: `own_hints`.
The annotation `topology-mode: Auto` (KEP-2433) shares the endpoints out to the zones by their CPU: `share_out`.
Upstream: k8s.io/endpointslice/topologycache, trafficdist.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from msgspec.structs import replace

from fairlead.endpoints.layout import Held, hinted_zones
from fairlead.objects.core_v1 import Service
from fairlead.objects.discovery_v1 import Endpoint, EndpointHints, ForNode, ForZone

TOPOLOGY_MODE = "service.kubernetes.io/topology-mode"
TOPOLOGY_AWARE_HINTS = "service.kubernetes.io/topology-aware-hints"
"""The annotation's deprecated name, which wins over the new one."""

AUTO = "Auto"
SAME_NODE = "PreferSameNode"
DISTRIBUTIONS = ("PreferClose", "PreferSameZone", SAME_NODE)

OVERLOAD = 0.2
"""How much more than its share an endpoint may be burdened with."""

INSUFFICIENT_NODES = (
    "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
)
TOO_FEW = "Insufficient number of endpoints"
OVERLOADED = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"
NO_ZONE = "One or more endpoints do not have a zone specified"
ENABLED = "Topology Aware Hints has been enabled"
DISABLED = "Topology Aware Hints has been disabled"

Shares = Mapping[str, float]
"""Zones with their part of all CPU, which add up to 1."""


def hints_mode(service: Service) -> str:
    """What the Service asks for: "Auto", one of `DISTRIBUTIONS`, or "". The annotations win over the field."""
    annotations = service.metadata.annotations
    mode = annotations.get(TOPOLOGY_AWARE_HINTS, annotations.get(TOPOLOGY_MODE, ""))
    if mode in ("Auto", "auto"):
        return AUTO
    distribution = service.spec.trafficDistribution or ""
    return distribution if distribution in DISTRIBUTIONS else ""


@lru_cache(maxsize=4096)
def own_hints(distribution: str, zone: str | None, node: str | None) -> EndpointHints | None:
    """The hints of a ready endpoint under a `trafficDistribution`: its own zone, and its own node if asked for."""
    if not distribution:
        return None
    for_zones = (ForZone(name=zone),) if zone else ()
    for_nodes = (ForNode(name=node),) if node and distribution == SAME_NODE else ()
    return EndpointHints(forZones=for_zones, forNodes=for_nodes) if for_zones or for_nodes else None


@dataclass(frozen=True)
class Allocation:
    """How many endpoints a zone should have hints for."""

    minimum: int
    maximum: int
    desired: float


def allocations(shares: Shares | None, ready: int) -> Mapping[str, Allocation] | str:
    """What each zone gets of `ready` endpoints, or the reason why they cannot be shared out fairly."""
    if shares is None:
        return INSUFFICIENT_NODES
    counts = f"({ready} endpoints, {len(shares)} zones)"
    if len(shares) > ready:
        return f"{TOO_FEW} {counts}"
    desired = {zone: share * ready for zone, share in shares.items()}
    minimum = {zone: _minimum(wanted) for zone, wanted in desired.items()}
    slack = ready - sum(minimum.values())
    if slack < 0:
        return f"{OVERLOADED} {counts}"
    return {
        zone: Allocation(minimum[zone], minimum[zone] + slack, max(desired[zone], minimum[zone]))
        for zone in shares
    }


@dataclass(frozen=True)
class Outcome:
    """What became of a Service's wish for hints in one family: `zones` that have them, or a reason why none has."""

    zones: Mapping[str, int] = field(default_factory=dict)
    ready: int = 0
    reason: str = ""

    def fits(self, shares: Shares | None) -> bool:
        """Whether it is still right after the nodes' CPU changed: nobody overloaded, or still no way to share."""
        found = allocations(shares, self.ready)
        if isinstance(found, str):
            return self.reason == found
        enough = all(self.zones.get(zone, 0) >= allocation.minimum for zone, allocation in found.items())
        return not self.reason and enough and self.zones.keys() <= found.keys()


@dataclass(frozen=True)
class Sharing:
    """The endpoints with their hints: those of the slices that change anyway, in their order, and of `others`."""

    changed: Sequence[Sequence[Endpoint]]
    others: Mapping[str, Sequence[Endpoint]]
    outcome: Outcome


def share_out(
    shares: Shares | None, changed: Sequence[Sequence[Endpoint]], unchanged: Iterable[Held]
) -> Sharing:
    """Gives each ready endpoint a zone, such that each zone has its part, or takes all hints away.

    Slices that need no change are left alone as long as a fair result can be reached without them.
    Cost: the endpoints of the slices that change, and the number of the others.
    """
    unchanged = list(unchanged)
    ready = sum(map(_is_ready, (e for endpoints in changed for e in endpoints)))
    ready += sum(held.ready for held in unchanged)
    found = allocations(shares, ready)
    if isinstance(found, str):
        return _without_hints(changed, unchanged, Outcome(ready=ready, reason=found))
    kept: list[Held] = []
    freed: list[Held] = []
    taken: Counter[str] = Counter()
    for held in unchanged:
        zones = held.zones
        if zones is None or any(
            zone not in found or taken[zone] + count > found[zone].maximum for zone, count in zones.items()
        ):
            freed.append(held)
        else:
            kept.append(held)
            taken.update(zones)
    while True:
        free = [*changed, *(held.piece.endpoints for held in freed)]
        own = Counter(e.zone or "" for endpoints in free for e in endpoints if _is_ready(e))
        if own[""]:
            return _without_hints(changed, unchanged, Outcome(ready=ready, reason=NO_ZONE))
        moves = _moves(found, taken, own)
        if moves is not None:
            break
        # The slices that change cannot make up for the others: one more of these has to change.
        most = max(kept, key=lambda held: held.ready)
        kept.remove(most)
        freed.append(most)
        taken.subtract(most.zones or {})
    hinted = [_assign(endpoints, *moves) for endpoints in free]
    zones = taken + Counter(zone for endpoints in hinted for e in endpoints for zone in hinted_zones(e))
    return Sharing(
        hinted[: len(changed)],
        {held.name: e for held, e in zip(freed, hinted[len(changed) :], strict=True)},
        Outcome(dict(zones), ready),
    )


def _minimum(desired: float) -> int:
    """So many endpoints that none is burdened more than the threshold allows."""
    return math.ceil(desired * (1 / (1 + OVERLOAD)))


def _is_ready(endpoint: Endpoint) -> bool:
    return endpoint.conditions is not None and bool(endpoint.conditions.ready)


def _without_hints(
    changed: Sequence[Sequence[Endpoint]], unchanged: Iterable[Held], outcome: Outcome
) -> Sharing:
    return Sharing(
        [tuple(_unhinted(e) for e in endpoints) for endpoints in changed],
        {held.name: tuple(map(_unhinted, held.piece.endpoints)) for held in unchanged if held.hinted},
        outcome,
    )


def _unhinted(endpoint: Endpoint) -> Endpoint:
    return endpoint if endpoint.hints is None else replace(endpoint, hints=None)


def _moves(
    found: Mapping[str, Allocation], taken: Counter[str], own: Counter[str]
) -> tuple[Counter[str], Counter[str]] | None:
    """How many endpoints each zone gives away and gets, of the `own` ones that can be given; None: not enough.

    First as upstream, which rounds and can leave a zone below its minimum, or an endpoint to a zone where no node
    could use it; then until neither is so. Zones of the same need are served in the order of their names.
    """
    counts = taken + own
    give: Counter[str] = Counter()
    get: Counter[str] = Counter()
    surplus = {zone: counts[zone] - a.desired for zone, a in sorted(found.items())}
    while True:
        giver = max(
            (zone for zone in surplus if own[zone] > give[zone]), key=lambda zone: surplus[zone], default=""
        )
        taker = min(surplus, key=lambda zone: surplus[zone])
        gives, takes = surplus.get(giver, 0.0), -surplus[taker]
        if max(gives, takes) < 1 or min(gives, takes) < 0.5:
            break
        _move(giver, taker, counts, give, get)
        surplus[giver] -= 1
        surplus[taker] += 1
    while True:
        homeless = min((zone for zone, count in counts.items() if count and zone not in found), default="")
        short = max(sorted(found), key=lambda zone: found[zone].minimum - counts[zone])
        if counts[short] >= found[short].minimum:
            if not homeless:
                return give, get
            short = max(sorted(found), key=lambda zone: found[zone].desired - counts[zone])
        donors = [homeless] if homeless else sorted(found, key=lambda z: (found[z].minimum - counts[z], z))
        for donor in donors:
            if donor in found and counts[donor] <= found[donor].minimum:
                continue
            if get[donor]:  # it need not get one in the first place
                get[donor] -= 1
                counts[donor] -= 1
                get[short] += 1
                counts[short] += 1
                break
            if own[donor] > give[donor]:
                _move(donor, short, counts, give, get)
                break
        else:
            return None


def _move(giver: str, taker: str, counts: Counter[str], give: Counter[str], get: Counter[str]) -> None:
    give[giver] += 1
    get[taker] += 1
    counts[giver] -= 1
    counts[taker] += 1


def _assign(endpoints: Iterable[Endpoint], give: Counter[str], get: Counter[str]) -> tuple[Endpoint, ...]:
    """The endpoints with hints for their own zones, but for those given away; takes from both counts."""
    assigned = []
    for endpoint in endpoints:
        if not _is_ready(endpoint):
            assigned.append(_unhinted(endpoint))
            continue
        zone = endpoint.zone or ""
        if give[zone] > 0:
            give[zone] -= 1
            zone = min(zone for zone, count in get.items() if count > 0)
            get[zone] -= 1
        hints = own_hints(AUTO, zone, None)
        assigned.append(endpoint if endpoint.hints == hints else replace(endpoint, hints=hints))
    return tuple(assigned)
