"""The book of addresses: which Services hold them, and which are free. No decisions are made here."""

from __future__ import annotations

import heapq
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fairlead.loadbalancer.pools import Address, Range, is_buggy
from fairlead.loadbalancer.requests import Request


class Book:
    """Who holds which addresses, and which are free.

    An address that a Service gives up stays its own until `settle`: nobody else may have it while the Service's status
    still has it. A free one is found without reading through those that are taken: amortized, in constant time.
    Ranges that it is asked about must not overlap; one that overlaps with ranges of before takes their place.
    """

    def __init__(self) -> None:
        self._holders: dict[Address, dict[str, Request]] = {}
        self._held: dict[str, tuple[Address, ...]] = {}
        self._left: dict[str, tuple[Address, ...]] = {}
        self._sharers: dict[str, Counter[Address]] = {}
        self._shelves: list[_Shelf] = []

    def held(self, key: str) -> tuple[Address, ...]:
        """The addresses of a Service, without those that it gives up."""
        return self._held.get(key, ())

    def left(self, key: str) -> tuple[Address, ...]:
        """The addresses that a Service gives up and nobody else may have yet."""
        return self._left.get(key, ())

    def holders(self, address: Address) -> Mapping[str, Request]:
        """The Services that have an address, or give it up, with what each asked for."""
        return self._holders.get(address, {})

    def sharers(self, sharing: str) -> Iterable[Address]:
        """The addresses of the Services with a sharing key."""
        return self._sharers.get(sharing, ()) if sharing else ()

    def take(self, request: Request, addresses: tuple[Address, ...]) -> None:
        """From now on a Service has these; it gives up others that it had."""
        key = request.key
        before = dict.fromkeys((*self._held.pop(key, ()), *self._left.pop(key, ())))
        for address in addresses:
            self._put(address, request)
        if addresses:
            self._held[key] = addresses
        if left := tuple(address for address in before if address not in addresses):
            self._left[key] = left

    def leave(self, key: str) -> None:
        """A Service gives up all that it has."""
        left = (*self._held.pop(key, ()), *self._left.pop(key, ()))
        if left:
            self._left[key] = left

    def settle(self, key: str) -> list[Address]:
        """What a Service gave up is no longer its own; gives the addresses that are nobody's now."""
        return [address for address in self._left.pop(key, ()) if self._drop(address, key)]

    def release(self, key: str) -> list[Address]:
        """A Service has nothing any more; gives the addresses that are nobody's now."""
        self.leave(key)
        return self.settle(key)

    def free(self, piece: Range, *, avoid_buggy: bool = False) -> Address | None:
        """An address of a range that nobody has, the lowest of those given back first; None when all are taken."""
        return self._shelf(piece, avoid_buggy).free(self._holders)

    def count(self, piece: Range) -> int:
        """How many addresses of a range are taken. Costs a look at all that are, the first time."""
        at = self._place(piece.version, piece.first)
        if at is not None and self._shelves[at].piece == piece:
            return self._shelves[at].taken
        return self._shelf(piece, avoid_buggy=False).taken

    def _put(self, address: Address, request: Request) -> None:
        holders = self._holders.get(address)
        if holders is None:
            holders = self._holders[address] = {}
            if (at := self._place(*address)) is not None:
                self._shelves[at].taken += 1
        elif (before := holders.get(request.key)) is not None:
            self._unshare(before.sharing, address)
        holders[request.key] = request
        self._sharers.setdefault(request.sharing, Counter())[address] += 1

    def _drop(self, address: Address, key: str) -> bool:
        """Whether the address is nobody's now."""
        holders = self._holders[address]
        self._unshare(holders.pop(key).sharing, address)
        if holders:
            return False
        del self._holders[address]
        if (at := self._place(*address)) is not None:
            self._shelves[at].put_back(address.number)
        return True

    def _unshare(self, sharing: str, address: Address) -> None:
        sharers = self._sharers[sharing]
        sharers[address] -= 1
        if not sharers[address]:
            del sharers[address]
            if not sharers:
                del self._sharers[sharing]

    def _place(self, version: int, number: int) -> int | None:
        """Where the shelf is that has an address. Costs the logarithm of the ranges."""
        at = bisect_right(self._shelves, (version, number), key=_begin) - 1
        if at >= 0 and Address(version, number) in self._shelves[at].piece:
            return at
        return None

    def _shelf(self, piece: Range, avoid_buggy: bool) -> _Shelf:
        at = self._place(piece.version, piece.first)
        if at is not None:
            shelf = self._shelves[at]
            if shelf.piece == piece and shelf.avoid_buggy == avoid_buggy:
                return shelf
        self._shelves = [shelf for shelf in self._shelves if not shelf.piece.overlaps(piece)]
        made = _Shelf(piece, avoid_buggy, piece.first, sum(address in piece for address in self._holders))
        insort(self._shelves, made, key=_begin)
        return made


@dataclass
class _Shelf:
    """The addresses of one range. All before the cursor are taken, or shunned, or were returned."""

    piece: Range
    avoid_buggy: bool
    cursor: int
    taken: int
    returned: list[int] = field(default_factory=list)

    def free(self, holders: Mapping[Address, object]) -> Address | None:
        while self.returned:
            if (found := self._if_free(self.returned[0], holders)) is not None:
                return found
            heapq.heappop(self.returned)
        for number in range(self.cursor, self.piece.last + 1):
            if (found := self._if_free(number, holders)) is not None:
                self.cursor = number
                return found
        self.cursor = self.piece.last + 1
        return None

    def put_back(self, number: int) -> None:
        self.taken -= 1
        if number < self.cursor:
            heapq.heappush(self.returned, number)

    def _if_free(self, number: int, holders: Mapping[Address, object]) -> Address | None:
        address = Address(self.piece.version, number)
        return None if address in holders or (self.avoid_buggy and is_buggy(address)) else address


def _begin(shelf: _Shelf) -> tuple[int, int]:
    return shelf.piece.version, shelf.piece.first
