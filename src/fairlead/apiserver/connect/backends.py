"""Servers that requests are passed on to: nodes' kubelets, pods. Connections to them, and what they answer.

One request a connection. What a backend answers is given on as it comes, and no faster than the client takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from fairlead.objects.status import StatusError, failure

CONNECT_SECONDS = 30.0
"""How long a backend may take to answer the knock (upstream: the dialer of kubelet/client and of proxies)."""

HEAD_BYTES = 64 << 10
"""The largest head of an answer."""

WAITING_BYTES = 256 << 10
"""Bytes of an answer that wait for the client before the backend has to."""

Header = tuple[str, str]

Dial = Callable[[int, str], socket.socket]
"""Makes a TCP socket, not connected yet, of an address family, for what is on the node with that name ("": a node's own
server, or somewhere else). A server whose network reaches nodes and pods has `plain`; others give their own."""


def plain(family: int, _: str) -> socket.socket:
    """A socket of the process's own network."""
    return socket.socket(family, socket.SOCK_STREAM)


@dataclass(frozen=True)
class KubeletClient:
    """How the server is known to kubelets, and how they are to it. The fields are named as kube-apiserver's options.

    Without an authority their certificates are not looked at, as upstream.
    """

    kubelet_client_certificate: Path | None = None
    kubelet_client_key: Path | None = None
    kubelet_certificate_authority: Path | None = None
    dial: Dial = plain

    def context(self) -> ssl.SSLContext:
        """For connections to kubelets. Raises OSError, ssl.SSLError for files that cannot be used."""
        context = unverified()
        if self.kubelet_certificate_authority is not None:
            context.load_verify_locations(self.kubelet_certificate_authority)
            context.verify_mode = ssl.CERT_REQUIRED
            context.check_hostname = True
        if self.kubelet_client_certificate is not None:
            context.load_cert_chain(self.kubelet_client_certificate, self.kubelet_client_key)
        return context


def unverified() -> ssl.SSLContext:
    """For pods: nobody knows who signs their certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


@dataclass(frozen=True)
class Location:
    """Where a request goes. `node` is the node that the address is on, as `Dial` has it."""

    host: str
    port: int
    path: str = "/"
    query: str = ""
    scheme: str = "http"
    node: str = ""
    kubelet: bool = False
    """Whether it is a node's own server, to which this one is known."""

    @property
    def authority(self) -> str:
        """Host and port as in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def target(self) -> str:
        """What stands in the request's line."""
        return f"{self.path}?{self.query}" if self.query else self.path


class Backend(asyncio.Protocol):
    """A connection to a backend: first its answer's head, then pieces in a bounded queue, or whatever `relay` does."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.transport = cast(asyncio.Transport, None)
        self.head: asyncio.Future[bytes] = loop.create_future()
        """The head of the answer, with its empty line."""
        self._early = bytearray()
        self._pieces: list[bytes] = []
        self._size = 0
        self._lost = False
        self._more = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The backend is there."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """More of its answer."""
        if not self.head.done():
            self._early += data
            end = self._early.find(b"\r\n\r\n")
            if end < 0:
                if len(self._early) > HEAD_BYTES:
                    self.head.set_exception(ConnectionError("the head of its answer is too large"))
                    self.transport.abort()
                return
            self.head.set_result(bytes(self._early[: end + 4]))
            data = bytes(self._early[end + 4 :])
        if data:
            self._pieces.append(data)
            self._size += len(data)
            if self._size > WAITING_BYTES:
                self.transport.pause_reading()
            self._more.set()

    def eof_received(self) -> bool:
        """Nothing more will come."""
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is gone."""
        if not self.head.done():
            self.head.set_exception(ConnectionError(str(exc or "it closed the connection")))
            self.head.exception()  # nobody may be waiting
        self._lost = True
        self._more.set()

    async def read(self) -> bytes:
        """Some of what comes after the head, b"" at the end."""
        while not self._pieces:
            if self._lost:
                return b""
            self._more.clear()
            await self._more.wait()
        data = b"".join(self._pieces)
        self._pieces.clear()
        if self._size > WAITING_BYTES and not self._lost:
            self.transport.resume_reading()
        self._size = 0
        return data

    def take(self) -> bytes:
        """What has come after the head so far."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


@dataclass
class Answer:
    """The head of a backend's answer; `length` of its body where that is known."""

    status: int
    headers: list[Header]
    length: int | None = None


