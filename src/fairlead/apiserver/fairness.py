"""Fairness among users: who may have how many requests under way, and whose turn it is when there are too many.

A request holds a seat from the moment that its body is there until its answer is made, or written where it is large.
When all seats are taken, or a user has his share of them, requests wait in a queue of their user; a free seat goes
to the users in turn, so that one with a thousand requests delays another's by one. A full queue, and too long a
wait, are 429 with Retry-After. Watches hold no seat. Upstream: API Priority and Fairness, here with one level.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from fairlead.objects.meta_v1 import StatusDetails
from fairlead.objects.status import StatusError, failure

SEATS = 128
"""Requests under way. One process answers them one slice after another, so that more would only be memory."""

SHARE = 96
"""How many of them one user may hold, however few others there are: some are always left for those who come."""

QUEUE = 500
"""Requests of one user that may wait."""

WAIT_SECONDS = 15.0
"""How long one may wait (upstream: a quarter of --request-timeout)."""


class Seats:
    """The seats, and those who wait for them. Taking a free one costs two comparisons."""

    def __init__(self, seats: int = SEATS, share: int = SHARE, queue: int = QUEUE) -> None:
        self._free = seats
        self._share = share
        self._most = queue
        self._held: dict[str, int] = {}
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self.waiting = 0
        """Requests that wait."""

    async def take(self, user: str) -> None:
        """Waits for a seat, which `leave` gives back. Raises 429."""
        held = self._held.get(user, 0)
        if self._free and held < self._share and user not in self._queues:
            self._free -= 1
            self._held[user] = held + 1
            return
        queue = self._queues.setdefault(user, deque())
        if len(queue) >= self._most:
            raise too_many()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self.waiting += 1
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await turn
        except TimeoutError:
            self._withdraw(user, turn)
            raise too_many() from None
        except asyncio.CancelledError:
            self._withdraw(user, turn)
            raise

    def leave(self, user: str) -> None:
        """Gives a seat back: to the next user in turn who may have it."""
        self._free += 1
        held = self._held.pop(user) - 1
        if held:
            self._held[user] = held
        self._seat_next()

    def _seat_next(self) -> None:
        if not self._queues:
            return
        for user in list(self._queues):
            if not self._free:
                return
            held = self._held.get(user, 0)
            if held >= self._share:
                continue
            queue = self._queues[user]
            turn = next((turn for turn in queue if not turn.done()), None)  # one may be about to withdraw
            if turn is None:
                continue
            self._free -= 1
            self._held[user] = held + 1
            self._queues.move_to_end(user)
            self._remove(user, turn)
            turn.set_result(None)

    def _withdraw(self, user: str, turn: asyncio.Future[None]) -> None:
        """Nobody waits for this turn any more; it may have come in the same moment."""
        if turn.done() and not turn.cancelled():
            self.leave(user)
            return
        self._remove(user, turn)

    def _remove(self, user: str, turn: asyncio.Future[None]) -> None:
        self.waiting -= 1
        queue = self._queues[user]
        queue.remove(turn)
        if not queue:
            del self._queues[user]


def too_many() -> StatusError:
    """429: come back in a second. Upstream: apiserver/pkg/server/filters/priority-and-fairness.go."""
    return failure(
        429,
        "TooManyRequests",
        "Too many requests, please try again later.",
        details=StatusDetails(retryAfterSeconds=1),
    )
