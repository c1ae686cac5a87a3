"""Connections: HTTP/1.1 as clients use it, and clients that misuse it. Real sockets, over TLS."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from fairlead.apiserver import answers, clients, connections, listening, reading, replies
from fairlead.apiserver.bodies import LIMIT
from tests.apiserver.serving import SECONDS, TOKEN, Client, config_map, with_server

MAPS = "/api/v1/namespaces/default/configmaps"
HEAD = f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\n"


class Wire:
    """A connection that sends exactly what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, text: str | bytes) -> None:
        """Sends without waiting."""
        self.writer.write(text.encode() if isinstance(text, str) else text)

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        """Status, headers in lower case, body of the next answer, as JSON where it is that."""
        async with asyncio.timeout(SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
            }
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(head[0].split()[1]), headers, json.loads(body) if body.startswith(b"{") else body

    async def closed(self) -> bool:
        """Waits until the server closes the connection."""
        async with asyncio.timeout(SECONDS):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                pass
        return True


def trusting() -> ssl.SSLContext:
    """A client's context that takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@asynccontextmanager
async def wire(client: Client) -> AsyncIterator[Wire]:
    """A bare connection to the client's server."""
    base = client.session._base_url
    assert base is not None
    assert base.host is not None
    reader, writer = await asyncio.open_connection(base.host, base.port, ssl=trusting())
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


