"""Answers in wire format, names compressed (RFC 1035 §4.1.4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from struct import Struct

from fairlead.dns.message import COOKIE, HEADER, Query
from fairlead.dns.records import Address, Authority, Data, Location, Name, Record
from fairlead.dns.zone import Rcode

UDP_SIZE = 1232
"""The largest UDP answer in bytes: what fits unfragmented into the smallest IPv6 packet (DNS flag day 2020)."""

SERVER_COOKIE = 8
_HEAD = Struct("!HHHHH").pack
_FIXED = Struct("!HHIH").pack
_LOCATION = Struct("!HHH").pack
_TIMES = Struct("!IIIII").pack
_OPT = Struct("!BHHBBHH").pack
_QUESTION_NAME = 0xC000 | HEADER

QR, AA, TC, RD, RA, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010


class Overflow(Exception):
    """The next record does not fit."""


class Writer:
    """The bytes of an answer after its ID; `limit` counts the whole message."""

    def __init__(self, query: Query, limit: int) -> None:
        self.data = bytearray(HEADER - 2) + query.asked
        self._limit = limit - 2
        self._names: dict[str, int] = {}
        if query.plain and query.name:
            self._note(query.name, HEADER)

    def _note(self, name: str, at: int) -> None:
        while name:
            self._names.setdefault(name, at)
            label, _, name = name.partition(".")
            at += 1 + len(label)

    def _name(self, name: str) -> None:
        data, names = self.data, self._names
        while name:
            at = names.get(name)
            if at is not None:
                data += (0xC000 | at).to_bytes(2)
                return
            if len(data) < 0x3FFE:
                names[name] = len(data) + 2
            label, _, name = name.partition(".")
            data.append(len(label))
            data += label.encode("latin-1")
        data.append(0)

    def add(self, record: Record) -> None:
        """Appends a record, or raises Overflow and leaves everything as it was."""
        data = self.data
        start = len(data)
        self._name(record.name)
        data += _FIXED(record.type, 1, record.ttl, 0)
        body = len(data)
        self._body(record.data)
        data[body - 2 : body] = (len(data) - body).to_bytes(2)
        if len(data) > self._limit:
            del data[start:]
            self._names = {name: at for name, at in self._names.items() if at < start + 2}
            raise Overflow

    def finish(self, rcode: Rcode, count: int) -> bytes:
        """The message, whose answer section has so many records and nothing follows it."""
        flags = QR | AA | RA | rcode
        self.data[: HEADER - 2] = _HEAD(flags, 1, count, 0, 0)
        return bytes(self.data)

    def _body(self, content: Data) -> None:
        if isinstance(content, Address):
            self.data += content.packed
        elif isinstance(content, Location):
            self.data += _LOCATION(content.priority, content.weight, content.port)
            self._name(content.target)
        elif isinstance(content, Name):
            self._name(content.target)
        elif isinstance(content, Authority):
            self._name(content.nameserver)
            self._name(content.mailbox)
            self.data += _TIMES(*content[2:])
        else:
            text = content.text.encode()
            self.data += bytes((len(text),)) + text


def udp_limit(query: Query) -> int:
    """The largest answer in bytes that goes to this client over UDP."""
    return min(max(query.edns.size, 512), UDP_SIZE) if query.edns else 512


def answer(
    query: Query,
    rcode: Rcode,
    answer: Sequence[Record] = (),
    authority: Sequence[Record] = (),
    additional: Iterable[Record] = (),
    *,
    authoritative: bool = True,
    limit: int,
) -> bytes:
    """The answer without its first two bytes, the ID, and without the cookie at its end (see `edns.cookie`).

    Records that do not fit into `limit` bytes are left out: with TC where they matter, silently in the additional part.
    """
    if not answer and authoritative and query.plain:
        soa = _only(authority)
        if soa is not None and (query.name == soa.name or query.name.endswith(f".{soa.name}")):
            return _denial(query, rcode, soa)
    room = _opt_size(query)
    writer = Writer(query, limit - room)
    flags = QR | RA | (query.flags & (RD | CD)) | (AA if authoritative else 0) | (rcode & 15)
    counts = [0, 0, 0]
    for section, records in enumerate((answer, authority, additional)):
        try:
            for record in records:
                writer.add(record)
                counts[section] += 1
        except Overflow:
            if section < 2:
                flags |= TC
            break
    data = writer.data
    if query.edns:
        counts[2] += 1
        data += opt(query, rcode)
    data[:10] = _HEAD(flags, 1, *counts)
    return bytes(data)


def _only(authority: Sequence[Record]) -> Record | None:
    """The SOA record that is all there is."""
    return authority[0] if len(authority) == 1 and isinstance(authority[0].data, Authority) else None


def _denial(query: Query, rcode: Rcode, soa: Record) -> bytes:
    """The answer that there is nothing, at a name in the SOA's zone: as `Writer` has it, in a quarter of the time.

    It always fits: at most 255 bytes of a name, and a hundred others.
    """
    assert isinstance(soa.data, Authority)
    zone = (0xC000 | HEADER + len(query.asked) - 4 - len(soa.name) - 2).to_bytes(2)
    names = zone.join((_before(soa.data.nameserver, soa.name), _before(soa.data.mailbox, soa.name), b""))
    body = names + _TIMES(*soa.data[2:])
    flags = QR | RA | AA | (query.flags & (RD | CD)) | (rcode & 15)
    head = _HEAD(flags, 1, 0, 1, 1 if query.edns else 0) + query.asked
    data = head + zone + _FIXED(soa.type, 1, soa.ttl, len(body)) + body
    return data + opt(query, rcode) if query.edns else data


@lru_cache(maxsize=16)
def _before(name: str, zone: str) -> bytes:
    """The labels of a name before those of the zone that it is in."""
    labels = name.removesuffix(zone).split(".")[:-1]
    return b"".join(bytes((len(label),)) + label.encode("latin-1") for label in labels)


def _opt_size(query: Query) -> int:
    if not query.edns:
        return 0
    return 11 + (4 + 8 + SERVER_COOKIE if query.edns.cookie else 0)


def opt(query: Query, rcode: Rcode) -> bytes:
    """The OPT record of an answer, up to where the client's and the server's cookie follow."""
    assert query.edns is not None
    dnssec = 0x8000 if query.edns.dnssec else 0
    length = _opt_size(query) - 11
    head = _OPT(0, 41, UDP_SIZE, rcode >> 4, 0, dnssec, length)
    return head + bytes((0, COOKIE, 0, 8 + SERVER_COOKIE)) if length else head


def refusal(data: bytes, rcode: Rcode) -> bytes:
    """The bare header that answers a query which could not be read; `data` is at least a header."""
    flags = QR | (data[2] << 8 & 0x7800) | (data[2] << 8 & RD) | rcode
    return data[:2] + _HEAD(flags, 0, 0, 0, 0)
