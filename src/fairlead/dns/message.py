"""A DNS query as it came over the wire (RFC 1035 §4, RFC 6891)."""

from __future__ import annotations

from typing import NamedTuple

from fairlead.dns.zone import Rcode

HEADER = 12
MAX_NAME = 255
COOKIE = 10
"""The EDNS option of RFC 7873."""


class Unanswerable(Exception):
    """The bytes are no query at all (too short, or an answer): to be met with silence."""


class Refused(Exception):
    """The query gets an answer that only says what is wrong with it."""

    def __init__(self, rcode: Rcode) -> None:
        super().__init__(rcode.name)
        self.rcode = rcode


class Edns(NamedTuple):
    """The OPT record of a query. `size` is the largest UDP answer in bytes that the client takes."""

    size: int
    version: int
    dnssec: bool
    cookie: bytes = b""
    cookie_is_last: bool = False


class Query(NamedTuple):
    """One question.

    `name` is in lower case without the last dot, `asked` the bytes of name, type and class as they came. A label with
    a dot in it, which no name of the cluster has, makes `plain` false.
    """

    id: bytes
    flags: int
    name: str
    plain: bool
    type: int
    cls: int
    asked: bytes
    edns: Edns | None

    @property
    def checking_disabled(self) -> bool:
        """The CD bit (RFC 4035)."""
        return bool(self.flags & 0x0010)


def parse(data: bytes) -> Query:
    """Reads a query. Raises Unanswerable, or Refused with FORMERR or NOTIMP."""
    if len(data) < HEADER or data[2] & 0x80:
        raise Unanswerable
    if data[2] & 0x78:
        raise Refused(Rcode.NOTIMP)
    if data[4:6] != b"\0\1":  # RFC 9619: exactly one question
        raise Refused(Rcode.FORMERR)
    try:
        labels, at = _labels(data, HEADER)
        kind = data[at] << 8 | data[at + 1]
        cls = data[at + 2] << 8 | data[at + 3]
        asked = data[HEADER : at + 4]
        edns = None
        at += 4
        for _ in range(int.from_bytes(data[6:8]) + int.from_bytes(data[8:10])):
            at = _skip_record(data, at)
        for _ in range(data[10] << 8 | data[11]):
            if data[at : at + 3] == b"\0\0\x29":
                if edns is not None:
                    raise Refused(Rcode.FORMERR)
                edns, at = _edns(data, at)
            else:
                at = _skip_record(data, at)
    except IndexError:
        raise Refused(Rcode.FORMERR) from None
    if at != len(data):
        raise Refused(Rcode.FORMERR)
    name = b".".join(labels).lower().decode("latin-1")
    plain = not any(b"." in label for label in labels)
    return Query(data[:2], data[2] << 8 | data[3], name, plain, kind, cls, asked, edns)


def _labels(data: bytes, at: int) -> tuple[list[bytes], int]:
    """The labels of an uncompressed name (nothing stands before a question that it could point to), and its end."""
    labels = []
    start = at
    while length := data[at]:
        if length > 63:
            raise Refused(Rcode.FORMERR)
        labels.append(data[at + 1 : at + 1 + length])
        at += 1 + length
    if at + 1 - start > MAX_NAME:
        raise Refused(Rcode.FORMERR)
    return labels, at + 1


def skip_name(data: bytes, at: int) -> int:
    """The place after a name, compressed or not. Raises IndexError where the data ends before it."""
    while length := data[at]:
        if length >= 0xC0:
            return at + 2
        if length > 63:
            raise IndexError
        at += 1 + length
    return at + 1


def _skip_record(data: bytes, at: int) -> int:
    at = skip_name(data, at)
    return _within(data, at + 10 + (data[at + 8] << 8 | data[at + 9]))


def _within(data: bytes, end: int) -> int:
    if end > len(data):
        raise IndexError
    return end


def _edns(data: bytes, at: int) -> tuple[Edns, int]:
    """The OPT record that starts at `at` with its root name, and the place after it."""
    size = data[at + 3] << 8 | data[at + 4]
    version, dnssec = data[at + 6], bool(data[at + 7] & 0x80)
    end = _within(data, at + 11 + (data[at + 9] << 8 | data[at + 10]))
    at += 11
    cookie, last = b"", False
    while at < end:
        option = data[at] << 8 | data[at + 1]
        length = data[at + 2] << 8 | data[at + 3]
        at += 4 + length
        if at > end:
            raise IndexError
        if option == COOKIE and not cookie:
            if length != 8 and not 16 <= length <= 40:  # RFC 7873 §5.2.2
                raise Refused(Rcode.FORMERR)
            cookie, last = data[at - length : at], at == len(data)
    return Edns(size, version, dnssec, cookie, last), end