class Answering:
    """Reads an answer: its head, then its body by pieces."""

    def __init__(self, *, bodiless: bool) -> None:
        self._parser = HttpResponseParser(self)
        self._bodiless = bodiless
        self._headers: list[Header] = []
        self._body: list[bytes] = []
        self._complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers."""
        if not self._complete:
            self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        """Some of its body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """That was all."""
        self._complete = True

    def head(self, text: bytes) -> Answer:
        """What the head says. Raises ConnectionError for what is none."""
        self._feed(text)
        lengths = [value for name, value in self._headers if name.lower() == "content-length"]
        known = lengths and lengths[0].isascii() and lengths[0].isdigit()
        return Answer(self._parser.get_status_code(), self._headers, int(lengths[0]) if known else None)

    async def body(self, backend: Backend) -> AsyncGenerator[bytes, None]:
        """The body by pieces. Raises ConnectionError where it is cut off or is no HTTP."""
        while not (self._complete or self._bodiless):
            data = await backend.read()
            if not data:
                return  # a body without a length ends so
            self._feed(data)
            pieces = b"".join(self._body)
            self._body.clear()
            if pieces:
                yield pieces

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            pass
        except HttpParserError as error:
            raise ConnectionError(f"its answer could not be read: {error}") from error


class Backends:
    """Connects with backends as this server may. Raises StatusError, 503, for one that cannot be reached."""

    def __init__(self, client: KubeletClient) -> None:
        self._dial = client.dial
        self._kubelets = client.context()
        self._pods = unverified()
        self._open: set[Backend] = set()
        self._closed = False

    def close(self) -> None:
        """Ends all connections, now and to come: the server stops."""
        self._closed = True
        for backend in self._open:
            backend.transport.abort()

    @contextlib.asynccontextmanager
    async def ask(
        self, location: Location, method: str, headers: Sequence[Header], body: bytes = b""
    ) -> AsyncGenerator[Backend, None]:
        """A connection on which the request has been sent, closed in the end."""
        lines = [f"{method} {location.target} HTTP/1.1".encode("utf-8", "surrogateescape")]
        lines += [f"{name}: {value}".encode("latin-1", "replace") for name, value in headers]
        lines.append(f"Host: {location.authority}\r\n\r\n".encode())
        head = b"\r\n".join(lines)
        if head.count(b"\n") != len(lines) + 1:
            raise failure(400, "BadRequest", "the request has a line break in its path or its headers")
        backend = await self._connect(location)
        self._open.add(backend)
        try:
            if self._closed:
                raise failure(503, "ServiceUnavailable", "the server is stopping")
            backend.transport.write(head + body)
            yield backend
        finally:
            self._open.discard(backend)
            backend.transport.abort()

    async def _connect(self, location: Location) -> Backend:
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in location.host else socket.AF_INET
        context, name = None, None
        if location.scheme == "https":
            context, name = (self._kubelets if location.kubelet else self._pods), location.host
        sock = None
        try:
            sock = self._dial(family, location.node)
            sock.setblocking(False)
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.sock_connect(sock, (location.host, location.port))
                _, backend = await loop.create_connection(
                    Backend, sock=sock, ssl=context, server_hostname=name
                )
            return backend
        except (OSError, TimeoutError, ssl.SSLError) as error:
            if sock is not None:
                sock.close()
            raise unreachable(location, error) from error


def unreachable(location: Location, error: BaseException) -> StatusError:
    """503: a backend that did not answer. Upstream: the words of proxy/upgradeaware's error responder."""
    said = getattr(error, "strerror", None) or str(error) or "i/o timeout"
    return failure(
        503, "ServiceUnavailable", f"error trying to reach service: dial tcp {location.authority}: {said}"
    )
