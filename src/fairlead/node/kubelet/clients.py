"""Clients of exec and attach: what they type, how large their terminal is, and what they are sent."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from fairlead.node.kubelet import remotecommand, spdy
from fairlead.node.kubelet.http import Exchange, Refused
from fairlead.node.kubelet.remotecommand import SPDY, WEBSOCKET, Channels, Output, Sizes, Wanted
from fairlead.node.kubelet.transports import Bare, Transport, WebSocket
from fairlead.objects.meta_v1 import Status

STREAM_SECONDS = 30.0
"""How long a client may take to open its streams (upstream: DefaultStreamCreationTimeout)."""


@dataclass(frozen=True)
class Input:
    """Something typed."""

    data: bytes


@dataclass(frozen=True)
class InputEnd:
    """Nothing more will be typed."""


@dataclass(frozen=True)
class Size:
    """The terminal has so many columns and rows now."""

    columns: int
    rows: int


Event = Input | InputEnd | Size


class Client(Protocol):
    """The other end of a command's streams. `active` is when something last passed, on the monotonic clock."""

    active: float

    async def receive(self) -> Event | None:
        """What the client does next; None when it is gone. Raises ConnectionError."""

    async def send(self, stream: Output, data: bytes) -> None:
        """Shows some output, when there is room. Raises ConnectionError."""

    async def finish(self, status: Status) -> None:
        """Tells how the command ended, and ends the connection."""


async def accept(exchange: Exchange, wanted: Wanted) -> Client:
    """Switches a connection to the protocol that the client asks for. Raises Refused, or ConnectionError."""
    request = exchange.request
    if request.upgrade == WEBSOCKET:
        asked = request.header_values("sec-websocket-protocol")
        protocol = remotecommand.negotiate(asked, remotecommand.WEBSOCKET_PROTOCOLS)
        client = ChannelClient(WebSocket(exchange, protocol), Channels(protocol))
        await client.begin(wanted)
        return client
    if request.upgrade == SPDY:
        asked = request.header_values("x-stream-protocol-version")
        protocol = remotecommand.negotiate(asked, remotecommand.SPDY_PROTOCOLS)
        named = {"X-Stream-Protocol-Version": protocol} if protocol else {}
        exchange.switch({"Upgrade": "SPDY/3.1", **named})
        return await SpdyClient.open(Bare(exchange), wanted, protocol)
    raise Refused(400, "unable to upgrade: the request asks for neither WebSocket nor SPDY/3.1")


class ChannelClient:
    """A client that speaks WebSocket."""

    def __init__(self, websocket: WebSocket, channels: Channels) -> None:
        self.active = time.monotonic()
        self._websocket = websocket
        self._channels = channels
        self._sizes = Sizes()

    async def begin(self, wanted: Wanted) -> None:
        """An empty message tells the client that all is ready (upstream: createWebSocketStreams)."""
        first = next(iter(wanted.outputs), "error")
        await self._websocket.send(self._channels.pack(first, b""))

    async def receive(self) -> Event | None:
        """What the client does next."""
        while (message := await self._websocket.receive()) is not None:
            self.active = time.monotonic()
            match self._channels.unpack(message):
                case ("stdin", None):
                    return InputEnd()
                case ("stdin", bytes(data)) if data:
                    return Input(data)
                case ("resize", bytes(data)) if (size := self._sizes.feed(data)) is not None:
                    return Size(*size)
        return None

    async def send(self, stream: Output, data: bytes) -> None:
        """Shows some output."""
        self.active = time.monotonic()
        await self._websocket.send(self._channels.pack(stream, data))

    async def finish(self, status: Status) -> None:
        """Tells how the command ended."""
        said = remotecommand.outcome(status, self._channels.protocol)
        if said:
            await self._websocket.send(self._channels.pack("error", said))
        await self._websocket.close()


class SpdyClient:
    """A client that speaks SPDY, with a stream for each of the command's."""

    def __init__(self, transport: Transport, protocol: str) -> None:
        self.active = time.monotonic()
        self._transport = transport
        self._protocol = protocol
        self._connection = spdy.Connection()
        self._events: deque[spdy.Event] = deque()
        self._streams: dict[str, int] = {}
        self._names: Mapping[int, str] = {}
        self._sizes = Sizes()

    @classmethod
    async def open(cls, transport: Transport, wanted: Wanted, protocol: str) -> SpdyClient:
        """Waits until the client has opened all that it asked for. Raises ConnectionError where it does not."""
        client = cls(transport, protocol)
        missing = set(remotecommand.spdy_streams(wanted, protocol))
        early: list[spdy.Event] = []
        try:
            async with asyncio.timeout(STREAM_SECONDS):
                while missing:
                    event = await client._next()
                    if event is None:
                        raise ConnectionError("the client is gone")
                    if isinstance(event, spdy.Opened):
                        name = event.headers.get("streamtype", "")
                        if name not in missing:
                            client._connection.reset(event.stream, spdy.INVALID_STREAM)
                        else:
                            missing.discard(name)
                            client._streams[name] = event.stream
                            client._connection.reply(event.stream)
                        await client._flush()
                    else:
                        early.append(event)
        except TimeoutError:
            raise ConnectionError("timed out waiting for client to create streams") from None
        client._names = {stream: name for name, stream in client._streams.items()}
        client._events.extendleft(reversed(early))
        return client

    async def receive(self) -> Event | None:
        """What the client does next."""
        while (event := await self._next()) is not None:
            self.active = time.monotonic()
            if isinstance(event, spdy.Opened):
                self._connection.reset(event.stream, spdy.REFUSED_STREAM)
                await self._flush()
            elif isinstance(event, spdy.Received):
                name = self._names.get(event.stream)
                if name == "stdin":
                    if event.fin and event.data:
                        self._events.appendleft(spdy.Received(event.stream, b"", True))
                    return Input(event.data) if event.data else InputEnd()
                if name == "resize" and (size := self._sizes.feed(event.data)) is not None:
                    return Size(*size)
            elif isinstance(event, spdy.Reset) and self._names.get(event.stream) == "stdin":
                return InputEnd()
        return None

    async def send(self, stream: Output, data: bytes) -> None:
        """Shows some output."""
        self.active = time.monotonic()
        self._connection.send(self._streams[stream], data)
        await self._flush()

    async def finish(self, status: Status) -> None:
        """Tells how the command ended."""
        said = remotecommand.outcome(status, self._protocol)
        for name, stream in self._streams.items():
            self._connection.send(stream, said if name == "error" else b"", fin=True)
        await self._flush()
        await self._transport.close()

    async def _next(self) -> spdy.Event | None:
        while not self._events:
            data = await self._transport.read()
            if not data:
                return None
            try:
                self._events.extend(self._connection.receive(data))
            except spdy.ProtocolError as error:
                raise ConnectionError(f"no SPDY: {error}") from error
            await self._flush()
        return self._events.popleft()

    async def _flush(self) -> None:
        if data := self._connection.take():
            await self._transport.write(data)
