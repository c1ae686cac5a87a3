"""The choice of a free address or port: which part of a range is given out first.

Upstream: pkg/registry/core/service/ipallocator, portallocator. The lower band of each range is for those who ask for a
certain value; it is given out by itself only when the rest is full.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterable
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAPPED = 1 << 20
"""Ranges up to this size have a byte for each number, so that the next free one is found at the speed of memory; of
larger ones, which nobody fills, the taken numbers are remembered."""

LARGEST_IPV6 = 64
"""An IPv6 network with a shorter prefix gives no addresses. Upstream: NewIPAllocator."""


def address_band(size: int) -> int:
    """How many of the lowest addresses of a network of this size are the static band. KEP-3070."""
    return min(max(16, size // 16), 256) if size > 16 else 0


def port_band(size: int) -> int:
    """How many of the lowest ports are the static band. KEP-3668."""
    return min(max(16, size // 32), 128) if size > 16 else 0


@dataclass(frozen=True)
class Range:
    """Whole numbers from `first` to `last`, the lowest `band` of them given out last."""

    first: int
    last: int
    band: int

    def __contains__(self, value: int) -> bool:
        return self.first <= value <= self.last


def addresses_of(network: Network) -> Range:
    """The addresses of a network that can be given: neither the network's own nor, in IPv4, the broadcast address."""
    first = int(network.network_address) + 1
    last = int(network.broadcast_address) - (1 if network.version == 4 else 0)
    if network.version == 6 and network.prefixlen < LARGEST_IPV6:
        return Range(first, first - 1, 0)
    return Range(first, last, address_band(network.num_addresses))


def ports_of(first: int, last: int) -> Range:
    """The node ports from `first` to `last`."""
    return Range(first, last, port_band(last - first + 1))


class Pool:
    """Which numbers of a range are taken. A free one costs a random number and a search through bytes, no list."""

    def __init__(self, numbers: Range, taken: Iterable[int] = ()) -> None:
        self.range = numbers
        size = max(0, numbers.last - numbers.first + 1)
        self._map: bytearray | None = bytearray(size) if size <= MAPPED else None
        self._set: set[int] = set()
        for value in taken:
            self.take(value)

    def take(self, value: int) -> None:
        """Marks a number as taken; one out of the range is nobody's business here."""
        if value not in self.range:
            return
        if self._map is None:
            self._set.add(value)
        else:
            self._map[value - self.range.first] = 1

    def give_back(self, value: int) -> None:
        """Marks a number as free."""
        if value not in self.range:
            return
        if self._map is None:
            self._set.discard(value)
        else:
            self._map[value - self.range.first] = 0

    def __contains__(self, value: int) -> bool:
        """Whether a number is taken."""
        if self._map is None or value not in self.range:
            return value in self._set
        return bool(self._map[value - self.range.first])

    def pick(self) -> int | None:
        """A number that is not taken, by chance, from the upper part if there is one; None when all are."""
        band, size = self.range.band, self.range.last - self.range.first + 1
        for start, stop in ((band, size), (0, band)):
            if stop > start and (found := self._free(start, stop)) is not None:
                return self.range.first + found
        return None

    def _free(self, start: int, stop: int) -> int | None:
        offset = random.randrange(start, stop)  # noqa: S311 - it has to be spread, not secret
        if self._map is not None:
            found = self._map.find(0, offset, stop)
            found = found if found >= 0 else self._map.find(0, start, offset)
            return found if found >= 0 else None
        first = self.range.first
        for low, high in ((offset, stop), (start, offset)):
            value = low
            while value < high:
                if first + value not in self._set:
                    return value
                value += 1
        return None
