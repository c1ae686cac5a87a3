"""Events are kept for an hour after they were last written, as kube-apiserver's --event-ttl has it by default.

A revision of the store stands for a moment: what was last written at or before the revision of an hour ago is old. So
nothing has to be read but keys; a server that starts knows no moments yet and keeps what it finds for another hour.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque

from fairlead.apiserver.kinds import EVENTS
from fairlead.store import Change, Closed, Condition, Conflict, Failed, Store

log = logging.getLogger("fairlead.apiserver")

SECONDS = 3600.0
STEP_SECONDS = 60.0
AT_ONCE = 100


class Expiry:
    """Removes old Events. Several servers may do it at once: each deletion is of what was found."""

    def __init__(self, store: Store, seconds: float = SECONDS) -> None:
        self._store = store
        self._seconds = seconds
        self._moments: deque[tuple[float, int]] = deque()

    async def run(self) -> None:
        """Works until it is cancelled or the store is closed."""
        while True:
            try:
                await self.step(time.monotonic())
            except Closed:
                return
            except Failed as error:
                log.warning("old Events are not removed yet: %s", error)
            await asyncio.sleep(STEP_SECONDS)

    async def step(self, now: float) -> None:
        """Removes what is old at a moment, in seconds of any clock that only goes forward."""
        self._moments.append((now, self._store.revision))
        old = 0
        while self._moments[0][0] <= now - self._seconds:
            old = self._moments.popleft()[1]
        if not old:
            return
        page = await self._store.range(EVENTS.prefix)
        found = [entry for entry in page.entries if entry.revision <= old]
        for start in range(0, len(found), AT_ONCE):
            some = found[start : start + AT_ONCE]
            await asyncio.gather(*(self._remove(entry.key, entry.revision) for entry in some))

    async def _remove(self, key: str, revision: int) -> None:
        with contextlib.suppress(Conflict):  # it happened again
            await self._store.commit([Condition(key, revision)], [Change(key, None)])
