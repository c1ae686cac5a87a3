"""Answers ready to be sent, found by the bytes of the query, forgotten when what they are made of changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from fairlead.dns.keys import Key


class Sent:
    """How often answers of one subject, a type and an rcode, were sent from here, over UDP and TCP."""

    __slots__ = ("tcp", "udp")

    def __init__(self) -> None:
        self.udp = self.tcp = 0


class Subjects:
    """What was sent, by type and rcode."""

    def __init__(self) -> None:
        self._sent: dict[tuple[int, int], Sent] = {}

    def of(self, subject: tuple[int, int]) -> Sent:
        """The counts of one type and rcode."""
        sent = self._sent.get(subject)
        if sent is None:
            sent = self._sent[subject] = Sent()
        return sent

    def counts(self) -> dict[tuple[str, int, int], int]:
        """How many answers, by protocol, type and rcode."""
        counts = {}
        for (kind, rcode), sent in tuple(self._sent.items()):
            counts["udp", kind, rcode] = sent.udp
            counts["tcp", kind, rcode] = sent.tcp
        return {subject: number for subject, number in counts.items() if number}


class Variants(NamedTuple):
    """An answer; where there are several orders of it, `others` gives them in turn, for ever; the bytes of all."""

    answer: bytes
    others: Iterator[bytes] | None = None
    size: int = 0


class Entry:
    """One answer as it is kept; see `Variants`."""

    __slots__ = ("answer", "owners", "sent", "size", "variants")

    def __init__(self, variants: Variants, owners: Sequence[str], sent: Sent) -> None:
        self.answer, self.variants, self.size = variants
        self.owners = owners
        self.sent = sent


LARGE = 1_024
"""Bytes of an answer in all its orders, on average, at most: those that are larger leave room for fewer."""


class Answers:
    """A bounded number of answers.

    `ready` is what the loop reads: by the query without its ID and its cookie, the name in lower case. Answers that
    anybody can have made without end, by random names, have a smaller bound of their own, so that a flood of them
    cannot push out the others. What is pushed out is the one that was put in first. All but reading
    happens under the caller's lock. An answer of a common Service takes 0.6 kB in all.
    """

    def __init__(self, most: int = 16_384, most_random: int = 8_192) -> None:
        self.ready: dict[Key, Entry] = {}
        self._most, self._most_random = most, most_random
        self._random: dict[Key, None] = {}
        self._met: set[int] = set()
        self._bytes = 0
        self._owned: dict[str, Key | set[Key]] = {}
        """The keys of each owner; most have one, which stands for itself."""
        self._subjects = Subjects()

    def put(
        self,
        key: Key,
        variants: Variants,
        owners: Sequence[str],
        subject: tuple[int, int],
        *,
        random: bool,
    ) -> None:
        """Keeps an answer, in its variants, until one of its owners changes. `subject` is its type and rcode."""
        if key in self.ready:
            self._drop(key)
        if random:
            if len(self._random) >= self._most_random:
                self._drop(next(iter(self._random)))
            self._random[key] = None
        entry = Entry(variants, owners, self._subjects.of(subject))
        while self.ready and self._is_full(entry.size):
            self._drop(next(iter(self.ready)))
        self.ready[key] = entry
        self._bytes += entry.size
        for owner in owners:
            keys = self._owned.get(owner)
            if keys is None:
                self._owned[owner] = key
            elif isinstance(keys, set):
                keys.add(key)
            elif keys != key:
                self._owned[owner] = {keys, key}

    def _is_full(self, size: int) -> bool:
        """Whether something has to go before so many bytes are put in."""
        return len(self.ready) - len(self._random) >= self._most or self._bytes + size > self._most * LARGE

    def is_new(self, key: Key) -> bool:
        """Whether an answer without end of its kind is made for the first time in a while.

        It is kept from the second time on: names that nobody asks for again then cost less, and push nothing out.
        """
        mark = hash(key)
        if mark in self._met:
            return False
        if len(self._met) >= 2 * self._most_random:
            self._met.clear()
        self._met.add(mark)
        return True

    def forget(self, owners: Iterable[str]) -> None:
        """Drops every answer of these owners."""
        for owner in owners:
            keys = self._owned.get(owner, ())
            for key in tuple(keys) if isinstance(keys, set) else (keys,) if keys else ():
                self._drop(key)

    def clear(self) -> None:
        """Drops everything."""
        for kept in (self.ready, self._random, self._owned):
            kept.clear()
        self._bytes = 0

    def sent(self) -> dict[tuple[str, int, int], int]:
        """How many answers were sent from here, by protocol, type and rcode, since the start."""
        return self._subjects.counts()

    def _drop(self, key: Key) -> None:
        entry = self.ready.pop(key)
        self._bytes -= entry.size
        self._random.pop(key, None)
        for owner in entry.owners:
            keys = self._owned.get(owner)
            if isinstance(keys, set):
                keys.discard(key)
                if len(keys) == 1:
                    self._owned[owner] = keys.pop()
            elif keys == key:
                del self._owned[owner]
