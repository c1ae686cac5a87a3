"""The whole zone as messages, for those who may have it (AXFR, RFC 5936)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

from fairlead.dns.message import Query
from fairlead.dns.records import Record
from fairlead.dns.wire import Overflow, Writer
from fairlead.dns.zone import Rcode, Zone

MESSAGE = 16_384
"""Bytes of a message: names are compressed against the first 16 KiB only, and more would hold up the loop."""


def messages(zone: Zone, query: Query, lock: AbstractContextManager[object]) -> Iterator[bytes]:
    """The zone between two SOA records, a message at a time.

    The lock is held for one Service at a time, so a change may come in between; the client sees it by the serial when
    it asks the next time. Memory: one message and one Service's records.
    """
    with lock:
        start, keys = zone.authority(), zone.services()
        apex = zone.apex()
    writer = Writer(query, MESSAGE)
    count = 0
    for record in _records(zone, start, apex, keys, lock):
        try:
            writer.add(record)
        except Overflow:
            yield query.id + writer.finish(Rcode.NOERROR, count)
            writer = Writer(query, MESSAGE)
            writer.add(record)
            count = 0
        count += 1
    yield query.id + writer.finish(Rcode.NOERROR, count)


def _records(
    zone: Zone, start: Record, apex: list[Record], keys: list[str], lock: AbstractContextManager[object]
) -> Iterator[Record]:
    yield start
    yield from apex
    for key in keys:
        with lock:
            found = [record for record in zone.records(key) if zone.covers(record.name)]
        yield from found
    yield start
