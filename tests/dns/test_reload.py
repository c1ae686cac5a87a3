"""Another configuration while clients ask: every query gets its answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from threading import Event

import dns.message
import dns.rcode

from fairlead.dns.tally import tally
from tests.client.server import until
from tests.dns.cluster import Running, lines, query, receive_message, running, send_message
from tests.dns.others import other_server, reply
from tests.waiting import LIMIT

D = "default.svc.cluster.local"
CHANGES = 100
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


def ask_over_udp(server: Running, done: Event) -> None:
    """Each question once: one that gets no answer ends the test."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT)
        sock.connect((server.host, server.port))
        for number in numbers(done):
            sock.send(query(names(number)[0], id=number).to_wire())
            right(sock.recv(4096), number)


def ask_over_tcp(server: Running, done: Event) -> None:
    """All on one connection, a few at a time."""
    with server.tcp() as sock:
        for number in numbers(done):
            several = [(4 * number + one) & 0xFFFF for one in range(4)]
            for one in several:
                send_message(sock, query(names(one)[0], id=one).to_wire())
            for _ in several:
                answer = receive_message(sock)
                right(answer, int.from_bytes(answer[:2]))


def numbers(done: Event) -> Iterator[int]:
    """The numbers of questions, until it is done."""
    for number in count():
        if done.is_set():
            return
        yield number & 0xFFFF


def test_no_query_is_lost() -> None:
    with (
        other_server(reply(f"{OTHERS}. 300 A 192.0.2.80")) as (upstream, _),
        running(upstreams=(upstream,)) as server,
        ThreadPoolExecutor() as pool,
    ):
        done = Event()
        clients = [pool.submit(ask, server, done) for ask in (ask_over_udp, ask_over_udp, ask_over_tcp)]

        def answered() -> int:
            return sum(number for *_, number in tally(server.listeners).queries)

        async def reconfigure() -> None:
            """So many times, and at least one question is answered between one time and the next."""
            for change in range(CHANGES):
                before = answered()
                config = server.listeners.config
                server.listeners.reconfigure(replace(config, ttl=30 + change % 2, sample=change % 2))
                await until(
                    lambda before=before: answered() > before or any(client.done() for client in clients),  # type: ignore[misc]
                    "a question is answered",
                )

        try:
            server.do(reconfigure())
        finally:
            done.set()
        for client in clients:
            client.result(LIMIT)
