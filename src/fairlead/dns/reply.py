"""The answer of another server, read as far as forwarding needs it. Messages here are without their ID."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fairlead.dns.message import HEADER, skip_name
from fairlead.dns.records import Address, Name, Record, Type

LONGEST = 3_600
"""Seconds for which an answer is kept at most."""

LONGEST_MISSING = 30
"""The same for the answer that there is none (RFC 2308)."""

START = HEADER - 2
MAX_POINTERS = 64


class Field(NamedTuple):
    """Where one record of a message lies: its name, its TTL, its data; and in which section (0 to 2)."""

    section: int
    name: int
    type: int
    ttl: int
    start: int
    end: int


def fields(message: bytes) -> list[Field]:
    """All records of a message with one question. Raises IndexError where it is broken."""
    return list(_fields(message))


def _fields(message: bytes) -> Iterator[Field]:
    at = skip_name(message, START) + 4
    for section in range(3):
        count = message[4 + 2 * section] << 8 | message[5 + 2 * section]
        for _ in range(count):
            name = at
            at = skip_name(message, at)
            end = at + 10 + (message[at + 8] << 8 | message[at + 9])
            if end > len(message):
                raise IndexError
            yield Field(section, name, message[at] << 8 | message[at + 1], at + 4, at + 10, end)
            at = end


def lifetime(message: bytes) -> int:
    """Seconds for which a message may be kept: its smallest TTL, or what its SOA grants (RFC 2308 §5)."""
    found = [field for field in fields(message) if field.type != Type.OPT]
    answers = [field for field in found if field.section == 0]
    if message[1] & 15 == 0 and answers:
        return min(LONGEST, *(_number(message, field.ttl) for field in found))
    grants = [
        min(_number(message, field.ttl), _number(message, field.end - 4))
        for field in found
        if field.section == 1 and field.type == Type.SOA and field.end - field.start >= 22
    ]
    return min(LONGEST_MISSING, *grants) if grants else 0


def aged(message: bytes, seconds: int) -> bytes:
    """The message with every TTL less by its age."""
    if not seconds:
        return message
    data = bytearray(message)
    for field in fields(message):
        if field.type != Type.OPT:
            left = max(0, _number(message, field.ttl) - seconds)
            data[field.ttl : field.ttl + 4] = left.to_bytes(4)
    return bytes(data)


def addresses(message: bytes, name: str) -> list[Record]:
    """The addresses of a name, and the aliases that lead there, in the answer section; others are left out."""
    found: dict[str, list[Record]] = {}
    try:
        for field in fields(message):
            if field.section or field.type not in (Type.A, Type.AAAA, Type.CNAME):
                continue
            owner = name_at(message, field.name)
            ttl = _number(message, field.ttl)
            if field.type == Type.CNAME:
                record = Record(owner, Type.CNAME, ttl, Name(name_at(message, field.start)))
            else:
                kind = Type(field.type)
                content = message[field.start : field.end]
                if len(content) != (4 if kind == Type.A else 16):
                    continue
                record = Record(owner, kind, ttl, Address(content))
            found.setdefault(owner, []).append(record)
    except (IndexError, UnicodeDecodeError):
        return []
    answer: list[Record] = []
    while records := found.pop(name, None):
        answer += records
        last = records[0].data
        if not isinstance(last, Name):
            break
        name = last.target
    return answer


def name_at(message: bytes, at: int) -> str:
    """The name at a place, in lower case without the last dot. Raises IndexError where it is broken or has dots."""
    labels: list[str] = []
    for _ in range(MAX_POINTERS + 128):
        length = message[at]
        if length >= 0xC0:
            at = ((length & 0x3F) << 8 | message[at + 1]) - 2
            if at < START:
                raise IndexError
        elif length > 63:
            raise IndexError
        elif length == 0:
            if sum(len(label) + 1 for label in labels) > 254:
                raise IndexError
            return ".".join(labels).lower()
        else:
            label = message[at + 1 : at + 1 + length]
            if b"." in label or len(label) != length:
                raise IndexError
            labels.append(label.decode("ascii"))
            at += 1 + length
    raise IndexError


def wire_name(name: str) -> bytes:
    """A name as it stands in a question; each label at most 63 bytes."""
    return b"".join(bytes((len(label),)) + label.encode("ascii") for label in name.split(".")) + b"\0"


def _number(message: bytes, at: int) -> int:
    return int.from_bytes(message[at : at + 4])
