"""Packing of endpoints into slices, such that few slices are written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from fairlead.objects.discovery_v1 import Endpoint

EndpointKey = tuple[tuple[str, ...], str, str]
"""What makes two endpoints the same one: its addresses, and the namespace and name of its pod."""


def endpoint_key(endpoint: Endpoint) -> EndpointKey:
    """The endpoint's identity; all else about it may change. Upstream: endpointslice/util/endpointset.go."""
    target = endpoint.targetRef
    return (endpoint.addresses, target.namespace, target.name) if target else (endpoint.addresses, "", "")


class Packed(NamedTuple):
    """What has to be in those of the held slices that change, by position; the endpoints that find no room in them.

    `added` and `removed` count the endpoints that were not held, and those that are held no longer.
    """

    changed: dict[int, list[Endpoint]]
    rest: list[Endpoint]
    added: int
    removed: int


def pack(
    held: Sequence[Sequence[Endpoint]],
    desired: Mapping[EndpointKey, Endpoint],
    *,
    limit: int,
    same: Callable[[Endpoint, Endpoint], bool],
    touched: Collection[int] = (),
) -> Packed:
    """Keeps as much of the `held` slices as can be.

    Every desired endpoint stays where it is. New ones fill the slices that have to be written anyway (those that
    lose or change an endpoint, and those in `touched`), the fullest first. A slice over the limit keeps no more than
    the limit. `same` says whether an endpoint is held as desired. Cost: the endpoints held and desired.
    """
    missing = dict(desired)
    changed: dict[int, list[Endpoint]] = {}
    moved = removed = 0
    for position, endpoints in enumerate(held):
        differs = position in touched
        kept = []
        for endpoint in endpoints:
            # An endpoint held twice stays only where it is met first.
            wanted = missing.pop(endpoint_key(endpoint), None)
            if wanted is None:
                differs = True
            elif wanted is endpoint or same(endpoint, wanted):
                kept.append(endpoint)
            else:
                kept.append(wanted)
                differs = True
        removed += len(endpoints) - len(kept)
        for surplus in kept[limit:]:
            missing[endpoint_key(surplus)] = surplus
            moved += 1
            differs = True
        del kept[limit:]
        if differs:
            changed[position] = kept
    rest = list(missing.values())
    added = len(rest) - moved
    for position in sorted(changed, key=lambda p: (-len(changed[p]), p)):
        if not rest:
            break
        room = limit - len(changed[position])
        changed[position] += rest[:room]
        del rest[:room]
    return Packed(changed, rest, added, removed)


def settle(
    rest: Sequence[Endpoint], sizes: Mapping[str, int], *, limit: int
) -> tuple[str | None, Sequence[Endpoint], list[Sequence[Endpoint]]]:
    """Where endpoints go for which no slice that changes has room, given the `sizes` of the others.

    Full slices are made of them; what is left over goes into the one other slice that it fills best (gives that one
    and what to add to it), or into one more new slice.
    """
    full = len(rest) // limit * limit
    chunks = [rest[start : start + limit] for start in range(0, full, limit)]
    last = rest[full:]
    if last:
        fitting = [key for key, size in sizes.items() if size + len(last) <= limit]
        if fitting:
            return max(fitting, key=lambda key: sizes[key]), last, chunks
        chunks.append(last)
    return None, (), chunks
