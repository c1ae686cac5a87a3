"""The choice of a free address or port: which part of a range is given out first.

Upstream: pkg/registry/core/service/ipallocator, portallocator. The lower band of each range is for those who ask for a
certain value; it is given out by itself only when the rest is full.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

TRIES = 32
"""Random values that are tried before everything taken is looked through."""

MOST_ADDRESSES = 1 << 16
"""How many addresses of a network are given out by chance at most; IPv6 networks are larger than any list."""


def address_band(size: int) -> int:
    """How many of the lowest addresses of a network of this size are the static band."""
    return min(max(16, size // 16), 256) if size > 16 else 0


def port_band(size: int) -> int:
    """How many of the lowest ports are the static band."""
    return min(max(16, size // 32), 128) if size > 16 else 0


@dataclass(frozen=True)
class Range:
    """Whole numbers from `first` to `last`, the lowest `band` of them given out last."""

    first: int
    last: int
    band: int

    def __contains__(self, value: int) -> bool:
        return self.first <= value <= self.last

    def guesses(self) -> Iterator[int]:
        """A few random values of the upper part."""
        low = self.first + self.band
        for _ in range(TRIES):
            yield random.randint(low, self.last)  # noqa: S311 - it has to be spread, not secret

    def free(self, taken: Callable[[int], bool]) -> int | None:
        """A value that is not taken, from the upper part if there is one; None when all are."""
        low = self.first + self.band
        for start, stop in ((low, self.last + 1), (self.first, low)):
            size = min(stop - start, MOST_ADDRESSES)
            if size <= 0:
                continue
            offset = random.randrange(size)  # noqa: S311
            for i in range(size):
                value = start + (offset + i) % size
                if not taken(value):
                    return value
        return None


def addresses_of(network: Network) -> Range:
    """The addresses of a network that can be given: neither the network's own nor, in IPv4, the broadcast address."""
    first = int(network.network_address) + 1
    last = int(network.broadcast_address) - (1 if network.version == 4 else 0)
    return Range(first, last, address_band(network.num_addresses))


def ports_of(first: int, last: int) -> Range:
    """The node ports from `first` to `last`."""
    return Range(first, last, port_band(last - first + 1))
