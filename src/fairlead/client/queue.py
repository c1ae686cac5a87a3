"""A queue of keys to be looked at again: a key waits in it once, and never runs twice at the same time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from http import HTTPStatus
from typing import Generic, TypeVar

from fairlead.client.metrics import QueueMetrics
from fairlead.client.retry import Backoff
from fairlead.objects.status import StatusError

log = logging.getLogger("fairlead.client")

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Keys in the order of their first `add`; upstream: client-go/util/workqueue.

    A key added while it is being worked on is handed out again after `done`; added twice before, once.
    """

    def __init__(self, name: str = "") -> None:
        """`name` is what its metrics are labelled with; without one it has none."""
        self._metrics = QueueMetrics(name) if name else None
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._dirty: set[K] = set()
        self._running: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._backoffs: dict[K, Backoff] = {}
        self._outage = False

    def __len__(self) -> int:
        return self._ready.qsize()

    @property
    def idle(self) -> bool:
        """Whether no key waits, runs, or is to come back after a delay."""
        return not (self._dirty or self._running or self._timers)

    def add(self, key: K) -> None:
        """The key is to be worked on."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if self._metrics is not None:
            self._metrics.added(key, len(self._dirty))
        if key not in self._running:
            self._ready.put_nowait(key)

    def add_after(self, key: K, delay: float) -> None:
        """The same in `delay` seconds; of several delays of a key the one that ends first counts."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + delay:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(delay, self._elapsed, key)

    def hurry(self) -> None:
        """What waits for a delay waits no longer: the reason for it, an outage say, is over."""
        for key, timer in list(self._timers.items()):
            timer.cancel()
            self._elapsed(key)

    def retry(self, key: K, initial: float = 0.005, limit: float = 10.0) -> float:
        """Adds the key after a delay that grows until `forget`; gives the delay in seconds."""
        backoff = self._backoffs.get(key)
        if backoff is None:
            backoff = self._backoffs[key] = Backoff(initial, limit)
        delay = backoff.next()
        if self._metrics is not None:
            self._metrics.retried()
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """It worked: the next `retry` of the key starts with the shortest delay."""
        self._backoffs.pop(key, None)

    async def get(self) -> K:
        """The next key; `done` has to follow."""
        key = await self._ready.get()
        self._dirty.discard(key)
        self._running.add(key)
        if self._metrics is not None:
            self._metrics.started(key, len(self._dirty))
        return key

    def done(self, key: K) -> None:
        """The key's work is over; it is handed out again if it was added meanwhile."""
        self._running.discard(key)
        if self._metrics is not None:
            self._metrics.ended(key)
        if key in self._dirty:
            self._ready.put_nowait(key)

    async def serve(self, sync: Callable[[K], Awaitable[None]], *, workers: int = 1) -> None:
        """Calls `sync` for each key, `workers` at a time, until cancelled; logs and retries failures."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work(sync))

    async def _work(self, sync: Callable[[K], Awaitable[None]]) -> None:
        while True:
            key = await self.get()
            try:
                await sync(key)
            except StatusError as error:
                delay = self.retry(key)
                # A write that lost against another's is daily business: the next attempt reads the newer state.
                level = logging.DEBUG if error.code == HTTPStatus.CONFLICT else logging.WARNING
                log.log(level, "%s: %s; again in %.2f s", key, error, delay)
            except OSError as error:
                delay = self.retry(key)
                # An outage is told once, not for each key and try.
                level = logging.DEBUG if self._outage else logging.WARNING
                log.log(level, "%s: %s; again in %.2f s", key, error, delay)
                self._outage = True
            except Exception:
                log.exception("%s: a defect; again in %.2f s", key, self.retry(key))
            else:
                self._outage = False
                self.forget(key)
            finally:
                self.done(key)

    def _elapsed(self, key: K) -> None:
        del self._timers[key]
        self.add(key)
