"""What carries the streams of a command or a port: the bare connection, WebSocket messages, or bytes in such messages.

All of them take pieces in bounded number and let the other side wait where we are slow, and us where it is.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections import deque
from typing import Protocol

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import RemoteProtocolError

from fairlead.node.kubelet.http import Exchange, Refused

READ_BYTES = 32 << 10
"""Bytes that are taken from a connection at a time."""

LONGEST_MESSAGE = 1 << 20
"""Bytes of one WebSocket message, however many frames it comes in."""

FAREWELL_SECONDS = 2.0
"""How long the other side may take to close as well."""

WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, 1.3."""


class Transport(Protocol):
    """A two-way stream of bytes."""

    async def read(self) -> bytes:
        """What has come, b"" at the end. Raises ConnectionError."""

    async def write(self, data: bytes) -> None:
        """Sends it, when there is room. Raises ConnectionError."""

    async def close(self) -> None:
        """Ends it once all is sent."""


class Bare:
    """The connection itself, after its upgrade."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def read(self) -> bytes:
        """What has come."""
        return await self._exchange.reader.read(READ_BYTES)

    async def write(self, data: bytes) -> None:
        """Sends it."""
        self._exchange.writer.write(data)
        await self._exchange.drain()

    async def close(self) -> None:
        """Waits a moment for the other side to close first: what it is still sending would reset the connection."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                while await self._exchange.reader.read(READ_BYTES):
                    pass


class WebSocket:
    """A WebSocket connection, by whole messages."""

    def __init__(self, exchange: Exchange, protocol: str) -> None:
        self._exchange = exchange
        self._connection = Connection(ConnectionType.SERVER)
        self._whole: deque[bytes] = deque()
        self._part = bytearray()
        headers = {"Upgrade": "websocket", "Sec-WebSocket-Accept": accept_key(exchange)}
        if protocol:
            headers["Sec-WebSocket-Protocol"] = protocol
        exchange.switch(headers)

    async def receive(self) -> bytes | None:
        """The next message, text as UTF-8; None when the other side has closed. Raises ConnectionError."""
        while not self._whole:
            if self._connection.state is not ConnectionState.OPEN:
                return None
            data = await self._exchange.reader.read(READ_BYTES)
            if not data:
                return None
            try:
                self._connection.receive_data(data)
                for event in self._connection.events():
                    await self._told(event)
            except RemoteProtocolError as error:
                raise ConnectionError(f"no WebSocket: {error}") from error
        return self._whole.popleft()

    async def send(self, message: bytes | str) -> None:
        """Sends a message: bytes as binary, a string as text. Nothing is sent after the end."""
        if self._connection.state is ConnectionState.OPEN:
            event = TextMessage(message) if isinstance(message, str) else BytesMessage(message)
            self._exchange.writer.write(self._connection.send(event))
            await self._exchange.drain()

    async def close(self, code: int = 1000) -> None:
        """Says so, and waits a moment for the other side to say the same."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                if self._connection.state is ConnectionState.OPEN:
                    self._exchange.writer.write(self._connection.send(CloseConnection(code)))
                    await self._exchange.drain()
                while self._connection.state is not ConnectionState.CLOSED:
                    data = await self._exchange.reader.read(READ_BYTES)
                    if not data:
                        return
                    self._connection.receive_data(data)
                    for _ in self._connection.events():
                        pass

    async def _told(self, event: object) -> None:
        if isinstance(event, Ping | CloseConnection):
            self._exchange.writer.write(self._connection.send(event.response()))
            await self._exchange.drain()
        elif isinstance(event, BytesMessage | TextMessage):
            self._part += event.data.encode() if isinstance(event, TextMessage) else event.data
            if len(self._part) > LONGEST_MESSAGE:
                await self.close(1009)
                raise ConnectionError(f"a WebSocket message of more than {LONGEST_MESSAGE} bytes")
            if event.message_finished:
                self._whole.append(bytes(self._part))
                self._part.clear()


class Tunnel:
    """A stream of bytes in binary WebSocket messages (KEP-4006: PortForward over WebSockets)."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def read(self) -> bytes:
        """What has come; an empty message is no end."""
        while (message := await self._websocket.receive()) is not None:
            if message:
                return message
        return b""

    async def write(self, data: bytes) -> None:
        """Sends it."""
        if data:
            await self._websocket.send(data)

    async def close(self) -> None:
        """Ends it."""
        await self._websocket.close()


def accept_key(exchange: Exchange) -> str:
    """The proof that a WebSocket request was understood (RFC 6455, 4.2.2). Raises Refused for what is none."""
    request = exchange.request
    key = request.header("sec-websocket-key")
    if request.method != "GET" or not key or request.header("sec-websocket-version") != "13":
        raise Refused(400, "the request for a WebSocket is incomplete", {"Sec-WebSocket-Version": "13"})
    digest = hashlib.sha1(key.encode() + WEBSOCKET_GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()
