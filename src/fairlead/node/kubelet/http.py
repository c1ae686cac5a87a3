"""HTTP/1.1 as the node's server needs it: a request a connection, answers in pieces, and connections taken over.

Who may ask is a client of the cluster's own, and mostly its API server, so there is no keep-alive. What is read of a
request is bounded; a request that takes long to come is given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import parse_qs, unquote

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url

HEAD_BYTES = 64 << 10
HEAD_SECONDS = 32.0
STALLED_SECONDS = 60.0
"""How long an answer may wait for a client that reads nothing of it."""


class Refused(Exception):
    """An answer other than what was asked for: its status, and a sentence as its body (upstream: http.Error)."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


@dataclass
class Request:
    """The head of a request; no path here takes a body. `query` has all values of each parameter."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]]
    headers: Sequence[tuple[str, str]] = ()
    version: str = "1.1"

    def header(self, name: str) -> str:
        """The first header of a name, "" where there is none."""
        return next(iter(self.header_values(name)), "")

    def header_values(self, name: str) -> list[str]:
        """All values of a header, those of one line taken apart."""
        return [
            part.strip()
            for key, value in self.headers
            if key == name
            for part in value.split(",")
            if part.strip()
        ]

    def text(self, name: str) -> str:
        """A parameter of the query, "" where it is absent."""
        return next(iter(self.query.get(name, ())), "")

    def flag(self, name: str) -> bool:
        """A boolean parameter (upstream: Convert_Slice_string_To_bool)."""
        values = self.query.get(name)
        return bool(values) and values is not None and values[0].lower() not in ("0", "false")

    @property
    def upgrade(self) -> str:
        """The protocol that the client wants to speak instead, in small letters; "" for none."""
        asked = any(value.lower() == "upgrade" for value in self.header_values("connection"))
        return self.header("upgrade").lower() if asked else ""


@dataclass
class _Reading:
    """What the parser tells."""

    target: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    complete: bool = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self.complete = True


def parse(head: bytes) -> Request:
    """A request's head, to its empty line. Raises Refused for what is none."""
    reading = _Reading()
    parser = HttpRequestParser(reading)
    try:
        parser.feed_data(head)
    except HttpParserUpgrade:
        pass
    except HttpParserError as error:
        raise Refused(400, f"the request could not be read: {error}") from None
    if not reading.complete:
        raise Refused(400, "the request could not be read")
    try:
        url = parse_url(reading.target)
    except HttpParserError as error:
        raise Refused(400, f"the request's path could not be read: {error}") from None
    return Request(
        method=parser.get_method().decode(),
        path=unquote((url.path or b"/").decode("latin-1")),
        query=parse_qs((url.query or b"").decode("latin-1"), keep_blank_values=True),
        headers=reading.headers,
        version=parser.get_http_version(),
    )


class Exchange:
    """A connection with one request, to be answered."""

    def __init__(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.request = request
        self.reader = reader
        self.writer = writer
        self.begun = False
        """Whether the answer's head has been sent."""

    async def answer(self, status: int, body: bytes, media: str, headers: Mapping[str, str] = {}) -> None:
        """The whole answer."""
        self._head(status, {"Content-Type": media, "Content-Length": str(len(body)), **headers})
        self.writer.write(b"" if self.request.method == "HEAD" else body)
        await self.drain()

    async def begin(self, media: str) -> None:
        """The head of an answer in pieces."""
        self._head(200, {"Content-Type": media, "Transfer-Encoding": "chunked"})
        await self.drain()

    async def piece(self, data: bytes) -> None:
        """Some of the answer; waits for a client that reads slowly. Raises ConnectionError where it is gone."""
        if data:
            self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            await self.drain()

    async def end(self) -> None:
        """The end of an answer in pieces."""
        self.writer.write(b"0\r\n\r\n")
        await self.drain()

    def switch(self, headers: Mapping[str, str]) -> None:
        """Begins to speak another protocol on `reader` and `writer`."""
        self._head(101, {"Connection": "Upgrade", **headers})

    async def drain(self) -> None:
        """Waits until the client has taken enough. Raises ConnectionError where it is gone, or takes nothing."""
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                await self.writer.drain()
        except TimeoutError:
            self.writer.transport.abort()
            raise ConnectionError("the client reads nothing") from None

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.begun = True
        said = {**headers, "Date": formatdate(usegmt=True)}
        if status != HTTPStatus.SWITCHING_PROTOCOLS:
            said["Connection"] = "close"
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{k}: {v}" for k, v in said.items())]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace"))


async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange | None:
    """The request of a new connection; None where none comes. `reader` is limited to HEAD_BYTES.

    Raises Refused for what is no request.
    """
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
    except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
        return None
    except asyncio.LimitOverrunError:
        raise Refused(431, "the head of the request is too large") from None
    return Exchange(parse(head), reader, writer)
