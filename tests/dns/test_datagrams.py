"""Batches of datagrams: by the calls for many, and by those for one where the kernel has no others."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import dns.message
import pytest

from fairlead.dns import datagrams
from fairlead.dns.datagrams import SIZE, SLOTS, Batch, MessageBatch, SingleBatch, batch
from fairlead.dns.udp import udp_socket
from tests.dns.cluster import lines, query, running
from tests.loopback import own_address
from tests.waiting import LIMIT

KINDS = (MessageBatch, SingleBatch)
LOOPBACK = (own_address(), "::1")
FAMILIES = ("IPv4", "IPv6")


@contextmanager
def pair(address: str, clients: int = 1) -> Iterator[tuple[socket.socket, list[socket.socket]]]:
    """A server's socket with clients that are connected to it."""
    with ExitStack() as stack:
        server = stack.enter_context(udp_socket(address, 0))
        found = []
        for _ in range(clients):
            client = stack.enter_context(socket.socket(server.family, socket.SOCK_DGRAM))
            client.settimeout(LIMIT)
            client.connect(server.getsockname()[:2])
            found.append(client)
        yield server, found


def put(slots: Batch, slot: int, data: bytes) -> None:
    """Writes an answer into a slot."""
    slots.buffer[slot * SIZE : slot * SIZE + len(data)] = data
    slots.lengths[slot] = len(data)


@pytest.mark.parametrize("address", LOOPBACK, ids=FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_each_datagram_is_answered_to_its_sender(kind: type[Batch], address: str) -> None:
    with pair(address, 5) as (server, clients):
        slots = kind(server)  # type: ignore[call-arg]
        for number, client in enumerate(clients):
            client.send(b"q" * (number + 1))
        answered = 0
        while answered < len(clients):
            received = slots.receive()
            for slot, length in enumerate(received):
                assert slots.view[slot * SIZE :][:length] == b"q" * length
                asked_from = clients[length - 1].getsockname()[:2]
                assert (slots.host(slot), slots.client(slot).address[:2]) == (asked_from[0], asked_from)
                put(slots, slot, b"a" * (10 * length))
            slots.send(0, len(received))
            answered += len(received)
        for number, client in enumerate(clients):
            assert client.recv(100) == b"a" * (10 * (number + 1))


@pytest.mark.parametrize(("everywhere", "asked"), [("0.0.0.0", own_address()), ("::", "::1")], ids=FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_answers_come_from_the_address_that_was_asked(kind: type[Batch], everywhere: str, asked: str) -> None:
    with udp_socket(everywhere, 0) as server, socket.socket(server.family, socket.SOCK_DGRAM) as client:
        slots = kind(server)  # type: ignore[call-arg]
        client.settimeout(LIMIT)
        client.connect((asked, server.getsockname()[1]))
        for number in range(3):
            client.send(b"?")
            assert list(slots.receive()) == [1]
            put(slots, 0, bytes((number,)))
            slots.send(0, 1)
            assert client.recv(10) == bytes((number,))
            # An answer that comes later than others have used the slot.
            later = slots.client(0)
            client.send(b"??")
            assert list(slots.receive()) == [2]
            later.send(b"later")
            assert client.recv(10) == b"later"


def test_one_call_takes_all_that_are_there_and_sends_a_part() -> None:
    with pair(own_address()) as (server, [client]):
        slots = batch(server)
        deadline = time.monotonic() + LIMIT
        taken: list[int] = []
        while taken != [SLOTS, 3]:  # the kernel may hand some over a moment after they were sent
            assert time.monotonic() < deadline, taken
            taken.clear()
            for number in range(SLOTS + 3):
                client.send(bytes((number,)))
            while sum(taken) < SLOTS + 3:
                taken.append(len(slots.receive()))
        for slot in range(SLOTS):
            slots.lengths[slot] = 1
        slots.send(2, 2)
        slots.send(3, 6)
        assert [client.recv(10) for _ in range(3)] == [b"\3", b"\4", b"\5"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_too_long_is_cut_off(kind: type[Batch]) -> None:
    with pair(own_address()) as (server, [client]):
        slots = kind(server)  # type: ignore[call-arg]
        client.send(bytes(SIZE + 100))
        assert list(slots.receive()) == [SIZE]


def test_what_cannot_be_sent_does_not_hold_up_the_others() -> None:
    with pair(own_address()) as (server, [client]):
        slots = MessageBatch(server)
        received = 0
        while received < 3:
            for _ in range(3):
                client.send(b"?")
            received = len(slots.receive())
        for slot in range(3):
            put(slots, slot, bytes((slot,)))
        slots._names[1].port = (0, 0)  # the kernel refuses port 0
        slots.send(0, 3)
        assert [client.recv(10) for _ in range(2)] == [b"\0", b"\2"]


@pytest.mark.parametrize("error", datagrams.UNUSABLE, ids=errno.errorcode.get)
def test_a_kernel_without_the_calls_is_served_by_others(error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: socket.socket) -> Batch:
        raise OSError(error, "no such call")

    monkeypatch.setattr(datagrams, "MessageBatch", refuse)
    with running() as server:
        for name, found in (("my-service", ["10.96.0.100"]), ("nothing", [])):
            for _ in range(3):
                answer = dns.message.from_wire(
                    server.udp(query(f"{name}.default.svc.cluster.local").to_wire())
                )
                assert [line.split()[2] for line in lines(answer.answer)] == found
