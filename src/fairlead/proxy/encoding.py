"""Transactions as netlink messages, dumps of the kernel as elements. A hundred nanoseconds an element.

The kernel's form of an element is a key and data, each a nested attribute; every part of a concatenated key or datum
is padded to four octets, in network order; the index that a chain draws is a register and therefore in host order.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import islice

from fairlead.proxy.elements import Applied, Member, Route, Run, Transaction
from fairlead.proxy.family import Family
from fairlead.proxy.netlink import (
    DELSETELEM,
    NESTED,
    NEWSETELEM,
    NLM_F_CREATE,
    Request,
    Step,
    attribute,
    attributes,
)
from fairlead.proxy.selection import Target, Verdict
from fairlead.proxy.skeleton import FRONTENDS, PICK, TABLE

ELEM_LIST_TABLE, ELEM_LIST_SET, ELEM_LIST_ELEMENTS = 1, 2, 3
LIST_ELEM, ELEM_KEY, ELEM_DATA = 1, 1, 2
DATA_VALUE, DATA_VERDICT = 1, 2
VERDICT_CODE, VERDICT_CHAIN = 1, 2
NFT_GOTO = struct.pack("!i", -4)

CHUNK = 60_000
"""Octets of elements in a message: an attribute's length has sixteen bits."""

_INDEX = struct.Struct("=I")
_VERDICTS = {verdict.value for verdict in Verdict}


