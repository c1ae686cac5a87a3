"""DNS over TCP: many questions on a connection, answered as they come (RFC 7766)."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import cast

from fairlead.dns.responder import Beyond, Responder

log = logging.getLogger("fairlead.dns")

IDLE = 10.0
"""Seconds after which a connection without a complete question is closed."""

MOST_CONNECTIONS = 1_000
MOST_WAITING = 64
"""Questions of one connection that may wait for other servers before it is read on."""

Elsewhere = Callable[[Beyond], Awaitable[bytes]]


class TcpConnection(asyncio.Protocol):
    """One client. Cuts the stream into messages; an answer that has to come from elsewhere is sent when it is there."""

    def __init__(self, responder: Responder, elsewhere: Elsewhere, open_: dict[TcpConnection, None]) -> None:
        self._responder = responder
        self._elsewhere = elsewhere
        self._open = open_
        self._buffer = bytearray()
        self._waiting: set[asyncio.Task[None]] = set()
        self._choked = False
        self._readable = asyncio.Event()
        self._readable.set()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes the client; where there are too many, the one that has been silent for longest has to go."""
        self._transport = cast(asyncio.Transport, transport)
        while len(self._open) >= MOST_CONNECTIONS:
            next(iter(self._open))._end()
        self._client = str((transport.get_extra_info("peername") or ("",))[0])
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the client and what it still waits for."""
        self._open.pop(self, None)
        if self._timer:
            self._timer.cancel()
        for task in self._waiting:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        """Answers every message that is complete."""
        self._buffer += data
        self._read()

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
        """Closes after the answers that are on their way."""
        self._transport.close()

    def _read(self) -> None:
        buffer = self._buffer
        while len(buffer) >= 2 and not self._busy():
            end = 2 + (buffer[0] << 8 | buffer[1])
            if len(buffer) < end:
                break
            query = bytes(buffer[2:end])
            del buffer[:end]
            self._rest()
            answer = self._responder.respond(query, self._client, tcp=True)
            if answer is None:
                self._transport.close()
                return
            if isinstance(answer, bytes):
                self._send(answer)
                continue
            work = self._ask(answer) if isinstance(answer, Beyond) else self._transfer(answer)
            task = asyncio.ensure_future(work)
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)
        if not self._transport.is_closing():
            (self._transport.pause_reading if self._busy() else self._transport.resume_reading)()

    def _busy(self) -> bool:
        return self._choked or len(self._waiting) >= MOST_WAITING

    async def _ask(self, question: Beyond) -> None:
        self._send(await self._elsewhere(question))
        asyncio.get_running_loop().call_soon(self._read)

    async def _transfer(self, messages: Iterator[bytes]) -> None:
        """Sends one message after the other, as fast as the client reads them."""
        for message in messages:
            self._send(message)
            self._rest()
            await self._readable.wait()
            # The other clients' turn.
            await asyncio.sleep(0)

    def _send(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(len(answer).to_bytes(2) + answer)

    def _rest(self) -> None:
        """Starts the idle limit anew."""
        if self._transport.is_closing():
            return
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(IDLE, self._idle)
        self._open.pop(self, None)
        self._open[self] = None

    def _idle(self) -> None:
        if self._waiting and not self._choked:
            self._rest()
        else:
            self._end()

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

    def __init__(self, sock: socket.socket, responder: Responder, elsewhere: Elsewhere) -> None:
        self.socket = sock
        self._open: dict[TcpConnection, None] = {}
        self._make = lambda: TcpConnection(responder, elsewhere, self._open)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Takes connections from now on."""
        self._server = await asyncio.get_running_loop().create_server(self._make, sock=self.socket)

    async def stop(self) -> None:
        """Takes no more connections and closes those that are open, their answers sent."""
        if self._server:
            self._server.close()
        for connection in tuple(self._open):
            connection.close()
