"""Requests as they are read from the bytes of a connection.

llhttp (`httptools`) reads; what it leaves open is decided here: a head or a body without end, requests sent ahead, what
is no request. Nothing that a client sends is kept without bound: while a request is answered, no more than `AHEAD`
bytes of the next ones are read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from fairlead.apiserver.bodies import LIMIT
from fairlead.apiserver.messages import Channel, Head, RawHeaders, Request, Response
from fairlead.apiserver.refusals import (
    Refused,
    body_too_large,
    check,
    head_too_large,
    origin_form,
    unreadable,
)

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


class Reader:
    """What is read of one connection; `begins` is told whenever a head begins."""

    __slots__ = (
        "_begins",
        "_body_of",
        "_channel",
        "_head",
        "_head_bytes",
        "_parser",
        "_part",
        "_rest",
        "_silent",
        "_switching",
        "_target",
        "_wire_bytes",
        "begun",
        "refusal",
        "waiting",
    )

    def __init__(self, channel: Channel, begins: Callable[[], None]) -> None:
        self.waiting: deque[Request] = deque()
        """Requests that are read and not taken yet; the body of the last one may still be on its way."""
        self.refusal: Response | None = None
        """The last answer, after those that are due: what follows cannot be read."""
        self.begun = False
        """Whether a head is being read."""
        self._channel = channel
        self._begins = begins
        self._parser = HttpRequestParser(self)
        self._target = b""
        self._head: RawHeaders = []
        self._head_bytes = 0
        self._part = bytearray()
        """What came in of a head that is long already, and is not parsed yet."""
        self._wire_bytes = 0
        self._silent = 0
        """Bytes since the last that were of a body."""
        self._body_of: Request | None = None
        """The request whose body is being read."""
        self._rest = b""
        """What came in and is not parsed yet."""
        self._switching = False
        """Whether another protocol was asked for: what follows is not for the parser."""

    # What the connection asks.

    @property
    def full(self) -> bool:
        """Whether there is enough to be answered first: no more is to be received."""
        return bool(self._rest or self.waiting or self._switching)

    @property
    def idle(self) -> bool:
        """Whether all that came is read, and was taken."""
        return not (self.begun or self._rest or self.waiting)

    def receive(self, data: bytes) -> None:
        """Reads on, or keeps what came for later."""
        if self._head_bytes:
            data = self._gather(data)
        if len(data) > AHEAD or self.full:
            self._rest += data
        elif data:
            self._feed(data)

    def next(self) -> Request | None:
        """Takes the next request, as soon as its head is there."""
        while not self.waiting:
            if not self._rest or self._switching:
                return None
            data, self._rest = self._rest[:AHEAD], self._rest[AHEAD:]
            self._feed(data)
        return self.waiting.popleft()

    def alone(self) -> Request | None:
        """The request that is waiting, where it is whole, and nothing else came with it."""
        if len(self.waiting) != 1 or self.begun or self._rest or not self.waiting[0].complete:
            return None
        return self.waiting[0]

    def read_body(self, request: Request) -> None:
        """Reads on what has come, where that is the request's body."""
        if not self._rest or request is not self._body_of:
            return
        data, self._rest = self._rest, b""
        for start in range(0, len(data), AHEAD):
            if request is not self._body_of:
                self._rest = data[start:]
                break
            self._feed(data[start : start + AHEAD])

    def take_rest(self) -> bytes:
        """What came and was not read, which is another protocol's."""
        rest, self._rest = self._rest, b""
        return rest

    def drop(self) -> None:
        """Nothing of what came is answered any more."""
        self._rest = b""
        self.waiting.clear()

    def close(self) -> None:
        """Nothing more comes."""
        self.drop()
        # They know the connection, which would stay until the collector comes.
        del self._parser, self._channel, self._begins

    # What the parser tells.

    def on_message_begin(self) -> None:
        """A head begins."""
        self.begun = True
        self._begins()

    def on_url(self, url: bytes) -> None:
        """Its path."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers, or one after the body, which tells nothing."""
        if self.begun:
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
        self._body_of = Request(
            self._channel,
            parser.get_method().decode(),
            target.decode("utf-8", "surrogateescape"),
            version,
            Head(self._head),
            # Whatever follows a request for another protocol is not read.
            keep_alive=parser.should_keep_alive() and not parser.should_upgrade(),
        )
        self.waiting.append(self._body_of)
        self._target, self._head = b"", []
        self._head_bytes = self._wire_bytes = self._silent = 0
        self.begun = False

    def on_body(self, body: bytes) -> None:
        """Some of its body."""
        self._silent = 0
        if self._body_of is not None:
            self._body_of.take(body)

    def on_message_complete(self) -> None:
        """All of it is there."""
        if self._body_of is not None:
            self._body_of.end()
            self._body_of = None

    # How it is fed.

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
        body_of = self._body_of
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
        if self.begun:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(head_too_large().response)
        elif body_of is not None and body_of is self._body_of:
            self._wire_bytes += len(data)
            if self._wire_bytes > WIRE_BYTES or self._silent > TRAILER_BYTES:
                # Whoever answers may have no use for a body, and let it come for ever.
                body_of.too_large()
                self._refuse(body_too_large())

    def _refuse(self, response: Response) -> None:
        if self._body_of is not None:
            # Its own answer says so, if it has not been given yet.
            self._body_of.fail("the body could not be read")
        self.refusal = response
        self._rest = b""
