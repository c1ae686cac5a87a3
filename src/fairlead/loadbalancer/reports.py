"""What is told of a decision, at the object that it is about: conditions, counts and Events. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairlead.loadbalancer.allocation import Given, Refused
from fairlead.loadbalancer.book import Book
from fairlead.loadbalancer.catalog import Verdict
from fairlead.loadbalancer.pools import Address, Pool

ALLOCATED = "fairlead.dev/AddressAllocated"
"""The condition of a Service that is ours: whether it has what it asks for, and why not."""
READY = "Ready"
"""The condition of an IPAddressPool."""

MOST = (1 << 63) - 1
"""Counts are 64 bits wide in the API; a pool of IPv6 may have more addresses."""


@dataclass(frozen=True)
class Told:
    """An Event: `type` is Normal or Warning, `reason` one CamelCase word."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True)
class Condition:
    """A condition without its times."""

    type: str
    status: str
    reason: str
    message: str


def condition(found: Given | Refused) -> Condition:
    """What a Service's condition says."""
    if isinstance(found, Refused):
        return Condition(ALLOCATED, "False", found.reason, found.message)
    if found.note:
        return Condition(ALLOCATED, "True", "AllocatedWithNote", found.note)
    return Condition(ALLOCATED, "True", "Allocated", f"{said(found.addresses)} of pool {found.pool}")


def event(
    key: str, found: Given | Refused, before: Condition | None, had: tuple[Address, ...]
) -> Told | None:
    """The Event about a Service for what is not as it was: its condition `before`, the addresses that it `had`."""
    changed = condition(found) != before
    if isinstance(found, Refused):
        lost = f"; it had {said(had)}" if had else ""
        message = f"Failed to allocate IP for {key!r}: {found.message}{lost}"
        return Told("Warning", "AllocationFailed", message) if changed else None
    instead = f" in place of {said(had)}" if had else ""
    assigned = f"Assigned IP {said(found.addresses)} of pool {found.pool}{instead}"
    if found.note:
        if not changed:
            return None
        if not found.pool:
            return Told("Warning", "AddressKept", found.note)
        message = found.note if found.addresses == had else f"{assigned}; {found.note}"
        return Told("Warning", "IncompleteAddresses", message)
    if found.addresses != had:
        return Told("Normal", "IPAllocated", assigned)
    if changed and before is not None and before.reason != "Allocated":
        return Told("Normal", "IPAllocated", f"IP {said(had)} is of pool {found.pool}")
    return None


def said(addresses: tuple[Address, ...]) -> str:
    """Addresses in a sentence."""
    return ", ".join(map(str, addresses))


def counts(pool: Pool | None, book: Book) -> dict[str, int]:
    """How many addresses of a pool Services have, and how many are free, by MetalLB's names. Costs the ranges."""
    found = {}
    ranges = pool.ranges if pool is not None else ()
    for version in (4, 6):
        assigned = sum(book.count(piece) for piece in ranges if piece.version == version)
        capacity = pool.capacity(version) if pool is not None else 0
        found[f"assignedIPv{version}"] = assigned
        found[f"availableIPv{version}"] = min(max(capacity - assigned, 0), MOST)
    return found


def pool_condition(verdict: Verdict) -> Condition:
    """What the condition of an IPAddressPool says."""
    return Condition(READY, "True" if verdict.pool is not None else "False", verdict.reason, verdict.message)


def pool_event(verdict: Verdict, before: Condition | None) -> Told | None:
    """The Event about an IPAddressPool; None where nothing has changed."""
    now = pool_condition(verdict)
    if verdict.pool is None:
        message = f"not used, Services get no addresses of it: {verdict.message}"
        return Told("Warning", "PoolNotUsed", message) if now != before else None
    if before is None or before.status != now.status:
        return Told("Normal", "PoolUsed", verdict.message)
    return None


def known(status: Any, kind: str) -> Condition | None:
    """The condition of this type in an object's status, typed or not."""
    listed = status.get("conditions") if isinstance(status, Mapping) else getattr(status, "conditions", None)
    for each in listed or ():
        values = [_value(each, name) for name in ("type", "status", "reason", "message")]
        if values[0] == kind:
            return Condition(*values)
    return None


def _value(each: Any, name: str) -> str:
    value = each.get(name, "") if isinstance(each, Mapping) else getattr(each, name, "")
    return str(value or "")
