"""Which addresses a Service gets, or why none.

`allocate` decides over a `Book` of who holds what; nothing moves that need not. The rules are MetalLB's.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fairlead.loadbalancer.pools import Address, Pool, Range, is_buggy
from fairlead.loadbalancer.requests import Request


@dataclass(frozen=True)
class Given:
    """The addresses that a Service has from now on, in the order of its families, and their pool.

    `note` says what is not as it should be though it goes on working; "" where all is well.
    """

    addresses: tuple[Address, ...]
    pool: str
    note: str = ""


@dataclass(frozen=True)
class Refused:
    """Why a Service gets none: `reason` is one CamelCase word."""

    reason: str
    message: str


class Book:
    """Who holds which addresses, and which are free.

    A free one is found without reading through those that are taken: amortized, in constant time.
    """

    def __init__(self) -> None:
        self._holders: dict[Address, dict[str, Request]] = {}
        self._held: dict[str, tuple[Address, ...]] = {}
        self._sharers: dict[str, Counter[Address]] = {}
        self._cursors: dict[Range, int] = {}
        """All addresses of a range before this one are taken, or in `_returned`."""
        self._returned: dict[Range, list[int]] = {}

    def held(self, key: str) -> tuple[Address, ...]:
        """The addresses of a Service."""
        return self._held.get(key, ())

    def holders(self, address: Address) -> Mapping[str, Request]:
        """The Services that have an address, with what each asked for."""
        return self._holders.get(address, {})

    def sharers(self, sharing: str) -> Iterable[Address]:
        """The addresses of the Services with a sharing key."""
        return self._sharers.get(sharing, ()) if sharing else ()

    def take(self, request: Request, addresses: tuple[Address, ...]) -> None:
        """From now on a Service has exactly these."""
        self.release(request.key)
        for address in addresses:
            self._holders.setdefault(address, {})[request.key] = request
            self._sharers.setdefault(request.sharing, Counter())[address] += 1
        if addresses:
            self._held[request.key] = addresses

    def release(self, key: str) -> list[Address]:
        """A Service has none of its addresses any more; gives those that are nobody's now."""
        free = []
        for address in self._held.pop(key, ()):
            holders = self._holders[address]
            sharers = self._sharers[holders.pop(key).sharing]
            sharers[address] -= 1
            if not sharers[address]:
                del sharers[address]
            if not holders:
                del self._holders[address]
                free.append(address)
                for piece, returned in self._returned.items():
                    if address in piece and address.number < self._cursors[piece]:
                        heapq.heappush(returned, address.number)
        return free

    def free(self, piece: Range, *, avoid_buggy: bool = False) -> Address | None:
        """An address of a range that nobody has, the lowest of those given back first; None when all are taken."""
        returned = self._returned.setdefault(piece, [])
        version = piece.version
        while returned:
            address = Address(version, returned[0])
            if address not in self._holders and not (avoid_buggy and is_buggy(address)):
                return address
            heapq.heappop(returned)
        for number in range(self._cursors.setdefault(piece, piece.first), piece.last + 1):
            address = Address(version, number)
            if address not in self._holders and not (avoid_buggy and is_buggy(address)):
                self._cursors[piece] = number
                return address
        self._cursors[piece] = piece.last + 1
        return None

    def count(self, piece: Range) -> int:
        """How many addresses of a range are taken. Costs a look at all that are."""
        return sum(address in piece for address in self._holders)


def allocate(request: Request, pools: Iterable[Pool], book: Book) -> Given | Refused:
    """The addresses for a Service: those that it has, if they are still right; those asked for; else free ones.

    Cost: the pools, and those who share an address that is asked for.
    """
    known = {pool.name: pool for pool in pools}
    if request.pool and request.pool not in known:
        return _kept_anyway(request, book, f"there is no pool {request.pool!r}") or Refused(
            "NoSuchPool", f"there is no pool {request.pool!r}"
        )
    allowed = [
        pool
        for pool in known.values()
        if pool.admits(request.namespace, request.namespace_labels or {}, request.labels or {})
        and (not request.pool or pool.name == request.pool)
    ]
    if request.wanted:
        return _asked_for(request, allowed, known, book)
    kept = _keep(request, allowed, book)
    if kept is not None:
        return kept
    return _free(request, allowed, known, book)


def _asked_for(
    request: Request, allowed: list[Pool], known: Mapping[str, Pool], book: Book
) -> Given | Refused:
    """The addresses that the Service names, one a family; a family without one stays without."""
    names = []
    for address in request.wanted:
        pool = next((pool for pool in allowed if address in pool), None)
        if pool is None:
            elsewhere = next((p.name for p in known.values() if address in p), "")
            if elsewhere and request.pool and elsewhere != request.pool:
                return Refused("NotAllowed", f"{address} is of pool {elsewhere!r}, not of {request.pool!r}")
            if elsewhere:
                return Refused(
                    "NotAllowed", f"pool {elsewhere!r}, which has {address}, is not for this Service"
                )
            kept = request.held == request.wanted and _kept_anyway(
                request, book, f"{address} is in no pool any more"
            )
            return kept or Refused("AddressInNoPool", f"{address} is in no pool")
        if why := _unshareable(request, address, book):
            return Refused("AddressInUse", why)
        names.append(pool.name)
    return Given(_ordered(request, request.wanted), names[0])


