"""Names with addresses that the configuration gives them, as a hosts file does."""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.dns.records import Address, Name, Record, Type, address_type, packed, reverse_name
from fairlead.dns.zone import Found, Rcode

TTL = 3_600
"""Seconds. CoreDNS: hosts."""


class Hosts:
    """The names of a mapping from addresses to names, and their reverse."""

    def __init__(self, hosts: Mapping[str, tuple[str, ...]]) -> None:
        self._records: dict[str, dict[int, list[Record]]] = {}
        for text, names in hosts.items():
            address = packed(text)
            assert address is not None
            for name in (name.lower().removesuffix(".") for name in names):
                kind, backwards = address_type(address), reverse_name(address)
                self._add(Record(name, kind, TTL, Address(address)))
                self._add(Record(backwards, Type.PTR, TTL, Name(name)))

    def _add(self, record: Record) -> None:
        self._records.setdefault(record.name, {}).setdefault(record.type, []).append(record)

    def find(self, name: str, kind: int) -> Found | None:
        """What a name (lower case) answers to a type; None where it is none of ours."""
        node = self._records.get(name)
        if node is None:
            return None
        found = next(iter(node.values())) if kind == Type.ANY else node.get(kind, ())
        return Found(Rcode.NOERROR, tuple(found))
