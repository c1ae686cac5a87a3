"""The state of the kernel as plain values: what a Service wants there, and the smallest way from one state to another.

A *frontend* is an address, protocol and port that clients speak to. It leads to a chain: `pick-N`, which draws one
of the N numbered *slots* that hold its targets, or `refuse`, or `discard`. Next to it there are *members* of a few
sets: addresses with a rule of their own. Keys and data are the kernel's own bytes, so that nothing is converted
between deciding and sending.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fairlead.proxy.family import IPV4, Family
from fairlead.proxy.selection import Backing, Selection, Target, Verdict

Frontend = bytes
"""The key of map `frontends`: address, protocol, port, each padded to four octets."""

Member = tuple[str, bytes]
"""A set's name and one of its keys."""

Route = bytes | Verdict
"""Where a frontend leads: all its targets in the order of their slots, joined; or a verdict."""

CLUSTER_IPS = "cluster-ips"
EXTERNAL = "external"
HAIRPIN = "hairpin"
SETS = (CLUSTER_IPS, EXTERNAL, HAIRPIN)


@dataclass(frozen=True, slots=True)
class Elements:
    """Everything that some Service ports want in the kernel."""

    routes: Mapping[Frontend, Backing]
    members: frozenset[Member]

    def slots(self) -> int:
        """How many slots the routes need."""
        return sum(len(backing) for backing in self.routes.values() if isinstance(backing, tuple))


@dataclass(slots=True)
class Desired:
    """The frontends and members that may have to change, and nothing else; None and False mean gone."""

    routes: dict[Frontend, Backing | None] = field(default_factory=dict)
    members: dict[Member, bool] = field(default_factory=dict)


@dataclass(slots=True)
class Applied:
    """What the kernel holds."""

    routes: dict[Frontend, Route] = field(default_factory=dict)
    members: set[Member] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive slots of a frontend, from number `first` on."""

    frontend: Frontend
    first: int
    targets: Sequence[Target]


@dataclass(slots=True)
class Transaction:
    """The steps from one state to another, in an order in which packets do no wrong after any of them.

    A slot is filled before a chain can draw it and emptied after; so a transaction that is too big for one batch
    may be cut between any two steps.
    """

    joined: list[Member] = field(default_factory=list)
    filled: list[Run] = field(default_factory=list)
    """Slots that were empty."""
    replaced: list[Run] = field(default_factory=list)
    """Slots that get another target."""
    routed: list[tuple[Frontend, str, str]] = field(default_factory=list)
    """Frontends with the chain that they led to and the one that they lead to; "" is none."""
    emptied: list[tuple[Frontend, int, int]] = field(default_factory=list)
    """Slots without use any more: frontend, the first, the one after the last."""
    left: list[Member] = field(default_factory=list)
    routes: dict[Frontend, Route | None] = field(default_factory=dict)
    """The frontends that changed, as they are afterwards; None is gone."""

    def __bool__(self) -> bool:
        return bool(self.routes or self.joined or self.left)

    def slots(self) -> int:
        """How many slots are in use afterwards that were not before."""
        return sum(len(run.targets) for run in self.filled) - sum(
            end - first for _, first, end in self.emptied
        )

    def apply(self, applied: Applied) -> None:
        """Notes in `applied` that the kernel has done it."""
        applied.members.update(self.joined)
        applied.members.difference_update(self.left)
        for frontend, route in self.routes.items():
            if route is None:
                applied.routes.pop(frontend, None)
            else:
                applied.routes[frontend] = route


def frontend(address: bytes, protocol: int, port: int) -> Frontend:
    """The kernel's key of a frontend. Each part of a concatenated key is padded to four octets."""
    return b"%b%c\0\0\0%b\0\0" % (address, protocol, port.to_bytes(2, "big"))


def chain_of(route: Route | Sequence[Target], family: Family = IPV4) -> str:
    """The name of the chain that a frontend leads to."""
    if isinstance(route, Verdict):
        return route.value
    return f"pick-{len(route) // (family.size + 4) if isinstance(route, bytes) else len(route)}"


def render(selections: Iterable[Selection], node_addresses: Sequence[bytes] = ()) -> Elements:
    """What the selections want in the kernel; node ports are open at `node_addresses`.

    Cost: linear in frontends; the targets are not looked at.
    """
    routes: dict[Frontend, Backing] = {}
    members: list[Member] = []
    for selection in selections:
        protocol = selection.protocol
        for address, port in selection.cluster_frontends:
            routes[frontend(address, protocol, port)] = selection.internal
            members.append((CLUSTER_IPS, address))
        node_ports = [(address, selection.node_port) for address in node_addresses if selection.node_port]
        for address, port in (*node_ports, *selection.external_frontends):
            key = frontend(address, protocol, port)
            routes[key] = selection.external
            if selection.masquerade_external:
                members.append((EXTERNAL, key))
        members += [(HAIRPIN, address + address) for address in selection.local]
    return Elements(routes, frozenset(members))


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


def split(route: Route, family: Family = IPV4) -> list[Target]:
    """The targets of a route, in the order of their slots."""
    if isinstance(route, Verdict):
        return []
    width = family.size + 4
    return [route[at : at + width] for at in range(0, len(route), width)]


def diff(desired: Desired, applied: Applied, family: Family = IPV4) -> Transaction:
    """The smallest transaction that brings what `desired` speaks of about. Pure; cost: linear in `desired`."""
    todo = Transaction()
    for member, wanted in desired.members.items():
        if wanted != (member in applied.members):
            (todo.joined if wanted else todo.left).append(member)
    for key, backing in desired.routes.items():
        _diff_route(todo, key, backing, applied.routes.get(key), family)
    return todo


def _diff_route(
    todo: Transaction, key: Frontend, backing: Backing | None, before: Route | None, family: Family
) -> None:
    old = () if before is None else split(before, family)
    new = place(backing, old) if isinstance(backing, tuple) else []
    after: Route | None = b"".join(new) if isinstance(backing, tuple) else backing
    if after == before:
        return
    todo.routes[key] = after
    both = min(len(old), len(new))
    if len(new) > both:
        todo.filled.append(Run(key, both, new[both:] if both else new))
    todo.replaced += [
        Run(key, index, new[index : index + 1]) for index in range(both) if new[index] != old[index]
    ]
    leads_from = "" if before is None else chain_of(before, family)
    leads_to = "" if after is None else chain_of(after, family)
    if leads_from != leads_to:
        todo.routed.append((key, leads_from, leads_to))
    if len(old) > both:
        todo.emptied.append((key, both, len(old)))
