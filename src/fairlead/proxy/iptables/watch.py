"""Notices that somebody else changed what is ours, at the cost of one question to the kernel."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from fairlead.proxy.family import Family
from fairlead.proxy.iptables.names import CANARIES, CONSTANT, PORTALS, Chain, is_ours
from fairlead.proxy.netlink import GETCHAIN, GETGEN, Link, attribute, attributes

_TABLE, _HANDLE, _NAME, _USE = 1, 2, 3, 6
"""Attributes of a chain (nf_tables.h)."""

_WATCHED = (*PORTALS, *CONSTANT, *CANARIES)


class Watch:
    """Remembers how our chains stood, in the tables of nf_tables.

    The kernel counts with each chain the rules in it and the jumps to it, so that a flush, of a table or of a chain,
    shows, and so does a jump that is gone: nearly every rule leads to one of those chains.
    """

    def __init__(self, family: Family) -> None:
        self._link = Link(family.number)
        self._generation = -1
        self._marks: tuple[bytes, ...] = ()

    def close(self) -> None:
        """Gives the socket back."""
        self._link.close()

    @property
    def remembers(self) -> bool:
        """Whether there is anything to compare with."""
        return self._generation >= 0

    def remember(self) -> None:
        """How it is now is how it should be; unless what is always there is not, removed since it was made."""
        self._generation = self._current_generation()
        marks = dict(zip(_WATCHED, self._current_marks(), strict=True))
        self._marks = tuple(marks.values()) if all(marks[chain] for chain in (*PORTALS, *CANARIES)) else ()

    def harmed(self) -> bool:
        """Whether our chains are others now. Costs 20 microseconds while nobody changes any table."""
        generation = self._current_generation()
        if generation == self._generation and self._marks:
            return False
        self._generation = generation
        return self._marks != self._current_marks()

    def any_of_ours(self) -> bool:
        """Whether the tables hold any chain of ours at all. Cheaper than starting a program."""
        return any(is_ours(chain) for chain in self._chains())

    def _chains(self) -> Iterable[Chain]:
        for answer in self._link.dump(GETCHAIN, b""):
            parts = dict(attributes(answer))
            yield Chain(_text(parts[_TABLE]), _text(parts[_NAME]))

    def _current_generation(self) -> int:
        answer = dict(attributes(self._link.dump(GETGEN, b"", every=False)[0]))
        return int(struct.unpack("!I", answer[1])[0])

    def _current_marks(self) -> tuple[bytes, ...]:
        return tuple(self._mark(chain) for chain in _WATCHED)

    def _mark(self, chain: Chain) -> bytes:
        asked = attribute(_TABLE, chain.table.encode() + b"\0") + attribute(
            _NAME, chain.name.encode() + b"\0"
        )
        try:
            answer = self._link.dump(GETCHAIN, asked, every=False)
        except FileNotFoundError:
            return b""
        parts = dict(attributes(answer[0]))
        return bytes(parts[_HANDLE]) + bytes(parts[_USE])


def _text(data: memoryview) -> str:
    return bytes(data).rstrip(b"\0").decode()
