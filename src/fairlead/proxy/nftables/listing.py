"""The table as text in nft's words, without its ever having been in a kernel. Pure.

The chains that draw a slot are told in a comment: nft has no words for some of their rules (see `chains`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fairlead.proxy.dataplane import Selected
from fairlead.proxy.family import PROTOCOL_NAMES, Family
from fairlead.proxy.nftables.elements import Elements, Piece, pieces, ranges, render, sticky
from fairlead.proxy.nftables.names import (
    ALIASES,
    ENDPOINTS,
    HAIRPIN,
    LEARNERS,
    LOCAL,
    NODE_ADDRESSES,
    SOURCES,
    STICKY_OF,
    TABLE,
    VERDICT_MAPS,
    Chain,
    Key,
    Learner,
    chain_named,
)
from fairlead.proxy.nftables.skeleton import block, declarations, rules
from fairlead.proxy.options import ProxyOptions

SLOTS = f"{ENDPOINTS}65536"

_KEYS = {
    Key.OWN: "the frontend",
    Key.ALIAS: f"what @{ALIASES} says of the frontend",
    Key.PORT: f"what @{ALIASES} says of the node port",
}


def listing(
    options: ProxyOptions, family: Family, addresses: tuple[bytes, ...], wanted: Sequence[Selected]
) -> str:
    """The constant part of one family's table, the chains that are made as they are needed, and all elements."""
    rendered = render((selection for selected in wanted for selection in selected), family)
    words = _Words(family)
    held: dict[str, list[str]] = {NODE_ADDRESSES: [words.address(address) for address in addresses]}
    for name, text in _elements(rendered, words):
        held.setdefault(name, []).append(text)
    lines = [block(declarations(SLOTS, family), rules(options, family), family)]
    lines += _chains(rendered)
    for name in sorted(held):
        lines += [f"add element {family.table} {TABLE} {name} {{ {text} }}" for text in sorted(held[name])]
    return "\n".join((*lines, ""))


class _Words:
    """Keys and data of the kernel as people write them."""

    def __init__(self, family: Family) -> None:
        self._family, self._size = family, family.size

    def address(self, data: bytes) -> str:
        return self._family.text(data[: self._size])

    def frontend(self, key: bytes) -> str:
        size = self._size
        protocol = PROTOCOL_NAMES[key[size]].lower()
        return f"{self.address(key)} . {protocol} . {int.from_bytes(key[size + 4 : size + 6], 'big')}"

    def target(self, target: bytes) -> str:
        size = self._size
        return f"{self.address(target)} . {int.from_bytes(target[size : size + 2], 'big')}"

    def member(self, name: str, key: bytes) -> str:
        parts = [key[: self._size], key[self._size :]] if name == HAIRPIN else [key]
        return " . ".join(map(self.address, parts))

    def piece(self, piece: Piece) -> str:
        table, key, data = piece
        frontend = self.frontend(key)
        if table in VERDICT_MAPS:
            return f"{frontend} : {'jump' if table == LEARNERS else 'goto'} {data!s}"
        if not isinstance(data, bytes) or not data:
            return frontend
        if table == SOURCES:
            at = self._size + 8
            return f"{frontend} . {self.address(key[at:])}-{self.address(data[at:])}"
        return f"{frontend} : 0x00000000 . {self.frontend(data)}"


def _elements(rendered: Elements, words: _Words) -> Iterator[tuple[str, str]]:
    """Each with the map or set that it stands in."""
    for key, way in rendered.ways.items():
        for piece in (*pieces(key, way), *ranges(key, way)):
            yield piece.table, words.piece(piece)
    for (owner, first), backed in rendered.backings.items():
        for number, target in enumerate(backed.targets, first):
            yield SLOTS, f"{words.frontend(owner)} . {number} : {words.target(target)}"
            if backed.sticky:
                size = len(target)
                key = sticky(owner, target)
                yield STICKY_OF[first], f"{words.target(key)} . {words.frontend(key[size:])}"
    for name, key in rendered.members:
        yield name, words.member(name, key)


def _chains(rendered: Elements) -> Iterator[str]:
    names = {name for way in rendered.ways.values() for name in way.chains()}
    for name in sorted(names):
        chain = chain_named(name)
        if chain is not None:
            yield f"# chain {name}: {_told(chain)}"


def _told(chain: Chain | Learner) -> str:
    if isinstance(chain, Learner):
        return f"notes for {chain.seconds} s where the client was led to"
    back = "back to where the client was led before, else " if chain.sticky else ""
    last = chain.first + chain.count - 1
    where = f"slot {chain.first}" if chain.count == 1 else f"one of the slots {chain.first} to {last}"
    own = " on this node" if chain.first == LOCAL else ""
    return f"leads {back}to {where}{own}, under {_KEYS[chain.key]}"
