"""Another configuration while clients ask: every query gets its answer."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import dns.message
import dns.rcode

from tests.dns.cluster import Running, lines, query, receive_message, running, send_message
from tests.dns.others import other_server, reply
from tests.waiting import LIMIT

D = "default.svc.cluster.local"
QUESTIONS = 400
OTHERS = "www.example.com"


def names(number: int) -> tuple[str, list[str] | None]:
    """A name and its addresses, None for no such name: ready, computed anew, put to another server."""
    return (
        (f"my-service.{D}", ["10.96.0.100"]),
        (f"nothing-{number}.{D}", None),
        (OTHERS, ["192.0.2.80"]),
    )[number % 3]


def right(answer: bytes, number: int) -> None:
    message = dns.message.from_wire(answer)
    _, addresses = names(number)
    assert message.id == number
    assert message.rcode() == (dns.rcode.NXDOMAIN if addresses is None else dns.rcode.NOERROR)
    assert [line.split()[2] for line in lines(message.answer)] == (addresses or [])


def ask_over_udp(server: Running) -> int:
    """Each question once: one that gets no answer ends the test."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT)
        sock.connect((server.host, server.port))
        for number in range(QUESTIONS):
            sock.send(query(names(number)[0], id=number).to_wire())
            right(sock.recv(4096), number)
    return QUESTIONS


def ask_over_tcp(server: Running) -> int:
    """All on one connection, a few at a time."""
    with server.tcp() as sock:
        for number in range(0, QUESTIONS, 4):
            for one in range(number, number + 4):
                send_message(sock, query(names(one)[0], id=one).to_wire())
            for _ in range(4):
                answer = receive_message(sock)
                right(answer, int.from_bytes(answer[:2]))
    return QUESTIONS


def test_no_query_is_lost() -> None:
    with (
        other_server(reply(f"{OTHERS}. 300 A 192.0.2.80")) as (upstream, _),
        running(upstreams=(upstream,)) as server,
        ThreadPoolExecutor() as pool,
    ):
        clients = [pool.submit(ask, server) for ask in (ask_over_udp, ask_over_udp, ask_over_tcp)]

        async def reconfigure() -> int:
            count = 0
            while not all(client.done() for client in clients):
                config = server.listeners.config
                server.listeners.reconfigure(replace(config, ttl=30 + count % 2, sample=count % 2))
                count += 1
                await asyncio.sleep(0.01)
            return count

        changes = server.start(reconfigure())
        assert [client.result(LIMIT) for client in clients] == [QUESTIONS] * 3
        assert changes.result(LIMIT) > 1
