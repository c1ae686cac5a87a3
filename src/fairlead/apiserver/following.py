"""What is in a part of the store, told to whoever has to know it always."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from fairlead.store import Closed, Compacted, Failed, Store, TooSlow

log = logging.getLogger("fairlead.apiserver")

RETRY_SECONDS = 1.0


class Follower:
    """Tells of each entry under a prefix, and of every change; `told(key, None)` says that a key is gone.

    A change costs nothing but the call. Only after a watch was lost is the prefix read again as a whole.
    """

    def __init__(self, store: Store, prefix: str, told: Callable[[str, bytes | None], None]) -> None:
        self._store = store
        self._prefix = prefix
        self._told = told
        self._known: set[str] = set()
        self._revision = 0

    async def sync(self) -> None:
        """Tells of everything that is there now, and of what is not any more."""
        page = await self._store.range(self._prefix)
        there = {entry.key for entry in page.entries}
        for key in self._known - there:
            self._told(key, None)
        for entry in page.entries:
            self._told(entry.key, entry.value)
        self._known, self._revision = there, page.revision

    async def run(self) -> None:
        """Goes on from the last `sync` until it is cancelled or the store is closed."""
        while True:
            try:
                await self._watch()
            except Closed:
                return
            except (TooSlow, Compacted):
                pass
            except Failed as error:
                log.warning("cannot follow %s: %s", self._prefix, error)
                await asyncio.sleep(RETRY_SECONDS)
            try:
                await self.sync()
            except Closed:
                return
            except Failed:
                continue

    async def _watch(self) -> None:
        watch = self._store.watch(self._prefix, self._revision)
        try:
            while True:
                for event in await watch.next():
                    if event.value is None:
                        self._known.discard(event.key)
                    else:
                        self._known.add(event.key)
                    self._told(event.key, event.value)
                self._revision = watch.revision
        finally:
            watch.close()
