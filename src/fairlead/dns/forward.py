"""Questions about names that are not the cluster's, put to other servers (RFC 5452 against forged answers)."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from fairlead.dns import wire
from fairlead.dns.message import HEADER, Query
from fairlead.dns.reply import addresses, aged, fields, lifetime, wire_name
from fairlead.dns.responder import Beyond
from fairlead.dns.zone import Rcode

log = logging.getLogger("fairlead.dns")

PORT = 53
TRY = 2.0
"""Seconds that one server has for its answer."""

ALL_TRIES = 5.0
"""Seconds after which the client is told SERVFAIL: about when resolvers give up."""

MOST_IN_FLIGHT = 1_000
MOST_KEPT = 8_192
FAILURES = 3
"""So many in a row, and a server is left alone for `REST`."""

REST = 5.0
"""Seconds."""


class Upstream(NamedTuple):
    """A server to ask."""

    address: str
    port: int = PORT

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def upstream(text: str) -> Upstream:
    """Reads `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT`. Raises ValueError with the text in it."""
    address, port = text, str(PORT)
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        port = port.removeprefix(":") or str(PORT)
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    try:
        if not 0 < int(port) < 65_536:
            raise ValueError(port)
        return Upstream(str(ipaddress.ip_address(address)), int(port))
    except ValueError:
        raise ValueError(f"{text!r} is not an address with or without a port of a DNS server") from None


def nameservers(path: Path = Path("/etc/resolv.conf")) -> tuple[Upstream, ...]:
    """The name servers of a resolv.conf; none where it cannot be read."""
    found = []
    try:
        for line in path.read_text().splitlines():
            words = line.split()
            if len(words) > 1 and words[0] == "nameserver":
                found.append(upstream(words[1] if words[1].count(":") < 2 else f"[{words[1]}]"))
    except (OSError, ValueError) as error:
        log.warning("no name servers from %s: %s", path, error)
    return tuple(found)


class _Kept(NamedTuple):
    """An answer from elsewhere without its ID, and its times by the monotonic clock."""

    answer: bytes
    since: float
    until: float


class _Question(NamedTuple):
    """What is put to another server; equal ones are put once. `asked` is name, type and class in wire format."""

    asked: bytes
    edns: bool
    dnssec: bool
    checking_disabled: bool

    def query(self, id_: bytes) -> bytes:
        """The message that asks."""
        flags = 0x0110 if self.checking_disabled else 0x0100
        head = flags.to_bytes(2) + bytes((0, 1, 0, 0, 0, 0, 0, self.edns))
        opt = b"\0\0\x29" + wire.UDP_SIZE.to_bytes(2) + bytes((0, 0, 0x80 * self.dnssec, 0, 0, 0))
        return id_ + head + self.asked + (opt if self.edns else b"")


class Forwarder:
    """Asks the servers in turn until one answers, and keeps answers for their TTL.

    `excluded` says which addresses must not be asked because they lead back here. At most `MOST_IN_FLIGHT` questions
    wait at a time; the same question is asked once for all who wait for it. A server that has failed several times in
    a row is left alone for some seconds, so that without any the client hears of it at once.
    """

    def __init__(
        self, upstreams: Sequence[Upstream], excluded: Callable[[str], bool] = lambda _: False
    ) -> None:
        self.upstreams = tuple(upstreams)
        self.asked = 0
        self.kept_used = 0
        self._excluded = excluded
        self._kept: OrderedDict[_Question, _Kept] = OrderedDict()
        self._asking: dict[_Question, asyncio.Task[bytes | None]] = {}
        self._own: set[tuple[str, int]] = set()
        self._failures: dict[Upstream, int] = {}
        self._resting: dict[Upstream, float] = {}

    def comes_from_us(self, client: tuple[str, int]) -> bool:
        """Whether a query was sent by this very forwarder: a server of its list leads back here."""
        return client[:2] in self._own

    async def resolve(self, beyond: Beyond) -> bytes:
        """The answer to the client's question; SERVFAIL where no server gave one."""
        query, found = beyond.query, beyond.found
        if found is None:
            name = query.asked[:-4].lower()
            question = _Question(
                name + query.asked[-4:],
                query.edns is not None,
                query.edns is not None and query.edns.dnssec,
                query.checking_disabled,
            )
            answer = await self._resolve(question)
            if answer is None:
                return query.id + wire.answer(query, Rcode.SERVFAIL, authoritative=False, limit=beyond.limit)
            return _fitted(query, answer, beyond.limit)
        question = _Question(wire_name(beyond.name) + query.asked[-4:], False, False, query.checking_disabled)
        answer = await self._resolve(question)
        # An alias is true without its target: the client may know more of that than we do.
        further = addresses(answer, beyond.name) if answer else []
        whole = wire.answer(query, Rcode.NOERROR, (*found.answer, *further), limit=beyond.limit)
        return query.id + whole

    async def _resolve(self, question: _Question) -> bytes | None:
        """An answer without its ID, kept or fresh."""
        kept = self._kept.get(question)
        now = time.monotonic()
        if kept is not None:
            if now < kept.until:
                self.kept_used += 1
                return aged(kept.answer, int(now - kept.since))
            del self._kept[question]
        task = self._asking.get(question)
        if task is None:
            if len(self._asking) >= MOST_IN_FLIGHT:
                return None
            task = asyncio.ensure_future(self._ask(question))
            self._asking[question] = task
            task.add_done_callback(lambda _: self._asking.pop(question, None))
        return await asyncio.shield(task)

    async def _ask(self, question: _Question) -> bytes | None:
        """Puts the question to one server after the other; the last refusal where all refuse."""
        refusal = None
        try:
            async with asyncio.timeout(ALL_TRIES):
                for server in self._candidates():
                    try:
                        async with asyncio.timeout(TRY):
                            answer = await self._exchange(server, question)
                    except (OSError, asyncio.IncompleteReadError) as error:
                        self._failed(server, error)
                        continue
                    self._failures.pop(server, None)
                    if answer[1] & 15 not in (Rcode.SERVFAIL, Rcode.REFUSED):
                        self._keep(question, answer)
                        return answer
                    refusal = answer
        except TimeoutError:
            pass
        return refusal

    def _candidates(self) -> list[Upstream]:
        """The servers worth asking now, the ones that failed last at the end."""
        now = time.monotonic()
        able = []
        for server in self.upstreams:
            if self._resting.get(server, 0) <= now and not self._excluded(server.address):
                able.append(server)
                if self._failures.get(server, 0) >= FAILURES:
                    # One question finds out whether it is back; the others do not wait for that.
                    self._resting[server] = now + REST
        return sorted(able, key=lambda server: self._failures.get(server, 0))

    def _failed(self, server: Upstream, error: BaseException) -> None:
        count = self._failures[server] = self._failures.get(server, 0) + 1
        if count >= FAILURES:
            if count == FAILURES:
                log.warning("name server %s does not answer: %s", server, str(error) or "timeout")
            self._resting[server] = time.monotonic() + REST

    async def _exchange(self, server: Upstream, question: _Question) -> bytes:
        """One server's answer without its ID. Raises OSError (TimeoutError by the caller's limit)."""
        self.asked += 1
        query = question.query(secrets.token_bytes(2))
        loop = asyncio.get_running_loop()
        # A socket of its own for each question: the kernel picks the port at random, and passes only what
        # comes from this server.
        transport, exchange = await loop.create_datagram_endpoint(
            lambda: _Exchange(query, question), remote_addr=(server.address, server.port)
        )
        own = transport.get_extra_info("sockname")[:2]
        self._own.add(own)
        try:
            transport.sendto(query)
            answer = await exchange.answer
        finally:
            self._own.discard(own)
            transport.close()
        if answer[2] & 0x02:  # TC
            answer = await self._over_tcp(server, query, question)
        return answer[2:]

    async def _over_tcp(self, server: Upstream, query: bytes, question: _Question) -> bytes:
        reader, writer = await asyncio.open_connection(*server)
        try:
            writer.write(len(query).to_bytes(2) + query)
            answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        finally:
            writer.close()
        if not _answers(answer, query, question):
            raise ConnectionError("answer to another question")
        return answer

    def _keep(self, question: _Question, answer: bytes) -> None:
        seconds = lifetime(answer)
        if seconds > 0:
            while len(self._kept) >= MOST_KEPT:
                self._kept.popitem(last=False)
            now = time.monotonic()
            self._kept[question] = _Kept(answer, now, now + seconds)


