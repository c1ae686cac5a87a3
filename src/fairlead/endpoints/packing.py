"""Packing of endpoints into slices, such that few slices are written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from fairlead.objects.discovery_v1 import Endpoint

EndpointKey = tuple[tuple[str, ...], str, str]
"""What makes two endpoints the same one: its addresses, and the namespace and name of its pod."""


def endpoint_key(endpoint: Endpoint) -> EndpointKey:
    """The endpoint's identity; all else about it may change. Upstream: endpointslice/util/endpointset.go."""
    target = endpoint.targetRef
    return (endpoint.addresses, target.namespace, target.name) if target else (endpoint.addresses, "", "")


def pack(
    held: Sequence[Sequence[Endpoint]],
    desired: Mapping[EndpointKey, Endpoint],
    *,
    limit: int,
    touched: Collection[int] = (),
) -> tuple[dict[int, list[Endpoint]], list[list[Endpoint]]]:
    """What has to be in those of the `held` slices that change (by position), and in new ones.

    Every desired endpoint stays where it is. New ones fill the slices that have to be written anyway (those that
    lose or change an endpoint, and those in `touched`), the fullest first; what is left over goes into the one
    other slice that it fills best, or into new slices. A slice over the limit keeps no more than the limit.
    Cost: proportional to the endpoints held and desired.
    """
    missing = dict(desired)
    changed: dict[int, list[Endpoint]] = {}
    for position, endpoints in enumerate(held):
        # An endpoint held twice stays only where it is met first.
        kept = [found for e in endpoints if (found := missing.pop(endpoint_key(e), None)) is not None]
        for surplus in kept[limit:]:
            missing[endpoint_key(surplus)] = surplus
        del kept[limit:]
        if position in touched or len(kept) != len(endpoints) or any(map(_differ, kept, endpoints)):
            changed[position] = kept
    rest = list(missing.values())
    for position in sorted(changed, key=lambda p: (-len(changed[p]), p)):
        if not rest:
            break
        room = limit - len(changed[position])
        changed[position] += rest[:room]
        del rest[:room]
    if rest and len(rest) < limit:
        fits = [p for p in range(len(held)) if p not in changed and len(held[p]) + len(rest) <= limit]
        if fits:
            fullest = max(fits, key=lambda p: (len(held[p]), -p))
            changed[fullest] = [*held[fullest], *rest]
            rest = []
    return changed, [rest[start : start + limit] for start in range(0, len(rest), limit)]


def _differ(a: Endpoint, b: Endpoint) -> bool:
    return a is not b and a != b