def post(body: bytes, *headers: str) -> bytes:
    """A POST of a ConfigMap."""
    lines = [
        f"POST {MAPS} HTTP/1.1",
        *HEAD.split("\r\n")[:-1],
        "Content-Type: application/json",
        *headers,
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


def body(name: str) -> bytes:
    return json.dumps(config_map(name)).encode()


def test_requests_sent_ahead_are_answered_in_order(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        async with wire(client) as connection:
            names = [f"m{i}" for i in range(40)]
            connection.send(b"".join(post(body(n), f"Content-Length: {len(body(n))}") for n in names))
            found = [await connection.answer() for _ in names]
            assert [(code, obj["metadata"]["name"]) for code, _, obj in found] == [(201, n) for n in names]

    with_server(tmp_path, test)


def test_a_body_in_chunks(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        async with wire(client) as connection:
            text = body("a")
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (text[:9], text[9:], b""))
            connection.send(post(chunks, "Transfer-Encoding: chunked"))
            assert (await connection.answer())[0] == 201

    with_server(tmp_path, test)


def test_a_client_is_told_to_continue(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        async with wire(client) as connection:
            text = body("a")
            connection.send(post(b"", f"Content-Length: {len(text)}", "Expect: 100-continue"))
            assert (await connection.answer())[0] == 100
            connection.send(text)
            assert (await connection.answer())[0] == 201
            # Who may not write is told so before the body is sent.
            refused = post(b"", f"Content-Length: {len(text)}", "Expect: 100-continue")
            connection.send(refused.replace(TOKEN.encode(), b"wrong"))
            assert (await connection.answer())[0] == 401

    with_server(tmp_path, test)


LARGE = LIMIT + 1
HEAD_LIMIT = reading.HEAD_BYTES


@pytest.mark.parametrize(
    ("how", "request_"),
    [
        ("said to be too large", post(b"", f"Content-Length: {LARGE}")),
        (
            "found to be too large",
            post(b"%x\r\n" % LARGE + b"x" * LARGE + b"\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        ),
    ],
)
def test_a_body_too_large_is_413(tmp_path: Path, how: str, request_: bytes) -> None:
    async def test(client: Client) -> None:
        async with wire(client) as connection:
            connection.send(request_)
            code, _, status = await connection.answer()
            assert (code, status["reason"]) == (413, "RequestEntityTooLarge")
            assert status["message"] == "Request entity too large: limit is 3145728"

    with_server(tmp_path, test)


UNREADABLE: dict[str, tuple[bytes, int]] = {
    "a long header": (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * (HEAD_LIMIT + 99) + b"\r\n\r\n", 431),
    "a long path": (b"GET /" + b"y" * (HEAD_LIMIT + 99) + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    "many headers": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 300 + b"\r\n", 400),
    "no header": (b"GET / HTTP/1.1\r\nHost: x\r\nBad header\r\n\r\n", 400),
    "no HTTP": (b"\x16\x03\x01\r\n\r\n", 400),
    "two lengths": (post(b"0\r\n\r\n", "Content-Length: 5", "Transfer-Encoding: chunked"), 400),
    "negative length": (post(b"", "Content-Length: -5"), 400),
    "a length twice": (post(b"{}", "Content-Length: 2", "Content-Length: 2"), 400),
    "a list of lengths": (post(b"{}", "Content-Length: 2, 2"), 400),
    "chunks in another encoding": (post(b"0\r\n\r\n", "Transfer-Encoding: gzip, chunked"), 501),
    "an unknown encoding": (post(b"0\r\n\r\n", "Transfer-Encoding: identity"), 501),
    "space before a colon": (post(b"{}", "Content-Length : 2"), 400),
    "a body and an upgrade": (post(b"{}", "Content-Length: 2", "Connection: Upgrade", "Upgrade: h2c"), 400),
    "two hosts": (b"GET /version HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "no host": (b"GET /version HTTP/1.1\r\n\r\n", 400),
    "chunks in HTTP/1.0": (b"POST /version HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a folded header": (b"GET /version HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n", 400),
    "bare line feeds": (b"GET /version HTTP/1.1\nHost: x\n\n", 400),
    "a control character": (b"GET /version HTTP/1.1\r\nHost: x\r\nX: \0\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "no chunk": (post(b"z\r\n", "Transfer-Encoding: chunked"), 400),
    "another version": (b"GET /version HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    "the first version": (b"GET /version HTTP/0.9\r\n\r\n", 505),
    "another expectation": (b"GET /version HTTP/1.1\r\nHost: x\r\nExpect: nothing\r\n\r\n", 417),
}


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    async def refuses(client: Client, what: str) -> None:
        request, code = UNREADABLE[what]
        async with wire(client) as connection:
            connection.send(request)
            found, _, status = await connection.answer()
            assert (found, status["kind"], status["code"]) == (code, "Status", code), what
            assert await connection.closed(), what

    async def test(client: Client) -> None:
        await asyncio.gather(*(refuses(client, what) for what in UNREADABLE))
        assert (await client.ask("GET", "/readyz"))[0] == 200

    with_server(tmp_path, test)


TARGETS = ("http://other/version", "https://127.0.0.1:1/version?x", "HTTP://u@h/version", "/version")


def test_a_target_may_name_scheme_and_host(tmp_path: Path) -> None:
    """As for a proxy: it is taken by its path, and the rights to that are asked for."""

    async def test(client: Client) -> None:
        for target in TARGETS:
            async with wire(client) as connection:
                connection.send(f"GET {target} HTTP/1.1\r\n{HEAD}\r\n")
                code, _, found = await connection.answer()
                assert (code, found["major"]) == (200, "1"), target
                secrets = target.replace("version", "api/v1/namespaces/default/secrets")
                connection.send(f"GET {secrets} HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await connection.answer())[0] == 403, target

    with_server(tmp_path, test)


def test_how_long_a_connection_lasts(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = f"/version HTTP/1.1\r\n{HEAD}"
        old = path.replace("1.1", "1.0", 1)
        cases = {
            f"GET {path}\r\n": ("", True),
            f"GET {path}Connection: close\r\n\r\n": ("close", False),
            f"GET {old}\r\n": ("close", False),
            f"GET {old}Connection: keep-alive\r\n\r\n": ("keep-alive", True),
            # Nobody here speaks it, and what follows is not taken for a request.
            f"GET {path}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n": ("close", False),
        }
        for request, (said, stays) in cases.items():
            async with wire(client) as connection:
                connection.send(request + (f"GET {path}\r\n" if not said else ""))
                code, headers, found = await connection.answer()
                assert (code, headers.get("connection", ""), found["major"]) == (200, said, "1"), request
                if not said:
                    assert (await connection.answer())[0] == 200
                if not stays:
                    assert await connection.closed()

    with_server(tmp_path, test)


def test_an_answer_without_its_body(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        async with wire(client) as connection:
            connection.send(f"HEAD /version HTTP/1.1\r\n{HEAD}\r\nGET /version HTTP/1.1\r\n{HEAD}\r\n")
            async with asyncio.timeout(SECONDS):
                head = (await connection.reader.readuntil(b"\r\n\r\n")).lower()
            _, headers, _ = await connection.answer()
            assert b"content-length: " + headers["content-length"].encode() in head
            connection.send(f"HEAD {MAPS}?watch=true HTTP/1.1\r\n{HEAD}\r\n")
            async with asyncio.timeout(SECONDS):
                assert b" 200 " in await connection.reader.readuntil(b"\r\n\r\n")
            connection.send(f"GET /version HTTP/1.1\r\n{HEAD}\r\n")
            assert (await connection.answer())[0] == 200

    with_server(tmp_path, test)


def test_a_watch_over_the_oldest_http_ends_with_its_connection(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        async with wire(client) as connection:
            connection.send(f"GET {MAPS}?watch=true&timeoutSeconds=1 HTTP/1.0\r\n{HEAD}\r\n")
            async with asyncio.timeout(SECONDS):
                head = (await connection.reader.readuntil(b"\r\n\r\n")).lower()
                frames = (await connection.reader.read()).splitlines()
            assert b"connection: close" in head
            assert b"transfer-encoding" not in head
            assert [json.loads(frame)["object"]["metadata"]["name"] for frame in frames] == [
                "kube-root-ca.crt"
            ]

    with_server(tmp_path, test)


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_what_comes_in_pieces_is_read_as_a_whole(tmp_path: Path, size: int) -> None:
    async def test(client: Client) -> None:
        async with wire(client) as connection:
            text = body("a")
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (text[:9], text[9:], b""))
            sent = post(chunks, "Transfer-Encoding: chunked") + post(
                body("b"), f"Content-Length: {len(body('b'))}"
            )
            for start in range(0, len(sent), size):
                connection.send(sent[start : start + size])
                await asyncio.sleep(0)
            assert [(await connection.answer())[0] for _ in range(2)] == [201, 201]

    with_server(tmp_path, test)


def test_many_requests_at_once_wait_outside(tmp_path: Path) -> None:
    """While one is answered, the server reads only so far ahead; all of them are answered."""

    async def test(client: Client) -> None:
        async with wire(client) as connection:
            request = f"GET /version HTTP/1.1\r\n{HEAD}\r\n".encode()
            count = 5 * reading.AHEAD // len(request)
            connection.send(request * count)
            for _ in range(count):
                assert (await connection.answer())[0] == 200

    with_server(tmp_path, test)


def test_a_client_that_goes_away_ends_its_watch(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        line = 'apiserver_longrunning_requests{component="apiserver",group="",resource="configmaps"'
        async with wire(client) as connection:
            connection.send(f"GET {MAPS}?watch=true HTTP/1.1\r\n{HEAD}\r\n")
            async with asyncio.timeout(SECONDS):
                await connection.reader.readuntil(b"\r\n\r\n")

        def ended(_: int, text: Any) -> bool:
            return any(part.startswith(line) and part.endswith(" 0.0") for part in text.splitlines())

        await client.until("/metrics", ended)

    with_server(tmp_path, test)


def test_a_long_path_that_is_allowed(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        values = ",".join(f"value-{i}" for i in range(20_000))
        async with wire(client) as connection:
            connection.send(f"GET {MAPS}?labelSelector=app%20in%20({values}) HTTP/1.1\r\n{HEAD}\r\n")
            assert (await connection.answer())[0] == 200

    with_server(tmp_path, test)


def test_slow_clients_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "SWEEP_SECONDS", 0.02)
    monkeypatch.setattr(replies, "BODY_SECONDS", 0.1)
    asks = f"GET /version HTTP/1.1\r\n{HEAD}\r\n"

    async def test(client: Client) -> None:
        async with (
            wire(client) as idle,
            wire(client) as silent,
            wire(client) as dripping,
            wire(client) as lazy,
        ):
            lazy.send(post(b"{", "Content-Length: 100"))
            code, _, status = await lazy.answer()
            assert (code, status["reason"]) == (504, "Timeout")
            idle.send(asks)
            assert (await idle.answer())[0] == 200
            dripping.send("GET / HTTP/1.1\r\n")

            async def drip() -> None:
                while True:
                    await asyncio.sleep(0.01)
                    dripping.send("X: y\r\n")

            dripper = asyncio.ensure_future(drip())
            monkeypatch.setattr(connections, "HEAD_SECONDS", 0.1)  # from now on, for those that are there too
            assert await silent.closed()
            assert await dripping.closed()
            dripper.cancel()
            # One that has asked and waits between requests is not slow: it may wait for longer than a head takes.
            monkeypatch.setattr(connections, "HEAD_SECONDS", 32.0)
            idle.send(asks)
            assert (await idle.answer())[0] == 200

    with_server(tmp_path, test)


def test_a_client_that_begins_no_tls_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "HANDSHAKE_SECONDS", 0.2)

    async def test(client: Client) -> None:
        base = client.session._base_url
        assert base is not None
        reader, writer = await asyncio.open_connection(base.host, base.port)
        writer.write(b"\x16\x03\x01")
        assert await Wire(reader, writer).closed()
        writer.close()

    with_server(tmp_path, test)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + b"\0" * 512,
        b"\x15\x03\x01\0\x02\x02\x28",
        b"\0",
    ],
    ids=["HTTP", "a hello that is none", "an alert", "noise"],
)
def test_what_is_no_tls_ends_a_connection_at_once(tmp_path: Path, sent: bytes) -> None:
    async def test(client: Client) -> None:
        base = client.session._base_url
        assert base is not None
        reader, writer = await asyncio.open_connection(base.host, base.port)
        writer.write(sent)
        writer.write_eof()
        assert await Wire(reader, writer).closed()
        writer.close()
        assert (await client.get("/version"))["major"]

    with_server(tmp_path, test)


def test_who_does_not_agree_upon_tls_takes_nobody_elses_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the places are one address's, before and after TLS alike; they are free again as they are left."""
    monkeypatch.setattr("fairlead.apiserver.server.room_for_connections", lambda: 8)
    hello = b"\x16\x03\x01\x02\0\x01\0"  # the beginning of a ClientHello

    async def test(client: Client) -> None:
        base = client.session._base_url
        assert base is not None
        half_open = [await asyncio.open_connection(base.host, base.port) for _ in range(4)]
        for _, writer in half_open:
            writer.write(hello)
        reader, writer = await asyncio.open_connection(base.host, base.port)
        assert await Wire(reader, writer).closed()
        writer.close()
        reader, writer = await asyncio.open_connection(
            base.host, base.port, local_addr=("127.0.0.2", 0), ssl=trusting()
        )
        there = Wire(reader, writer)
        there.send(f"GET /version HTTP/1.1\r\n{HEAD}\r\n")
        assert (await there.answer())[0] == 200
        writer.transport.abort()
        for _, writer in half_open:
            writer.transport.abort()
        async with asyncio.timeout(SECONDS):
            while not await is_let_in(client):
                pass

    with_server(tmp_path, test)


async def is_let_in(client: Client) -> bool:
    """Whether the server has a place for one more, having heard of those who left."""
    try:
        async with wire(client) as connection:
            connection.send(f"GET /version HTTP/1.1\r\n{HEAD}\r\n")
            return (await connection.answer())[0] == 200
    except (ConnectionError, asyncio.IncompleteReadError):
        return False


def test_a_server_that_stops_sends_away_who_has_not_agreed_upon_tls(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        base = client.session._base_url
        assert base is not None
        reader, writer = await asyncio.open_connection(base.host, base.port)
        await client.get("/version")  # which comes in behind it
        client.server.cancel()
        assert await Wire(reader, writer).closed()
        writer.close()

    with_server(tmp_path, test)


def test_a_long_list_lets_others_have_their_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two slices of it, which here take as long as the others want."""
    monkeypatch.setattr(answers, "SLICE", 1)

    async def test(client: Client) -> None:
        begun, answered = asyncio.Event(), asyncio.Event()

        async def turn(_: float) -> None:
            begun.set()
            await answered.wait()

        for i in range(3):
            await client.create(MAPS, config_map(f"m{i}"))
        monkeypatch.setattr(answers, "asyncio", SimpleNamespace(sleep=turn))
        listing = asyncio.ensure_future(client.get(MAPS))
        async with asyncio.timeout(SECONDS):
            await begun.wait()
        for _ in range(3):
            await client.get("/version")
        assert not listing.done()
        answered.set()
        assert len((await listing)["items"]) == 4

    with_server(tmp_path, test)


def test_a_client_that_reads_no_answer_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "SWEEP_SECONDS", 0.05)
    cut: list[connections.Connection] = []
    stalls = connections.Connection.overdue

    def overdue(connection: connections.Connection, now: float) -> bool:
        if found := stalls(connection, now):
            cut.append(connection)
        return found

    monkeypatch.setattr(connections.Connection, "overdue", overdue)

    async def test(client: Client) -> None:
        for i in range(10):
            await client.create(MAPS, {**config_map(f"m{i}"), "data": {"a": "x" * 1_000_000}})
        # Not before: on a machine that does other things, who is answered with a million bytes waits for them, too.
        monkeypatch.setattr(connections, "STALLED_SECONDS", 0.3)
        async with wire(client) as deaf:
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
            deaf.send(f"GET {MAPS} HTTP/1.1\r\n{HEAD}\r\n" * 5)
            async with asyncio.timeout(SECONDS):
                while not cut:  # noqa: ASYNC110 - the server's state is what is awaited
                    await asyncio.sleep(0.01)
            deaf.writer.transport.resume_reading()  # type: ignore[attr-defined]
            assert await deaf.closed()

    with_server(tmp_path, test)


def test_one_address_has_half_of_the_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.apiserver.server.room_for_connections", lambda: 8)

    async def test(client: Client) -> None:
        async with (
            wire(client) as first,
            wire(client) as second,
            wire(client) as third,
            wire(client) as fourth,
        ):
            for connection in (first, second, third, fourth):
                connection.send(f"GET /version HTTP/1.1\r\n{HEAD}\r\n")
                assert (await connection.answer())[0] == 200
            assert not await is_let_in(client)
            first.writer.close()
            await first.writer.wait_closed()
            async with asyncio.timeout(SECONDS):
                while not await is_let_in(client):
                    pass

    with_server(tmp_path, test)


def test_a_server_that_stops_does_not_wait_for_who_asks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fairlead.apiserver.server.STOP_SECONDS", 10 * SECONDS)

    async def test(client: Client) -> None:
        async with wire(client) as idle:
            idle.send(f"GET /version HTTP/1.1\r\n{HEAD}\r\n")
            assert (await idle.answer())[0] == 200
            idle.writer.transport.pause_reading()  # type: ignore[attr-defined]
            client.server.cancel()
            async with asyncio.timeout(SECONDS):
                await asyncio.wait([client.server])

    with_server(tmp_path, test)


def test_a_server_that_stops_ends_its_watches_and_answers_what_it_was_asked(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for i in range(8):
            await client.create(MAPS, {**config_map(f"m{i}"), "data": {"a": "x" * 1_000_000}})
        watch = await client.watch(f"{MAPS}?fieldSelector=metadata.name%3Dnone")
        async with wire(client) as busy, wire(client) as idle:
            idle.send(f"GET /version HTTP/1.1\r\n{HEAD}\r\n")
            assert (await idle.answer())[0] == 200
            busy.send(f"GET {MAPS} HTTP/1.1\r\n{HEAD}\r\n")
            await busy.reader.readexactly(1)
            client.server.cancel()
            async with asyncio.timeout(SECONDS):
                assert await watch.response.content.read() == b""
                head = await busy.reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                assert len(await busy.reader.readexactly(length)) == length > 8_000_000
            assert await idle.closed()
            async with asyncio.timeout(SECONDS):
                await asyncio.wait([client.server])
        with pytest.raises((aiohttp.ClientError, OSError)):
            await client.ask("GET", "/version")

    with_server(tmp_path, test)


def test_who_asks_for_a_protocol_that_there_is_not_is_answered_and_sent_away(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        async with wire(client) as one:
            one.send(
                f"GET /version HTTP/1.1\r\n{HEAD}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + "x" * 100_000
            )
            status, headers, body = await one.answer()
            assert (status, headers["connection"], body["major"]) == (200, "close", "1")
            assert await one.closed()

    with_server(tmp_path, test)
