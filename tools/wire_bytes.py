"""Bytes that are HTTP/1.1, nearly: requests cut, misframed, sent ahead, and split where nobody would split them.

Made from dice alone, so that a fuzzer repeats them by its seed, and Hypothesis shrinks them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

TARGETS = (
    b"/", b"/version", b"/healthz", b"/api/v1/pods", b"/api/v1/namespaces/default/configmaps", b"*", b"//", b"/%",
    b"http://other/version", b"other:443", b"/a b", b"/\x80", b"/?a=\x00", b"", b"/version?" + b"a" * 3000, b"/#x",
)  # fmt: skip
METHODS = (
    b"GET",
    b"POST",
    b"PUT",
    b"HEAD",
    b"OPTIONS",
    b"CONNECT",
    b"PATCH",
    b"get",
    b"G ET",
    b"PRI",
    b"M-SEARCH",
    b"",
)
VERSIONS = (b"HTTP/1.1",) * 8 + (
    b"HTTP/1.0",
    b"HTTP/0.9",
    b"HTTP/1.2",
    b"HTTP/2.0",
    b"HTTP/3.0",
    b"http/1.1",
    b"",
)
HOSTS = (b"Host: x",) * 8 + (
    b"Host:",
    b"Host : x",
    b"hOST: x",
    b"Host: x\r\nHost: y",
    b"Host\x00: x",
    b"X: y",
)
FRAMES = (
    b"Content-Length: 5", b"Content-Length: 0", b"Content-Length: 05", b"Content-Length: +5", b"Content-Length: -1",
    b"Content-Length: 5, 5", b"Content-Length: 5\r\nContent-Length: 5", b"Content-Length: 5\r\nContent-Length: 6",
    b"Content-Length: 0x5", b"Content-Length: 99999999999999999999", b"Content-Length: 4000000", b"Content-Length:",
    b"Content-Length: 5 5", b"Content-Length:\t5", b"Content-Length : 5", b"Content_Length: 5", b" Content-Length: 5",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: Chunked", b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: identity", b"Transfer-Encoding:\x0bchunked",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding : chunked", b"Transfer-Encoding:\r\n chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b'Transfer-Encoding: "chunked"', b"Transfer-Encoding: chunked;a=b", b"Transfer-Encoding:",
)  # fmt: skip
OTHERS = (
    b"Connection: close", b"Connection: keep-alive", b"Connection: close, keep-alive", b"Connection: Content-Length",
    b"Connection: Upgrade\r\nUpgrade: h2c", b"Upgrade: websocket", b"Expect: 100-continue", b"Expect: x",
    b"X: " + b"y" * 5000, b"X", b": y", b"X: a\r\n b", b"X: a\nY: b", b"X: a\rY: b", b"X: \x00", b"X: \xff",
    b"X\x7f: y", b"Trailer: X", b"TE: trailers", b"Accept: application/json",
)  # fmt: skip
CHUNKS = (
    b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"5;a=b\r\nhello\r\n", b"5 \r\nhello\r\n",
    b"05\r\nhello\r\n",
    b"+5\r\nhello\r\n", b"0x5\r\nhello\r\n", b"5\nhello\n", b"5\r\nhelloX", b"-5\r\n", b"fffffffffffffffff\r\n",
    b"\r\n", b"z\r\n", b"5;" + b"a" * 3000 + b"\r\nhello\r\n", b"0\r\nContent-Length: 5\r\n\r\n", b"4\r\nhello\r\n",
    b'5;a="\r\n"\r\nhello\r\n', b"0\r\n\r\nhello",
)  # fmt: skip
ENDS = (b"\r\n",) * 12 + (b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"")


def request(dice: random.Random, *headers: bytes) -> bytes:
    """A request, often nearly a good one, with its body."""
    good = dice.random() < 0.6
    lines = [
        b" ".join((dice.choice(METHODS[:4]), dice.choice(TARGETS[:5]), b"HTTP/1.1"))
        if good
        else b" ".join((dice.choice(METHODS), dice.choice(TARGETS), dice.choice(VERSIONS))),
        b"Host: x" if good else dice.choice(HOSTS),
        *headers,
    ]
    framing = dice.random()
    body = b""
    if framing < 0.3:
        lines.append(b"Content-Length: 5")
        body = b"hello"
    elif framing < 0.5:
        lines.append(b"Transfer-Encoding: chunked")
        body = dice.choice((b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n1;a\r\n!\r\n0\r\nX: y\r\n\r\n"))
    if dice.random() < 0.3:
        lines.append(dice.choice(FRAMES))
        body = dice.choice((body, b"hello", b"".join(dice.choice(CHUNKS) for _ in range(dice.randrange(4)))))
    if dice.random() < 0.3:
        lines.insert(dice.randrange(1, len(lines) + 1), dice.choice(OTHERS))
    odd = dice.random() < 0.1
    return b"".join(line + (dice.choice(ENDS) if odd else b"\r\n") for line in (*lines, b"")) + body


def stream(dice: random.Random, *headers: bytes) -> bytes:
    """What one client sends: some requests ahead of their answers, some of it damaged."""
    data = b"".join(request(dice, *headers) for _ in range(dice.choice((1, 1, 2, 3, 8))))
    for _ in range(dice.choice((0, 0, 0, 1, 2))):
        at, to = dice.randrange(len(data) + 1), dice.randrange(len(data) + 1)
        match dice.randrange(4):
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + data[to:]
            case 2:
                data = data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
            case 3:
                data = data[:at] + dice.choice((b"\r", b"\n", b" ", b"\x00", b":", b"\t")) + data[at:]
    return data


def split(data: bytes, at: Sequence[int]) -> list[bytes]:
    """The same in pieces that begin at those places."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[start:end] for start, end in pairwise(edges)]
