"""What the kernel holds, read back as values."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from fairlead.proxy.family import Family
from fairlead.proxy.netlink import attributes
from fairlead.proxy.nftables.difference import Applied
from fairlead.proxy.nftables.elements import Frontend, Name, Piece, Way, pieces
from fairlead.proxy.nftables.encoding import (
    DATA_VALUE,
    DATA_VERDICT,
    ELEM_DATA,
    ELEM_KEY,
    ELEM_KEY_END,
    ELEM_LIST_ELEMENTS,
    NOTHING,
    VERDICT_CHAIN,
    Encoder,
)
from fairlead.proxy.nftables.names import (
    ALIASES,
    EXTERNAL,
    EXTERNAL_LOCAL,
    FRONTENDS,
    GUARDED,
    INSIDE,
    LEARNERS,
    LOCAL,
    MEMBER_SETS,
    PLAIN_SETS,
    SOURCES,
    SPECIAL,
    SPECIAL_PORTS,
    SPECIALS,
    STICKY_OF,
    VERDICT_MAPS,
    Chain,
    chain_named,
)
from fairlead.proxy.selection import Target
from fairlead.proxy.sources import Range

Dump = list[memoryview]
Read = Callable[[str], Dump]
"""Gives a dump of the elements of a map or set."""


@dataclass(slots=True)
class Found:
    """A table as it was found."""

    applied: Applied = field(default_factory=Applied)
    """All of it but for the slots."""
    strays: list[Piece] = field(default_factory=list)
    """Elements that are no part of anything: left by a transaction that was cut short between two batches."""


def found(read: Read, family: Family) -> Found:
    """Everything in our table but for the slots. Cost: linear in elements, about a microsecond each."""
    tables: dict[str, dict[bytes, str | bytes]] = {}
    for name in VERDICT_MAPS:
        tables[name] = dict(_verdicts(read(name)))
    tables[ALIASES] = {key: data[len(NOTHING) :] for key, data, _ in _plain(read(ALIASES))}
    for name in PLAIN_SETS:
        tables[name] = {key: b"" for key, _, _ in _plain(read(name))}
    sources: dict[Frontend, list[Range]] = {}
    size = family.size
    for key, _, end in _plain(read(SOURCES)):
        # The kernel leaves the end out where a range is a single address.
        sources.setdefault(key[:-size], []).append((key[-size:], (end or key)[-size:]))
    result = Found()
    for key in tuple(tables[FRONTENDS]):
        way = _way(key, tables, tuple(sorted(sources.get(key, ()))))
        result.applied.ways[key] = way
        for piece in pieces(key, way):
            tables[piece.table].pop(key, None)
        if way.sources:
            del sources[key]
    result.strays += [Piece(name, key, data) for name, table in tables.items() for key, data in table.items()]
    result.strays += [
        Piece(SOURCES, key + first, key + last)
        for key, listed in sources.items()
        for first, last in listed
    ]  # fmt: skip
    for name in MEMBER_SETS:
        result.applied.members.update((name, key) for key, _, _ in _plain(read(name)))
    for first, name in STICKY_OF.items():
        stuck: dict[Name, set[Target]] = {}
        for key, _, _ in _plain(read(name)):
            stuck.setdefault((key[size + 4 :], first), set()).add(key[: size + 4])
        result.applied.sticky.update({owner: frozenset(targets) for owner, targets in stuck.items()})
    return result


def _way(key: Frontend, tables: dict[str, dict[bytes, str | bytes]], sources: tuple[Range, ...]) -> Way:
    def text(name: str) -> str:
        return str(tables[name].get(key, ""))

    chain = text(FRONTENDS)
    special = chain if chain in (SPECIAL, SPECIAL_PORTS) else ""
    owner = tables[ALIASES].get(key, b"")
    assert isinstance(owner, bytes)
    return Way(
        text(SPECIALS) if special else chain,
        owner,
        special,
        text(INSIDE),
        text(LEARNERS),
        EXTERNAL if key in tables[EXTERNAL] else EXTERNAL_LOCAL if key in tables[EXTERNAL_LOCAL] else "",
        sources if key in tables[GUARDED] else (),
    )


def drawn(ways: dict[Frontend, Way]) -> int:
    """How many slots the chains that frontends lead to draw from."""
    most: dict[Name, int] = {}
    for key, way in ways.items():
        for chain in map(chain_named, (way.chain, way.inside)):
            if isinstance(chain, Chain):
                name = way.owner or key, chain.first
                most[name] = max(most.get(name, 0), chain.count)
    return sum(most.values())


def slots(dump: Dump, encoder: Encoder) -> tuple[dict[Name, bytes], list[tuple[Frontend, int, int]]]:
    """The backings in a dump of a map of slots, and slots that none can have: those behind an empty one."""
    held: dict[Name, dict[int, Target]] = {}
    for key, index, target in _slots(dump, encoder):
        first = LOCAL if index >= LOCAL else 0
        held.setdefault((key, first), {})[index - first] = target
    whole: dict[Name, bytes] = {}
    beyond: list[tuple[Frontend, int, int]] = []
    for (owner, first), targets in held.items():
        count = len(targets)
        if any(index not in targets for index in range(count)):
            count = next(index for index in range(count) if index not in targets)
            rest = (first + index for index in targets if index > count)
            beyond += [(owner, index, index + 1) for index in rest]
        if count:
            whole[owner, first] = b"".join([targets[index] for index in range(count)])
    return whole, beyond


def _slots(dump: Dump, encoder: Encoder) -> Iterator[tuple[Frontend, int, Target]]:
    size, key_size = encoder.element_size, encoder.key_size
    head, middle = len(encoder.before_key), len(encoder.before_target)
    layout = struct.Struct(f"={key_size}sI{middle}x{size - head - key_size - 4 - middle}s")
    for content in _contents(dump):
        if len(content) % size:
            raise ValueError("the map of endpoints holds elements that are not ours")
        for at in range(head, len(content), size):
            yield layout.unpack_from(content, at)


def _verdicts(dump: Dump) -> Iterator[tuple[bytes, str]]:
    """The key and chain of each element of a map to verdicts."""
    for content in _contents(dump):
        for _, element in attributes(content):
            parts = dict(attributes(element))
            verdict = dict(attributes(dict(attributes(parts[ELEM_DATA]))[DATA_VERDICT]))
            yield _value(parts[ELEM_KEY]), bytes(verdict.get(VERDICT_CHAIN, b"")).rstrip(b"\0").decode()


def _plain(dump: Dump) -> Iterator[tuple[bytes, bytes, bytes]]:
    """The key, datum and end of each element of another map, or of a set."""
    for content in _contents(dump):
        for _, element in attributes(content):
            parts = dict(attributes(element))
            data, end = parts.get(ELEM_DATA), parts.get(ELEM_KEY_END)
            yield (
                _value(parts[ELEM_KEY]),
                b"" if data is None else _value(data),
                b"" if end is None else _value(end),
            )


def _value(nested: memoryview) -> bytes:
    return bytes(dict(attributes(nested))[DATA_VALUE])


def _contents(dump: Iterable[memoryview]) -> Iterator[memoryview]:
    for answer in dump:
        for kind, content in attributes(answer):
            if kind == ELEM_LIST_ELEMENTS:
                yield content
