"""Answers of other servers as they were sent a moment ago, to be sent again without another look at them."""

from __future__ import annotations

import time

from fairlead.dns.answers import Sent, Subjects
from fairlead.dns.keys import Key

MOMENT = 1.0
"""Seconds, in which a TTL, which counts seconds, may stay what it was."""

LONGEST = 1_232
"""Bytes of an answer that is kept here."""


class Recent:
    """A bounded number of them: the one that was put in first goes first. All but `find` under the caller's lock."""

    def __init__(self, most: int = 8_192) -> None:
        self._most = most
        self._kept: dict[Key, tuple[float, bytes, Sent]] = {}
        self.subjects = Subjects()

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, key: Key, answer: bytes, subject: tuple[int, int], until: float) -> None:
        """Keeps an answer without its ID, the name in its question in lower case, for a moment.

        At most until its own time is up, by the monotonic clock.
        """
        self._kept.pop(key, None)
        if len(answer) > LONGEST:
            return
        if len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = min(until, time.monotonic() + MOMENT), answer, self.subjects.of(subject)

    def find(self, key: Key) -> tuple[bytes, Sent] | None:
        """The answer, and where it is counted; takes 0.2 µs."""
        found = self._kept.get(key)
        if found is None or time.monotonic() >= found[0]:
            return None
        return found[1:]

    def clear(self) -> None:
        """Forgets all."""
        self._kept.clear()
