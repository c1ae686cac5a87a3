"""SPDY frames: what two ends say to each other, whatever the pieces, and what no end has to bear."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.node.kubelet import spdy
from fairlead.node.kubelet.spdy import Connection, GoneAway, Opened, Received, Replied, Reset


def ends() -> tuple[Connection, Connection]:
    """A client and a server."""
    return Connection(server=False), Connection(server=True)


def control(kind: int, body: bytes, flags: int = 0, version: int = spdy.VERSION) -> bytes:
    return struct.pack(">HHI", 0x8000 | version, kind, flags << 24 | len(body)) + body


def test_the_dictionary_is_the_drafts() -> None:
    # Every SPDY/3 connection begins with this checksum: two bytes of zlib's head, then the dictionary's.
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


def test_a_stream_from_its_beginning_to_its_end() -> None:
    client, server = ends()
    stream = client.open({"streamType": "stdin"})
    assert server.receive(client.take()) == [Opened(1, {"streamtype": "stdin"}, False)]
    server.reply(stream)
    assert client.receive(server.take()) == [Replied(1, {}, False)]
    client.send(stream, b"hello")
    client.send(stream, b"", fin=True)
    assert server.receive(client.take()) == [Received(1, b"hello", False), Received(1, b"", True)]
    server.send(stream, b"x" * (spdy.LONGEST_DATA + 1), fin=True)
    answer = client.receive(server.take())
    assert [(len(event.data), event.fin) for event in answer if isinstance(event, Received)] == [
        (spdy.LONGEST_DATA, False),
        (1, True),
    ]
    server.send(stream, b"more")
    assert server.take() == b"", "the stream is closed"
    assert client.open({}) == 3


def test_resets_pings_and_farewells() -> None:
    client, server = ends()
    stream = client.open({})
    server.receive(client.take())
    server.reset(stream, spdy.REFUSED_STREAM)
    assert client.receive(server.take()) == [Reset(1, spdy.REFUSED_STREAM)]
    ping = control(spdy.PING, struct.pack(">I", 7))
    assert server.receive(ping) == []
    assert server.take() == ping
    server.receive(control(spdy.PING, struct.pack(">I", 8)))
    assert server.take() == b"", "the answer to a ping of its own"
    client.go_away()
    assert server.receive(client.take()) == [GoneAway()]


def test_what_nothing_depends_on_is_passed_over() -> None:
    _, server = ends()
    settings = control(spdy.SETTINGS, struct.pack(">III", 1, 4, 100))
    window = control(spdy.WINDOW_UPDATE, struct.pack(">II", 1, 1000))
    unknown_stream = struct.pack(">II", 99, 3) + b"abc"
    assert server.receive(settings + window + control(77, b"?") + unknown_stream) == []
    assert server.take() == b""


def test_streams_that_cannot_be_opened_are_reset() -> None:
    client, server = Connection(server=False), Connection(server=True, most_streams=2)
    for _ in range(3):
        client.open({})
    assert [type(event) for event in server.receive(client.take())] == [Opened, Opened]
    assert client.receive(server.take()) == [Reset(5, spdy.REFUSED_STREAM)]
    again = Connection(server=False)
    again.open({})
    fresh = Connection(server=True)
    fresh._last = 1
    assert fresh.receive(again.take()) == []
    assert again.receive(fresh.take()) == [Reset(1, spdy.PROTOCOL_ERROR)]


def bomb() -> bytes:
    """Headers that are small when packed, and megabytes when not."""
    packer = zlib.compressobj(zdict=spdy.DICTIONARY)
    value = b"0" * (8 << 20)
    body = struct.pack(">II", 1, 1) + b"a" + struct.pack(">I", len(value)) + value
    return packer.compress(body) + packer.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        (control(spdy.PING, b"\0\0\0\1", version=2), "version 2"),
        (control(spdy.PING, b"\0"), "too short"),
        (struct.pack(">HHI", 0x8003, spdy.SYN_STREAM, spdy.LONGEST_CONTROL + 1), "control frame of"),
        (control(spdy.SYN_STREAM, struct.pack(">IIBB", 1, 0, 0, 0) + b"no zlib"), "cannot be unpacked"),
        (control(spdy.SYN_STREAM, struct.pack(">IIBB", 1, 0, 0, 0) + bomb()), "more than"),
    ],
    ids=["version", "short", "long", "garbage", "bomb"],
)
def test_what_cannot_be_read_ends_the_connection(wire: bytes, said: str) -> None:
    with pytest.raises(spdy.ProtocolError, match=said):
        Connection().receive(wire)


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=40), st.booleans())), st.data())
def test_pieces_make_no_difference(sent: list[tuple[int, bytes, bool]], data: st.DataObject) -> None:
    client, server = ends()
    streams = [client.open({"n": str(number)}) for number in range(4)]
    for number, text, fin in sent:
        client.send(streams[number], text, fin=fin)
    wire = client.take()
    got: dict[int, bytes] = {}
    ended: set[int] = set()
    at = 0
    while at < len(wire):
        size = data.draw(st.integers(1, 60))
        for event in server.receive(wire[at : at + size]):
            if isinstance(event, Received):
                assert event.stream not in ended
                got[event.stream] = got.get(event.stream, b"") + event.data
                if event.fin:
                    ended.add(event.stream)
        at += size
    expected: dict[int, bytes] = {}
    closed: set[int] = set()
    for number, text, fin in sent:
        if number in closed:
            continue
        if text or fin:
            expected[streams[number]] = expected.get(streams[number], b"") + text
        if fin:
            closed.add(number)
    assert got == expected
    assert ended == {streams[number] for number in closed}


@given(st.lists(st.binary(max_size=64)))
def test_noise_is_read_or_refused(pieces: list[bytes]) -> None:
    server = Connection()
    try:
        for piece in pieces:
            server.receive(piece)
    except spdy.ProtocolError:
        return
    assert len(server._received) <= spdy.LONGEST_CONTROL + 8
