"""Connections of clients: HTTP/1.1 read and written, and how long each may keep the server waiting.

llhttp (`httptools`) reads; what it leaves open is decided here: a head that comes in drop by drop, an answer that is
never read, requests sent ahead, a client that opens connections without end, words of refusal that a Kubernetes client
can read. Requests of a connection are answered one after another, each in a task of its own, which ends with the
connection. Nothing that a client sends is kept without bound: while a request is answered, no more than `AHEAD` bytes
of the next ones are read.

Upstream: apiserver/pkg/server/secure_serving.go for the times, net/http for what is refused.
"""

from __future__ import annotations

import asyncio
import logging
import re
import resource
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any, cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from fairlead.apiserver.answers import status
from fairlead.apiserver.bodies import LIMIT
from fairlead.apiserver.heads import Heads
from fairlead.apiserver.messages import BODILESS, Head, RawHeaders, Request, Response
from fairlead.apiserver.negotiation import Form
from fairlead.objects.status import failure

log = logging.getLogger("fairlead.apiserver")

HEAD_SECONDS = 32.0
"""How long a client may take for the head of a request."""

IDLE_SECONDS = 90.0
"""How long a connection stays open between requests."""

STALLED_SECONDS = 60.0
"""How long an answer, or a watch, may wait for a client that reads nothing of it at all."""

LINGER_SECONDS = 0.5
"""How long a client that is sent away may go on sending, so that it gets to read the answer (net/http has the same)."""

HEAD_BYTES = 1 << 20
"""The largest head of a request: its line and its headers together."""

HEADERS = 200
"""The most header lines of a request."""

AHEAD = 64 << 10
"""Bytes that are parsed at a time, so that many small requests in one piece are not all read before the first is
answered."""

WIRE_BYTES = 2 * LIMIT
"""Bytes that a body may take on the wire: in chunks it is larger than it is."""

TRAILER_BYTES = 16 << 10
"""Bytes at a stretch that may come instead of a body: sizes and extensions of chunks, headers after the last
(net/http: 4 KiB)."""

TOTAL = 16_384
"""Connections at a time, fewer where the process may not open as many files."""

SWEEP_SECONDS = 1.0

