"""Pools: the addresses that Services of type LoadBalancer can get, and which Services may have them.

Pure. The form is that of MetalLB's IPAddressPool.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from fairlead.objects.labels import Selector

NO_PRIORITY = 1 << 31
"""Pools without a priority come after those with one; a lower number comes first."""


class Address(NamedTuple):
    """An IP address as a number; `version` is 4 or 6."""

    version: int
    number: int

    def __str__(self) -> str:
        return str(_CLASSES[self.version](self.number))


_CLASSES: Mapping[int, type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]] = {
    4: ipaddress.IPv4Address,
    6: ipaddress.IPv6Address,
}


@dataclass(frozen=True, order=True)
class Range:
    """The addresses from `first` to `last`, both of them too."""

    version: int
    first: int
    last: int

    def __contains__(self, address: object) -> bool:
        return isinstance(address, Address) and (
            address.version == self.version and self.first <= address.number <= self.last
        )

    def __str__(self) -> str:
        return f"{Address(self.version, self.first)}-{Address(self.version, self.last)}"

    @property
    def size(self) -> int:
        """How many addresses it has."""
        return self.last - self.first + 1

    @property
    def buggy(self) -> int:
        """How many of them end in .0 or .255 (`is_buggy`)."""
        if self.version != 4:
            return 0
        return sum((self.last - end) // 256 - (self.first - 1 - end) // 256 for end in (0, 255))

    def overlaps(self, other: Range) -> bool:
        """Whether both have an address in common."""
        return self.version == other.version and self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Pool:
    """A named set of addresses.

    With `auto_assign` off, only Services that name the pool or an address of it get one. `avoid_buggy` leaves out
    addresses that end in 0 and 255. A pool with `namespaces`, `namespace_selectors` or `service_selectors` is for the
    Services that fit: a namespace by name or labels (either), and its own labels (any selector).
    """

    name: str
    ranges: tuple[Range, ...]
    auto_assign: bool = True
    avoid_buggy: bool = False
    priority: int = NO_PRIORITY
    namespaces: frozenset[str] = frozenset()
    namespace_selectors: tuple[Selector, ...] = ()
    service_selectors: tuple[Selector, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __contains__(self, address: object) -> bool:
        return any(address in piece for piece in self.ranges) and not (
            isinstance(address, Address) and self.avoid_buggy and is_buggy(address)
        )

    @property
    def versions(self) -> frozenset[int]:
        """The address families that it has."""
        return frozenset(piece.version for piece in self.ranges)

    def capacity(self, version: int) -> int:
        """How many addresses of a family it can give."""
        return sum(
            piece.size - (piece.buggy if self.avoid_buggy else 0)
            for piece in self.ranges
            if piece.version == version
        )

    @property
    def pinned(self) -> bool:
        """Whether it is for some Services only: such pools come before those for everybody."""
        return bool(self.namespaces or self.namespace_selectors or self.service_selectors)

    def admits(self, namespace: str, namespace_labels: Mapping[str, str], labels: Mapping[str, str]) -> bool:
        """Whether a Service with these labels in this namespace may have its addresses."""
        if (self.namespaces or self.namespace_selectors) and not (
            namespace in self.namespaces or any(s.matches(namespace_labels) for s in self.namespace_selectors)
        ):
            return False
        return not self.service_selectors or any(s.matches(labels) for s in self.service_selectors)


def is_buggy(address: Address) -> bool:
    """Whether old devices take it for a network's or a broadcast address: it ends in .0 or .255."""
    return address.version == 4 and address.number & 255 in (0, 255)


def parse_address(text: str) -> Address:
    """Reads an IP address. Raises ValueError with the text in it."""
    try:
        found = ipaddress.ip_address(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address") from None
    return Address(found.version, int(found))


def parse_range(text: str) -> Range:
    """Reads `203.0.113.0/24` or `203.0.113.10-203.0.113.20`, all of whose addresses count. Raises ValueError."""
    if "-" in text:
        first, last = (parse_address(part) for part in text.split("-", 1))
        if first.version != last.version:
            raise ValueError(f"{text!r} begins in one address family and ends in the other")
        if first > last:
            raise ValueError(f"{text!r} ends before it begins")
        return Range(first.version, first.number, last.number)
    try:
        network = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is neither a network, such as 203.0.113.0/24, nor a range") from None
    return Range(network.version, int(network.network_address), int(network.broadcast_address))


def merged(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The same addresses in as few ranges as possible, in order."""
    found: list[Range] = []
    for piece in sorted(ranges):
        if found and piece.version == found[-1].version and piece.first <= found[-1].last + 1:
            found[-1] = replace(found[-1], last=max(found[-1].last, piece.last))
        else:
            found.append(piece)
    return tuple(found)


def clashes(pools: Iterable[Pool]) -> dict[str, str]:
    """The pools that have addresses of another one, with a sentence each: of two, the one that comes later.

    It is left out; its addresses would otherwise have two sets of rules. Cost: the ranges, and for each the logarithm.
    """
    found: dict[str, str] = {}
    kept: list[tuple[Range, str]] = []
    for pool in pools:
        for mine in pool.ranges:
            if (other := _overlapping(mine, kept)) is not None:
                found[pool.name] = f"its addresses {mine} overlap with {other[0]} of pool {other[1]!r}"
                break
        else:
            for piece in pool.ranges:
                insort(kept, (piece, pool.name))
    return found


def _overlapping(mine: Range, kept: list[tuple[Range, str]]) -> tuple[Range, str] | None:
    """One of these ranges, which are disjoint and in order, with which this one overlaps."""
    at = bisect_right(kept, (mine.version, mine.last), key=lambda each: (each[0].version, each[0].first))
    return kept[at - 1] if at and kept[at - 1][0].overlaps(mine) else None
