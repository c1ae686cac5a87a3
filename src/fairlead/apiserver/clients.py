"""All clients that are connected: who may come in, how long each may keep the server waiting, and their end."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from typing import Any, Protocol

from fairlead.apiserver.heads import Heads
from fairlead.apiserver.messages import Request, Response

TOTAL = 16_384
"""Connections at a time, fewer where the process may not open as many files."""

SWEEP_SECONDS = 1.0

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Connected(Protocol):
    """A client's connection."""

    @property
    def transport(self) -> asyncio.Transport:
        """Its bytes."""

    def overdue(self, now: float) -> bool:
        """Whether the client has kept the server waiting for too long."""

    def stop(self) -> None:
        """Ends the connection, with the answer that is under way if there is one."""


class Clients:
    """Their connections, and what those share; `sweep` is to run beside it.

    One address may hold half of them, so that it never takes the other clients' place.
    """

    def __init__(self, handler: Handler, most: int) -> None:
        self.handler = handler
        self.loop = asyncio.get_running_loop()
        self.stopping = False
        self._connections: set[Connected] = set()
        self._count = 0
        self._by_address: dict[str, int] = {}
        self._most = most
        self._empty = asyncio.Event()
        self._second = 0
        self._date = ""
        self._chunk = (b"", b"")
        self.heads = Heads()

    def date(self) -> str:
        """The Date header of now."""
        now = int(time.time())
        if now != self._second:
            self._second, self._date = now, f"Date: {formatdate(now, usegmt=True)}"
        return self._date

    def chunk(self, data: bytes) -> bytes:
        """A part of a body as a chunk; the last one is kept, for it goes to one watcher after the other."""
        known, made = self._chunk
        if known is not data:
            made = b"%x\r\n%b\r\n" % (len(data), data)
            self._chunk = data, made
        return made

    def admit(self, address: str) -> bool:
        """Whether one more client of an address may come in; it counts from then on, until it leaves."""
        mine = self._by_address.get(address, 0)
        if self.stopping or self._count >= self._most or mine >= self._most // 2:
            return False
        self._by_address[address] = mine + 1
        self._count += 1
        return True

    def enter(self, connection: Connected) -> None:
        """The connection of a client that was admitted has begun."""
        self._connections.add(connection)
        self._empty.clear()

    def leave(self, address: str, connection: Connected | None = None) -> None:
        """A client that was admitted is gone, with its connection if it had one."""
        if connection is not None:
            self._connections.discard(connection)
        self._count -= 1
        left = self._by_address.pop(address, 1) - 1
        if left:
            self._by_address[address] = left
        if not self._connections:
            self._empty.set()

    async def sweep(self) -> None:
        """Closes what is overdue, once a second; that costs under a microsecond for each connection."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = self.loop.time()
            for connection in list(self._connections):
                if connection.overdue(now):
                    connection.transport.abort()

    async def stop(self, seconds: float) -> None:
        """Ends the connections as their answers are given; those that have none after so many seconds at once."""
        self.stopping = True
        for connection in list(self._connections):
            connection.stop()
        try:
            async with asyncio.timeout(seconds):
                while self._connections:
                    await self._empty.wait()
        except TimeoutError:
            for connection in list(self._connections):
                connection.transport.abort()
            await asyncio.sleep(0)


def room_for_connections() -> int:
    """How many connections there may be; the process is allowed as many files as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = TOTAL + 256 if hard == resource.RLIM_INFINITY else min(TOTAL + 256, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(min(wanted, TOTAL + 256) - 256, 64)
