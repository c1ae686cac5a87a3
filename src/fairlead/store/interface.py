"""The interface that every store keeps.

It promises no more than etcd v3 can: one revision that grows with every transaction over all keys, transactions that
are conditional on the revisions of several keys, watches of a prefix from a revision on, reads at a recent revision,
compaction of what is older. Keys are paths such as `/pods/default/web-1`; values are bytes that the store never looks
into.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol

import msgspec


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What a key holds. `revision` is that of the transaction which wrote it."""

    key: str
    value: bytes
    revision: int


class Event(msgspec.Struct, frozen=True, gc=False):
    """One key written or deleted at `revision`. `value` is None where it was deleted, `previous` where it was made."""

    revision: int
    key: str
    value: bytes | None
    previous: Entry | None


class Condition(msgspec.Struct, frozen=True, gc=False):
    """The key was last written at `revision`; 0 says that it does not exist."""

    key: str
    revision: int


class Change(msgspec.Struct, frozen=True, gc=False):
    """The key gets a value, or is deleted (None)."""

    key: str
    value: bytes | None


class Page(msgspec.Struct, frozen=True, gc=False):
    """Entries in the order of their keys, as they were at `revision`; `remaining` more keys follow them."""

    entries: list[Entry]
    revision: int
    remaining: int = 0


class Conflict(Exception):
    """A condition did not hold: nothing was written. `key` is the first one of which it was said."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} is not at the revision that the write was made for")
        self.key = key


class Compacted(Exception):
    """The revision asked for is gone; `oldest` is the first one that can still be read or watched from."""

    def __init__(self, revision: int, oldest: int) -> None:
        super().__init__(f"revision {revision} is compacted away, the oldest one kept is {oldest}")
        self.oldest = oldest


class Future(Exception):
    """The revision asked for is larger than the store's."""

    def __init__(self, revision: int, current: int) -> None:
        super().__init__(f"revision {revision} does not exist yet, the store is at {current}")
        self.current = current


class Failed(Exception):
    """The write was not committed (a full disk, say), or the store cannot be reached."""


class Unknown(Failed):
    """Whether the write was committed could not be learned in time: it may have been, or may still be."""


class TooSlow(Exception):
    """The watch had more events waiting than it may: it is cut off, its reader has to list again."""


class Closed(Exception):
    """The store was closed."""


class Watch(Protocol):
    """A stream of events under a prefix, in order, none missing and none twice."""

    @property
    def revision(self) -> int:
        """Every event up to this revision has been handed out."""

    async def next(self) -> Sequence[Event]:
        """Waits for events and gives all that there are. Raises TooSlow once it was cut off, Closed at the end."""

    def close(self) -> None:
        """Ends it; a waiting `next` raises Closed."""


class Store(Protocol):
    """A place for the objects of a cluster. All of it is to be used from one event loop."""

    @property
    def revision(self) -> int:
        """The revision of the last transaction; 0 while there was none."""

    @property
    def size(self) -> int:
        """Bytes that the store takes where it keeps them."""

    async def sync(self) -> None:
        """What is read after it is no older than this call, also where other servers write to the same store.

        Costs nothing where this server is the only one. Raises Failed where the store cannot be asked.
        """

    async def get(self, key: str) -> Entry | None:
        """What the key holds, as far as this server knows (see `sync`)."""

    async def range(self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0) -> Page:
        """The entries under a prefix that ends in "/", `limit` (0: all) of those whose keys follow `after`.

        `revision` 0 is now, as far as this server knows (see `sync`). Raises Compacted or Future for a revision that
        cannot be read.
        """

    async def commit(self, conditions: Sequence[Condition], changes: Sequence[Change]) -> int:
        """Makes all changes if all conditions hold, and gives the new revision when they are durable.

        Raises Conflict where a condition does not hold, Failed where the store could not write, Unknown where it cannot
        tell. What is read afterwards has the changes, or what a condition did not know. A deletion of a key that does
        not exist changes nothing; with no change at all the revision stays. A caller that is cancelled while it waits
        does not know whether the changes were made.
        """

    def watch(self, prefix: str, revision: int, cut: Callable[[], None] | None = None) -> Watch:
        """The events after `revision` under a prefix that ends in "/", or those of one key.

        `cut` is called when the watch is cut off for being too slow, since its reader may hang in a write and not ask.
        Raises Compacted where they are not all kept any more, Future for a revision yet to come.
        """

    async def compact(self, revision: int) -> None:
        """Forgets the history up to `revision`: reads and watches start there at the earliest."""

    async def close(self) -> None:
        """Waits for writes under way, ends all watches."""

    async def __aenter__(self) -> Store: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
