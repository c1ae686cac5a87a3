"""What Services want in the kernel as plain values.

A *frontend* is an address, protocol and port that clients speak to; the address of a node port is zero. One of a
Service port's frontends, the first on its ClusterIP, is its *owner*: the numbered *slots* that hold the targets stand
under the owner's key, those of all nodes from number 0 on, those of this node, where a policy wants them, from
number `LOCAL` on. A frontend leads to a chain that draws one of N slots (see `chains`), or to `refuse`, or `discard`.
Its *way* says that, and in which other maps and sets it stands. Next to these there are *members* of a few sets:
addresses with a rule of their own. Keys and data are the kernel's own bytes, so that nothing is converted between
deciding and sending.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from fairlead.proxy.family import Family
from fairlead.proxy.nftables.names import (
    ALIASES,
    CLUSTER_IPS,
    EXTERNAL,
    EXTERNAL_LOCAL,
    FRONTENDS,
    GUARDED,
    HAIRPIN,
    INSIDE,
    LEARNERS,
    LOCAL,
    SOURCES,
    SPECIAL,
    SPECIAL_PORTS,
    SPECIALS,
    Chain,
    Key,
    Learner,
)
from fairlead.proxy.selection import Backing, Selection, Target, Verdict
from fairlead.proxy.sources import Range

Frontend = bytes
"""The key of map `frontends`: address, protocol, port, each padded to four octets."""

Name = tuple[Frontend, int]
"""A backing: the owner's key and the number of its first slot, 0 or LOCAL."""

Member = tuple[str, bytes]
"""A set's name and one of its keys."""


class Way(NamedTuple):
    """How the kernel treats a frontend."""

    chain: str
    """The chain that it leads to in the end."""
    owner: Frontend = b""
    """What ALIASES says; b"" where it stands not in there."""
    special: str = ""
    """SPECIAL or SPECIAL_PORTS where it leads there first."""
    inside: str = ""
    """The chain that INSIDE leads it to."""
    learner: str = ""
    """The chain that LEARNERS leads it to."""
    masquerade: str = ""
    """EXTERNAL, EXTERNAL_LOCAL or neither."""
    sources: tuple[Range, ...] = ()

    @property
    def alone(self) -> bool:
        """Whether the chain is all there is to it, as it is of most."""
        return self[1:] == _NOTHING_ELSE

    def chains(self) -> tuple[str, ...]:
        """The names of the chains that it leads to; "" where there is none."""
        return self.chain, self.inside, self.learner


_NOTHING_ELSE = Way("")[1:]


class Piece(NamedTuple):
    """One element: of a map to verdicts with its chain, of ALIASES with an owner, of SOURCES with the range's end."""

    table: str
    key: bytes
    data: str | bytes = b""


class Backed(NamedTuple):
    """Targets for the slots of a backing."""

    targets: tuple[Target, ...]
    sticky: bool = False
    """Whether clients are led back to them."""


@dataclass(frozen=True, slots=True)
class Elements:
    """Everything that some Service ports want in the kernel."""

    ways: Mapping[Frontend, Way]
    backings: Mapping[Name, Backed]
    members: frozenset[Member]

    def slots(self) -> int:
        """How many slots the backings need."""
        return sum(len(backed.targets) for backed in self.backings.values())


def frontend(address: bytes, protocol: int, port: int) -> Frontend:
    """The kernel's key of a frontend. Each part of a concatenated key is padded to four octets."""
    return b"%b%c\0\0\0%b\0\0" % (address, protocol, port.to_bytes(2, "big"))


def sticky(owner: Frontend, target: Target) -> bytes:
    """The key of a target that clients may be led back to."""
    return target + owner


@cache
def plain(count: int) -> Way:
    """The way of an owner with that many targets and nothing special about it: one value for all of them."""
    return Way(Chain(Key.OWN, count).name)


