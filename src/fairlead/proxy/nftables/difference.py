"""The smallest way from one state of the kernel to another. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from fairlead.proxy.family import IPV4, Family
from fairlead.proxy.nftables.elements import (
    Backed,
    Frontend,
    Member,
    Name,
    Piece,
    Way,
    pieces,
    ranges,
    sticky,
)
from fairlead.proxy.nftables.names import FRONTENDS, STICKY_OF
from fairlead.proxy.selection import Target


@dataclass(slots=True)
class Desired:
    """The ways, backings and members that may have to change, and nothing else; None and False mean gone."""

    ways: dict[Frontend, Way | None] = field(default_factory=dict)
    backings: dict[Name, Backed | None] = field(default_factory=dict)
    members: dict[Member, bool] = field(default_factory=dict)


@dataclass(slots=True)
class Applied:
    """What the kernel holds."""

    ways: dict[Frontend, Way] = field(default_factory=dict)
    slots: dict[Name, bytes] = field(default_factory=dict)
    """The targets of each backing in the order of their slots, joined."""
    sticky: dict[Name, frozenset[Target]] = field(default_factory=dict)
    """The targets of each that a client may be led back to."""
    members: set[Member] = field(default_factory=set)

    def counts(self, endpoints: str, family: Family) -> Counter[str]:
        """How many elements each map and set has by that, but for what packets and ranges of sources make.

        `endpoints` is the map of slots. Cost: linear in frontends, 0.2 microseconds each.
        """
        found = Counter(name for name, _ in self.members)
        found[endpoints] = sum(map(len, self.slots.values())) // (family.size + 4)
        for (_, base), targets in self.sticky.items():
            found[STICKY_OF[base]] += len(targets)
        alone = 0
        for key, way in self.ways.items():
            if way.alone:
                alone += 1
            else:
                found.update(piece.table for piece in pieces(key, way))
        found[FRONTENDS] += alone
        return found


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive slots of an owner, from number `first` on."""

    owner: Frontend
    first: int
    targets: Sequence[Target]


@dataclass(slots=True)
class Transaction:
    """The steps from one state to another, in an order in which packets do no wrong after any of them.

    A slot is filled before a chain can draw it and emptied after; so a transaction that is too big for one batch
    may be cut between any two steps.
    """

    joined: list[Member] = field(default_factory=list)
    """Elements that are nothing but a key, and come."""
    filled: list[Run] = field(default_factory=list)
    """Slots that were empty."""
    replaced: list[Run] = field(default_factory=list)
    """Slots that get another target."""
    closed: list[Piece] = field(default_factory=list)
    """Ranges of sources that go from a frontend that keeps some; before `opened`, for they may not overlap."""
    opened: list[Piece] = field(default_factory=list)
    """Ranges of sources that come."""
    routed: list[tuple[Frontend, Way | None, Way | None]] = field(default_factory=list)
    """Frontends with the way that they had and the one that they have; None is none."""
    forgotten: list[Piece] = field(default_factory=list)
    """Ranges of sources of frontends that are not guarded any more."""
    emptied: list[tuple[Frontend, int, int]] = field(default_factory=list)
    """Slots without use any more: owner, the first, the one after the last."""
    left: list[Member] = field(default_factory=list)
    """Elements that are nothing but a key, and go."""
    slots: dict[Name, bytes] = field(default_factory=dict)
    """The backings that changed, as they are afterwards; b"" is gone."""
    sticky: dict[Name, frozenset[Target]] = field(default_factory=dict)
    """Those with other targets to be led back to, as they are afterwards; none is gone."""
    members: dict[Member, bool] = field(default_factory=dict)
    """Those of `joined` and `left` that are members."""

    def __bool__(self) -> bool:
        return bool(self.routed or self.slots or self.sticky or self.members)

    def growth(self) -> int:
        """How many slots are in use afterwards that were not before."""
        return sum(len(run.targets) for run in self.filled) - sum(
            end - first for _, first, end in self.emptied
        )

    def apply(self, applied: Applied) -> None:
        """Notes in `applied` that the kernel has done it."""
        for member, wanted in self.members.items():
            (applied.members.add if wanted else applied.members.discard)(member)
        for key, _, way in self.routed:
            if way is None:
                applied.ways.pop(key, None)
            else:
                applied.ways[key] = way
        for name, held in self.slots.items():
            if held:
                applied.slots[name] = held
            else:
                applied.slots.pop(name, None)
        for name, targets in self.sticky.items():
            if targets:
                applied.sticky[name] = targets
            else:
                applied.sticky.pop(name, None)


