"""Heads that are known by their bytes: what is read so is what the parser read, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from fairlead.apiserver.heads import LARGEST, MOST, OTHERWISE, Heads
from fairlead.apiserver.messages import Channel, Head, Request
from tests.apiserver.serving import Client, with_server
from tests.apiserver.test_connections import HEAD, MAPS, body, post, wire

LINE = b"POST /api/v1/pods HTTP/1.1\r\n"
HEADERS = b"Host: x\r\nAccept: application/json\r\nContent-Length: 4\r\n\r\n"


def parsed(data: bytes, sent: bytes = b"abcd", **of: Any) -> Request:
    """A request as the parser would have it, with this body."""
    lines = data.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    raw = [cast(tuple[bytes, bytes], tuple(line.split(b": ", 1))) for line in lines]
    request = Request(
        cast(Channel, None), "POST", "/", "1.1", Head(raw), keep_alive=of.get("keep_alive", True)
    )
    request.take(sent)
    request.end()
    return request


def test_headers_that_were_seen_are_read_with_any_path_and_body() -> None:
    heads = Heads()
    data = LINE + HEADERS + b"abcd"
    assert heads.read(data) is None
    request = parsed(data)
    heads.learn(data, request)
    read = heads.read(b"PATCH /apis/apps/v1/x?fieldManager=me HTTP/1.1\r\n" + HEADERS + b"\r\n\r\n")
    assert read is not None
    assert (read.method, read.target, read.body) == ("PATCH", "/apis/apps/v1/x?fieldManager=me", b"\r\n\r\n")
    assert read.head is request.head


@pytest.mark.parametrize(
    ("how", "data"),
    [
        ("a shorter body", LINE + HEADERS + b"abc"),
        ("a longer body, or a second request", LINE + HEADERS + b"abcde"),
        ("another header", LINE + HEADERS.replace(b"Accept", b"accept") + b"abcd"),
        ("a head that is not all there", (LINE + HEADERS)[:-2]),
        ("an older version", LINE.replace(b"1.1", b"1.0") + HEADERS + b"abcd"),
        ("a method of its own", LINE.replace(b"POST", b"CONNECT") + HEADERS + b"abcd"),
        ("a path that readers differ about", LINE.replace(b"pods", b"pods#a") + HEADERS + b"abcd"),
        ("a target with scheme and host", LINE.replace(b"/api", b"http://x/api") + HEADERS + b"abcd"),
        ("two spaces in the line", LINE.replace(b" /", b"  /") + HEADERS + b"abcd"),
        ("a line that ends otherwise", LINE[:-2] + b"\n" + HEADERS + b"abcd"),
    ],
)
def test_all_else_is_left_to_the_parser(how: str, data: bytes) -> None:
    heads = Heads()
    heads.learn(LINE + HEADERS + b"abcd", parsed(LINE + HEADERS))
    assert heads.read(data) is None


@pytest.mark.parametrize("name", sorted(OTHERWISE))
def test_headers_that_concern_the_connection_are_not_kept(name: str) -> None:
    heads = Heads()
    data = LINE + name.title().encode() + b": x\r\n" + HEADERS + b"abcd"
    heads.learn(data, parsed(data))
    assert heads.read(data) is None


def test_what_the_parser_read_otherwise_is_not_kept() -> None:
    heads = Heads()
    data = LINE + HEADERS + b"abcd"
    heads.learn(data, parsed(data, keep_alive=False))
    heads.learn(data, parsed(data, b"ab\r\n\r\nabcd"))  # as of a head that ends in line feeds alone
    large = LINE + b"Cookie: " + b"x" * LARGEST + b"\r\n" + HEADERS + b"abcd"
    heads.learn(large, parsed(large))
    assert heads.read(data) is None
    assert heads.read(large) is None


def test_no_more_than_some_are_kept() -> None:
    heads = Heads()
    for n in range(3 * MOST):
        data = LINE + b"X-Number: %d\r\n" % n + HEADERS + b"abcd"
        heads.learn(data, parsed(data))
        assert heads.read(data) is not None
    assert len(heads._known) <= MOST


def test_a_client_that_sends_the_same_headers_again(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        async with wire(client) as connection:
            length = f"Content-Length: {len(body('a'))}"
            for name in "abc":
                connection.send(post(body(name), length))
                code, _, obj = await connection.answer()
                assert (code, obj["metadata"]["name"]) == (201, name)
            # In two pieces, in one with the next, and with what is no request behind it.
            request = post(body("d"), length)
            connection.send(request[:-9])
            connection.send(request[-9:])
            connection.send(post(body("e"), length) + post(body("f"), length))
            connection.send(post(body("g"), length) + b"\r\n\r\nno request\r\n\r\n")
            found = [await connection.answer() for _ in range(5)]
            assert [code for code, _, _ in found] == [201, 201, 201, 201, 400]
            assert [obj["metadata"]["name"] for _, _, obj in found[:4]] == list("defg")
            assert await connection.closed()

    with_server(tmp_path, test)


def test_a_sender_is_judged_anew_for_every_request(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        asked = f"GET {MAPS}/%s HTTP/1.1\r\n{HEAD}%s\r\n"
        nobody = "Impersonate-User: nobody\r\n"
        async with wire(client) as connection:
            for path in ("a", "a", "b"):
                connection.send(asked % (path, nobody))
                assert (await connection.answer())[0] == 403
                connection.send(asked % (path, ""))
                assert (await connection.answer())[0] == 404
                connection.send((asked % (path, "")).replace("Bearer ", "Bearer x"))
                assert (await connection.answer())[0] == 401
            bare = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
            for accept, kind in ((bare, "PartialObjectMetadataList"), ("*/*", "ConfigMapList")) * 2:
                connection.send(f"GET {MAPS} HTTP/1.1\r\n{HEAD}Accept: {accept}\r\n\r\n")
                _, _, listed = await connection.answer()
                assert listed["kind"] == kind

    with_server(tmp_path, test)
