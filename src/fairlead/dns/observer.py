"""Who asks for what: a sample of the queries, counted by Service and client, and written to the log if wanted."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from threading import Lock

from fairlead.dns.message import HEADER
from fairlead.dns.records import Type, packed
from fairlead.dns.zone import Rcode, Zone

log = logging.getLogger("fairlead.dns.queries")

MOST = 16_384
"""Pairs of a client and what it asks for that are counted at a time; then the rarer half is forgotten."""

MANY = 1 << 62
"""Queries that are left where none is looked at."""

ELSEWHERE = "elsewhere"
"""What names outside the cluster are counted under."""


class Observer:
    """Looks at one query in `period`; 0 is none. The threads that answer call `note`; anybody may ask for `seen`."""

    def __init__(self, zone: Zone, sample: float, logs: bool) -> None:
        self._zone = zone
        self._suffix = f".svc.{zone.domain}"
        self._lock = Lock()
        self._seen: Counter[tuple[str, str]] = Counter()
        self.configure(sample, logs)

    def configure(self, sample: float, logs: bool) -> None:
        """From now on so many of the queries are looked at (0 to 1), and written to the log or not."""
        self.period = round(1 / sample) if sample else 0
        self._logs = logs
        with self._lock:
            self._seen.clear()

    def note(self, name: str, kind: int, rcode: int, client: str) -> None:
        """Counts a query of the sample: name and type, what was answered to it, and the address that asked."""
        address = packed(client)
        who = (self._zone.running.owner(address) if address else "") or client
        with self._lock:
            self._seen[service_of(name, self._suffix), who] += 1
            if len(self._seen) > MOST:
                self._seen = Counter(dict(self._seen.most_common(MOST // 2)))
        if self._logs:
            said = Rcode(rcode).name if rcode in Rcode.__members__.values() else str(rcode)
            of = Type(kind).name if kind in Type.__members__.values() else f"TYPE{kind}"
            log.info("%s %s %s from %s", name, of, said, who)

    def seen(self, most: int) -> list[tuple[str, str, int]]:
        """What was counted: a Service, a client (a pod where it is known, else an address), how often; most first."""
        with self._lock:
            return [(service, who, count) for (service, who), count in self._seen.most_common(most)]


class Sampler:
    """Says of one query in `period` that it belongs to the sample; each thread has its own."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._period = self._left = 0

    def due(self, count: int = 1) -> Sequence[int]:
        """Which of the next `count` queries belong to it, from 0: most often none, which costs 0.1 µs."""
        period = self._observer.period
        if period == self._period and self._left > count:
            self._left -= count
            return ()
        if not period:
            self._period, self._left = 0, MANY
            return ()
        # A shorter period begins at once.
        self._period, self._left = period, min(self._left or period, period)
        found = range(self._left - 1, count, period)
        self._left += len(found) * period - count
        return found


def rcode_of(answer: bytes) -> int:
    """The rcode of an answer, with the part of it that stands in an OPT record at the end (RFC 6891 §6.1.3)."""
    extended = answer[-6] if answer[-11:-8] == b"\0\0\x29" else 0
    return extended << 4 | answer[3] & 15


def asked(query: bytes) -> tuple[str, int]:
    """Name and type of a query, however broken it is: unreadable parts are left out, what cannot be printed is `?`."""
    labels = []
    at = HEADER
    while at < len(query) and 0 < (length := query[at]) < 64:
        labels.append(query[at + 1 : at + 1 + length].decode("latin-1").lower())
        at += 1 + length
    name = "".join(c if c.isascii() and c.isprintable() and c != " " else "?" for c in ".".join(labels))
    return name or ".", int.from_bytes(query[at + 1 : at + 3])


def service_of(name: str, suffix: str) -> str:
    """The Service, `namespace/name`, that a name is about."""
    if not name.endswith(suffix):
        return ELSEWHERE
    labels = name.removesuffix(suffix).split(".")
    return f"{labels[-1]}/{labels[-2]}" if len(labels) > 1 else ELSEWHERE
