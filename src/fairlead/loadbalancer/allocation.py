"""Which addresses a Service gets, or why none.

`allocate` decides over a `Book` of who holds what; nothing moves that need not. The rules are MetalLB's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fairlead.loadbalancer.book import Book
from fairlead.loadbalancer.pools import Address, Pool
from fairlead.loadbalancer.requests import Request

SAID = 3
"""Pools that one sentence names."""


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


def allocate(
    request: Request, pools: Iterable[Pool], book: Book, unusable: Mapping[str, str] = {}
) -> Given | Refused:
    """The addresses for a Service: those that it has, if they are still right; those asked for; else free ones.

    `unusable` are pools that are there and cannot be used, with the reason. Cost: the pools, and those who share an
    address that is asked for.
    """
    known = {pool.name: pool for pool in pools}
    if request.pool and request.pool not in known:
        why = f"there is no pool {request.pool!r}"
        if request.pool in unusable:
            why = f"pool {request.pool!r} cannot be used: {unusable[request.pool]}"
        return _kept_anyway(request, book, why) or Refused("NoSuchPool", why)
    allowed = [
        pool
        for pool in known.values()
        if pool.admits(request.namespace, request.namespace_labels or {}, request.labels or {})
        and (not request.pool or pool.name == request.pool)
    ]
    if request.wanted:
        return _asked_for(request, allowed, known, book)
    kept = _keep(request, allowed, known, book)
    if kept is not None:
        return kept
    return _free(request, allowed, known, book, unusable)


def _asked_for(
    request: Request, allowed: list[Pool], known: Mapping[str, Pool], book: Book
) -> Given | Refused:
    """The addresses that the Service names; a family of which it names none gets one of the same pool."""
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
            kept = set(request.wanted) <= set(request.held) and _kept_anyway(
                request, book, f"{address} is in no pool any more"
            )
            return kept or Refused("AddressInNoPool", f"{address} is in no pool")
        if why := conflict(request, address, book):
            return Refused("AddressInUse", why)
        names.append(pool.name)
    return _completed(request, request.wanted, known[names[0]], book)


def _completed(request: Request, addresses: tuple[Address, ...], pool: Pool, book: Book) -> Given | Refused:
    """These and, of the same pool, one of each other family that the Service asks for, where there is one."""
    had = {address.version: address for address in request.held if address in pool}
    missing = [version for version in request.versions if version not in {a.version for a in addresses}]
    added = []
    for version in missing:
        address = had.get(version)
        if address is None or conflict(request, address, book):
            address = _pick(request, version, pool, book)
        if address is not None:
            added.append(address)
    lacking = [version for version in missing if version not in {a.version for a in added}]
    if not lacking:
        return Given(_ordered(request, (*addresses, *added)), pool.name)
    why = f"pool {pool.name!r} has no free address of IPv{lacking[0]}"
    if request.all_versions:
        return Refused("PoolExhausted", why)
    return Given(_ordered(request, (*addresses, *added)), pool.name, why)


def _keep(request: Request, allowed: list[Pool], known: Mapping[str, Pool], book: Book) -> Given | None:
    """What the Service has already, where it still may; None where it has none, or something has to change."""
    held = request.held
    if not held or any(conflict(request, address, book) for address in held):
        return None
    versions = {address.version for address in held}
    if len(versions) < len(held) or not versions <= set(request.versions):
        return None
    for pool in allowed:
        if all(address in pool for address in held):
            found = _completed(request, held, pool, book)
            return found if isinstance(found, Given) else None
    if request.pool and any(address in pool for pool in known.values() for address in held):
        return None  # another pool is asked for than the one they are of
    said = ", ".join(map(str, held))
    return _kept_anyway(request, book, f"{said}: in no pool any more that is for this Service")


def _kept_anyway(request: Request, book: Book, why: str) -> Given | None:
    """What the Service has stays, though no pool has it now: whoever uses it must not be cut off by a mistake."""
    if not request.held or any(conflict(request, address, book) for address in request.held):
        return None
    versions = {address.version for address in request.held}
    if not versions <= set(request.versions) or (request.all_versions and versions < set(request.versions)):
        return None
    return Given(_ordered(request, request.held), "", f"{why}; the address is kept until it is given up")


def _free(
    request: Request,
    allowed: list[Pool],
    known: Mapping[str, Pool],
    book: Book,
    unusable: Mapping[str, str],
) -> Given | Refused:
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
        return Given(*best, f"pool {best[1]!r} has no free address of {said}")
    refused = _nothing(request, candidates, known)
    if not unusable:
        return refused
    others = "; ".join(
        f"pool {name!r} cannot be used: {why}" for name, why in sorted(unusable.items())[:SAID]
    )
    return Refused(refused.reason, f"{refused.message}; {others}")


def _nothing(request: Request, candidates: list[Pool], known: Mapping[str, Pool]) -> Refused:
    """Why there is no free address."""
    if not known:
        return Refused("NoPools", "there are no address pools: make an IPAddressPool")
    if not candidates:
        return Refused(
            "NotAllowed", "no address pool is for this Service, or gives addresses without being asked"
        )
    wanted = " and ".join(f"IPv{version}" for version in request.versions)
    if not any(set(request.versions) <= pool.versions for pool in candidates):
        return Refused("NoSuchFamily", f"no address pool for this Service has addresses of {wanted}")
    names = ", ".join(pool.name for pool in candidates[:SAID]) + (", ..." if len(candidates) > SAID else "")
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
            if address.version == version and address in pool and not conflict(request, address, book)
        ),
        None,
    )


def conflict(request: Request, address: Address, book: Book) -> str:
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
