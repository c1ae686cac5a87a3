"""The protocols of exec and attach: what is agreed upon, what a message means, how an end is told."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.node.kubelet import remotecommand
from fairlead.node.kubelet.http import Refused, Request, parse
from fairlead.node.kubelet.remotecommand import (
    SPDY_PROTOCOLS,
    V4,
    V5,
    WEBSOCKET_PROTOCOLS,
    Channels,
    Sizes,
    Wanted,
    exited,
    failed,
    negotiate,
    outcome,
    spdy_streams,
    succeeded,
    wanted,
)


def asking(query: str) -> Request:
    return parse(f"POST /exec/ns/pod/c?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("output=1&error=1", Wanted(stdout=True, stderr=True)),
        ("input=1&output=1&tty=1", Wanted(stdin=True, stdout=True, tty=True)),
        ("input=1&output=1&error=1&tty=1", Wanted(stdin=True, stdout=True, tty=True)),
        ("input=1", Wanted(stdin=True)),
    ],
)
def test_what_a_query_asks_for(query: str, expected: Wanted) -> None:
    assert wanted(asking(query)) == expected


def test_a_command_without_streams_is_refused() -> None:
    with pytest.raises(Refused, match="at least 1 of stdin, stdout, stderr"):
        wanted(asking("command=ls"))


@pytest.mark.parametrize(
    ("asked", "known", "agreed"),
    [
        (["v4.channel.k8s.io", "v3.channel.k8s.io", "channel.k8s.io"], SPDY_PROTOCOLS, V4),
        (["v5.channel.k8s.io", "v4.channel.k8s.io"], SPDY_PROTOCOLS, V4),
        (["v5.channel.k8s.io", "v4.channel.k8s.io"], WEBSOCKET_PROTOCOLS, V5),
        (["base64.channel.k8s.io"], WEBSOCKET_PROTOCOLS, "base64.channel.k8s.io"),
        ([], SPDY_PROTOCOLS, ""),
    ],
)
def test_the_first_protocol_that_both_know(asked: list[str], known: tuple[str, ...], agreed: str) -> None:
    assert negotiate(asked, known) == agreed


def test_no_common_protocol() -> None:
    with pytest.raises(Refused, match=r"client supports \[v9\]") as refusal:
        negotiate(["v9"], SPDY_PROTOCOLS)
    assert refusal.value.status == 403
    assert V4 in refusal.value.headers["X-Accepted-Stream-Protocol-Versions"]


@pytest.mark.parametrize(
    ("asked", "protocol", "streams"),
    [
        (Wanted(stdout=True, stderr=True), V4, {"error", "stdout", "stderr"}),
        (Wanted(stdin=True, stdout=True, tty=True), V4, {"error", "stdin", "stdout", "resize"}),
        (Wanted(stdin=True, stdout=True, tty=True), "v2.channel.k8s.io", {"error", "stdin", "stdout"}),
    ],
)
def test_the_streams_that_a_client_opens(asked: Wanted, protocol: str, streams: set[str]) -> None:
    assert spdy_streams(asked, protocol) == streams


def test_how_a_command_ended() -> None:
    assert json.loads(outcome(succeeded(), V4))["status"] == "Success"
    status = json.loads(outcome(exited(3), V5))
    assert (status["status"], status["reason"]) == ("Failure", "NonZeroExitCode")
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    assert exited(0) == succeeded()
    assert json.loads(outcome(failed("no such file"), V4))["code"] == 500
    old = "v2.channel.k8s.io"
    assert outcome(succeeded(), old) == b""
    assert outcome(exited(3), old) == b"command terminated with non-zero exit code: exit status 3"


@pytest.mark.parametrize(
    ("protocol", "message", "meaning"),
    [
        (V4, b"\0ls\n", ("stdin", b"ls\n")),
        (V4, b'\4{"Width":1}', ("resize", b'{"Width":1}')),
        (V4, b"\xff\0", None),
        (V5, b"\xff\0", ("stdin", None)),
        (V5, b"\xff\x09", None),
        (V5, b"\xff", None),
        (V5, b"", None),
        (V5, b"\x07x", None),
        ("v4.base64.channel.k8s.io", b"0bHMK", ("stdin", b"ls\n")),
        ("base64.channel.k8s.io", b"0b", None),
        ("", b"\0x", ("stdin", b"x")),
    ],
)
def test_what_a_message_means(
    protocol: str, message: bytes, meaning: tuple[str, bytes | None] | None
) -> None:
    assert Channels(protocol).unpack(message) == meaning


@given(st.sampled_from(WEBSOCKET_PROTOCOLS), st.sampled_from(remotecommand.CHANNELS), st.binary(max_size=100))
def test_messages_are_read_as_they_are_written(protocol: str, stream: str, data: bytes) -> None:
    packed = Channels(protocol).pack(stream, data)
    assert isinstance(packed, str) is ("base64" in protocol)
    assert Channels(protocol).unpack(packed.encode() if isinstance(packed, str) else packed) == (stream, data)


@pytest.mark.parametrize(
    ("pieces", "sizes"),
    [
        ([b'{"Width":80,"Height":24}'], [(80, 24)]),
        ([b'{"Width":80,"Hei', b'ght":24}\n{"Width":81,"Height":25}\n'], [None, (81, 25)]),
        ([b'{"Width":0,"Height":24}{"Width":70000,"Height":24}'], [None]),
        ([b'{"Width":"80"}[]7 ', b'{"Width":80,"Height":24}'], [None, (80, 24)]),
        ([b"{" * 5000, b'{"Width":80,"Height":24}'], [None, (80, 24)]),
    ],
    ids=["one", "pieces", "impossible", "other", "endless"],
)
def test_sizes(pieces: list[bytes], sizes: list[tuple[int, int] | None]) -> None:
    reader = Sizes()
    assert [reader.feed(piece) for piece in pieces] == sizes
