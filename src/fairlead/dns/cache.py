"""Answers of other servers, kept for their TTL, and a while longer for when nobody can be asked (RFC 8767)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from fairlead.dns.reply import aged, lifetime, with_ttl
from fairlead.dns.upstreams import Question

STALE_TTL = 30
"""Seconds that an answer past its time is good for at the client. RFC 8767 §4."""

POPULAR = 2
"""Times an answer was asked for that is fetched again before its time is up."""

REMAINING = 10
"""Percent of its time that it then has left. Both as CoreDNS's prefetch."""


USUAL = 1_024
"""Bytes of an answer on average, at most: those that are larger leave room for fewer."""


@dataclass(frozen=True)
class CacheLimits:
    """What is kept, and for how long: all but `entries` in seconds.

    `longest` and `shortest` bound the TTLs of answers, `longest_missing` that of the answer that there is none.
    `stale` is the time after its end at which an answer is still given when no server has a newer one.
    """

    entries: int = 8_192
    longest: int = 3_600
    shortest: int = 0
    longest_missing: int = 30
    stale: int = 3_600
    prefetch: bool = True

    def __post_init__(self) -> None:
        """Raises ValueError, with the value in it, for what cannot be."""
        for name in ("entries", "longest", "shortest", "longest_missing", "stale"):
            if not 0 <= getattr(self, name) <= 1 << 31:
                raise ValueError(f"{name} {getattr(self, name)} is not from 0 to {1 << 31}")
        if self.shortest > self.longest:
            raise ValueError(f"shortest {self.shortest} is more than longest {self.longest}")


class _Kept:
    """An answer from elsewhere without its ID, and its times by the monotonic clock."""

    __slots__ = ("answer", "since", "until", "uses")

    def __init__(self, answer: bytes, since: float, until: float) -> None:
        self.answer, self.since, self.until = answer, since, until
        self.uses = 0


class Cache:
    """A bounded number of answers, the least recently put one goes first. Reading it is safe for any thread."""

    def __init__(self, limits: CacheLimits) -> None:
        self._limits = limits
        self._kept: OrderedDict[Question, _Kept] = OrderedDict()
        self._bytes = 0
        self.hits = 0
        self.misses = 0
        self.stale = 0
        self.prefetched = 0

    def __len__(self) -> int:
        return len(self._kept)

    def fresh(self, question: Question, now: float) -> bytes | None:
        """The answer with the TTL that is left; None where there is none or its time is up."""
        kept = self._kept.get(question)
        if kept is None or now >= kept.until:
            return None
        self.hits += 1
        kept.uses += 1
        return aged(kept.answer, int(now - kept.since), self._limits.shortest)

    def due(self, question: Question, now: float) -> bool:
        """Whether the answer should be fetched anew before its end."""
        kept = self._kept.get(question)
        if kept is None or kept.uses < POPULAR or not self._limits.prefetch:
            return False
        return (kept.until - now) * 100 <= (kept.until - kept.since) * REMAINING

    def until(self, question: Question) -> float:
        """The end of an answer's time by the monotonic clock; 0 where there is none."""
        kept = self._kept.get(question)
        return kept.until if kept is not None else 0.0

    def past(self, question: Question, now: float) -> bytes | None:
        """The answer after its time, where it may still be given, with a TTL of `STALE_TTL`."""
        kept = self._kept.get(question)
        if kept is None or now >= kept.until + self._limits.stale:
            return None
        return with_ttl(kept.answer, STALE_TTL)

    def has_past(self, question: Question, now: float) -> bool:
        """Whether `past` has an answer. Costs a lookup."""
        kept = self._kept.get(question)
        return kept is not None and now < kept.until + self._limits.stale

    def keep(self, question: Question, answer: bytes, now: float) -> None:
        """Keeps an answer for its TTL, within the limits."""
        limits = self._limits
        seconds = lifetime(answer, limits.longest, limits.longest_missing)
        if seconds > 0:
            seconds = max(seconds, limits.shortest)
        if seconds <= 0 or not limits.entries:
            return
        if question in self._kept:
            self._bytes -= len(self._kept.pop(question).answer)
        most = limits.entries * USUAL
        if len(answer) > most:
            return
        while len(self._kept) >= limits.entries or self._bytes + len(answer) > most:
            self._bytes -= len(self._kept.popitem(last=False)[1].answer)
        self._kept[question] = _Kept(answer, now, now + seconds)
        self._bytes += len(answer)