class Encoder:
    """The messages for one family's table."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._key_size = family.size + 8
        key = self._key_size + 4  # with the index
        width = family.size + 4  # of a target
        whole = 4 + 4 + 4 + key + 4 + 4 + width
        self.element_size = whole
        # Headers of element, key, key's value | key | index | headers of data, data's value | target.
        self._before_key = struct.pack(
            "=HHHHHH", whole, LIST_ELEM | NESTED, key + 8, ELEM_KEY | NESTED, key + 4, DATA_VALUE
        )
        self._before_lone_key = struct.pack(
            "=HHHHHH", 12 + key, LIST_ELEM | NESTED, key + 8, ELEM_KEY | NESTED, key + 4, DATA_VALUE
        )
        self._before_target = struct.pack("=HHHH", width + 8, ELEM_DATA | NESTED, width + 4, DATA_VALUE)
        self._middles = [_INDEX.pack(index) + self._before_target for index in range(64)]

    def steps(self, todo: Transaction, endpoints: str) -> Iterator[Step]:
        """The messages of a transaction in its order; `endpoints` is the map of endpoints in use."""
        yield from self._members(NEWSETELEM, "adding", todo.joined)
        yield from _chunked(NEWSETELEM, "adding", endpoints, map(self._filled, todo.filled))
        for runs in _batched(todo.replaced, CHUNK // self.element_size):
            # The old one has to go for the new one to come, in the same batch.
            yield (
                _request(
                    DELSETELEM,
                    "replacing",
                    endpoints,
                    b"".join(self._key(run.frontend, run.first) for run in runs),
                ),
                _request(NEWSETELEM, "replacing", endpoints, b"".join(map(self._filled, runs))),
            )
        for routes in _batched(todo.routed, 500):
            gone = b"".join(_key(key) for key, before, _ in routes if before)
            come = b"".join(_verdict(key, after) for key, _, after in routes if after)
            yield tuple(
                _request(kind, "routing", FRONTENDS, encoded)
                for kind, encoded in ((DELSETELEM, gone), (NEWSETELEM, come))
                if encoded
            )
        yield from _chunked(
            DELSETELEM,
            "removing",
            endpoints,
            (
                b"".join(self._key(key, index) for index in range(first, end))
                for key, first, end in todo.emptied
            ),
        )
        yield from self._members(DELSETELEM, "removing", todo.left)

    def endpoints(self, routes: Iterable[tuple[bytes, Route]], endpoints: str) -> Iterator[Step]:
        """Messages that fill a new map of endpoints with everything that the routes hold."""
        width = self._family.size + 4
        yield from _chunked(
            NEWSETELEM,
            "copying",
            endpoints,
            (
                self._filled(Run(key, 0, [route[at : at + width] for at in range(0, len(route), width)]))
                for key, route in routes
                if not isinstance(route, Verdict)
            ),
        )

    def _filled(self, run: Run) -> bytes:
        end = run.first + len(run.targets)
        for index in range(len(self._middles), end):
            self._middles.append(_INDEX.pack(index) + self._before_target)
        before = self._before_key + run.frontend
        if len(run.targets) == 1:
            return before + self._middles[run.first] + run.targets[0]
        middles: Iterable[bytes] = islice(self._middles, run.first, end) if run.first else self._middles
        return before + before.join(map(operator.add, middles, run.targets))

    def _key(self, frontend: bytes, index: int) -> bytes:
        return self._before_lone_key + frontend + _INDEX.pack(index)

    def _members(self, kind: int, doing: str, members: Sequence[Member]) -> Iterator[Step]:
        by_set: dict[str, list[bytes]] = {}
        for name, key in members:
            by_set.setdefault(name, []).append(_key(key))
        for name, keys in by_set.items():
            yield from _chunked(kind, doing, name, keys)

    def slots(self, dump: Iterable[memoryview]) -> Iterator[tuple[bytes, int, Target]]:
        """The frontend, index and target of each element in a dump of a map of endpoints."""
        size, key_size = self.element_size, self._key_size
        head = len(self._before_key)
        at_index, at_target = head + key_size, head + key_size + 4 + len(self._before_target)
        layout = struct.Struct(f"={key_size}sI{at_target - at_index - 4}x{self._family.size + 4}s")
        for content in _contents(dump):
            if len(content) % size:
                raise ValueError("the map of endpoints holds elements that are not ours")
            for at in range(head, len(content), size):
                key, index, target = layout.unpack_from(content, at)
                yield key, index, target


def verdicts(dump: Iterable[memoryview]) -> Iterator[tuple[bytes, str]]:
    """The frontend and chain of each element in a dump of the map of frontends."""
    for content in _contents(dump):
        for _, element in attributes(content):
            parts = dict(attributes(element))
            verdict = dict(attributes(dict(attributes(parts[ELEM_DATA]))[DATA_VERDICT]))
            yield _value(parts[ELEM_KEY]), bytes(verdict[VERDICT_CHAIN]).rstrip(b"\0").decode()


def keys(dump: Iterable[memoryview]) -> Iterator[bytes]:
    """The keys in a dump of a set."""
    for content in _contents(dump):
        for _, element in attributes(content):
            yield _value(dict(attributes(element))[ELEM_KEY])


def set_named(name: str) -> bytes:
    """The attributes that name a set of our table in messages about elements."""
    return attribute(ELEM_LIST_TABLE, TABLE.encode() + b"\0") + attribute(
        ELEM_LIST_SET, name.encode() + b"\0"
    )


def count_of(chain: str) -> int:
    """N of chain `pick-N`; 0 of any other."""
    number = chain.removeprefix(PICK)
    return int(number) if number != chain and number.isdecimal() else 0


def routes_of(
    verdicts: Iterable[tuple[bytes, str]], slots: Iterable[tuple[bytes, int, Target]]
) -> tuple[Applied, Transaction]:
    """What dumps of both maps amount to, and what to remove first because it does not fit together.

    Such are slots that no chain draws, left by a transaction that was cut short between two batches, and
    frontends whose chain is of another version or draws slots that are empty.
    """
    applied, cleaning = Applied(), Transaction()
    held: dict[bytes, dict[int, Target]] = {}
    for key, index, target in slots:
        held.setdefault(key, {})[index] = target
    for key, chain in verdicts:
        has = held.get(key, {})
        count = count_of(chain)
        if chain in _VERDICTS:
            applied.routes[key] = Verdict(chain)
        elif count and all(index in has for index in range(count)):
            applied.routes[key] = b"".join([has.pop(index) for index in range(count)])
        else:
            cleaning.routed.append((key, chain, ""))
    for key, rest in held.items():
        cleaning.emptied += [(key, index, index + 1) for index in rest]
    return applied, cleaning


def _value(nested: memoryview) -> bytes:
    return bytes(dict(attributes(nested))[DATA_VALUE])


def _contents(dump: Iterable[memoryview]) -> Iterator[memoryview]:
    for answer in dump:
        for kind, content in attributes(answer):
            if kind == ELEM_LIST_ELEMENTS:
                yield content


def _key(key: bytes) -> bytes:
    return _before(len(key)) + key


@cache
def _before(size: int) -> bytes:
    """What stands before a key of that size, a multiple of four, in an element that is nothing else."""
    nested = attribute(ELEM_KEY | NESTED, attribute(DATA_VALUE, bytes(size)))
    return attribute(LIST_ELEM | NESTED, nested)[:-size]


def _verdict(key: bytes, chain: str) -> bytes:
    before, after = _around(len(key), chain)
    return before + key + after


@cache
def _around(size: int, chain: str) -> tuple[bytes, bytes]:
    """What stands before and after a frontend's key of that size in the element that leads it to a chain."""
    verdict = attribute(VERDICT_CODE, NFT_GOTO) + attribute(VERDICT_CHAIN, chain.encode() + b"\0")
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
