"""Virtual and real servers as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fairlead.proxy.family import PROTOCOL_NAMES, Family
from fairlead.proxy.selection import Target

PERSISTENT, HASHED = 0x1, 0x2
"""Flags of a virtual server: a client stays with its real server; the kernel's own remark (linux/ip_vs.h)."""
PORT_HASHED = 0x10
"""The schedulers `sh` and `mh` look at the client's port too (kube-proxy: FlagSourceHash, for `mh`)."""


class Frontend(NamedTuple):
    """What a virtual server is known by."""

    protocol: int
    address: bytes
    port: int

    def text(self, family: Family) -> str:
        """As people write it: `10.96.0.1:80/TCP`."""
        host = family.text(self.address)
        name = PROTOCOL_NAMES.get(self.protocol, str(self.protocol))
        return f"{f'[{host}]' if ':' in host else host}:{self.port}/{name}"


@dataclass(frozen=True, slots=True)
class Traits:
    """How a virtual server chooses."""

    scheduler: str
    flags: int = 0
    timeout: int = 0
    """Seconds for which a client stays with its real server."""


@dataclass(frozen=True, slots=True)
class Server:
    """A virtual server with its real ones, all of weight 1. Without any it refuses."""

    traits: Traits
    targets: frozenset[Target] = frozenset()
    serving: frozenset[Target] = frozenset()
    """Of UDP, all that still answer: one that is no target any more keeps its clients, with the weight 0."""


@dataclass(frozen=True, slots=True)
class Load:
    """A real server as the kernel has it."""

    weight: int
    connections: int
    """Active and inactive ones."""


def traits(scheduler: str, affinity: int) -> Traits:
    """For a Service with that affinity, 0 for none."""
    flags = PORT_HASHED if scheduler == "mh" else 0
    return Traits(scheduler, flags | (PERSISTENT if affinity else 0), affinity)
