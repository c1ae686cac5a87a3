"""The complete path from the bytes of a query to the bytes of its answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle
from random import randrange
from threading import Lock
from typing import NamedTuple

from fairlead.dns import lookup, wire
from fairlead.dns.answers import Answers, Variants
from fairlead.dns.edns import Cookies
from fairlead.dns.keys import Key, key_of, lower_name, lowered, without_cookie
from fairlead.dns.message import HEADER, Query, Refused, Unanswerable, parse
from fairlead.dns.policy import Policy
from fairlead.dns.recent import Recent
from fairlead.dns.records import Record, Type, counted
from fairlead.dns.rotation import in_turn, rotations
from fairlead.dns.transfer import messages
from fairlead.dns.zone import Found, Rcode, Zone

TCP_SIZE = 65_535


class Beyond(NamedTuple):
    """A question that this server cannot answer from what it knows.

    `name` is to be asked of another server; `found` has the aliases that led there, if any, and `otherwise` is the
    answer where the other server knows no such name. `limit` is the size of the answer in bytes, `key` what equal
    questions are known by that get the same answer of the other server.
    """

    query: Query
    name: str
    found: Found | None
    limit: int
    protocol: str
    otherwise: Found | None = None
    key: Key | None = None


class Responder:
    """Answers queries from the zone, and keeps the answers for the loop to send.

    Safe for several threads: a lock keeps each answer and what it was made of together, so that nothing stale is kept.
    """

    def __init__(self, zone: Zone, answers: Answers, cookies: Cookies, policy: Policy | None = None) -> None:
        self.zone = zone
        self.answers = answers
        self.cookies = cookies
        self.recent = Recent()
        self.counts: Counter[tuple[str, int, int]] = Counter()
        """Queries that took the complete path: by protocol, type and rcode."""
        self._policy = policy or Policy()
        self._lock = Lock()
        self._synced = False

    def synced(self) -> None:
        """The zone is complete: from now on what it does not have does not exist."""
        with self._lock:
            self._synced = True
            self.answers.clear()

    def configure(self, policy: Policy) -> None:
        """Answers by another policy from now on."""
        with self._lock:
            self._policy = policy
            self.answers.clear()
            self.recent.clear()

    def change(self, step: Callable[[Zone], Iterable[str]]) -> None:
        """Changes the zone; `step` returns the owners of the answers that this makes wrong."""
        with self._lock:
            self.answers.forget(step(self.zone))

    def ready(self, data: bytes, client: str, *, tcp: bool = False) -> bytes | None:
        """The answer where it is kept, in the letter case and for the cookie of this query; takes a microsecond or two.

        `client` is the address that asks. Over TCP an answer that was cut down to what UDP takes is none.
        """
        if len(data) < HEADER:
            return None
        key, cookie = without_cookie(data)
        entry, name = self.answers.ready.get(key), b""
        if entry is None:
            key, name = lowered(key)
            entry = self.answers.ready.get(key)
            if entry is None:
                return self._again(key, name, data, client, tcp=tcp)
        answer = entry.answer if entry.variants is None else next(entry.variants)
        if tcp:
            if answer[0] & wire.TC >> 8:
                return None
            entry.sent.tcp += 1
        else:
            entry.sent.udp += 1
        if name:
            answer = answer[: HEADER - 2] + name + answer[HEADER - 2 + len(name) :]
        if cookie:
            return data[:2] + answer + self.cookies.answer(cookie, client)
        return data[:2] + answer

    def _again(self, key: Key, name: bytes, data: bytes, client: str, *, tcp: bool) -> bytes | None:
        """What another server answered a moment ago, for those who may know; without a cookie, as it came."""
        found = self.recent.find(key)
        if found is None or not self._policy.recursion(client):
            return None
        answer, sent = found
        if tcp:
            sent.tcp += 1
        else:
            sent.udp += 1
        return data[:2] + answer[: HEADER - 2] + name + answer[HEADER - 2 + len(name) :]

    def remember(self, beyond: Beyond, answer: bytes, until: float) -> None:
        """Keeps an answer of another server for a moment, at most until its time is up by the monotonic clock.

        Where it depends on nothing of the cluster, that is: see `Beyond.key`.
        """
        if beyond.key is None or answer[2] & wire.TC >> 8:
            return
        subject = counted(beyond.query.type), answer[3] & 15
        with self._lock:
            self.recent.put(beyond.key, lower_name(answer[2:], beyond.query), subject, until)

    def respond(
        self, data: bytes, client: str, *, tcp: bool = False
    ) -> bytes | Beyond | Iterator[bytes] | None:
        """The answer, kept or computed; see `ready` and `compute`."""
        return self.ready(data, client, tcp=tcp) or self.compute(data, client, tcp=tcp)

    def compute(
        self, data: bytes, client: str, *, tcp: bool = False
    ) -> bytes | Beyond | Iterator[bytes] | None:
        """The answer, computed; None where silence is the answer; over TCP also several messages, for a transfer.

        `client` is the address that asks. Never raises.
        """
        protocol = "tcp" if tcp else "udp"
        try:
            query = parse(data)
        except Unanswerable:
            return None
        except Refused as error:
            self.count(protocol, 0, error.rcode)
            return wire.refusal(data, error.rcode)
        limit = TCP_SIZE if tcp else wire.udp_limit(query)
        if tcp and self._transfers(query, client):
            self.count(protocol, query.type, Rcode.NOERROR)
            return messages(self.zone, query, self._lock)
        with self._lock:
            zone, policy = self.zone, self._policy
            found = lookup.find(query, zone, policy, complete=self._synced)
            searched = lookup.searched(query, found, client, zone, policy) if policy.autopath else None
            if isinstance(searched, str):
                beyond = Found(Rcode.NOERROR, (lookup.alias(query, searched, zone),), beyond=searched)
                return Beyond(_without_cookie(query), searched, beyond, limit, protocol, found)
            found = searched or found
            if found is None or found.beyond:
                name = found.beyond if found else query.name
                if lookup.goes_on(query, name, found, client, policy):
                    key = None if found or zone.reverses(name) else key_of(data, query)
                    return Beyond(_without_cookie(query), name, found, limit, protocol, key=key)
            answer = found or Found(Rcode.NXDOMAIN if policy.alone and query.name else Rcode.REFUSED)
            orders = rotations(answer.answer)
            same = searched is None and lookup.same_for_all(query, answer, zone, policy)
            if tcp or not same:
                start = randrange(len(orders))  # noqa: S311
                orders = orders[start:] + orders[:start]
            first = _encode(query, answer, orders[0], limit)
            if same and (not tcp or len(first) + 2 <= wire.udp_limit(query)):
                self._keep(data, query, answer, first, orders, limit)
            self.counts[protocol, counted(query.type), answer.rcode] += 1
        return self.finish(query, first, client)

    def _transfers(self, query: Query, client: str) -> bool:
        """Whether this is a question for the whole zone by somebody who may have it."""
        if query.type not in (Type.AXFR, Type.IXFR) or query.cls != lookup.IN or not self._synced:
            return False
        return query.name == self.zone.domain and query.plain and self._policy.transfer(client)

    def count(self, protocol: str, kind: int, rcode: int) -> None:
        """Counts an answer that was completed elsewhere."""
        with self._lock:
            self.counts[protocol, counted(kind), rcode] += 1

    def finish(self, query: Query, answer: bytes, client: str) -> bytes:
        """An answer with its ID in front and, for a client with a cookie, the cookies at the end."""
        if query.edns and query.edns.cookie:
            return query.id + answer + self.cookies.answer(query.edns.cookie, client)
        return query.id + answer

    def _keep(
        self,
        data: bytes,
        query: Query,
        found: Found,
        first: bytes,
        orders: Sequence[tuple[Record, ...]],
        limit: int,
    ) -> None:
        """Keeps an answer, whose first order is `first`, where that may be, with all its orders."""
        if found.rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN):
            return
        key = key_of(data, query)
        if key is None:
            return
        endless = lookup.endless(query, found, self.zone)
        if endless and self.answers.is_new(key):
            return
        first = lower_name(first, query)
        variants = Variants(first, None, len(first))
        if len(orders) > 1:
            after = len(wire.opt(query, found.rcode)) if query.edns else 0
            turning = in_turn(first, orders[0], after) if not found.additional else None
            if turning is not None:
                variants = Variants(first, turning, 4 * len(first))
            else:
                others = [lower_name(_encode(query, found, order, limit), query) for order in orders[1:]]
                variants = Variants(first, cycle([*others, first]), sum(map(len, others)) + len(first))
        subject = counted(query.type), int(found.rcode)
        self.answers.put(key, variants, found.owners, subject, random=endless)


def _encode(query: Query, found: Found, order: tuple[Record, ...], limit: int) -> bytes:
    return wire.answer(
        query,
        found.rcode,
        order,
        found.authority,
        found.additional,
        authoritative=found.rcode in (Rcode.NOERROR, Rcode.NXDOMAIN),
        limit=limit,
    )


def _without_cookie(query: Query) -> Query:
    """The query as from a client without a cookie; an answer with another server's data in it carries none."""
    return query._replace(edns=query.edns._replace(cookie=b"")) if query.edns else query
