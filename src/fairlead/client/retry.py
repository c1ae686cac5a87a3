"""The delay before the next attempt: exponential, with jitter. The one retry policy."""

from __future__ import annotations

import asyncio
import random


class Backoff:
    """Delays of about `initial`, twice that, four times that seconds and so on, never over `limit`.

    Each is drawn between half of it and the whole: clients that lost one server do not all come back at once.
    """

    __slots__ = ("_delay", "initial", "limit")

    def __init__(self, initial: float = 0.05, limit: float = 10.0) -> None:
        self.initial = initial
        self.limit = limit
        self._delay = 0.0

    def next(self) -> float:
        """Seconds to wait now; longer after each call."""
        self._delay = min(self._delay * 2 or self.initial, self.limit)
        return self._delay * random.uniform(0.5, 1.0)  # noqa: S311

    def reset(self) -> None:
        """It worked: the next failure waits `initial` again."""
        self._delay = 0.0

    async def wait(self) -> None:
        """Sleeps for `next()` seconds."""
        await asyncio.sleep(self.next())
