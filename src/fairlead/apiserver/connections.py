"""Connections of clients: how many there may be, and how long each may keep the server waiting.

aiohttp reads and writes HTTP/1.1; what it leaves open is decided here: a head that comes in drop by drop, an answer
that is never read, a client that opens connections without end, words of refusal that a Kubernetes client can read.

Upstream: apiserver/pkg/server/secure_serving.go for the times.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from fairlead.apiserver.answers import status
from fairlead.apiserver.bodies import LIMIT
from fairlead.apiserver.negotiation import Form
from fairlead.objects.status import failure

log = logging.getLogger("fairlead.apiserver")

HEAD_SECONDS = 32.0
"""How long a client may take for the head of a request."""

HANDSHAKE_SECONDS = 10.0
"""How long a client may take to agree upon TLS."""

IDLE_SECONDS = 90.0
"""How long a connection stays open between requests."""

STALLED_SECONDS = 60.0
"""How long an answer, or a watch, may wait for a client that reads nothing of it at all."""

HEAD_BYTES = 1 << 20
"""The largest head of a request: its line and its headers together."""

HEADERS = 200
"""The most header lines of a request."""

TOTAL = 16_384
"""Connections at a time, fewer where the process may not open as many files."""

SWEEP_SECONDS = 1.0


class Connection(RequestHandler):
    """One client's connection. What it costs a request is one comparison of numbers when data comes in."""

    __slots__ = ("_address", "_head_bytes", "_head_since", "_on_drain", "_stalled_since", "server")

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=IDLE_SECONDS,
            access_log=None,  # type: ignore[arg-type]
            max_line_size=HEAD_BYTES,
            max_field_size=HEAD_BYTES,
            max_headers=HEADERS,
            auto_decompress=False,  # as upstream: a compressed body is not looked into
            lingering_time=2.0,
        )
        self.server = server
        self._on_drain: Callable[[], None] | None = None
        self._address = ""
        self._head_since = loop.time()
        self._head_bytes = 0
        self._stalled_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes the client in, or closes the connection where it has too many."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._address = peer[0] if isinstance(peer, tuple) else ""
        if not self.server.admit(self._address):
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone."""
        self.server.leave(self._address)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads on, and notes since when a head is incomplete."""
        super().data_received(data)
        if self._messages or self._request_in_progress:
            self._head_since = 0.0
            self._head_bytes = 0
        elif data:
            self._head_since = self._head_since or self._loop.time()
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse_head()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        super().pause_writing()
        self._stalled_since = self._loop.time()

    def resume_writing(self) -> None:
        """It has read on."""
        super().resume_writing()
        self._stalled_since = 0.0
        if self._on_drain is not None:
            self._on_drain()

    @contextmanager
    def draining(self, told: Callable[[], None]) -> Iterator[None]:
        """Tells whenever the client has read on."""
        self._on_drain = told
        try:
            yield
        finally:
            self._on_drain = None

    def stream(self, request: web.BaseRequest, response: web.StreamResponse) -> Callable[[bytes], None]:
        """How to send parts of an answer without end, once it is prepared: they go straight to the transport."""

        def write(data: bytes) -> None:
            if self.transport is not None:
                self.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)

        chunked = request.version >= HttpVersion11
        if chunked:
            response.enable_chunked_encoding()
        else:
            response.force_close()
        return write

    async def drained(self) -> None:
        """Waits until the client has read enough to be sent more. Raises ConnectionError where it is gone."""
        if self._paused:
            await self._drain_helper()

    def overdue(self, now: float) -> bool:
        """Whether the client has kept the server waiting for too long."""
        if self._stalled_since and now - self._stalled_since > STALLED_SECONDS:
            return True
        return bool(self._head_since) and now - self._head_since > HEAD_SECONDS

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The Status for what could not be read as a request; the connection ends with it."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        if isinstance(exc, LineTooLong):
            return last_words(431, "RequestHeaderFieldsTooLarge", "the head of the request is too large")
        if status < 500:
            return last_words(400, "BadRequest", f"the request could not be read: {first_line(message)}")
        log.error("a request failed", exc_info=exc)
        return last_words(500, "InternalError", "Internal error occurred")

    def _refuse_head(self) -> None:
        answer = last_words(431, "RequestHeaderFieldsTooLarge", "the head of the request is too large")
        if self.transport is not None and isinstance(answer.body, bytes):
            head = (
                "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(answer.body)}\r\nConnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + answer.body)
        self.force_close()


def first_line(message: str | None) -> str:
    """What is wrong, without the picture that the parser draws of it."""
    return (message or "it is malformed").strip().partition("\n")[0].rstrip(":")


def last_words(code: int, reason: str, message: str) -> web.Response:
    """A refusal after which the connection is closed."""
    refusal = failure(code, reason, message).status
    response = web.Response(
        status=code, body=status(refusal, Form()), headers={"Content-Type": "application/json"}
    )
    response.force_close()
    return response


class Server(web.Server):
    """All connections. `web.ServerRunner` runs it, `sweep` is to run beside it.

    One address may hold half of them, so that it never takes the other clients' place.
    """

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], most: int
    ) -> None:
        super().__init__(handler, request_factory=make_request, handler_cancellation=True)
        self._by_address: dict[str, int] = {}
        self._count = 0
        self._most = most

    async def listen(self, sock: socket.socket, context: ssl.SSLContext | None) -> asyncio.Server:
        """Takes in clients at a listening socket until what it gives is closed."""
        return await asyncio.get_running_loop().create_server(
            self,
            sock=sock,
            ssl=context,
            backlog=512,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if context is not None else None,
        )

    def admit(self, address: str) -> bool:
        """Counts a connection; whether it may stay."""
        self._count += 1
        mine = self._by_address[address] = self._by_address.get(address, 0) + 1
        return self._count <= self._most and mine <= self._most // 2

    def leave(self, address: str) -> None:
        """A connection has ended."""
        self._count -= 1
        left = self._by_address.pop(address, 1) - 1
        if left:
            self._by_address[address] = left

    async def sweep(self) -> None:
        """Closes what is overdue, once a second; that costs under a microsecond for each connection."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = asyncio.get_running_loop().time()
            for connection in self.connections:
                if isinstance(connection, Connection) and connection.overdue(now):
                    transport = connection.transport
                    if transport is not None:
                        transport.abort()

    def __call__(self) -> RequestHandler:
        """A connection for a client that was accepted."""
        return Connection(self, self._loop)


def make_request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    """A request whose body may be as large as upstream takes it."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=LIMIT)


def room_for_connections() -> int:
    """How many connections there may be; the process is allowed as many files as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = TOTAL + 256 if hard == resource.RLIM_INFINITY else min(TOTAL + 256, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(min(wanted, TOTAL + 256) - 256, 64)
