"""HTTP/1.1 as it comes in: whatever is sent, however it is split, requests are read as another reader reads them.

`connections.Connection` itself, without a socket, against h11, which reads by the letter of RFC 9112.
"""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tools import wire_bytes

from fairlead.apiserver import reading
from fairlead.apiserver.clients import Clients
from fairlead.apiserver.connections import Connection
from fairlead.apiserver.heads import Heads, Plain
from fairlead.apiserver.messages import Request, Response
from fairlead.apiserver.reading import AHEAD, HEAD_BYTES
from fairlead.apiserver.refusals import origin_form

REFUSALS = {400, 413, 417, 431, 501, 505}
"""What a request may be answered with that cannot be read."""


class Read(NamedTuple):
    """A request, as it was understood."""

    method: str
    target: bytes
    body: bytes


class Outcome(NamedTuple):
    """What came of some bytes."""

    read: list[Read]
    codes: list[int]
    closed: bool


class Wire(asyncio.Transport):
    """The client's side of a connection: what the server writes, and whether it listens."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.listening = True
        self.closing = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 1) if name == "peername" else default

    def write(self, data: Any) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.listening = False

    def resume_reading(self) -> None:
        self.listening = True

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close


class Client:
    """Sends bytes to a server that answers each request when it is there."""

    def __init__(self) -> None:
        self.read: list[Read] = []
        self.clients = Clients(self._answer, 8)
        self.connection = Connection(self.clients)
        self.wire = Wire()
        self.connection.connection_made(self.wire)

    async def _answer(self, request: Request) -> Response:
        await request.arrived()
        if request.oversized or request.fault:
            return Response(413 if request.oversized else 400)
        self.read.append(
            Read(request.method, request.target.encode("utf-8", "surrogateescape"), request.body)
        )
        return Response(200, body=b"well")

    async def send(self, piece: bytes) -> None:
        """Sends as soon as the server listens."""
        for _ in range(10_000):
            if self.wire.listening:
                break
            await asyncio.sleep(0)
        assert self.wire.listening, "the server never listens again"
        if not self.wire.closing:
            self.connection.data_received(piece)

    async def settle(self) -> None:
        """Lets the server do all it can."""
        quiet, before = 0, -1
        while quiet < 3:
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self.wire.written) == before else 0
            before = len(self.wire.written)

    def outcome(self) -> Outcome:
        """What was read and answered up to now."""
        answers = list(heads(bytes(self.wire.written)))
        closed = bool(answers) and b"connection: close" in answers[-1].lower()
        return Outcome(self.read, [int(head.split()[1]) for head in answers], closed)


def heads(data: bytes) -> Iterator[bytes]:
    """The heads of answers, each of which begins at the start of a line: their bodies have no line breaks."""
    for part in data.split(b"HTTP/1.1 ")[1:]:
        head, end, _ = part.partition(b"\r\n\r\n")
        assert end
        yield b"HTTP/1.1 " + head


async def sent(pieces: Sequence[bytes], known: Heads | None = None) -> Outcome:
    """What comes of the pieces, sent to a server of their own; it may know some headers."""
    client = Client()
    client.clients.heads = known or client.clients.heads
    for piece in pieces:
        await client.send(piece)
    await client.settle()
    client.connection.connection_lost(None)
    await asyncio.sleep(0)
    return client.outcome()


def letter_by_letter(data: bytes) -> list[Read]:
    """The requests that h11 reads, up to the first that it refuses."""
    peer = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 22)
    read: list[Read] = []
    peer.receive_data(data)
    try:
        while True:
            head = peer.next_event()
            if not isinstance(head, h11.Request):
                return read
            body = b""
            while isinstance(event := peer.next_event(), h11.Data):
                body += bytes(event.data)
            if not isinstance(event, h11.EndOfMessage):
                return read
            read.append(Read(head.method.decode(), origin_form(bytes(head.target)), body))
            if peer.their_state is not h11.DONE:
                return read  # it wants to close, or to speak another protocol
            peer.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            peer.send(h11.EndOfMessage())
            if peer.our_state is not h11.DONE:
                return read
            peer.start_next_cycle()
    except h11.RemoteProtocolError:
        return read


BODY = st.binary(max_size=40)


def written(body: bytes | list[bytes], target: str) -> bytes:
    """A POST with a body of a length, or in chunks."""
    if isinstance(body, bytes):
        return f"POST /{target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*filter(None, body), b""))
    return f"POST /{target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunks


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    st.lists(BODY | st.lists(BODY, max_size=4), min_size=1, max_size=6),
    st.lists(st.integers(0, 1 << 16), max_size=12),
)
def test_all_that_is_well_formed_is_read(bodies: list[bytes | list[bytes]], at: list[int]) -> None:
    data = b"".join(written(body, str(number)) for number, body in enumerate(bodies))
    wanted = [
        Read("POST", f"/{number}".encode(), body if isinstance(body, bytes) else b"".join(body))
        for number, body in enumerate(bodies)
    ]
    outcome = asyncio.run(sent(wire_bytes.split(data, at)))
    assert outcome == Outcome(wanted, [200] * len(bodies), False)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.randoms(use_true_random=False), st.lists(st.integers(0, 1 << 16), max_size=12))
def test_however_it_is_split_it_is_the_same(dice: random.Random, at: list[int]) -> None:
    data = wire_bytes.stream(dice)
    whole, split = asyncio.run(sent([data])), asyncio.run(sent(wire_bytes.split(data, at)))
    assert split == whole, data
    assert set(whole.codes) <= REFUSALS | {200}, data


class Counted(Heads):
    """Counts what is read by headers that are known."""

    hits = 0

    def read(self, data: bytes) -> Plain | None:
        plain = super().read(data)
        self.hits += plain is not None
        return plain


def test_headers_that_are_known_mean_what_they_meant_to_the_parser() -> None:
    """Requests in a piece each, to a server that knows no headers yet, and to one that knows those of all of them."""
    dice, known = random.Random(1), Counted()
    streams = [[wire_bytes.request(dice) for _ in range(3)] for _ in range(900)]

    async def test() -> None:
        for stream in streams:
            await sent(stream, known)
        for stream in streams:
            assert await sent(stream, known) == await sent(stream), stream

    asyncio.run(test())
    assert known.hits > 100


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.randoms(use_true_random=False))
def test_nobody_reads_other_requests_in_it(dice: random.Random) -> None:
    """A proxy before the server that reads by the letter has seen the same requests pass (RFC 9112, 11.2)."""
    data = wire_bytes.stream(dice)
    read, theirs = asyncio.run(sent([data])).read, letter_by_letter(data)
    both = min(len(read), len(theirs))
    assert read[:both] == theirs[:both], data


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=4))
@example(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [])
@example(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [])
@example(b"\r\n" * 100, [])
def test_any_bytes(data: bytes, at: list[int]) -> None:
    outcome = asyncio.run(sent(wire_bytes.split(data, at)))
    assert set(outcome.codes) <= REFUSALS | {200}


ENDLESS = {
    "a target": (b"GET /", b"a" * 4096, [431]),
    "a header": (b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"a" * 4096, [431]),
    "a header's name": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"a" * 4096, [431]),
    "headers": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n" * 64, [400]),
    "a chunk's extension": (b"5;", b"a" * 4096, [413]),
    "a chunk's size": (b"", b"0" * 4096, [413]),
    "chunks": (b"", b"1\r\na\r\n" * 700, [413]),
    "trailers": (b"0\r\n", b"X: y\r\n" * 700, [413]),
    "a trailer": (b"0\r\nX: ", b"y" * 4096, [413]),
    "a body": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", b"a" * 4096, [413]),
    "nothing but line breaks": (b"", b"\r\n" * 2048, []),
}
"""How it begins, what follows again and again, and how it is answered; a body where no request line begins it."""


@pytest.mark.parametrize("what", ENDLESS)
def test_what_never_ends_is_neither_kept_nor_listened_to(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, more, codes = ENDLESS[what]
    if not begin.startswith((b"GET", b"POST")) and codes:
        begin = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + begin
    monkeypatch.setattr(reading, "WIRE_BYTES", HEAD_BYTES)
    most = 2 * HEAD_BYTES

    async def test() -> tuple[Outcome, int]:
        client, taken = Client(), 0
        await client.send(begin)
        tracemalloc.start()
        while taken < most and not client.outcome().codes:
            await client.send(more)
            taken += len(more)
            await asyncio.sleep(0)
        await client.settle()
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        client.connection.connection_lost(None)
        assert taken < most or not codes, "it is taken without end"
        return client.outcome(), highest

    outcome, highest = asyncio.run(test())
    assert outcome.codes == codes
    assert highest < 4 * HEAD_BYTES


def test_a_body_that_nobody_waits_for_is_not_kept() -> None:
    """Such as one that is sent with a watch: its trailer would be kept until it ends."""

    async def test() -> int:
        client = Client()
        answered = asyncio.Event()

        async def watches(_: Request) -> Response:
            await answered.wait()
            return Response(200)

        client.clients.handler = watches
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ")
        tracemalloc.start()
        for _ in range(1000):
            await client.send(b"y" * 4096)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        answered.set()
        await client.settle()
        assert client.outcome() == ([], [200], True)
        client.connection.connection_lost(None)
        return highest

    assert asyncio.run(test()) < 1 << 20


def test_a_long_head_comes_in_byte_by_byte() -> None:
    value = bytes(random.Random(1).choices(b"abc /%", k=100_000))
    data = (
        b"GET /"
        + value.replace(b" ", b"+")
        + b" HTTP/1.1\r\nHost: x\r\nX: "
        + value
        + b"\r\n\r\nGET /b HTTP/1.1"
    )
    data += b"\r\nHost: x\r\n\r\n"
    outcome = asyncio.run(sent([data[at : at + 1] for at in range(len(data))]))
    assert [len(one.target) for one in outcome.read] == [100_001, 2]
    assert outcome == asyncio.run(sent([data]))


def test_while_one_request_is_answered_few_are_read_ahead() -> None:
    async def test() -> None:
        client = Client()
        answered = asyncio.Event()

        async def waits(request: Request) -> Response:
            await answered.wait()
            client.read.append(Read(request.method, request.target.encode(), b""))
            return Response(200)

        client.clients.handler = waits
        count = 0
        while client.wire.listening:
            assert count < 3 * AHEAD
            client.connection.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
            count += 100
            await asyncio.sleep(0)
        answered.set()
        await client.settle()
        assert len(client.read) == count
        client.connection.connection_lost(None)

    asyncio.run(test())


@pytest.mark.parametrize("at", range(0, 90, 7))
def test_who_goes_away_in_the_middle_leaves_nothing(at: int) -> None:
    """Whatever was being read or answered ends with the connection."""
    data = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n"

    async def test() -> None:
        client = Client()
        await client.send(data[:at])
        client.connection.connection_lost(ConnectionResetError())
        await client.settle()
        assert len(asyncio.all_tasks()) == 1
        assert client.clients.admit("192.0.2.1")

    asyncio.run(test())
