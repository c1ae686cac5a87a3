"""A light load generator: requests made beforehand, sent over keep-alive TLS connections, one at a time on each.

It has to cost less than the server that it measures, so it parses no more of an answer than its status and its length.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, cast
from urllib.parse import urlsplit

from fairlead.client.kubeconfig import Config

SECONDS = 120.0


class Answer(NamedTuple):
    """What came back, how many seconds it took, and when it was there."""

    code: int
    body: bytes
    seconds: float
    at: float


class Target:
    """The server of a kubeconfig, and how to speak to it."""

    def __init__(self, config: Config) -> None:
        place = urlsplit(config.server)
        self.host, self.port = place.hostname or "127.0.0.1", place.port or 443
        self.context = ssl.create_default_context(cadata=config.authority.decode())
        self._token = config.token

    def request(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/json", accept: str = ""
    ) -> bytes:
        """A whole request."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", f"Authorization: Bearer {self._token}"]
        lines += [f"Accept: {accept or 'application/json'}"]
        if body:
            lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + body


class _Connection(asyncio.Protocol):
    """Sends the next request when the last one is answered, until there are no more."""

    def __init__(self, requests: Iterator[bytes], answered: Callable[[Answer], None]) -> None:
        self._requests = requests
        self._answered = answered
        self._buffer = bytearray()
        self._end = 0
        self._began = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def start(self) -> None:
        """Sends the first request."""
        self._send()

    def _send(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            return
        self._began = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._end:
            head = self._buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            at = self._buffer.lower().find(b"content-length:", 0, head)
            if at < 0:
                raise AssertionError(f"an answer of no known length: {bytes(self._buffer[:head])!r}")
            self._head = head + 4
            self._end = self._head + int(self._buffer[at + 15 : self._buffer.find(b"\r", at)])
        if len(self._buffer) >= self._end:
            body = bytes(self._buffer[self._head : self._end])
            now = time.perf_counter()
            self._answered(Answer(int(self._buffer[9:12]), body, now - self._began, now))
            self._buffer.clear()
            self._end = 0
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def send(target: Target, requests: Iterable[bytes], connections: int) -> tuple[list[Answer], float]:
    """Sends all requests over so many connections; gives the answers and the seconds from the first to the last.

    The connections are open before the time begins.
    """
    answers: list[Answer] = []
    waiting = iter(requests)
    loop = asyncio.get_running_loop()
    opened = [
        (
            await loop.create_connection(
                lambda: _Connection(waiting, answers.append), target.host, target.port, ssl=target.context
            )
        )[1]
        for _ in range(connections)
    ]
    began = time.perf_counter()
    async with asyncio.timeout(SECONDS):
        for connection in opened:
            connection.start()
        await asyncio.gather(*(connection.done for connection in opened))
    return answers, time.perf_counter() - began


class Watchers(asyncio.Protocol):
    """Many watches of one collection. `wait` tells when each of them has seen a marker."""

    def __init__(self) -> None:
        self._waiter: asyncio.Future[float] | None = None
        self._marker = b""
        self._left = 0
        self._transports: list[asyncio.BaseTransport] = []
        self._prepared = 0

    async def open(self, target: Target, request: bytes, count: int) -> None:
        """Opens them, one after another, and returns when all were accepted."""
        loop = asyncio.get_running_loop()
        for _ in range(count):
            transport, _protocol = await loop.create_connection(
                lambda: _Watch(self), target.host, target.port, ssl=target.context
            )
            transport.write(request)
            self._transports.append(transport)
        async with asyncio.timeout(SECONDS):
            while True:
                if self._prepared >= count:
                    return
                await asyncio.sleep(0.01)

    def prepared(self) -> None:
        """One more was accepted."""
        self._prepared += 1

    def saw(self, data: bytes) -> None:
        """One of them got data."""
        if self._marker and self._marker in data:
            self._left -= 1
            if not self._left and self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(time.perf_counter())

    def expect(self, marker: bytes) -> asyncio.Future[float]:
        """The moment at which the last of them has seen the marker."""
        self._marker, self._left = marker, len(self._transports)
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    def close(self) -> None:
        """Ends all."""
        for transport in self._transports:
            cast(asyncio.Transport, transport).abort()


class _Watch(asyncio.Protocol):
    def __init__(self, all_: Watchers) -> None:
        self._all = all_
        self._accepted = False

    def data_received(self, data: bytes) -> None:
        if not self._accepted:
            if not data.startswith(b"HTTP/1.1 200"):
                raise AssertionError(f"a watch was refused: {data[:200]!r}")
            self._accepted = True
            self._all.prepared()
        self._all.saw(data)
