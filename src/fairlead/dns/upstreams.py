"""Other DNS servers, and how a question is put to one of them: over UDP, TCP or TLS (RFC 5452, 7766, 7858)."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import secrets
import ssl
from pathlib import Path
from typing import NamedTuple, cast

from fairlead.dns import wire
from fairlead.dns.message import HEADER
from fairlead.dns.records import is_name
from fairlead.dns.reply import fields

log = logging.getLogger("fairlead.dns")

PORT, TLS_PORT = 53, 853
TLS = "tls://"

TRY = 2.0
"""Seconds that one server has for its answer."""

IDLE = 10.0
"""Seconds after which a connection to a server is closed that nobody asks over."""

FAILURES = 2
"""So many in a row, and a server is left alone until it answers a probe. CoreDNS: max_fails."""

PROBE = 0.5
"""Seconds between two probes of a server that is left alone. CoreDNS: health_check."""

MOST_AT_ONCE = 4_096
"""Questions that wait for answers on one connection."""

_CUT = wire.TC >> 8


class Upstream(NamedTuple):
    """A server to ask; over TLS by the name that its certificate has, its address where none is given."""

    address: str
    port: int = PORT
    tls: bool = False
    server_name: str = ""

    def __str__(self) -> str:
        at = f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"
        return f"{TLS}{at}" + (f"#{self.server_name}" if self.server_name else "") if self.tls else at


def upstream(text: str) -> Upstream:
    """Reads `ADDRESS`, `ADDRESS:PORT`, `[ADDRESS]:PORT`, or one of them as `tls://...#NAME`.

    Raises ValueError with the text in it.
    """
    tls = text.startswith(TLS)
    rest, _, name = text.removeprefix(TLS).partition("#")
    address, port = rest, ""
    if rest.startswith("["):
        address, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    elif rest.count(":") == 1:
        address, _, port = rest.partition(":")
    try:
        number = int(port or (TLS_PORT if tls else PORT))
        if not 0 < number < 65_536 or (name and not (tls and is_name(name))):
            raise ValueError(text)
        return Upstream(str(ipaddress.ip_address(address)), number, tls, name)
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


class Question(NamedTuple):
    """What is put to another server; equal ones are put once. `asked` is name, type and class in wire format."""

    asked: bytes
    edns: bool = False
    dnssec: bool = False
    checking_disabled: bool = False

    def query(self) -> bytes:
        """The message that asks, with an ID that cannot be guessed."""
        flags = wire.RD | (wire.CD if self.checking_disabled else 0)
        head = flags.to_bytes(2) + bytes((0, 1, 0, 0, 0, 0, 0, self.edns))
        opt = b"\0\0\x29" + wire.UDP_SIZE.to_bytes(2) + bytes((0, 0, 0x80 * self.dnssec, 0, 0, 0))
        return secrets.token_bytes(2) + head + self.asked + (opt if self.edns else b"")


PROBING = Question(b"\0\0\2\0\1")
"""The name servers of the root: every server can say something to that."""


def answers(data: bytes, query: bytes, question: Question) -> bool:
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


class Nameserver:
    """One server and what is known of its health.

    One that failed `FAILURES` times in a row is `away` until it answers a probe. `own` gets the addresses that
    questions are sent from while they wait, so that a server that leads back here is noticed.
    """

    def __init__(self, server: Upstream, own: set[tuple[str, int]], trusted: Path | None = None) -> None:
        """`trusted` is a file of certificates for TLS; without one, the system's count. Raises OSError, ValueError."""
        self.server = server
        self.away = False
        self.asked = 0
        self._own = own
        self._failures = 0
        self._probing: asyncio.Task[None] | None = None
        self._stream: _Stream | None = None
        self._opening = asyncio.Lock()
        self._tls = ssl.create_default_context(cafile=trusted) if server.tls else None

    async def ask(self, question: Question) -> bytes:
        """The answer without its ID, within `TRY` seconds. Raises OSError; health is noted."""
        try:
            async with asyncio.timeout(TRY):
                answer = await self._ask(question)
        except OSError as error:
            self._failed(error)
            raise
        self._failures = 0
        if self.away:
            log.warning("name server %s answers again", self.server)
        self.away = False
        return answer[2:]

    async def _ask(self, question: Question) -> bytes:
        self.asked += 1
        if self.server.tls:
            return await self._over_stream(question)
        answer = await self._over_udp(question)
        return await self._over_stream(question) if answer[2] & _CUT else answer

    async def _over_udp(self, question: Question) -> bytes:
        query = question.query()
        # A socket of its own for each question: the kernel picks the port at random, and passes only what
        # comes from this server.
        transport, exchange = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Exchange(query, question), remote_addr=self.server[:2]
        )
        own = transport.get_extra_info("sockname")[:2]
        self._own.add(own)
        try:
            transport.sendto(query)
            return await exchange.answer
        finally:
            self._own.discard(own)
            transport.close()

    async def _over_stream(self, question: Question) -> bytes:
        """Over the connection that is open, or a new one: one that the server has just closed is no failure of his."""
        stream = self._stream
        if stream is not None and not stream.closed:
            with contextlib.suppress(ConnectionError):
                return await stream.ask(question)
        async with self._opening:
            if self._stream is None or self._stream is stream or self._stream.closed:
                self._stream = await self._open()
        return await self._stream.ask(question)

    async def _open(self) -> _Stream:
        name = (self.server.server_name or self.server.address) if self._tls else None
        _, stream = await asyncio.get_running_loop().create_connection(
            _Stream, *self.server[:2], ssl=self._tls, server_hostname=name
        )
        return stream

    def _failed(self, error: OSError) -> None:
        self._failures += 1
        if self._failures >= FAILURES and not self.away:
            log.warning("name server %s does not answer: %s", self.server, str(error) or "timeout")
            self.away = True
            self._probing = asyncio.ensure_future(self._probe())

    async def _probe(self) -> None:
        while self.away:
            await asyncio.sleep(PROBE)
            with contextlib.suppress(OSError):
                await self.ask(PROBING)

    def close(self) -> None:
        """Ends the probes and the connection."""
        if self._probing is not None:
            self._probing.cancel()
        if self._stream is not None:
            self._stream.close()


