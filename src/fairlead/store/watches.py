"""The watches of a store: each event reaches those whose prefix it is under."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from fairlead.store.interface import Closed, Event, TooSlow

WAITING = 20_000
"""How many events may wait for a watch that does not read before it is cut off. They are shared, so that a watch that
lags costs a pointer an event."""

WAITING_BYTES = 32 << 20
"""How large they may be together: nobody else may want them any more."""


def prefixes(key: str) -> list[str]:
    """What a watch that has to see this key may be on: "/", "/pods/", "/pods/default/", the key itself."""
    found = [key]
    at = key.find("/")
    while at >= 0:
        found.append(key[: at + 1])
        at = key.find("/", at + 1)
    return found


class Subscription:
    """One watch: the events that wait for its reader."""

    def __init__(
        self, hub: Hub, prefix: str, revision: int, backlog: list[Event], cut: Callable[[], None] | None
    ) -> None:
        self._hub = hub
        self._prefix = prefix
        self._events = backlog
        self._most = WAITING + len(backlog)
        self._bytes = 0
        self._revision = revision
        self._cut = cut
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None

    @property
    def revision(self) -> int:
        """Every event up to this revision has been handed out."""
        return self._revision if self._events or self._error else self._hub.revision

    async def next(self) -> Sequence[Event]:
        """Waits for events and gives all that there are."""
        while not self._events and self._error is None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._error is not None:
            raise self._error
        events, self._events = self._events, []
        self._bytes = 0
        self._revision = self._hub.revision
        return events

    def close(self) -> None:
        """Ends it."""
        self._end(Closed())

    def offer(self, event: Event) -> None:
        """Puts an event in line; too many waiting cut the watch off."""
        if self._error is not None:
            return
        if event.value is not None:
            self._bytes += len(event.value)
        if len(self._events) >= self._most or self._bytes > WAITING_BYTES:
            self.cut()
            return
        self._events.append(event)
        self._wake()

    def cut(self) -> None:
        """Ends it for being too slow, or because events are missing."""
        self._end(TooSlow())
        if self._cut is not None:
            self._cut()

    def _end(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
            self._events = []
            self._hub.remove(self._prefix, self)
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Hub:
    """All watches of a store by their prefix. An event costs one lookup for each part of its key."""

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self._by_prefix: dict[str, set[Subscription]] = {}

    def add(
        self, prefix: str, revision: int, backlog: list[Event], cut: Callable[[], None] | None
    ) -> Subscription:
        """A new watch, which first gets the `backlog`."""
        subscription = Subscription(self, prefix, revision, backlog, cut)
        self._by_prefix.setdefault(prefix, set()).add(subscription)
        return subscription

    def remove(self, prefix: str, subscription: Subscription) -> None:
        """Forgets a watch."""
        there = self._by_prefix.get(prefix)
        if there is not None:
            there.discard(subscription)
            if not there:
                del self._by_prefix[prefix]

    def publish(self, events: Iterable[Event], revision: int) -> None:
        """Hands events out; `revision` is the store's after all of them."""
        self.revision = revision
        by_prefix = self._by_prefix
        for event in events:
            for prefix in prefixes(event.key):
                if (there := by_prefix.get(prefix)) is not None:
                    for subscription in tuple(there):
                        subscription.offer(event)

    def cut(self, revision: int) -> None:
        """Cuts all watches off: their readers have to list again, at `revision` or later."""
        self.revision = revision
        for there in list(self._by_prefix.values()):
            for subscription in tuple(there):
                subscription.cut()

    def close(self) -> None:
        """Ends all watches."""
        for there in list(self._by_prefix.values()):
            for subscription in tuple(there):
                subscription.close()