def place(wanted: Sequence[Target], slots: Sequence[Target]) -> list[Target]:
    """`wanted` in an order that leaves as many as possible in the slot where they are.

    One endpoint less moves at most one other; one more moves none. Cost: linear in the number of targets.
    """
    if not slots:
        return list(wanted)
    keep, have = set(wanted), set(slots)
    if len(have) != len(slots):
        return list(wanted)
    count = len(wanted)
    placed = list(slots[:count])
    spare = [target for target in slots[count:] if target in keep]
    spare += [target for target in wanted if target not in have]
    for index, target in enumerate(placed):
        if target not in keep:
            placed[index] = spare.pop()
    return placed + spare


def split(held: bytes, family: Family = IPV4) -> list[Target]:
    """The targets of a backing, in the order of their slots."""
    width = family.size + 4
    return [held[at : at + width] for at in range(0, len(held), width)]


def diff(desired: Desired, applied: Applied, family: Family = IPV4) -> Transaction:
    """The smallest transaction that brings what `desired` speaks of about. Pure; cost: linear in `desired`."""
    todo = Transaction()
    for member, wanted in desired.members.items():
        if wanted != (member in applied.members):
            todo.members[member] = wanted
            (todo.joined if wanted else todo.left).append(member)
    for name, backed in desired.backings.items():
        _diff_slots(todo, name, backed, applied.slots.get(name, b""), family)
        if applied.sticky or (backed is not None and backed.sticky):
            _diff_sticky(todo, name, backed, applied.sticky.get(name, frozenset()))
    ways = applied.ways
    for key, way in desired.ways.items():
        before = ways.get(key)
        if way is not before and way != before:
            todo.routed.append((key, before, way))
            if (before is not None and before.sources) or (way is not None and way.sources):
                _diff_sources(todo, key, before, way)
    return todo


def _diff_slots(todo: Transaction, name: Name, backed: Backed | None, before: bytes, family: Family) -> None:
    owner, base = name
    if not before:
        if backed is not None:
            todo.slots[name] = b"".join(backed.targets)
            todo.filled.append(Run(owner, base, backed.targets))
        return
    old = split(before, family)
    new = place(backed.targets, old) if backed is not None else []
    after = b"".join(new)
    if after == before:
        return
    todo.slots[name] = after
    both = min(len(old), len(new))
    if len(new) > both:
        todo.filled.append(Run(owner, base + both, new[both:]))
    todo.replaced += [
        Run(owner, base + index, new[index : index + 1]) for index in range(both) if new[index] != old[index]
    ]
    if len(old) > both:
        todo.emptied.append((owner, base + both, base + len(old)))


def _diff_sticky(todo: Transaction, name: Name, backed: Backed | None, before: frozenset[Target]) -> None:
    after = frozenset(backed.targets) if backed is not None and backed.sticky else frozenset()
    if after != before:
        owner, base = name
        todo.sticky[name] = after
        todo.joined += [(STICKY_OF[base], sticky(owner, target)) for target in after - before]
        todo.left += [(STICKY_OF[base], sticky(owner, target)) for target in before - after]


def _diff_sources(todo: Transaction, key: Frontend, before: Way | None, after: Way | None) -> None:
    old = set(ranges(key, before)) if before is not None else set()
    new = set(ranges(key, after)) if after is not None else set()
    todo.opened += new - old
    (todo.closed if new else todo.forgotten).extend(old - new)