class _Exchange(asyncio.DatagramProtocol):
    """Waits for the answer to one query; what answers something else is passed over."""

    def __init__(self, query: bytes, question: Question) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._query = query
        self._question = question

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self.answer.done() and answers(data, self._query, self._question):
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


class _Stream(asyncio.Protocol):
    """A connection that several questions share; answers come in any order and are told apart by their IDs."""

    def __init__(self) -> None:
        self.closed = False
        self._waiting: dict[bytes, tuple[bytes, Question, asyncio.Future[bytes]]] = {}
        self._buffer = bytearray()
        self._transport: asyncio.Transport
        self._idle: asyncio.TimerHandle | None = None

    async def ask(self, question: Question) -> bytes:
        """The answer. Raises ConnectionError where the connection ends before it."""
        if self.closed or len(self._waiting) >= MOST_AT_ONCE:
            raise ConnectionError("the connection is closed or too busy")
        query = question.query()
        while query[:2] in self._waiting:
            query = question.query()
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[query[:2]] = query, question, future
        try:
            self._transport.write(len(query).to_bytes(2) + query)
            return await future
        finally:
            self._waiting.pop(query[:2], None)
            self._rest()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while len(buffer) >= 2 and len(buffer) >= (end := 2 + (buffer[0] << 8 | buffer[1])):
            answer = bytes(buffer[2:end])
            del buffer[:end]
            query, question, future = self._waiting.get(answer[:2], (b"", PROBING, None))
            if future is None or future.done():
                continue
            if answers(answer, query, question):
                future.set_result(answer)
            else:
                future.set_exception(ConnectionError("answer to another question"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        for _, _, future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionError(str(exc) if exc else "connection closed"))

    def close(self) -> None:
        """Ends it."""
        if self._idle is not None:
            self._idle.cancel()
        self.closed = True
        self._transport.close()

    def _rest(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if not self._waiting and not self.closed:
            self._idle = asyncio.get_running_loop().call_later(IDLE, self.close)