def pieces(key: Frontend, way: Way) -> Iterator[Piece]:
    """The elements that a way consists of, but for its sources."""
    if way.special:
        yield Piece(FRONTENDS, key, way.special)
        yield Piece(SPECIALS, key, way.chain)
    else:
        yield Piece(FRONTENDS, key, way.chain)
    if way.owner:
        yield Piece(ALIASES, key, way.owner)
    if way.inside:
        yield Piece(INSIDE, key, way.inside)
    if way.learner:
        yield Piece(LEARNERS, key, way.learner)
    if way.masquerade:
        yield Piece(way.masquerade, key)
    if way.sources:
        yield Piece(GUARDED, key)


def ranges(key: Frontend, way: Way) -> Iterator[Piece]:
    """The elements of its sources."""
    for first, last in way.sources:
        yield Piece(SOURCES, key + first, key + last)


def render(selections: Iterable[Selection], family: Family) -> Elements:
    """What the selections want in the kernel. Cost: linear in frontends; the targets are not looked at."""
    ways: dict[Frontend, Way] = {}
    backings: dict[Name, Backed] = {}
    members: list[Member] = []
    for selection in selections:
        protocol = selection.protocol
        port_key = frontend(bytes(family.size), protocol, selection.node_port) if selection.node_port else b""
        keys = [frontend(address, protocol, port) for address, port in selection.cluster_frontends]
        owner = keys[0] if keys else _outer_owner(selection, port_key)
        _enter_backings(backings, owner, selection)
        for key, (address, _) in zip(keys, selection.cluster_frontends, strict=True):
            ways[key] = _way(selection, key, owner)
            members.append((CLUSTER_IPS, address))
        for address, port in selection.external_frontends:
            sources = selection.sources if (address, port) in selection.guarded else ()
            ways[frontend(address, protocol, port)] = _from_outside(selection, Key.ALIAS, owner, sources)
        if selection.node_port:
            ways[port_key] = _from_outside(selection, Key.PORT, owner)
        if selection.local:
            members += [(HAIRPIN, address + address) for address in selection.local]
    return Elements(ways, backings, frozenset(members))


def _outer_owner(selection: Selection, port_key: Frontend) -> Frontend:
    # A Service that lost its ClusterIP to an older one may still have another address.
    for address, port in selection.external_frontends:
        return frontend(address, selection.protocol, port)
    return port_key


def _enter_backings(backings: dict[Name, Backed], owner: Frontend, selection: Selection) -> None:
    used = [selection.internal]
    if selection.external_frontends or selection.node_port:
        used += [selection.external, selection.cluster]
    for backing in used:
        if isinstance(backing, tuple):
            backings[owner, _first_slot(selection, backing)] = Backed(backing, bool(selection.affinity))


def _first_slot(selection: Selection, backing: Backing) -> int:
    return 0 if backing is selection.cluster or backing == selection.cluster else LOCAL


def _way(selection: Selection, key: Frontend, owner: Frontend) -> Way:
    backing = selection.internal
    if isinstance(backing, Verdict):
        return Way(backing.value)
    chain = _chain(selection, Key.OWN if key == owner else Key.ALIAS, backing)
    if selection.affinity:
        return Way(chain, owner, learner=Learner(selection.affinity).name)
    if key != owner:
        return Way(chain, owner)
    return plain(len(backing)) if backing is selection.cluster else Way(chain)


def _from_outside(selection: Selection, kind: Key, owner: Frontend, sources: tuple[Range, ...] = ()) -> Way:
    external, cluster = selection.external, selection.cluster
    inside = ""
    if isinstance(cluster, tuple) and _first_slot(selection, external):
        inside = _chain(selection, kind, cluster)
    answered = isinstance(external, tuple) or bool(inside)
    is_port = kind is Key.PORT
    special = SPECIAL_PORTS if is_port else SPECIAL
    return Way(
        _chain(selection, kind, external),
        owner if answered else b"",
        special if inside or sources else "",
        inside,
        Learner(selection.affinity, is_port).name if answered and selection.affinity else "",
        (EXTERNAL if selection.masquerade_external else EXTERNAL_LOCAL) if answered else "",
        sources,
    )


def _chain(selection: Selection, kind: Key, backing: Backing) -> str:
    if isinstance(backing, Verdict):
        return backing.value
    return Chain(kind, len(backing), bool(_first_slot(selection, backing)), bool(selection.affinity)).name
