"""The names of what is in our table: maps, sets and chains. The kernel holds nothing else that is ours."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import cache

from fairlead.proxy.selection import MOST_TARGETS

TABLE = "fairlead"

FRONTENDS = "frontends"
"""Leads a frontend to a chain."""
SPECIAL, SPECIAL_PORTS = "special", "special-ports"
"""The chains for frontends that not everybody may use in the same way: they ask SOURCES and INSIDE, then SPECIALS."""
SPECIALS = "specials"
"""Leads those on."""
INSIDE = "inside"
"""Leads them to another chain for the node itself and its pods, whom policies do not bind."""
ALIASES = "aliases"
"""The owner of each frontend that is none itself, or that has learners, behind four octets of nothing (`chains`)."""
LEARNERS = "learners"
"""Leads a frontend whose clients stay with their endpoints to the chain that notes where they went."""
ENDPOINTS = "endpoints-"
"""The map of slots carries its capacity in its name: a bigger one takes its place when it is full."""
AFFINITY = "affinity"
"""Where clients were led to, filled by the kernel itself: owner and client to target, each for its Service's time."""

CLUSTER_IPS = "cluster-ips"
HAIRPIN = "hairpin"
"""Pairs of an address with itself: pods that may meet themselves."""
NODE_ADDRESSES = "node-addresses"
"""Where node ports are open."""
EXTERNAL = "external"
"""Frontends whose traffic takes the node's address: it could not come back from another node otherwise."""
EXTERNAL_LOCAL = "external-local"
"""Frontends for which only what the node itself sends does."""
GUARDED = "guarded"
"""Frontends that only the addresses in SOURCES may use."""
SOURCES = "sources"
"""Pairs of a frontend and a range of addresses."""
STICKY, STICKY_LOCAL = "sticky", "sticky-local"
"""Pairs of a target that clients may be led back to and its owner."""

VERDICT_MAPS = (FRONTENDS, SPECIALS, INSIDE, LEARNERS)
PLAIN_SETS = (EXTERNAL, EXTERNAL_LOCAL, GUARDED)
MEMBER_SETS = (CLUSTER_IPS, HAIRPIN, NODE_ADDRESSES)
CONSTANT = {
    *VERDICT_MAPS, *PLAIN_SETS, *MEMBER_SETS, ALIASES, SOURCES, STICKY, STICKY_LOCAL, AFFINITY
}  # fmt: skip
"""All maps and sets but for those of slots."""

LOCAL = MOST_TARGETS
"""The number of the first slot of targets on this node; those of all nodes' targets are below."""
STICKY_OF = {0: STICKY, LOCAL: STICKY_LOCAL}


class Key(enum.Enum):
    """Under which key a frontend's chain finds the slots."""

    OWN = "pick"
    """The frontend's own, for it is the owner."""
    ALIAS = "alias"
    """The owner that ALIASES says."""
    PORT = "port"
    """The owner that ALIASES says of the port at address zero."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain that draws one of `count` slots. Its name says all: `pick-3`, `alias-3`, `port-local-sticky-2`."""

    key: Key
    count: int
    local: bool = False
    """Whether it draws from slot LOCAL on."""
    sticky: bool = False
    """Whether it leads a client back to where it led him before."""

    @property
    def first(self) -> int:
        """The number of the first slot that it draws."""
        return LOCAL if self.local else 0

    @property
    def name(self) -> str:
        """Its name in the kernel."""
        return (
            f"{self.key.value}{'-local' if self.local else ''}{'-sticky' if self.sticky else ''}-{self.count}"
        )


@dataclass(frozen=True, slots=True)
class Learner:
    """A chain that notes for so many seconds where a client was led to: `learn-10800`, `learn-port-10800`."""

    seconds: int
    port: bool = False
    """Whether it was a node port that led him."""

    @property
    def name(self) -> str:
        """Its name in the kernel."""
        return f"learn{'-port' if self.port else ''}-{self.seconds}"


_CHAIN = re.compile(r"(pick|alias|port)(-local)?(-sticky)?-([1-9]\d*)")
_LEARNER = re.compile(r"learn(-port)?-([1-9]\d*)")


@cache
def chain_named(name: str) -> Chain | Learner | None:
    """The chain of that name; None where it is a constant one, or not ours."""
    if found := _CHAIN.fullmatch(name):
        return Chain(Key(found[1]), int(found[4]), bool(found[2]), bool(found[3]))
    if found := _LEARNER.fullmatch(name):
        return Learner(int(found[2]), bool(found[1]))
    return None
