"""One client's connection: what comes in is read, answered, written, in that order.

Requests of a connection are answered one after another, each in a task of its own, which ends with the connection.
`reading.py` makes requests of the bytes; what is left is decided here: a client that goes away in the middle, an answer
that is never read, how long each may keep the server waiting.

Upstream: apiserver/pkg/server/secure_serving.go for the times.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from fairlead.apiserver.clients import Clients
from fairlead.apiserver.messages import BODILESS, Request, Response
from fairlead.apiserver.reading import Reader

log = logging.getLogger("fairlead.apiserver")

HEAD_SECONDS = 32.0
"""How long a client may take for the head of a request."""

IDLE_SECONDS = 90.0
"""How long a connection stays open between requests."""

STALLED_SECONDS = 60.0
"""How long an answer, or a watch, may wait for a client that reads nothing of it at all."""

LINGER_SECONDS = 0.5
"""How long a client that is sent away may go on sending, so that it gets to read the answer (net/http has the same)."""


class Connection(asyncio.Protocol):
    """One client's connection."""

    __slots__ = (
        "_address",
        "_clients",
        "_closing",
        "_current",
        "_deaf",
        "_drain",
        "_loop",
        "_on_drain",
        "_reader",
        "_since",
        "_stalled_since",
        "_task",
        "_used",
        "made",
        "transport",
        "writing_paused",
    )

    def __init__(self, clients: Clients, address: str = "") -> None:
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.made = False
        """Whether it has been begun: from then on it leaves the server by itself."""
        self.writing_paused = False
        self._clients = clients
        self._loop = clients.loop
        self._address = address
        self._reader = Reader(self, self._head_begins)
        self._current: Request | None = None
        """The request that is being answered."""
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._used = False
        self._since = self._loop.time()
        """Since when the client is waited for, while nothing is to be answered."""
        self._stalled_since = 0.0
        self._deaf = False
        """Whether the client has to wait until more is read of it."""
        self._drain: asyncio.Future[None] | None = None
        self._on_drain: Callable[[], None] | None = None

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client has come in."""
        self.transport = cast(asyncio.Transport, transport)
        self.made = True
        self._clients.enter(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone, and with it whatever was being done for it."""
        self._closing = True
        self._reader.close()
        if self._drain is not None and not self._drain.done():
            self._drain.set_exception(ConnectionError("the client is gone"))
        if self._task is not None:
            self._task.cancel()
        self._clients.leave(self._address, self)

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self.writing_paused = True
        self._stalled_since = self._loop.time()

    def resume_writing(self) -> None:
        """It has read on."""
        self.writing_paused = False
        self._stalled_since = 0.0
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)
        if self._on_drain is not None:
            self._on_drain()
        self._go_on()

    def data_received(self, data: bytes) -> None:
        """Reads on."""
        reader = self._reader
        if self._closing or reader.refusal is not None:
            return
        if self._current is None and reader.idle and not self.writing_paused:
            self._begin(data)
            return
        reader.receive(data)
        self._go_on()

    def _begin(self, data: bytes) -> None:
        """Reads what comes when nothing is being read or answered: one whole request, as a rule."""
        heads = self._clients.heads
        plain = heads.read(data)
        if plain is not None:
            method, target, head, body = plain
            request = Request(self, method, target, "1.1", head, keep_alive=True)
            request.take(body)
            request.end()
            self._start(request)
            return
        reader = self._reader
        reader.receive(data)
        if (alone := reader.alone()) is not None:
            heads.learn(data, alone)
        self._go_on()

    def _head_begins(self) -> None:
        if self._current is None and self._used:
            self._since = self._loop.time()

    # What is done about it.

    def _go_on(self) -> None:
        """Answers what is to be answered next, reads on while there is nothing, or lets the client wait."""
        reader = self._reader
        if self._current is None and not self._closing and not self.writing_paused:
            if (request := reader.next()) is not None:
                self._start(request)
            elif reader.refusal is not None:
                self._write_whole(None, reader.refusal)
                self._close(linger=True)
        if self._current is not None:
            reader.read_body(self._current)
        if not self._closing and self._deaf != reader.full:
            self._listen(self._deaf)

    def _listen(self, reading: bool) -> None:
        self._deaf = not reading
        if not self.transport.is_closing():
            (self.transport.resume_reading if reading else self.transport.pause_reading)()

    def _start(self, request: Request) -> None:
        self._current = request
        self._used = True
        self._task = self._loop.create_task(self._answer(request))

    async def _answer(self, request: Request) -> None:
        try:
            response = await self._clients.handler(request)
            if not response.prepared:
                self._write_whole(request, response)
        except ConnectionError:
            self.transport.abort()
            return
        except Exception:
            log.exception("%s %s", request.method, request.target)
            self.transport.abort()
            return
        self._task = self._current = None
        self._since = self._loop.time()
        if response.closes or not request.complete or self._clients.stopping:
            self._close(linger=not request.complete)
        else:
            self._go_on()

    def _write_whole(self, request: Request | None, response: Response) -> None:
        """Head and body at once."""
        body = response.body
        framing = () if response.status in BODILESS else (f"Content-Length: {len(body)}",)
        head = response.head(self._clients.date(), *framing, *self._fate(request, response))
        self.transport.write(head if request is not None and request.method == "HEAD" else head + body)

    def _fate(self, request: Request | None, response: Response) -> tuple[str, ...]:
        """What the head says of the connection."""
        if request is None or not (request.complete and request.keep_alive) or self._clients.stopping:
            response.closes = True
        if response.closes:
            return ("Connection: close",)
        return ("Connection: keep-alive",) if request is not None and request.version == "1.0" else ()

    def _close(self, *, linger: bool) -> None:
        """Ends the connection once all is written; who is still sending is listened to for a moment, and not heard."""
        self._closing = True
        self._reader.drop()
        if self._deaf:
            self._listen(True)  # or the farewell of TLS would not be heard
        if linger:
            self._loop.call_later(LINGER_SECONDS, self.transport.close)
        else:
            self.transport.close()

    # What answers need.

    def go_on(self) -> None:
        """Tells the client that it may send the body."""
        self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def begin(self, request: Request, response: Response, length: int | None = None) -> None:
        """Sends the head of an answer whose body follows in parts; without a `length` it ends as `ended` has it."""
        if length is not None:
            framing = f"Content-Length: {length}"
        elif request.version == "1.0":
            response.closes = True
            framing = ""
        else:
            framing = "Transfer-Encoding: chunked"
        fate = self._fate(request, response)
        self.transport.write(response.head(self._clients.date(), *([framing] if framing else []), *fate))
        response.prepared = True

    def write(self, data: bytes | memoryview) -> None:
        """Sends a part of the body."""
        self.transport.write(data)

    def write_chunk(self, data: bytes) -> None:
        """Sends a part of a body of no known length."""
        self.transport.write(self._clients.chunk(data))

    @contextmanager
    def draining(self, told: Callable[[], None]) -> Iterator[None]:
        """Tells whenever the client has read on."""
        self._on_drain = told
        try:
            yield
        finally:
            self._on_drain = None

    async def drained(self) -> None:
        """Waits until the client has read enough to be sent more. Raises ConnectionError where it is gone."""
        if self.writing_paused:
            self._drain = self._loop.create_future()
            try:
                await self._drain
            finally:
                self._drain = None

    def hand_over(self, protocol: asyncio.Protocol) -> bytes:
        """Lets another protocol have the connection, after a request that asked for one; gives what has come of it.

        It has to tell `connection_lost` of this one. When the request is answered the connection is closed.
        """
        early = self._reader.take_rest()
        self.transport.set_protocol(protocol)
        if self._deaf:
            self._listen(True)
        return early

    # What the server asks.

    def overdue(self, now: float) -> bool:
        """Whether the client has kept the server waiting for too long."""
        if self._stalled_since and now - self._stalled_since > STALLED_SECONDS:
            return True
        if self._current is not None or self._closing:
            return False
        return now - self._since > (HEAD_SECONDS if self._reader.begun or not self._used else IDLE_SECONDS)

    def stop(self) -> None:
        """Ends the connection, with the answer that is under way if there is one.

        To close TLS is to wait for the client's farewell, which one that asks nothing may never give: it gets a moment.
        """
        self._reader.waiting.clear()
        if self._current is None and not self._closing:
            self._close(linger=False)
            if not self.transport.get_write_buffer_size():
                self._loop.call_later(LINGER_SECONDS, self.transport.abort)