def _keep(request: Request, allowed: list[Pool], book: Book) -> Given | None:
    """What the Service has already, where it still may; None where it has none, or something has to change."""
    held = request.held
    if not held:
        return None
    if any(_unshareable(request, address, book) for address in held):
        return None
    versions = [address.version for address in held]
    if sorted(set(versions)) != sorted(versions) or not set(versions) <= set(request.versions):
        return None
    for pool in allowed:
        if all(address in pool for address in held):
            missing = [version for version in request.versions if version not in versions]
            added = [a for version in missing if (a := _pick(request, version, pool, book)) is not None]
            if len(added) < len(missing) and request.all_versions:
                return None
            return Given(_ordered(request, (*held, *added)), pool.name)
    if set(versions) == set(request.versions) or not request.all_versions:
        said = ", ".join(map(str, held))
        return _kept_anyway(request, book, f"{said}: in no pool any more that is for this Service")
    return None


def _kept_anyway(request: Request, book: Book, why: str) -> Given | None:
    """What the Service has stays, though no pool has it now: whoever uses it must not be cut off by a mistake."""
    if not request.held or any(_unshareable(request, address, book) for address in request.held):
        return None
    return Given(_ordered(request, request.held), "", f"{why}; the address is kept until it is given up")


def _free(request: Request, allowed: list[Pool], known: Mapping[str, Pool], book: Book) -> Given | Refused:
    """Free addresses of one pool: of one that is for the Service, by priority, before those for everybody."""
    candidates = [pool for pool in allowed if pool.auto_assign or request.pool]
    candidates.sort(key=lambda pool: (not pool.pinned, pool.priority, pool.name))
    best: tuple[tuple[Address, ...], str] = ((), "")
    for pool in candidates:
        picked = (_pick(request, version, pool, book) for version in request.versions)
        found = [address for address in picked if address is not None]
        if len(found) == len(request.versions):
            return Given(tuple(found), pool.name)
        if len(found) > len(best[0]):
            best = tuple(found), pool.name
    if best[0] and not request.all_versions:
        missing = set(request.versions) - {address.version for address in best[0]}
        said = " and ".join(f"IPv{version}" for version in sorted(missing))
        return Given(*best, f"no pool has a free address of {said}")
    return _nothing(request, candidates, known)


def _nothing(request: Request, candidates: list[Pool], known: Mapping[str, Pool]) -> Refused:
    if not known:
        return Refused("NoPools", "there are no address pools: make an IPAddressPool")
    if not candidates:
        return Refused(
            "NotAllowed", "no address pool is for this Service, or gives addresses without being asked"
        )
    wanted = " and ".join(f"IPv{version}" for version in request.versions)
    if not any(set(request.versions) <= pool.versions for pool in candidates):
        return Refused("NoSuchFamily", f"no address pool for this Service has addresses of {wanted}")
    names = ", ".join(pool.name for pool in candidates)
    return Refused("PoolExhausted", f"no free address of {wanted} in {names}")


def _pick(request: Request, version: int, pool: Pool, book: Book) -> Address | None:
    """An address of the pool: one that can be shared with those that have the same key, else a free one."""
    shared = _shared(request, version, pool, book)
    if shared is not None:
        return shared
    pieces = (piece for piece in pool.ranges if piece.version == version)
    free = (book.free(piece, avoid_buggy=pool.avoid_buggy) for piece in pieces)
    return next((address for address in free if address is not None), None)


def _shared(request: Request, version: int, pool: Pool, book: Book) -> Address | None:
    """The address of the pool that Services with the same sharing key have already, where it can be shared."""
    return next(
        (
            address
            for address in sorted(book.sharers(request.sharing))
            if address.version == version and address in pool and not _unshareable(request, address, book)
        ),
        None,
    )


def _unshareable(request: Request, address: Address, book: Book) -> str:
    """Why a Service cannot have an address that others have; "" where it can."""
    for key, other in book.holders(address).items():
        if key == request.key:
            continue
        if not request.sharing or request.sharing != other.sharing:
            return f"{address} is used by {key}"
        if both := sorted(request.ports & other.ports):
            protocol, port = both[0]
            return f"{address} is shared with {key}, which has port {port}/{protocol} too"
        if request.backend != other.backend:
            return (
                f"{address} is shared with {key}: with externalTrafficPolicy Local"
                " both need the same policy and the same selector"
            )
    return ""


def _ordered(request: Request, addresses: Iterable[Address]) -> tuple[Address, ...]:
    """Addresses in the order of the Service's families."""
    return tuple(sorted(addresses, key=lambda address: request.versions.index(address.version)))
