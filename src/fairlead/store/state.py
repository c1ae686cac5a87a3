"""The current entries of a store in memory, in the order of their keys."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator

from fairlead.store.interface import Entry, Event


def collection(key: str) -> str:
    """The first part of a key: "/pods/" of "/pods/default/web-1". The keys of each are sorted apart."""
    return key[: key.find("/", 1) + 1]


def end_of(prefix: str) -> str:
    """The smallest text after everything that begins with `prefix`, which ends in "/"."""
    return prefix[:-1] + "0"


class State:
    """A mapping that can be read by prefix. A change costs a bisection in the keys of its collection."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._keys: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry | None:
        """What the key holds."""
        return self._entries.get(key)

    def load(self, entries: Iterable[Entry]) -> None:
        """Fills an empty state with entries in any order, sorting once."""
        for entry in entries:
            self._entries[entry.key] = entry
            self._keys.setdefault(collection(entry.key), []).append(entry.key)
        for keys in self._keys.values():
            keys.sort()

    def apply(self, event: Event) -> None:
        """Makes the change that the event tells of."""
        key = event.key
        if event.value is not None:
            if event.previous is None:
                insort(self._keys.setdefault(collection(key), []), key)
            self._entries[key] = Entry(key, event.value, event.revision)
        elif event.previous is not None:
            keys = self._keys[collection(key)]
            del keys[bisect_left(keys, key)]
            del self._entries[key]

    def keys(self, prefix: str) -> list[str]:
        """The keys under a prefix, sorted."""
        if prefix == "/":
            return sorted(self._entries)
        keys = self._keys.get(collection(prefix), [])
        if prefix.count("/") == 2:
            return keys
        return keys[bisect_left(keys, prefix) : bisect_left(keys, end_of(prefix))]

    def range(self, prefix: str, after: str, limit: int) -> tuple[list[Entry], int]:
        """The entries under a prefix whose keys follow `after`, and how many more there are than `limit`."""
        return page(self.keys(prefix), self._entries, after, limit)

    def range_before(
        self, prefix: str, after: str, limit: int, undone: Iterator[Event]
    ) -> tuple[list[Entry], int]:
        """The same as it was before the events `undone`, which come newest first."""
        past: dict[str, Entry | None] = {e.key: e.previous for e in undone if e.key.startswith(prefix)}
        entries = {key: self._entries[key] for key in self.keys(prefix)}
        for key, entry in past.items():
            if entry is None:
                entries.pop(key, None)
            else:
                entries[key] = entry
        return page(sorted(entries), entries, after, limit)


def page(keys: list[str], entries: dict[str, Entry], after: str, limit: int) -> tuple[list[Entry], int]:
    """A stretch of the sorted `keys`, as entries, with the number of those left over."""
    start = bisect_right(keys, after) if after else 0
    stop = min(start + limit, len(keys)) if limit else len(keys)
    if start == 0 and stop == len(keys):
        return [entries[key] for key in keys], 0
    return [entries[key] for key in keys[start:stop]], len(keys) - stop
