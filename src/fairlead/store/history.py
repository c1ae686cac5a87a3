"""The recent events of a store, bounded in number and in bytes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from fairlead.store.interface import Compacted, Event, Future

EVENTS = 100_000
BYTES = 32 << 20
"""How much is kept at most."""

STEP = 1000
"""Events that are forgotten at a time: enough to cost little for each, not so many that writers wait for it."""


def weight(event: Event) -> int:
    """Bytes that are in memory because this event is remembered: what it replaced."""
    return 200 + (len(event.previous.value) if event.previous else 0)


class History:
    """Events in the order of their revisions, all of those after `compacted`."""

    def __init__(self, compacted: int = 0, events: int = EVENTS, size: int = BYTES) -> None:
        self.compacted = compacted
        self.revision = compacted
        self._events: list[Event] = []
        self._bytes = 0
        self._most = events
        self._most_bytes = size

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: Event) -> None:
        """Remembers the newest event."""
        self._events.append(event)
        self._bytes += weight(event)
        self.revision = event.revision

    def check(self, revision: int) -> None:
        """Raises Compacted or Future where the state at `revision` is not known."""
        if revision < self.compacted:
            raise Compacted(revision, self.compacted)
        if revision > self.revision:
            raise Future(revision, self.revision)

    def after(self, revision: int, prefix: str) -> list[Event]:
        """The events after `revision` under a prefix that ends in "/", or of one key."""
        self.check(revision)
        newer = self._events[self._upto(revision) :]
        if prefix.endswith("/"):
            return [event for event in newer if event.key.startswith(prefix)]
        return [event for event in newer if event.key == prefix]

    def undone(self, revision: int) -> Iterator[Event]:
        """The events after `revision`, newest first. `check` it first."""
        for i in range(len(self._events) - 1, self._upto(revision) - 1, -1):
            yield self._events[i]

    def step(self, target: int) -> int:
        """How far to forget at once on the way to the revision `target`, or while there is too much; 0: not at all."""
        target = max(target, self.overfull())
        if target <= self.compacted:
            return 0
        beyond = self._events[STEP - 1].revision if len(self._events) >= STEP else target
        return min(target, beyond)

    def overfull(self) -> int:
        """The revision up to which to forget once there is too much; 0 while there is not."""
        if len(self._events) <= self._most and self._bytes <= self._most_bytes:
            return 0
        return self._events[min(STEP, len(self._events)) - 1].revision

    def upto(self, revision: int) -> Sequence[Event]:
        """The events that `forget` would drop."""
        return self._events[: self._upto(revision)]

    def forget(self, revision: int) -> None:
        """Drops the events up to a revision."""
        count = self._upto(revision)
        self._bytes -= sum(weight(event) for event in self._events[:count])
        del self._events[:count]
        self.compacted = max(self.compacted, min(revision, self.revision))

    def _upto(self, revision: int) -> int:
        return bisect_right(self._events, revision, key=lambda event: event.revision)
