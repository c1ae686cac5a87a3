"""How far the watch of etcd has come, and who waits for it to come further.

A read that may not be stale asks etcd for its revision (a linearizable read, one for all who ask meanwhile) and waits
until the watch has told everything up to it. Revisions that others make in the same etcd are not told, so after a short
wait a key is written that is: the barrier. etcd's own answer to the question, the progress request, is not in order
with the events before 3.4.25 and 3.5.8 (etcd issue 15220), and what is behind by one event answers wrong.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable

PATIENCE = 0.1
"""Seconds until a barrier is written. Writes of any of our servers are told within a few milliseconds."""


class Progress:
    """The revision up to which everything was told."""

    def __init__(self, revision: int, barrier: Callable[[], Awaitable[None]]) -> None:
        self.revision = revision
        self._barrier = barrier
        self._writing: asyncio.Task[None] | None = None
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0

    def reach(self, revision: int) -> None:
        """Everything up to a revision was told."""
        self.revision = revision
        waiting = self._waiting
        while waiting and waiting[0][0] <= revision:
            done = heapq.heappop(waiting)[2]
            if not done.done():
                done.set_result(None)

    async def wait(self, revision: int, seconds: float, *, own: bool = False) -> None:
        """Returns once everything up to a revision was told. Raises TimeoutError.

        An `own` one is known to be told.
        """
        if revision <= self.revision:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._waiting, (revision, self._count, done))
        async with asyncio.timeout(seconds):
            if not own:
                await asyncio.wait([done], timeout=PATIENCE)
            if not own and not done.done() and (self._writing is None or self._writing.done()):
                self._writing = asyncio.ensure_future(self._barrier())
            await done

    def close(self) -> None:
        """Ends a barrier that is being written, and all waits."""
        if self._writing is not None:
            self._writing.cancel()
        for _, _, done in self._waiting:
            done.cancel()