ABSOLUTE = re.compile(rb"[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*")

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Refused(Exception):
    """What came in is no request that is answered by the handler."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.response = last_words(code, reason, message)


class Connection(asyncio.Protocol):
    """One client's connection."""

    __slots__ = (
        "_address",
        "_begun",
        "_closing",
        "_current",
        "_deaf",
        "_drain",
        "_head",
        "_head_bytes",
        "_loop",
        "_on_drain",
        "_parser",
        "_part",
        "_reading",
        "_refusal",
        "_rest",
        "_server",
        "_silent",
        "_since",
        "_stalled_since",
        "_switching",
        "_target",
        "_task",
        "_used",
        "_waiting",
        "_wire_bytes",
        "made",
        "transport",
        "writing_paused",
    )

    def __init__(self, server: Server, address: str = "") -> None:
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.made = False
        """Whether it has been begun: from then on it leaves the server by itself."""
        self.writing_paused = False
        self._server = server
        self._loop = server.loop
        self._address = address
        self._parser = HttpRequestParser(self)
        self._target = b""
        self._head: RawHeaders = []
        self._begun = False
        """Whether a head is being read."""
        self._head_bytes = 0
        self._part = bytearray()
        """What came in of a head that is long already, and is not parsed yet."""
        self._wire_bytes = 0
        self._silent = 0
        """Bytes since the last that were of a body."""
        self._reading: Request | None = None
        """The request whose body is being read."""
        self._waiting: deque[Request] = deque()
        self._rest = b""
        """What came in and is not parsed yet."""
        self._switching = False
        """Whether another protocol was asked for: what follows is not for the parser."""
        self._refusal: Response | None = None
        """The last answer, after those that are due: what follows cannot be read."""
        self._current: Request | None = None
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
        self._server.enter(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone, and with it whatever was being done for it."""
        self._closing = True
        self._rest = b""
        self._waiting.clear()
        if self._drain is not None and not self._drain.done():
            self._drain.set_exception(ConnectionError("the client is gone"))
        if self._task is not None:
            self._task.cancel()
        self._server.leave(self._address, self)
        del self._parser  # it knows the connection, which would stay until the collector comes

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
        if self._closing or self._refusal is not None:
            return
        if self._current is None and not (self._begun or self._rest or self._waiting or self.writing_paused):
            self._begin(data)
            return
        if self._head_bytes:
            data = self._gather(data)
        if self._rest or len(data) > AHEAD or self._waiting or self._switching:
            self._rest += data
        elif data:
            self._feed(data)
        self._go_on()

    def _begin(self, data: bytes) -> None:
        """Reads what comes when nothing is being read or answered: one whole request, as a rule."""
        heads = self._server.heads
        plain = heads.read(data)
        if plain is not None:
            method, target, head, body = plain
            request = Request(self, method, target, "1.1", head, keep_alive=True)
            request.take(body)
            request.end()
            self._start(request)
            return
        if len(data) > AHEAD:
            self._rest = data
        else:
            self._feed(data)
            if len(self._waiting) == 1 and self._waiting[0].complete and not (self._begun or self._rest):
                heads.learn(data, self._waiting[0])
        self._go_on()

    # What the parser tells.

    def on_message_begin(self) -> None:
        """A head begins."""
        self._begun = True
        if self._current is None:
            self._since = self._loop.time() if self._used else self._since

    def on_url(self, url: bytes) -> None:
        """Its path."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers, or one after the body, which tells nothing."""
        if self._begun:
            if len(self._head) >= HEADERS:
                raise Refused(400, "BadRequest", f"the request has more than {HEADERS} headers")
            self._head.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is complete."""
        parser = self._parser
        version = parser.get_http_version()
        check(self._head, version, upgrade=parser.should_upgrade())
        if (
            self._head_bytes
            and len(self._target) + sum(len(n) + len(v) + 4 for n, v in self._head) > HEAD_BYTES
        ):
            raise head_too_large()
        target = self._target if self._target.startswith(b"/") else origin_form(self._target)
        self._reading = Request(
            self,
            parser.get_method().decode(),
            target.decode("utf-8", "surrogateescape"),
            version,
            Head(self._head),
            # Whatever follows a request for another protocol is not read.
            keep_alive=parser.should_keep_alive() and not parser.should_upgrade(),
        )
        self._waiting.append(self._reading)
        self._target, self._head = b"", []
        self._head_bytes = self._wire_bytes = self._silent = 0
        self._begun = False

    def on_body(self, body: bytes) -> None:
        """Some of its body."""
        self._silent = 0
        if self._reading is not None:
            self._reading.take(body)

    def on_message_complete(self) -> None:
        """All of it is there."""
        if self._reading is not None:
            self._reading.end()
            self._reading = None

    def _gather(self, data: bytes) -> bytes:
        """What is to be parsed of a long head when more of it comes; the rest waits.

        The parser copies an unfinished header with every piece of it, which for many small ones would take a time that
        grows with the square of its length: it gets pieces that grow with it.
        """
        self._part += data
        if b"\n" not in data and len(self._part) * 4 < self._head_bytes:
            return b""
        data = bytes(self._part)
        self._part.clear()
        return data

    def _feed(self, data: bytes) -> None:
        """Parses some bytes. What cannot be read ends the connection, once everything before it is answered."""
        reading = self._reading
        self._silent += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._switching = True
            self._rest = data[upgrade.args[0] :] + self._rest
        except HttpParserCallbackError as error:
            if not isinstance(error.__context__, Refused):
                raise
            self._refuse(error.__context__.response)
        except HttpParserError as error:
            self._refuse(unreadable(error))
        if self._begun:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(head_too_large().response)
        elif reading is not None and reading is self._reading:
            self._wire_bytes += len(data)
            if self._wire_bytes > WIRE_BYTES or self._silent > TRAILER_BYTES:
                # Whoever answers may have no use for a body, and let it come for ever.
                reading.too_large()
                self._refuse(last_words(413, "RequestEntityTooLarge", "the body is too large"))

    def _refuse(self, response: Response) -> None:
        if self._reading is not None:
            # Its own answer says so, if it has not been given yet.
            self._reading.fail("the body could not be read")
        self._refusal = response
        self._rest = b""

    # What is done about it.

    def _go_on(self) -> None:
        """Answers what is to be answered next, reads on while there is nothing, or lets the client wait."""
        while self._current is None and not self._closing and not self.writing_paused:
            if self._waiting:
                self._start(self._waiting.popleft())
            elif self._rest and not self._switching:
                data, self._rest = self._rest[:AHEAD], self._rest[AHEAD:]
                self._feed(data)
            elif self._refusal is not None:
                self._write_whole(None, self._refusal)
                self._close(linger=True)
            else:
                break
        if self._current is not None and self._current is self._reading and self._rest:
            data, self._rest = self._rest, b""
            for start in range(0, len(data), AHEAD):
                if self._reading is not self._current:
                    self._rest = data[start:]
                    break
                self._feed(data[start : start + AHEAD])
        if not self._closing and self._deaf != bool(self._rest or self._waiting or self._switching):
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
            response = await self._server.handler(request)
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
        if response.closes or not request.complete or self._server.stopping:
            self._close(linger=not request.complete)
        else:
            self._go_on()

    def _write_whole(self, request: Request | None, response: Response) -> None:
        """Head and body at once."""
        body = response.body
        framing = () if response.status in BODILESS else (f"Content-Length: {len(body)}",)
        head = response.head(self._server.date(), *framing, *self._fate(request, response))
        self.transport.write(head if request is not None and request.method == "HEAD" else head + body)

    def _fate(self, request: Request | None, response: Response) -> tuple[str, ...]:
        """What the head says of the connection."""
        if request is None or not (request.complete and request.keep_alive) or self._server.stopping:
            response.closes = True
        if response.closes:
            return ("Connection: close",)
        return ("Connection: keep-alive",) if request is not None and request.version == "1.0" else ()

    def _close(self, *, linger: bool) -> None:
        """Ends the connection once all is written; who is still sending is listened to for a moment, and not heard."""
        self._closing = True
        self._rest = b""
        self._waiting.clear()
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
        self.transport.write(response.head(self._server.date(), *([framing] if framing else []), *fate))
        response.prepared = True

    def write(self, data: bytes | memoryview) -> None:
        """Sends a part of the body."""
        self.transport.write(data)

    def write_chunk(self, data: bytes) -> None:
        """Sends a part of a body of no known length."""
        self.transport.write(self._server.chunk(data))

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
        early, self._rest = self._rest, b""
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
        return now - self._since > (HEAD_SECONDS if self._begun or not self._used else IDLE_SECONDS)

    def stop(self) -> None:
        """Ends the connection, with the answer that is under way if there is one.

        To close TLS is to wait for the client's farewell, which one that asks nothing may never give: it gets a moment.
        """
        self._waiting.clear()
        if self._current is None and not self._closing:
            self._close(linger=False)
            if not self.transport.get_write_buffer_size():
                self._loop.call_later(LINGER_SECONDS, self.transport.abort)


def check(head: RawHeaders, version: str, *, upgrade: bool) -> None:
    """Raises Refused for what two readers could take for different requests (RFC 9112, 3.2, 6.1 and 6.3).

    Also for what is asked of nobody here: other versions, other expectations.
    """
    if version not in ("1.1", "1.0"):
        raise Refused(505, "HTTPVersionNotSupported", f"HTTP/{version} is not supported")
    hosts = body = 0
    for name, value in head:
        match len(name):
            case 4:
                hosts += name.lower() == b"host"
            case 6 if name.lower() == b"expect":
                if value and value.lower() != b"100-continue":
                    raise Refused(417, "ExpectationFailed", "nothing but 100-continue may be expected")
            case 14:
                body += name.lower() == b"content-length" and value.strip() != b"0"
            case 17 if name.lower() == b"transfer-encoding":
                body += 1
                if value.lower() != b"chunked":
                    raise Refused(501, "NotImplemented", "the request has an unsupported transfer encoding")
                if version == "1.0":
                    raise Refused(400, "BadRequest", "HTTP/1.0 has no transfer encodings")
    if hosts > 1 or (not hosts and version != "1.0"):
        raise Refused(400, "BadRequest", "the request has to have one Host header")
    if upgrade and body:
        raise Refused(400, "BadRequest", "a request for another protocol cannot have a body")


def origin_form(target: bytes) -> bytes:
    """Path and query of a target that names scheme and host too, as for a proxy (RFC 9112, 3.2.2); others stay."""
    found = ABSOLUTE.match(target)
    if found is None:
        return target
    rest = target[found.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest


def unreadable(error: HttpParserError) -> Response:
    """The refusal of what is no HTTP."""
    return last_words(400, "BadRequest", f"the request could not be read: {error}")


def head_too_large() -> Refused:
    """431: more than `HEAD_BYTES`."""
    return Refused(431, "RequestHeaderFieldsTooLarge", "the head of the request is too large")


def last_words(code: int, reason: str, message: str) -> Response:
    """A refusal after which the connection is closed."""
    refusal = failure(code, reason, message).status
    return Response(code, [("Content-Type", "application/json")], status(refusal, Form()), closes=True)


class Server:
    """All connections; `sweep` is to run beside it.

    One address may hold half of them, so that it never takes the other clients' place.
    """

    def __init__(self, handler: Handler, most: int) -> None:
        self.handler = handler
        self.loop = asyncio.get_running_loop()
        self.stopping = False
        self._connections: set[Connection] = set()
        self._clients = 0
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
        if self.stopping or self._clients >= self._most or mine >= self._most // 2:
            return False
        self._by_address[address] = mine + 1
        self._clients += 1
        return True

    def enter(self, connection: Connection) -> None:
        """The connection of a client that was admitted has begun."""
        self._connections.add(connection)
        self._empty.clear()

    def leave(self, address: str, connection: Connection | None = None) -> None:
        """A client that was admitted is gone, with its connection if it had one."""
        if connection is not None:
            self._connections.discard(connection)
        self._clients -= 1
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
