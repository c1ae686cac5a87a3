"""Transactions as netlink messages. A hundred nanoseconds an element.

The kernel's form of an element is a key and data, each a nested attribute; every part of a concatenated key or datum
is padded to four octets, in network order; the index that a chain draws is a register and therefore in host order.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import islice

from fairlead.proxy.family import Family
from fairlead.proxy.netlink import (
    DELSETELEM,
    NESTED,
    NEWSETELEM,
    NLM_F_CREATE,
    Request,
    Step,
    attribute,
)
from fairlead.proxy.nftables.difference import Run, Transaction, split
from fairlead.proxy.nftables.elements import Frontend, Member, Name, Piece, Way, pieces
from fairlead.proxy.nftables.names import ALIASES, FRONTENDS, LEARNERS, LOCAL, SOURCES, TABLE

ELEM_LIST_TABLE, ELEM_LIST_SET, ELEM_LIST_ELEMENTS = 1, 2, 3
LIST_ELEM, ELEM_KEY, ELEM_DATA, ELEM_KEY_END = 1, 1, 2, 10
DATA_VALUE, DATA_VERDICT = 1, 2
VERDICT_CODE, VERDICT_CHAIN = 1, 2
NFT_JUMP, NFT_GOTO = struct.pack("!i", -3), struct.pack("!i", -4)

CHUNK = 60_000
"""Octets of elements in a message: an attribute's length has sixteen bits."""

ROUTED = 300
"""Frontends whose elements go into one step, at most seven each: less than a batch holds in any user namespace."""

NOTHING = bytes(4)
"""What stands before an owner in ALIASES."""

_INDEX = struct.Struct("=I")


