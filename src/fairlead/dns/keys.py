"""What a query is kept under: its bytes, but for those that differ from one client to the next."""

from __future__ import annotations

from fairlead.dns.message import HEADER, Query

COOKIES = (8, 16)
"""Lengths of the cookies that clients send us: theirs alone, or followed by the one that we gave them."""

_HEAD_8, _HEAD_16 = (bytes((0, 10, 0, length)) for length in COOKIES)

Key = bytes | tuple[bytes]


def without_cookie(query: bytes) -> tuple[Key, bytes]:
    """A query without its ID and the cookie at its end, and that cookie; takes a fraction of a microsecond.

    The cookie is cut off where the message ends in something like one; whoever stores under such a key has made
    sure that it is. The key is then no bytes, since what is left is a message itself, a broken one.
    """
    if query[-12:-8] == _HEAD_8:
        return (query[2:-8],), query[-8:]
    if query[-20:-16] == _HEAD_16:
        return (query[2:-16],), query[-16:]
    return query[2:], b""


def lowered(key: Key) -> tuple[Key, bytes]:
    """A key with its name in lower case, and the name as it was.

    The name is what stands before the first zero byte: a shorter piece of it where labels have zeros in them.
    """
    rest = key if isinstance(key, bytes) else key[0]
    end = rest.find(0, HEADER - 2)
    name = rest[HEADER - 2 : end]
    rest = rest[: HEADER - 2] + name.lower() + rest[end:]
    return rest if isinstance(key, bytes) else (rest,), name


def key_of(data: bytes, query: Query) -> Key | None:
    """What a query is kept under; None where its bytes do not say so plainly what is asked."""
    if data.find(0, HEADER) != HEADER + len(query.asked) - 5:
        return None  # a zero inside a label: the rest of the name would lose its letter case
    key: Key = data[2:]
    if query.edns and query.edns.cookie:
        key, cookie = without_cookie(data)
        if not query.edns.cookie_is_last or cookie != query.edns.cookie:
            return None
    return lowered(key)[0]


def lower_name(message: bytes, query: Query) -> bytes:
    """An answer without its ID, the name in its question in lower case."""
    end = 6 + len(query.asked)
    return message[:10] + message[10:end].lower() + message[end:]
