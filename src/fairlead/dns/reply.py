"""The answer of another server, read as far as forwarding needs it. Messages here are without their ID."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from fairlead.dns.message import HEADER, skip_name
from fairlead.dns.records import Address, Name, Record, Type

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


def lifetime(message: bytes, longest: int, longest_missing: int) -> int:
    """Seconds for which a message may be kept: its smallest TTL, or what its SOA grants (RFC 2308 §5).

    At most `longest`; `longest_missing` where the answer is that there is none.
    """
    found = [field for field in fields(message) if field.type != Type.OPT]
    answers = [field for field in found if field.section == 0]
    if message[1] & 15 == 0 and answers:
        return min(longest, *(_number(message, field.ttl) for field in found))
    grants = [
        min(_number(message, field.ttl), _number(message, field.end - 4))
        for field in found
        if field.section == 1 and field.type == Type.SOA and field.end - field.start >= 22
    ]
    return min(longest_missing, *grants) if grants else 0


def aged(message: bytes, seconds: int, shortest: int = 0) -> bytes:
    """The message with every TTL, or `shortest` where it is less, less by its age."""
    if not seconds and not shortest:
        return message
    return _with_ttls(message, lambda ttl: max(0, max(ttl, shortest) - seconds))


def with_ttl(message: bytes, seconds: int) -> bytes:
    """The message with this TTL on every record."""
    return _with_ttls(message, lambda _: seconds)


def _with_ttls(message: bytes, change: Callable[[int], int]) -> bytes:
    data = bytearray(message)
    for field in fields(message):
        if field.type != Type.OPT:
            data[field.ttl : field.ttl + 4] = change(_number(message, field.ttl)).to_bytes(4)
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
