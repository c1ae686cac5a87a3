"""DNS over TCP: many questions on a connection, answered as they come (RFC 7766)."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import socket
import sys
import termios
from collections.abc import Awaitable, Callable, Iterator
from typing import cast

from fairlead.dns.observer import Observer, Sampler, asked, rcode_of
from fairlead.dns.responder import Beyond, Responder

log = logging.getLogger("fairlead.dns")

IDLE = 10.0
"""Seconds after which a connection without a complete question is closed."""

MOST_CONNECTIONS = 1_000
MOST_WAITING = 64
"""Questions of one connection that may wait for other servers before it is read on."""

LONGEST = 4_096
"""Bytes of a question at most: a thousand clients can make us keep as many halves of questions."""

UNSENT = 16_384
"""Bytes of answers that a client has not taken at which it gets no more of them."""

TURN = 64
"""Questions of one connection that are answered before the others have their turn."""

Elsewhere = Callable[[Beyond], Awaitable[bytes]]


class TcpConnection(asyncio.Protocol):
    """One client. Cuts the stream into messages; an answer that has to come from elsewhere is sent when it is there."""

    def __init__(
        self,
        responder: Responder,
        elsewhere: Elsewhere,
        open_: dict[TcpConnection, None],
        observer: Observer,
        sampler: Sampler,
    ) -> None:
        self._responder = responder
        self._elsewhere = elsewhere
        self._open = open_
        self._observer = observer
        self._sampler = sampler
        self._buffer = bytearray()
        self._waiting: set[asyncio.Task[None]] = set()
        self._choked = False
        self._ending = False
        self._again: asyncio.Handle | None = None
        self._since = 0.0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readable = asyncio.Event()
        self._readable.set()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes the client; where there are too many, the one that has been silent for longest has to go."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=UNSENT)
        while len(self._open) >= MOST_CONNECTIONS:
            next(iter(self._open))._end()
        self._client = str((transport.get_extra_info("peername") or ("",))[0])
        self._rest()
        self._idle()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the client and what it still waits for."""
        self._open.pop(self, None)
        if self._timer:
            self._timer.cancel()
        for task in self._waiting:
            task.cancel()
        self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Answers every message that is complete."""
        self._buffer += data
        self._read()

    def eof_received(self) -> bool:
        """The client asks no more; it still gets what it waits for."""
        self._ending = True
        self._finish()
        return True

    def pause_writing(self) -> None:
        """A client that does not read its answers gets no more of them."""
        self._choked = True
        self._readable.clear()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._choked = False
        self._readable.set()
        self._read()

    def close(self) -> None:
        """Closes once all that has come is answered."""
        self._ending = True
        self._finish()

    def _finish(self) -> None:
        """Closes where that was wanted and nothing is left to do: with bytes unread, the kernel would drop answers."""
        if self._ending and not self._waiting and not self._busy() and not self._unread():
            self._transport.close()

    def _unread(self) -> int:
        """Bytes that the kernel has for us."""
        if self._transport.is_closing():
            return 0
        number = self._transport.get_extra_info("socket").fileno()
        return int.from_bytes(fcntl.ioctl(number, termios.FIONREAD, bytes(4)), sys.byteorder)

    def _read(self) -> None:
        buffer = self._buffer
        questions = 0
        while len(buffer) >= 2 and questions < TURN and not self._busy():
            end = 2 + (buffer[0] << 8 | buffer[1])
            if end > LONGEST:
                self._transport.close()
                return
            if len(buffer) < end:
                break
            query = bytes(buffer[2:end])
            del buffer[:end]
            questions += 1
            sampled = query if self._sampler.due() else b""
            answer = self._responder.respond(query, self._client, tcp=True)
            if answer is None:
                self._transport.close()
                return
            if isinstance(answer, bytes):
                self._send(answer, sampled)
                continue
            work = (
                self._ask(answer, sampled) if isinstance(answer, Beyond) else self._transfer(answer, sampled)
            )
            task = asyncio.ensure_future(work)
            self._waiting.add(task)
            task.add_done_callback(self._done)
        if questions:
            self._rest()
        if questions == TURN:
            self._again = self._again or asyncio.get_running_loop().call_soon(self._next_turn)
        if not self._transport.is_closing():
            (self._transport.pause_reading if self._busy() else self._transport.resume_reading)()
        self._finish()

    def _next_turn(self) -> None:
        self._again = None
        if not self._transport.is_closing():
            self._read()

    def _busy(self) -> bool:
        return self._choked or self._again is not None or len(self._waiting) >= MOST_WAITING

    def _done(self, task: asyncio.Task[None]) -> None:
        self._waiting.discard(task)
        if not self._transport.is_closing():
            self._read()

    async def _ask(self, question: Beyond, sampled: bytes) -> None:
        self._send(await self._elsewhere(question), sampled)

    async def _transfer(self, messages: Iterator[bytes], sampled: bytes) -> None:
        """Sends one message after the other, as fast as the client reads them."""
        for message in messages:
            self._send(message, sampled)
            sampled = b""
            self._rest()
            await self._readable.wait()
            # The other clients' turn.
            await asyncio.sleep(0)

    def _send(self, answer: bytes, sampled: bytes) -> None:
        """Sends an answer; `sampled` is the query where it belongs to the sample."""
        if not self._transport.is_closing():
            self._transport.write(len(answer).to_bytes(2) + answer)
        if sampled:
            self._observer.note(*asked(sampled), rcode_of(answer), self._client)

    def _rest(self) -> None:
        """Starts the idle limit anew."""
        if not self._transport.is_closing():
            self._since = asyncio.get_running_loop().time()
            self._open.pop(self, None)
            self._open[self] = None

    def _idle(self) -> None:
        """Ends a connection that was idle for long enough, else looks again when it may be."""
        loop = asyncio.get_running_loop()
        if self._waiting and not self._choked:
            self._rest()
        end = self._since + IDLE
        if loop.time() >= end:
            self._end()
        else:
            self._timer = loop.call_at(end, self._idle)

    def _end(self) -> None:
        self._open.pop(self, None)
        self._transport.abort()


def tcp_socket(address: str, port: int) -> socket.socket:
    """A listening socket whose port other processes may share. Raises OSError with the address in it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        sock.bind((address, port))
        sock.listen(512)
    except OSError as error:
        sock.close()
        raise OSError(
            error.errno, f"cannot answer DNS on {address} port {port} over TCP: {error.strerror}"
        ) from error
    sock.setblocking(False)
    return sock


class TcpServer:
    """Answers on one listening socket until it is stopped."""

    def __init__(
        self, sock: socket.socket, responder: Responder, elsewhere: Elsewhere, observer: Observer
    ) -> None:
        self.socket = sock
        self._open: dict[TcpConnection, None] = {}
        sampler = Sampler(observer)
        self._make = lambda: TcpConnection(responder, elsewhere, self._open, observer, sampler)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Takes connections from now on."""
        self._server = await asyncio.get_running_loop().create_server(self._make, sock=self.socket)

    async def stop(self, seconds: float) -> None:
        """Takes no more connections, and closes those that are open when their answers are sent, or the time is up."""
        if self._server:
            self._server.close()
        for connection in tuple(self._open):
            connection.close()
        if closed := [connection.closed for connection in self._open]:
            await asyncio.wait(closed, timeout=seconds)
        for connection in tuple(self._open):
            connection._end()
