"""Answers ready to be sent, found by the bytes of the query, forgotten when what they are made of changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, repeat

HEADER = 12

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


class Entry:
    """One answer in its variants, sent in turn; `sent` counts."""

    __slots__ = ("owners", "sent", "subject", "variants")

    def __init__(self, variants: Sequence[bytes], owners: tuple[str, ...], subject: tuple[int, int]) -> None:
        self.variants: Iterator[bytes] = cycle(variants) if len(variants) > 1 else repeat(variants[0])
        self.owners = owners
        self.subject = subject
        """The type asked for and the rcode answered."""
        self.sent = 0


class Answers:
    """A bounded number of answers.

    `ready` is what the loop reads: by the query without its ID and its cookie, the name in lower case. Answers for
    names that do not exist have a smaller bound of their own, so that a flood of random names cannot push out those
    that exist. What is pushed out is the one that was put in first. All but reading
    happens under the caller's lock.
    """

    def __init__(self, most: int = 16_384, most_missing: int = 8_192) -> None:
        self.ready: dict[Key, Entry] = {}
        self._bounds = (most, most_missing)
        self._order: tuple[dict[Key, None], ...] = ({}, {})
        self._owned: dict[str, set[Key]] = {}
        self._retired: dict[tuple[int, int], int] = {}

    def put(self, key: Key, entry: Entry, *, missing: bool) -> None:
        """Keeps an answer until one of its owners changes."""
        order = self._order[missing]
        if key in self.ready:
            self._drop(key)
        if len(order) >= self._bounds[missing]:
            self._drop(next(iter(order)))
        order[key] = None
        self.ready[key] = entry
        for owner in entry.owners:
            self._owned.setdefault(owner, set()).add(key)

    def forget(self, owners: Iterable[str]) -> None:
        """Drops every answer of these owners."""
        for owner in owners:
            for key in tuple(self._owned.get(owner, ())):
                self._drop(key)

    def clear(self) -> None:
        """Drops everything."""
        for key in tuple(self.ready):
            self._drop(key)

    def sent(self) -> dict[tuple[int, int], int]:
        """How many answers were sent from here, by type and rcode, since the start."""
        total = dict(self._retired)
        for entry in tuple(self.ready.values()):
            total[entry.subject] = total.get(entry.subject, 0) + entry.sent
        return total

    def _drop(self, key: Key) -> None:
        entry = self.ready.pop(key)
        for order in self._order:
            order.pop(key, None)
        self._retired[entry.subject] = self._retired.get(entry.subject, 0) + entry.sent
        for owner in entry.owners:
            keys = self._owned.get(owner)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._owned[owner]
