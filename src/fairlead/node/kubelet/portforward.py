"""Ports of a pod, forwarded to a client: pairs of SPDY streams, over the bare connection or through a WebSocket.

A pair has a stream for the bytes of one connection to the port, and one for what went wrong with it. What one
connection does not take lets the others wait only once `QUEUED` pieces of it are held.
Upstream: kubelet/pkg/cri/streaming/portforward, KEP-4006.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from dataclasses import dataclass, field

from fairlead.node import namespaces
from fairlead.node.kubelet import spdy
from fairlead.node.kubelet.http import Exchange, Refused
from fairlead.node.kubelet.remotecommand import SPDY, WEBSOCKET, negotiate
from fairlead.node.kubelet.transports import READ_BYTES, Bare, Transport, Tunnel, WebSocket
from fairlead.node.runtime import Sandbox

PROTOCOL = "portforward.k8s.io"
TUNNEL = "SPDY/3.1+portforward.k8s.io"

IDLE_SECONDS = 4 * 3600.0
"""After how long without a byte a client is sent away (upstream: the kubelet's streamingConnectionIdleTimeout)."""

CONNECT_SECONDS = 30.0

QUEUED = 16
"""Pieces of a stream that wait for its port."""


@dataclass(frozen=True)
class Target:
    """The pod whose ports are asked for."""

    name: str
    uid: str
    sandbox: Sandbox

    async def connect(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to a port on the pod's loopback, IPv4 first, from inside the pod's network. Raises OSError."""
        failure = OSError("the pod has no loopback")
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            sock = self._socket(family)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await asyncio.get_running_loop().sock_connect(sock, (address, port))
                return await asyncio.open_connection(sock=sock)
            except OSError as error:  # TimeoutError is one
                sock.close()
                if family == socket.AF_INET:
                    why = os.strerror(error.errno).lower() if error.errno else "i/o timeout"
                    failure = OSError(f"failed to connect to localhost:{port} inside the pod: {why}")
        raise failure

    def _socket(self, family: int) -> socket.socket:
        network = namespaces.open_network(f"/proc/{self.sandbox.record.pid}/ns/net")
        try:
            sock = namespaces.socket_in(network, family)
        finally:
            os.close(network)
        sock.setblocking(False)
        return sock


@dataclass(eq=False)
class _Pair:
    """The two streams of one connection, 0 where one is not there yet."""

    port: int
    data: int = 0
    error: int = 0
    arrived: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(QUEUED))
    """What the client has sent, None at its end."""
    complete: asyncio.Event = field(default_factory=asyncio.Event)


async def serve(exchange: Exchange, target: Target) -> None:
    """Forwards ports until the client or the pod is gone. Raises Refused for a client that speaks something else."""
    request = exchange.request
    transport: Transport
    if request.upgrade == WEBSOCKET:
        protocol = negotiate(request.header_values("sec-websocket-protocol"), (TUNNEL,))
        if not protocol:
            raise Refused(400, f"unable to upgrade: ports are forwarded over WebSocket by {TUNNEL} only")
        transport = Tunnel(WebSocket(exchange, protocol))
    elif request.upgrade == SPDY:
        negotiate(request.header_values("x-stream-protocol-version"), (PROTOCOL,))
        exchange.switch({"Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": PROTOCOL})
        transport = Bare(exchange)
    else:
        raise Refused(400, "unable to upgrade: the request asks for neither WebSocket nor SPDY/3.1")
    forwarder = _Forwarder(transport, target)
    gone = asyncio.ensure_future(target.sandbox.gone.wait())
    serving = asyncio.ensure_future(forwarder.run())
    try:
        await asyncio.wait((gone, serving), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
    finally:
        for task in (gone, serving):
            task.cancel()
        await asyncio.gather(gone, serving, return_exceptions=True)


class _Forwarder:
    def __init__(self, transport: Transport, target: Target) -> None:
        self._transport = transport
        self._target = target
        self._connection = spdy.Connection()
        self._pairs: dict[str, _Pair] = {}
        self._by_data: dict[int, _Pair] = {}
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Reads until the client is gone. Raises ConnectionError."""
        try:
            async with asyncio.timeout(IDLE_SECONDS) as idle:
                while data := await self._transport.read():
                    idle.reschedule(asyncio.get_running_loop().time() + IDLE_SECONDS)
                    for event in self._connection.receive(data):
                        await self._told(event)
                    await self._flush()
        except (TimeoutError, spdy.ProtocolError) as error:
            raise ConnectionError(str(error)) from error
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _told(self, event: spdy.Event) -> None:
        if isinstance(event, spdy.Opened):
            pair = self._opened(event)
            if pair is not None and pair.data and pair.error and not pair.complete.is_set():
                pair.complete.set()
                task = asyncio.create_task(self._forward(pair))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        elif isinstance(event, spdy.Received):
            pair = self._by_data.get(event.stream)
            if pair is not None:
                if event.data:
                    await pair.arrived.put(event.data)
                if event.fin:
                    await pair.arrived.put(None)
        elif isinstance(event, spdy.Reset):
            pair = self._by_data.get(event.stream)
            if pair is not None:
                await pair.arrived.put(None)

    def _opened(self, event: spdy.Opened) -> _Pair | None:
        """Puts a stream into its pair; None where it belongs to none, and is reset."""
        headers = event.headers
        port = headers.get("port", "")
        kind = headers.get("streamtype", "")
        # Clients without requestID (before 1.2) open the streams of a pair one right after the other.
        key = headers.get("requestid") or str(event.stream - 2 if kind == "data" else event.stream)
        valid = port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 1 << 16
        pair = self._pairs.setdefault(key, _Pair(int(port))) if valid else None
        if pair is None or kind not in ("data", "error") or pair.complete.is_set() or getattr(pair, kind):
            self._connection.reset(event.stream, spdy.PROTOCOL_ERROR)
            return None
        setattr(pair, kind, event.stream)
        if kind == "data":
            self._by_data[event.stream] = pair
        self._connection.reply(event.stream)
        return pair

    async def _forward(self, pair: _Pair) -> None:
        """One connection, from beginning to end; what goes wrong is written to its other stream."""
        problem = ""
        try:
            reader, writer = await self._target.connect(pair.port)
            try:
                await self._copy(pair, reader, writer)
            finally:
                writer.close()
        except ConnectionResetError:
            pass  # the port is done with the client
        except OSError as error:
            about = f"pod {self._target.name}, uid {self._target.uid}"
            problem = f"error forwarding port {pair.port} to {about}: {error}"
        self._connection.send(pair.error, problem.encode(), fin=True)
        self._connection.send(pair.data, b"", fin=True)
        self._by_data.pop(pair.data, None)
        for key in [key for key, known in self._pairs.items() if known is pair]:
            del self._pairs[key]
        while not pair.arrived.empty():  # whoever waits to put more in may go on
            pair.arrived.get_nowait()
        with contextlib.suppress(ConnectionError):  # whoever reads will hear of it
            await self._flush()

    async def _copy(self, pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copies both ways, until the port has closed and all of that is sent."""
        upwards = asyncio.ensure_future(self._upwards(pair, writer))
        try:
            while data := await reader.read(READ_BYTES):
                self._connection.send(pair.data, data)
                await self._flush()
        finally:
            upwards.cancel()
            await asyncio.gather(upwards, return_exceptions=True)

    @staticmethod
    async def _upwards(pair: _Pair, writer: asyncio.StreamWriter) -> None:
        listens = True
        while (data := await pair.arrived.get()) is not None:
            if listens:  # otherwise it is thrown away, or the other pairs would wait for ever
                try:
                    writer.write(data)
                    await writer.drain()
                except OSError:
                    listens = False
        with contextlib.suppress(OSError):
            if writer.can_write_eof():
                writer.write_eof()

    async def _flush(self) -> None:
        """Sends what is to be sent, in order; waits for the client to take it."""
        async with self._writing:
            if data := self._connection.take():
                await self._transport.write(data)
