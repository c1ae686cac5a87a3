"""What a worker has counted, and a board in shared memory on which each shows it to the one that answers for all."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import struct
from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from fairlead.dns.listeners import Listeners

SLOT = 1 << 20
"""Bytes of a worker's place; what is larger is not shown."""

EVERY = 1.0
"""Seconds between two times that a worker shows what it has counted."""

MOST_SHOWN = 2_000
"""Pairs of a Service and a client of which each worker shows its count."""

_HEAD = struct.Struct("=II")


class Tally(msgspec.Struct, array_like=True):
    """Counts since the start: queries by protocol, type and rcode; answers ready now, and found so; of the cache of
    others' answers the entries, hits, misses, stale ones, prefetches; questions put to other servers by server; what
    Services were asked for by whom, of the sample."""

    queries: list[tuple[str, int, int, int]] = []
    ready: int = 0
    hits: int = 0
    cache: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    forwarded: dict[str, int] = {}
    seen: list[tuple[str, str, int]] = []


def tally(listeners: Listeners) -> Tally:
    """What a process has counted, read from the counters of the moment."""
    responder, forwarder = listeners.responder, listeners.forwarder
    sent, again = responder.answers.sent(), responder.recent.subjects.counts()
    counts = dict(sent)
    for key, number in (*responder.counts.items(), *again.items()):
        counts[key] = counts.get(key, 0) + number
    cache = forwarder.cache
    return Tally(
        [(*key, number) for key, number in counts.items()],
        len(responder.answers.ready),
        sum(sent.values()),
        (len(cache), cache.hits + sum(again.values()), cache.misses, cache.stale, cache.prefetched),
        {str(server.server): server.asked for server in forwarder.nameservers},
        listeners.observer.seen(MOST_SHOWN),
    )


def together(tallies: Iterable[Tally]) -> Tally:
    """The sum of several."""
    queries: Counter[tuple[str, int, int]] = Counter()
    forwarded: Counter[str] = Counter()
    seen: Counter[tuple[str, str]] = Counter()
    ready = hits = 0
    cache = [0] * 5
    for one in tallies:
        queries.update({(protocol, kind, rcode): n for protocol, kind, rcode, n in one.queries})
        forwarded.update(one.forwarded)
        seen.update({(service, who): n for service, who, n in one.seen})
        ready, hits = ready + one.ready, hits + one.hits
        cache = [a + b for a, b in zip(cache, one.cache, strict=True)]
    return Tally(
        [(*key, number) for key, number in sorted(queries.items())],
        ready,
        hits,
        (cache[0], cache[1], cache[2], cache[3], cache[4]),
        dict(sorted(forwarded.items())),
        [(*key, number) for key, number in seen.most_common()],
    )


class Board:
    """A place for each of several processes, made before they are forked. One writes to a place, all may read it."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._memory = mmap.mmap(-1, places * SLOT)

    def show(self, place: int, tally: Tally) -> None:
        """Writes a tally to its place. The number in front is odd meanwhile."""
        data = msgspec.msgpack.encode(tally)
        if len(data) > SLOT - _HEAD.size:
            return
        start = place * SLOT
        number, _ = _HEAD.unpack_from(self._memory, start)
        # A writer that was killed half-way left an odd number.
        number |= 1
        _HEAD.pack_into(self._memory, start, number, len(data))
        self._memory[start + _HEAD.size : start + _HEAD.size + len(data)] = data
        _HEAD.pack_into(self._memory, start, (number + 1) & 0xFFFFFFFF, len(data))

    def others(self, place: int) -> Iterator[Tally]:
        """What the other processes have shown; one that is just being written is read again, a few times."""
        for other in range(self._places):
            if other != place and (data := self._read(other)):
                with contextlib.suppress(msgspec.MsgspecError):
                    yield msgspec.msgpack.decode(data, type=Tally)

    def _read(self, place: int) -> bytes:
        start = place * SLOT
        for _ in range(100):
            number, length = _HEAD.unpack_from(self._memory, start)
            data = self._memory[start + _HEAD.size : start + _HEAD.size + length]
            if not number & 1 and _HEAD.unpack_from(self._memory, start) == (number, length):
                return data
        return b""


async def keep_showing(board: Board, place: int, listeners: Listeners) -> None:
    """Shows what a worker has counted, until cancelled."""
    while True:
        board.show(place, tally(listeners))
        await asyncio.sleep(EVERY)