class _Exchange(asyncio.DatagramProtocol):
    """Waits for the answer to one query; what answers something else is passed over."""

    def __init__(self, query: bytes, question: _Question) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._query = query
        self._question = question

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self.answer.done() and _answers(data, self._query, self._question):
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


def _answers(data: bytes, query: bytes, question: _Question) -> bool:
    """Whether a message answers this query: its ID, its question, and well-formed to its end."""
    if len(data) < HEADER + len(question.asked) or data[:2] != query[:2] or not data[2] & 0x80:
        return False
    name = data[HEADER : HEADER + len(question.asked) - 4].lower()
    if data[4:6] != b"\0\1" or name + data[HEADER + len(name) :][:4] != question.asked:
        return False
    try:
        fields(data[2:])
    except (IndexError, UnicodeDecodeError):
        return False
    return True


def _fitted(query: Query, answer: bytes, limit: int) -> bytes:
    """An answer from elsewhere in the client's letter case; cut down to its question where it is too long."""
    if len(answer) + 2 > limit:
        empty = wire.answer(query, Rcode.NOERROR, authoritative=False, limit=limit)
        return query.id + bytes((empty[0] | wire.TC >> 8, empty[1] | answer[1] & 15)) + empty[2:]
    name = query.asked[:-4]
    # Not authoritative, recursion available.
    head = bytes((answer[0] & ~(wire.AA >> 8) & 0xFF, answer[1] | wire.RA)) + answer[2:10]
    return query.id + head + name + answer[10 + len(name) :]
