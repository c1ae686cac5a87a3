"""The orders in which the addresses of an answer are sent in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle

from fairlead.dns.records import Address, Record, Type

MAX_VARIANTS = 16
"""So many orders of the same addresses are prepared; with more addresses, each order starts further on."""

FEW = 4
"""Orders that are kept as they are; of more, the parts that they are made of are kept."""

_HEAD = 12
"""Bytes of a record before its data, where its name is a pointer to the question's, or to another before it."""


def rotations(answer: tuple[Record, ...]) -> list[tuple[Record, ...]]:
    """The answer in the orders that are sent in turn: addresses rotate, aliases before them stay."""
    first = _first_address(answer)
    head, rest = answer[:first], answer[first:]
    if len(rest) < 2:
        return [answer]
    count = min(len(rest), MAX_VARIANTS)
    starts = [len(rest) * i // count for i in range(count)]
    return [head + rest[s:] + rest[:s] for s in starts]


def in_turn(message: bytes, answer: Sequence[Record], after: int) -> Iterator[bytes] | None:
    """The orders of a message that has these records in its answer section and `after` bytes behind them, for ever.

    The second one comes first. None where the addresses are few, or not alike in all but their data, as where
    not all found room. An order costs 0.4 µs when it is sent; it is safe for several threads.
    """
    first = _first_address(answer)
    count = len(answer) - first
    if count <= FEW:
        return None
    content = answer[first].data
    assert isinstance(content, Address)
    size = _HEAD + len(content.packed)
    end = len(message) - after
    start = end - count * size
    if start < _HEAD:
        return None
    head, body, tail = message[:start], message[start:end], message[end:]
    alike = body[:_HEAD]
    if any(body[at : at + _HEAD] != alike for at in range(0, len(body), size)):
        return None

    def turned(at: int) -> bytes:
        return head + body[at:] + body[:at] + tail

    return map(turned, cycle([*range(size, len(body), size), 0]))


def _first_address(answer: Sequence[Record]) -> int:
    return next((i for i, r in enumerate(answer) if r.type in (Type.A, Type.AAAA)), len(answer))