class Encoder:
    """The messages for one family's table."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self.key_size = family.size + 8
        key = self.key_size + 4  # with the index
        width = family.size + 4  # of a target
        whole = 4 + 4 + 4 + key + 4 + 4 + width
        self.element_size = whole
        # Headers of element, key, key's value | key | index | headers of data, data's value | target.
        self.before_key = struct.pack(
            "=HHHHHH", whole, LIST_ELEM | NESTED, key + 8, ELEM_KEY | NESTED, key + 4, DATA_VALUE
        )
        self._before_lone_key = struct.pack(
            "=HHHHHH", 12 + key, LIST_ELEM | NESTED, key + 8, ELEM_KEY | NESTED, key + 4, DATA_VALUE
        )
        self.before_target = struct.pack("=HHHH", width + 8, ELEM_DATA | NESTED, width + 4, DATA_VALUE)
        self._middles: tuple[list[bytes], list[bytes]] = [], []
        """What stands between owner and target, by the slot's number: of those from 0 on, of those from LOCAL on."""

    def steps(self, todo: Transaction, endpoints: str) -> Iterator[Step]:
        """The messages of a transaction in its order; `endpoints` is the map of slots in use."""
        yield from self.filling(todo, endpoints)
        yield from self.rest(todo, endpoints)

    def filling(self, todo: Transaction, endpoints: str) -> Iterator[Step]:
        """The first part of them: what comes, and no packet meets yet."""
        yield from _members(NEWSETELEM, "adding", todo.joined)
        yield from _chunked(NEWSETELEM, "adding", endpoints, map(self._filled, todo.filled))

    def rest(self, todo: Transaction, endpoints: str) -> Iterator[Step]:
        """The second part."""
        for runs in _batched(todo.replaced, CHUNK // self.element_size):
            # The old one has to go for the new one to come, in the same batch.
            yield (
                _request(
                    DELSETELEM,
                    "replacing",
                    endpoints,
                    b"".join(self._key(run.owner, run.first) for run in runs),
                ),
                _request(NEWSETELEM, "replacing", endpoints, b"".join(map(self._filled, runs))),
            )
        yield from _pieces(DELSETELEM, "removing", todo.closed)
        yield from _pieces(NEWSETELEM, "adding", todo.opened)
        for ways in _batched(todo.routed, ROUTED):
            yield tuple(_routing(ways))
        yield from _pieces(DELSETELEM, "removing", todo.forgotten)
        yield from _chunked(DELSETELEM, "removing", endpoints, map(self._emptied, todo.emptied))
        yield from _members(DELSETELEM, "removing", todo.left)

    def copied(self, slots: Iterable[tuple[Name, bytes]], endpoints: str) -> Iterator[Step]:
        """Messages that fill a new map with all slots."""
        runs = (Run(owner, first, split(held, self._family)) for (owner, first), held in slots)
        yield from _chunked(NEWSETELEM, "copying", endpoints, map(self._filled, runs))

    def _filled(self, run: Run) -> bytes:
        base = LOCAL if run.first >= LOCAL else 0
        all_middles = self._middles[base > 0]
        first = run.first - base
        end = first + len(run.targets)
        for index in range(len(all_middles), end):
            all_middles.append(_INDEX.pack(base + index) + self.before_target)
        before = self.before_key + run.owner
        if len(run.targets) == 1:
            return before + all_middles[first] + run.targets[0]
        middles: Iterable[bytes] = islice(all_middles, first, end) if first else all_middles
        return before + before.join(map(operator.add, middles, run.targets))

    def _emptied(self, slots: tuple[Frontend, int, int]) -> bytes:
        owner, first, end = slots
        return b"".join(self._key(owner, index) for index in range(first, end))

    def _key(self, owner: Frontend, index: int) -> bytes:
        return self._before_lone_key + owner + _INDEX.pack(index)


def strays(found: Iterable[Piece]) -> Iterator[Step]:
    """The removal of elements that are no part of anything."""
    yield from _pieces(DELSETELEM, "removing", found)


def set_named(name: str) -> bytes:
    """The attributes that name a set of our table in messages about elements."""
    return attribute(ELEM_LIST_TABLE, TABLE.encode() + b"\0") + attribute(
        ELEM_LIST_SET, name.encode() + b"\0"
    )


def set_with(name: str, key: bytes) -> bytes:
    """The attributes that name one element of a set."""
    return set_named(name) + attribute(ELEM_LIST_ELEMENTS | NESTED, _alone(key))


def slot(owner: Frontend, index: int) -> bytes:
    """The key of a slot."""
    return owner + _INDEX.pack(index)


def _routing(ways: Iterable[tuple[Frontend, Way | None, Way | None]]) -> Iterator[Request]:
    """The requests that lead frontends another way, all of them in one batch."""
    gone: dict[str, list[bytes]] = {}
    come: dict[str, list[bytes]] = {}
    for key, before, after in ways:
        if before is None and after is not None and after.alone:
            come.setdefault(FRONTENDS, []).append(_led(key, after.chain))
            continue
        old = list(pieces(key, before)) if before is not None else []
        new = list(pieces(key, after)) if after is not None else []
        for piece in old:
            if piece not in new:
                gone.setdefault(piece.table, []).append(_alone(key))
        for piece in new:
            if piece not in old:
                come.setdefault(piece.table, []).append(_encoded(piece))
    for kind, by_table in ((DELSETELEM, gone), (NEWSETELEM, come)):
        for table, encoded in by_table.items():
            for step in _chunked(kind, "routing", table, encoded):
                yield from step


def _members(kind: int, doing: str, members: Iterable[Member]) -> Iterator[Step]:
    by_set: dict[str, list[bytes]] = {}
    for name, key in members:
        by_set.setdefault(name, []).append(_alone(key))
    for name, keys in by_set.items():
        yield from _chunked(kind, doing, name, keys)


def _pieces(kind: int, doing: str, listed: Iterable[Piece]) -> Iterator[Step]:
    by_table: dict[str, list[bytes]] = {}
    for piece in listed:
        # A range is named by both its ends when it goes, too.
        whole = kind == NEWSETELEM or piece.table == SOURCES
        by_table.setdefault(piece.table, []).append(_encoded(piece) if whole else _alone(piece.key))
    for table, encoded in by_table.items():
        yield from _chunked(kind, doing, table, encoded)


def _encoded(piece: Piece) -> bytes:
    key, data = piece.key, piece.data
    if isinstance(data, str):
        return _led(key, data, NFT_JUMP if piece.table == LEARNERS else NFT_GOTO)
    if not data:
        return _alone(key)
    kind = ELEM_DATA
    if piece.table == SOURCES:
        kind = ELEM_KEY_END
    elif piece.table == ALIASES:
        data = NOTHING + data
    nested = attribute(ELEM_KEY | NESTED, attribute(DATA_VALUE, key))
    return attribute(LIST_ELEM | NESTED, nested + attribute(kind | NESTED, attribute(DATA_VALUE, data)))


def _alone(key: bytes) -> bytes:
    return _before(len(key)) + key


@cache
def _before(size: int) -> bytes:
    """What stands before a key of that size, a multiple of four, in an element that is nothing else."""
    nested = attribute(ELEM_KEY | NESTED, attribute(DATA_VALUE, bytes(size)))
    return attribute(LIST_ELEM | NESTED, nested)[:-size]


def _led(key: bytes, chain: str, how: bytes = NFT_GOTO) -> bytes:
    before, after = _around(len(key), chain, how)
    return before + key + after


@cache
def _around(size: int, chain: str, how: bytes) -> tuple[bytes, bytes]:
    """What stands before and after a frontend's key of that size in the element that leads it to a chain."""
    verdict = attribute(VERDICT_CODE, how) + attribute(VERDICT_CHAIN, chain.encode() + b"\0")
    data = attribute(ELEM_DATA | NESTED, attribute(DATA_VERDICT | NESTED, verdict))
    whole = attribute(
        LIST_ELEM | NESTED, attribute(ELEM_KEY | NESTED, attribute(DATA_VALUE, bytes(size))) + data
    )
    return whole[: len(whole) - len(data) - size], data


def _request(kind: int, doing: str, name: str, encoded: bytes) -> Request:
    payload = set_named(name) + struct.pack("=HH", 4 + len(encoded), ELEM_LIST_ELEMENTS | NESTED) + encoded
    return Request(kind, payload, f"{doing} elements of {name}", NLM_F_CREATE if kind == NEWSETELEM else 0)


def _chunked(kind: int, doing: str, name: str, encoded: Iterable[bytes]) -> Iterator[Step]:
    """Messages of as many elements as an attribute holds; one of `encoded` may be longer than that itself."""
    parts: list[bytes] = []
    size = 0
    for part in encoded:
        if parts and size + len(part) > CHUNK:
            yield (_request(kind, doing, name, b"".join(parts)),)
            parts, size = [], 0
        if len(part) > CHUNK:
            # All elements of one run have the same length, which is the first one's own.
            width = struct.unpack_from("=H", part)[0]
            step = CHUNK // width * width
            for at in range(0, len(part), step):
                yield (_request(kind, doing, name, part[at : at + step]),)
            continue
        parts.append(part)
        size += len(part)
    if parts:
        yield (_request(kind, doing, name, b"".join(parts)),)


def _batched(items: Sequence, count: int) -> Iterator[Sequence]:  # type: ignore[type-arg]
    for at in range(0, len(items), count):
        yield items[at : at + count]
