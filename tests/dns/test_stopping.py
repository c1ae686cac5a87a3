"""An orderly end: what has come is answered, over UDP and TCP, by this server and by others, within a limit."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import dns.message
import dns.rcode
import pytest

from fairlead.dns import listeners
from fairlead.dns.upstreams import Upstream
from tests.dns.cluster import lines, query, receive_message, running, send_message
from tests.dns.others import other_server, reply
from tests.waiting import LIMIT

D = "default.svc.cluster.local"
AWAY = "www.example.com"


@contextmanager
def slow_server() -> Iterator[tuple[Upstream, list[str], Event]]:
    """Another server that answers when it is told to."""
    go = Event()
    answer = reply(f"{AWAY}. 300 A 192.0.2.80")

    def when_told(asked: dns.message.Message) -> list[bytes]:
        go.wait(2 * LIMIT)
        return answer(asked)

    with other_server(when_told) as (upstream, asked):
        try:
            yield upstream, asked, go
        finally:
            go.set()


@pytest.fixture
def time_to_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end waits for longer than any test."""
    monkeypatch.setattr(listeners, "DRAIN", 10 * LIMIT)


@pytest.mark.usefixtures("time_to_drain")
def test_queries_that_the_kernel_holds_are_answered() -> None:
    with running() as server:
        sockets = [socket.create_connection((server.host, server.port), LIMIT)]
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.settimeout(LIMIT)
        udp.connect((server.host, server.port))

        async def stop() -> None:
            # No other callback runs before the end begins, so that the bytes below are all unread.
            for number in range(100):
                udp.send(query(f"my-service.{D}", id=number).to_wire())
                send_message(sockets[0], query(f"my-service.{D}", id=number).to_wire())
            await server.listeners.stop()

        # The connection is taken and its first question answered, then nothing is read until the end.
        send_message(sockets[0], query(f"my-service.{D}", id=7).to_wire())
        assert dns.message.from_wire(receive_message(sockets[0])).id == 7
        server.do(stop())
        for number in range(100):
            assert dns.message.from_wire(udp.recv(4096)).id == number
            answer = dns.message.from_wire(receive_message(sockets[0]))
            assert answer.id == number
            assert lines(answer.answer) == [f"my-service.{D}. A 10.96.0.100"]
        assert sockets[0].recv(1) == b""
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((server.host, server.port), LIMIT)
        udp.close()
        sockets[0].close()


@pytest.mark.usefixtures("time_to_drain")
def test_questions_that_wait_for_others_get_their_answers() -> None:
    with (
        slow_server() as (upstream, asked, go),
        running(upstreams=(upstream,)) as server,
        server.tcp() as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        udp.settimeout(LIMIT)
        udp.connect((server.host, server.port))
        udp.send(query(AWAY, id=1).to_wire())
        send_message(tcp, query(AWAY, id=2).to_wire())
        send_message(tcp, query(f"my-service.{D}", id=3).to_wire())
        assert dns.message.from_wire(receive_message(tcp)).id == 3
        server.until(lambda: bool(asked))
        ending = server.start(server.listeners.stop())
        assert not ending.done()
        go.set()
        for answer in (udp.recv(4096), receive_message(tcp)):
            message = dns.message.from_wire(answer)
            assert lines(message.answer) == [f"{AWAY}. A 192.0.2.80"]
        assert tcp.recv(1) == b""
        ending.result(LIMIT)


def test_the_end_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "DRAIN", 0.1)
    with (
        slow_server() as (upstream, asked, _),
        running(upstreams=(upstream,)) as server,
        server.tcp() as waiting,
        server.tcp() as deaf,
        server.tcp() as half,
    ):
        half.sendall(b"\0\x20half a question")
        # A client that asks and never reads: its answers fill every buffer.
        deaf.settimeout(0.5)
        asking = query(f"my-service.{D}").to_wire()
        with contextlib.suppress(TimeoutError):
            while True:
                deaf.sendall((len(asking).to_bytes(2) + asking) * 100)
        send_message(waiting, query(AWAY).to_wire())
        server.until(lambda: bool(asked))
        server.do(server.listeners.stop())
        with pytest.raises((EOFError, ConnectionError)):
            receive_message(waiting)


def test_a_client_that_asks_no_more_gets_what_it_waits_for() -> None:
    with (
        slow_server() as (upstream, asked, go),
        running(upstreams=(upstream,)) as server,
        server.tcp() as sock,
    ):
        send_message(sock, query(AWAY).to_wire())
        send_message(sock, query(f"my-service.{D}").to_wire())
        sock.shutdown(socket.SHUT_WR)
        assert receive_message(sock)
        server.until(lambda: bool(asked))
        go.set()
        assert dns.message.from_wire(receive_message(sock)).rcode() == dns.rcode.NOERROR
        assert sock.recv(1) == b""
