"""Heads that are known: a client sends the same headers with nearly every request, and they are read once.

llhttp reads every head the first time. What it made of the headers is kept by their very bytes, so that the next
request with the same ones costs a look-up instead of a callback for each of them, and what follows from them (who
sends it, in which form he wants his answer) is found out already. Only a whole request in one piece is read so, with
a line of the plainest form, and headers that say nothing of the connection or of where the body ends but its length:
there is nothing in it that two readers could take for different requests.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from fairlead.apiserver.messages import Head, Request

LINE = re.compile(rb"(GET|PUT|POST|PATCH|DELETE) (/[\w.~!$&'()*+,;=:@%/?-]*) HTTP/1\.1\r\n")
"""The line of a request that every reader reads alike."""

OTHERWISE = frozenset(
    {"connection", "proxy-connection", "expect", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers that make a request one of its own sort."""

MOST = 512
"""Heads that are kept: one a client, kind of request and length of a body."""

LARGEST = 4096
"""Bytes of headers that are kept."""


class Known(NamedTuple):
    """What some headers mean."""

    head: Head
    length: int
    """Bytes of the body."""


class Plain(NamedTuple):
    """A whole request, read."""

    method: str
    target: str
    head: Head
    body: bytes


class Heads:
    """The headers that were seen last. Each method takes about 1 us."""

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}

    def read(self, data: bytes) -> Plain | None:
        """The request that `data` is, where it is just one, and its headers are known."""
        line = LINE.match(data)
        if line is None:
            return None
        start = line.end()
        end = data.find(b"\r\n\r\n", start) + 4
        known = self._known.get(data[start:end])
        if known is None or len(data) - end != known.length:
            return None
        method, target = line.groups()
        return Plain(method.decode(), target.decode(), known.head, data[end:])

    def learn(self, data: bytes, request: Request) -> None:
        """Keeps the headers of a request that llhttp read: one whole request, and all that there was in `data`."""
        line = LINE.match(data)
        if line is None or not request.keep_alive or not OTHERWISE.isdisjoint(request.headers):
            return
        start = line.end()
        end = data.find(b"\r\n\r\n", start) + 4
        # The parser's head ends elsewhere where it takes less than these four for an end.
        if end - start > LARGEST or data[end:] != request.body:
            return
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[data[start:end]] = Known(request.head, len(data) - end)
