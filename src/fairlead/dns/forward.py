"""Questions about names that are not the cluster's, put to other servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fairlead.dns import wire
from fairlead.dns.cache import Cache, CacheLimits
from fairlead.dns.message import Query
from fairlead.dns.reply import addresses, wire_name
from fairlead.dns.responder import Beyond
from fairlead.dns.upstreams import Nameserver, Question, Upstream
from fairlead.dns.zone import Rcode

ALL_TRIES = 5.0
"""Seconds after which the client is told SERVFAIL: about when resolvers give up."""

STALE_AFTER = 0.5
"""Seconds after which a client gets an answer that is past its time, while the servers are still asked."""

MOST_IN_FLIGHT = 1_000


class Forwarder:
    """Asks the servers in turn until one answers, and keeps answers for their TTL.

    `upstreams` answer for every name, `stubs` those of a domain (the longest that fits) for the names below it.
    `excluded` says which addresses must not be asked because they lead back here. At most `MOST_IN_FLIGHT` questions
    wait at a time; the same question is asked once for all who wait for it. A server that fails is left alone until
    it answers a probe, so that without any the client hears of it at once.
    """

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        excluded: Callable[[str], bool] = lambda _: False,
        *,
        stubs: Mapping[str, Sequence[Upstream]] | None = None,
        limits: CacheLimits | None = None,
        trusted: Path | None = None,
    ) -> None:
        """`trusted` is a file of certificates for TLS. Raises OSError or ValueError where it cannot be read."""
        self._excluded = excluded
        self.cache = Cache(limits or CacheLimits())
        self._asking: dict[Question, asyncio.Task[bytes | None]] = {}
        self._own: set[tuple[str, int]] = set()
        known: dict[Upstream, Nameserver] = {}

        def group(servers: Sequence[Upstream]) -> list[Nameserver]:
            for server in servers:
                if server not in known:
                    known[server] = Nameserver(server, self._own, trusted)
            return [known[server] for server in servers]

        self._groups = {"": group(upstreams)} if upstreams else {}
        self._groups |= {domain: group(servers) for domain, servers in (stubs or {}).items()}
        self.nameservers: Sequence[Nameserver] = tuple(known.values())

    def takes(self, name: str) -> bool:
        """Whether somebody can be asked about a name."""
        return bool(self._group(name))

    def comes_from_us(self, client: tuple[Any, ...]) -> bool:
        """Whether a query was sent by this very forwarder: a server of its list leads back here."""
        return client[:2] in self._own

    def kept(self, beyond: Beyond) -> tuple[bytes, float] | None:
        """The answer where it is kept and nobody needs to be asked, not even to renew it, with the end of its time.

        Safe for any thread.
        """
        question, now = _question(beyond), time.monotonic()
        answer = self.cache.fresh(question, now)
        if answer is None or self.cache.due(question, now):
            return None
        return _told(beyond, answer), self.cache.until(question)

    async def resolve(self, beyond: Beyond) -> bytes:
        """The answer to the client's question; SERVFAIL where no server gave one."""
        return _told(beyond, await self._resolve(_question(beyond), beyond.name))

    async def _resolve(self, question: Question, name: str) -> bytes | None:
        """An answer without its ID: kept, fresh, or one past its time where the servers are slow or away."""
        now = time.monotonic()
        answer = self.cache.fresh(question, now)
        if answer is not None:
            if self.cache.due(question, now) and question not in self._asking:
                self.cache.prefetched += 1
                self._start(question, name)
            return answer
        self.cache.misses += 1
        task = self._start(question, name)
        if task is None:
            return self._past(question)
        patience = STALE_AFTER if self.cache.has_past(question, now) else None
        done, _ = await asyncio.wait((task,), timeout=patience)
        answer = task.result() if done else None
        if answer is None or answer[1] & 15 in (Rcode.SERVFAIL, Rcode.REFUSED):
            return self._past(question) or answer
        return answer

    def _past(self, question: Question) -> bytes | None:
        answer = self.cache.past(question, time.monotonic())
        self.cache.stale += answer is not None
        return answer

    def _start(self, question: Question, name: str) -> asyncio.Task[bytes | None] | None:
        """Asks, if nobody asks the same already; None where too many wait."""
        task = self._asking.get(question)
        if task is None and len(self._asking) < MOST_IN_FLIGHT:
            task = self._asking[question] = asyncio.ensure_future(self._ask(question, name))
            task.add_done_callback(lambda _: self._asking.pop(question, None))
        return task

    async def _ask(self, question: Question, name: str) -> bytes | None:
        """Puts the question to one server after the other; the last refusal where all refuse."""
        refusal = None
        try:
            async with asyncio.timeout(ALL_TRIES):
                for server in self._group(name):
                    if server.away or self._excluded(server.server.address):
                        continue
                    try:
                        answer = await server.ask(question)
                    except OSError:
                        continue
                    if answer[1] & 15 not in (Rcode.SERVFAIL, Rcode.REFUSED):
                        self.cache.keep(question, answer, time.monotonic())
                        return answer
                    refusal = answer
        except TimeoutError:
            pass
        return refusal

    def _group(self, name: str) -> Sequence[Nameserver]:
        """The servers for a name: those of the longest domain that it is in. Costs a lookup for each of its labels."""
        while name and name not in self._groups:
            name = name.partition(".")[2]
        return self._groups.get(name, ())

    def close(self) -> None:
        """Ends the connections, the probes and what is being asked."""
        for task in self._asking.values():
            task.cancel()
        for server in self.nameservers:
            server.close()


def _question(beyond: Beyond) -> Question:
    query = beyond.query
    if beyond.found is not None:
        return Question(wire_name(beyond.name) + query.asked[-4:], checking_disabled=query.checking_disabled)
    return Question(
        query.asked[:-4].lower() + query.asked[-4:],
        query.edns is not None,
        query.edns is not None and query.edns.dnssec,
        query.checking_disabled,
    )


def _told(beyond: Beyond, answer: bytes | None) -> bytes:
    """What the client is sent, for another server's answer without its ID, or for none."""
    query, found = beyond.query, beyond.found
    if found is not None:
        if beyond.otherwise is not None and (answer is None or answer[1] & 15):
            other = beyond.otherwise
            return query.id + wire.answer(
                query, other.rcode, other.answer, other.authority, limit=beyond.limit
            )
        # An alias is true without its target: the client may know more of that than we do.
        further = addresses(answer, beyond.name) if answer else []
        whole = wire.answer(query, Rcode.NOERROR, (*found.answer, *further), limit=beyond.limit)
        return query.id + whole
    if answer is None:
        return query.id + wire.answer(query, Rcode.SERVFAIL, authoritative=False, limit=beyond.limit)
    return _fitted(query, answer, beyond.limit)


def _fitted(query: Query, answer: bytes, limit: int) -> bytes:
    """An answer from elsewhere in the client's letter case; cut down to its question where it is too long."""
    if len(answer) + 2 > limit:
        empty = wire.answer(query, Rcode.NOERROR, authoritative=False, limit=limit)
        return query.id + bytes((empty[0] | wire.TC >> 8, empty[1] | answer[1] & 15)) + empty[2:]
    name = query.asked[:-4]
    # Not authoritative, recursion available.
    head = bytes((answer[0] & ~(wire.AA >> 8) & 0xFF, answer[1] | wire.RA)) + answer[2:10]
    return query.id + head + name + answer[10 + len(name) :]
