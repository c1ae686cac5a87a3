"""HTTP messages: a request as it was read from a connection, and the answer to it as it will be written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Protocol

from fairlead.apiserver.bodies import LIMIT
from fairlead.apiserver.negotiation import Form

RawHeaders = list[tuple[bytes, bytes]]


_NAMES = {
    spelled.encode(): name
    for name in (
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    )
    for spelled in (name, name.title())
}
"""What nearly every request has, in small letters as the table wants it."""


class Headers(Mapping[str, str]):
    """The headers of a request by their names in any case; where one is given twice, the first counts."""

    __slots__ = ("_values",)

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in raw:
            known = _NAMES.get(name)
            if known is None:
                known = name.decode("latin-1").lower()
            self._values.setdefault(known, value.decode("utf-8", "surrogateescape"))

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def get(self, name: str, default: Any = None) -> Any:
        """A header, as of any mapping; without the exception that the usual one takes 1 us for."""
        return self._values.get(name.lower(), default)

    def text(self, name: str) -> str:
        """A header by its name in small letters, "" where it is absent."""
        return self._values.get(name, "")


class Head:
    """The headers of a request, and what follows from them alone; many requests may share one (`heads.py`)."""

    __slots__ = ("_headers", "credentials", "forms", "raw")

    def __init__(self, raw: RawHeaders) -> None:
        self.raw = raw
        self.credentials: tuple[bytes, RawHeaders] | None = None
        """What says who sends it, once the gate has looked for that."""
        self.forms: dict[bool, Form] = {}
        """The form of an answer whose request has no query, by whether its kind is given as protobuf."""
        self._headers: Headers | None = None

    @property
    def headers(self) -> Headers:
        """By name."""
        headers = self._headers
        if headers is None:
            headers = self._headers = Headers(self.raw)
        return headers


class Channel(Protocol):
    """What an answer needs of the connection that the request came over."""

    @property
    def transport(self) -> asyncio.Transport:
        """Where it goes."""

    @property
    def writing_paused(self) -> bool:
        """Whether the client reads more slowly than we write."""

    def go_on(self) -> None:
        """Tells the client that it may send the body."""

    def begin(self, request: Request, response: Response, length: int | None = None) -> None:
        """Sends the head of an answer whose body follows in parts; without a `length` it has no known end."""

    def write(self, data: bytes | memoryview) -> None:
        """Sends a part of the body."""

    async def drained(self) -> None:
        """Waits until the client has read enough to be sent more. Raises ConnectionError where it is gone."""

    def hand_over(self, protocol: asyncio.Protocol) -> bytes:
        """Lets another protocol have the connection; gives what has come of it already."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """Is told by that protocol that the client is gone."""


class Request:
    """One request. Its body may still be on its way: `arrived` waits for that, `complete` says whether it is there."""

    __slots__ = (
        "_arrival",
        "_body",
        "channel",
        "complete",
        "fault",
        "head",
        "keep_alive",
        "method",
        "oversized",
        "target",
        "version",
    )

    def __init__(
        self,
        channel: Channel,
        method: str,
        target: str,
        version: str,
        head: Head,
        *,
        keep_alive: bool,
    ) -> None:
        self.channel = channel
        self.method = method
        self.target = target
        """Path and query, percent-encoded."""
        self.version = version
        """"1.1", or "1.0"."""
        self.head = head
        self.keep_alive = keep_alive
        self.complete = False
        self.oversized = False
        """Whether the body is larger than `LIMIT`; it is thrown away then."""
        self.fault = ""
        """What is wrong with the body, where it cannot be read on."""
        self._body: bytes | bytearray = b""
        self._arrival: asyncio.Future[None] | None = None

    @property
    def headers(self) -> Headers:
        """By name."""
        return self.head.headers

    @property
    def raw_headers(self) -> RawHeaders:
        """As they came."""
        return self.head.raw

    @property
    def transport(self) -> asyncio.Transport:
        """The connection's."""
        return self.channel.transport

    @property
    def body(self) -> bytes:
        """All of the body, once it is complete."""
        body = self._body
        return body if isinstance(body, bytes) else bytes(body)

    def take(self, piece: bytes) -> None:
        """More of the body has come."""
        if self.oversized:
            return
        body = self._body
        if len(body) + len(piece) > LIMIT:
            self.too_large()
        elif not body:
            self._body = piece
        elif isinstance(body, bytearray):
            body += piece
        else:
            self._body = bytearray(body + piece)

    def too_large(self) -> None:
        """The body is not kept."""
        self.oversized = True
        self._body = b""
        self._wake()

    def end(self) -> None:
        """The body is there."""
        self.complete = True
        self._wake()

    def fail(self, why: str) -> None:
        """The rest of the body cannot be read."""
        self.fault = why
        self._wake()

    async def arrived(self) -> None:
        """Waits until the body is complete, or will never be: `oversized` and `fault` say so."""
        if not (self.complete or self.oversized or self.fault):
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)


REASONS = {status.value: status.phrase for status in HTTPStatus}
BODILESS = (204, 304)


class Response:
    """An answer. `prepared` says that its head has been sent, and its body, of which nothing is in here, follows."""

    __slots__ = ("body", "closes", "headers", "prepared", "status")

    def __init__(
        self, status: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b"", *, closes: bool = False
    ) -> None:
        self.status = status
        self.headers = list(headers)
        self.body = body
        self.closes = closes
        """Whether the connection ends with it."""
        self.prepared = False

    def add(self, name: str, value: str) -> None:
        """One more header; there may be several of a name."""
        self.headers.append((name, value))

    def head(self, date: str, *framing: str) -> bytes:
        """The status line and the headers; `framing` are lines that say where the body ends.

        Raises ValueError where a value would begin a line of its own.
        """
        lines = [
            f"HTTP/1.1 {self.status} {REASONS.get(self.status, '')}",
            *[f"{name}: {value}" for name, value in self.headers],
            date,
            *framing,
            "\r\n",
        ]
        text = "\r\n".join(lines)
        if text.count("\n") != len(lines) or text.count("\r") != len(lines):
            raise ValueError("a header has a line break")
        return text.encode()
