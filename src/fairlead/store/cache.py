"""What a store has in memory: its state, its recent history, and who watches them.

Every store has one and feeds it with events in the order of their revisions: SQLite's with those that it has committed
itself, etcd's with those that it watches. All reads and all watches are answered from here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fairlead.store.history import History
from fairlead.store.interface import Closed, Entry, Event, Page
from fairlead.store.state import State
from fairlead.store.watches import Hub, Subscription


class Cache:
    """State, history and watches at one revision."""

    def __init__(self, state: State, history: History) -> None:
        self._state = state
        self.history = history
        self._hub = Hub(history.revision)
        self._closed = False

    @property
    def revision(self) -> int:
        """Everything up to this revision is in here."""
        return self.history.revision

    def get(self, key: str) -> Entry | None:
        """What the key holds."""
        return self._state.get(key)

    def range(self, prefix: str, after: str, limit: int, revision: int) -> Page:
        """The entries under a prefix, now or at a revision that is kept. Raises Compacted or Future."""
        if not revision or revision == self.revision:
            entries, remaining = self._state.range(prefix, after, limit)
            return Page(entries, self.revision, remaining)
        self.history.check(revision)
        undone = self.history.undone(revision)
        entries, remaining = self._state.range_before(prefix, after, limit, undone)
        return Page(entries, revision, remaining)

    def watch(self, prefix: str, revision: int, cut: Callable[[], None] | None) -> Subscription:
        """The events after `revision` under a prefix. Raises Compacted, Future or Closed."""
        if self._closed:
            raise Closed
        return self._hub.add(prefix, revision, self.history.after(revision, prefix), cut)

    def apply(self, events: Sequence[Event], revision: int) -> None:
        """Makes the changes that the events tell of; everything up to `revision` is in then."""
        for event in events:
            self._state.apply(event)
            self.history.add(event)
        self.history.revision = revision
        self._hub.publish(events, revision)

    def begin_again(self, state: State, history: History) -> None:
        """Takes another state, between which and the present one nobody knows what happened: all watches end."""
        self._state, self.history = state, history
        self._hub.cut(history.revision)

    def close(self) -> None:
        """Ends all watches, now and to come."""
        self._closed = True
        self._hub.close()
