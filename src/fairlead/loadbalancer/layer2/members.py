"""Which speakers live, by the heartbeats that were heard. Pure: the time is an argument.

Each speaker multicasts a heartbeat on the very links on which it answers, as VRRP does (RFC 5798): a node is alive
where its answers would be heard. That costs each node a datagram per other node and beat, and the API nothing; Leases
renewed as often would be a write per node and beat, and each of them told to each of the others.
"""

from __future__ import annotations

import msgspec

BEAT = 0.2
"""Seconds between two heartbeats."""
DEAD_AFTER = 0.8
"""Seconds of silence after which a node is taken for dead."""
MAX_SIZE = 1200
"""Octets of a heartbeat at most."""


class Heartbeat(msgspec.Struct, frozen=True, array_like=True):
    """What a speaker says of itself. `uid` is its Node's: a cluster beside this one has nodes of the same names."""

    magic: str
    node: str
    uid: str
    hardware: tuple[str, ...]
    leaves: bool = False


MAGIC = "fairlead-speaker/1"
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Heartbeat)


def write(node: str, uid: str, hardware: tuple[bytes, ...], *, leaves: bool = False) -> bytes:
    """A heartbeat as a datagram."""
    return _encoder.encode(Heartbeat(MAGIC, node, uid, tuple(each.hex() for each in hardware), leaves))


def read(data: bytes) -> Heartbeat | None:
    """A heartbeat from a datagram; None for anything else, which anybody on the network can send."""
    if len(data) > MAX_SIZE:
        return None
    try:
        found = _decoder.decode(data)
        for each in found.hardware:
            bytes.fromhex(each)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return found if found.magic == MAGIC else None


class Members:
    """The speakers that live: this node's, and those heard of not long ago."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._heard: dict[str, float] = {}
        self._hardware: dict[str, tuple[bytes, ...]] = {}

    @property
    def alive(self) -> frozenset[str]:
        """The names of the nodes, as of the last `heard` or `expire`."""
        return frozenset((self._own, *self._heard))

    def hear(self, heartbeat: Heartbeat, now: float) -> bool:
        """Notes a heartbeat; whether it changes who lives. `now` in seconds of a clock that nobody sets."""
        name = heartbeat.node
        if name == self._own:
            return False
        self._hardware[name] = tuple(map(bytes.fromhex, heartbeat.hardware))
        if heartbeat.leaves:
            return self._heard.pop(name, None) is not None
        known = name in self._heard
        self._heard[name] = now
        return not known

    def expire(self, now: float) -> frozenset[str]:
        """Forgets those that have been silent for too long; gives their names. Cost: the nodes."""
        dead = frozenset(name for name, at in self._heard.items() if at + DEAD_AFTER <= now)
        for name in dead:
            del self._heard[name]
        return dead

    def is_speaker(self, hardware: bytes) -> bool:
        """Whether the hardware address is of a node that has ever been heard of, one that is silent now too."""
        return any(hardware in each for each in self._hardware.values())
