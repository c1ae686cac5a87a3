"""What there is in our table of this network namespace, asked of the kernel."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from fairlead.proxy.netlink import (
    GETCHAIN,
    GETGEN,
    GETRULE,
    GETSET,
    GETSETELEM,
    GETTABLE,
    Link,
    attribute,
    attributes,
)
from fairlead.proxy.nftables.encoding import set_named, set_with
from fairlead.proxy.nftables.names import TABLE

TABLE_NAMED = attribute(1, TABLE.encode() + b"\0")
"""The attribute that says which table a message is about; its number is the same in all kinds of messages."""
_CHAIN_NAME, _SET_NAME, _RULE_HANDLE, _TABLE_HANDLE, _COUNT = 3, 2, 3, 4, 20


@dataclass(frozen=True, slots=True)
class Inventory:
    """Questions to the kernel about one family's table."""

    link: Link

    def elements(self, name: str) -> list[memoryview]:
        """A dump of a map or set."""
        return self.link.dump(GETSETELEM, set_named(name))

    def sets(self) -> list[str]:
        """The names of all maps and sets, but for those that rules have for themselves."""
        return [name for name in self._names(GETSET, _SET_NAME) if not name.startswith("__")]

    def chains(self) -> list[str]:
        """The names of all chains."""
        return self._names(GETCHAIN, _CHAIN_NAME)

    def counts(self) -> dict[str, int]:
        """How many elements each map and set has; nothing where the kernel does not tell it (6.18 does)."""
        found = {}
        for answer in self.link.dump(GETSET, TABLE_NAMED):
            parts = dict(attributes(answer))
            if bytes(parts[1]) == TABLE.encode() + b"\0" and _COUNT in parts:
                found[bytes(parts[_SET_NAME]).rstrip(b"\0").decode()] = int.from_bytes(parts[_COUNT], "big")
        return found

    def has(self, name: str, key: bytes) -> bool:
        """Whether a map or set has the element. Costs 20 microseconds."""
        try:
            self.link.dump(GETSETELEM, set_with(name, key), every=False)
        except FileNotFoundError:
            return False
        return True

    def generation(self) -> int:
        """A number that changes with every transaction of anybody. Costs 20 microseconds."""
        answer = dict(attributes(self.link.dump(GETGEN, b"", every=False)[0]))
        return int(struct.unpack("!I", answer[1])[0])

    def marks(self) -> tuple[bytes, ...]:
        """The handles of the table and of its rules, which the kernel gives only once; none where it is not there."""
        try:
            table = self.link.dump(GETTABLE, TABLE_NAMED, every=False)
        except FileNotFoundError:
            return ()
        marks = [bytes(dict(attributes(answer))[_TABLE_HANDLE]) for answer in table]
        for answer in self.link.dump(GETRULE, TABLE_NAMED):
            rule = dict(attributes(answer))
            if bytes(rule[1]) == TABLE.encode() + b"\0":
                marks.append(bytes(rule[_RULE_HANDLE]))
        return tuple(marks)

    def _names(self, kind: int, at: int) -> list[str]:
        try:
            answers = self.link.dump(kind, TABLE_NAMED)
        except FileNotFoundError:
            return []
        found = []
        for answer in answers:
            parts = dict(attributes(answer))
            if bytes(parts[1]) == TABLE.encode() + b"\0":
                found.append(bytes(parts[at]).rstrip(b"\0").decode())
        return found
