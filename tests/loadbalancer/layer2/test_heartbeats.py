"""Heartbeats on a real link, by IPv4 and, where there is none, by IPv6."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from pyroute2 import IPRoute

from fairlead.loadbalancer.layer2 import members
from fairlead.loadbalancer.layer2.heartbeats import GROUP, PORT, Heartbeats
from fairlead.loadbalancer.layer2.link import Link
from fairlead.node import namespaces
from tests.loadbalancer.layer2.conftest import Segment, told
from tests.waiting import LIMIT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces, which needs root")


@pytest.fixture(params=["IPv4", "IPv6"])
def segment_of(request: pytest.FixtureRequest, segment: Segment) -> Iterator[Segment]:
    """The segment, for IPv6 without its IPv4 addresses."""

    def change(what: str) -> None:
        for network, number in ((segment.here, 2), (segment.there, 3)):
            told(network, lambda kernel, number=number: _address(kernel, what, number))  # type: ignore[misc]

    if request.param == "IPv6":
        change("del")
    yield segment
    if request.param == "IPv6":
        change("add")
        told(segment.there, _route)


def _address(kernel: IPRoute, what: str, number: int) -> None:
    index = kernel.link_lookup(ifname="eth0")[0]
    kernel.addr(what, index=index, address=f"192.168.1.{number}", prefixlen=24)


def _route(kernel: IPRoute) -> None:
    kernel.route("replace", dst="203.0.113.0/24", oif=kernel.link_lookup(ifname="eth0")[0], scope="link")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is taken for dead because this machine was busy."""
    monkeypatch.setattr(members.Members, "expire", lambda self, now: frozenset())


class Speaking:
    """The heartbeats of one node, in its namespace, and how often it was told of a change."""

    def __init__(self, name: str, network: int) -> None:
        self.name = name
        self.changes: list[bool] = []
        self.ready = asyncio.Event()
        with namespaces.entered(network):
            self.link = Link("eth0", lambda link, heard: None)
            self.heartbeats = Heartbeats(name, [self.link], self.is_known, self.changes.append)
        self.task = asyncio.create_task(self.heartbeats.run(lambda: f"{name}-uid", self.ready))

    @staticmethod
    def is_known(name: str, uid: str) -> bool:
        return name in ("here", "there") and uid == f"{name}-uid"

    @property
    def alive(self) -> frozenset[str]:
        return self.heartbeats.members.alive

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.link.close()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT):
        while not holds():  # noqa: ASYNC110 -- the other end does not tell
            await asyncio.sleep(0.01)


def test_speakers_hear_of_each_other_and_of_the_end(segment_of: Segment, patient: None) -> None:
    async def main() -> None:
        here, there = Speaking("here", segment_of.here), Speaking("there", segment_of.there)
        await until(lambda: here.alive == there.alive == {"here", "there"})
        assert here.heartbeats.members.is_speaker(there.link.hardware)
        await there.end()
        await until(lambda: here.alive == {"here"})
        assert here.changes == [True, False]
        await here.end()

    asyncio.run(main())


def test_a_speaker_that_falls_silent_is_dead(segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        here, there = Speaking("here", segment.here), Speaking("there", segment.there)
        await until(lambda: "there" in here.alive)
        monkeypatch.setattr(there.heartbeats, "_send", lambda data: None)
        await until(lambda: here.alive == {"here"})
        await there.end()
        await here.end()

    asyncio.run(main())


def test_whose_heartbeat_waits_to_be_read_is_not_dead(segment: Segment) -> None:
    """As after a while in which this process was stopped."""
    with namespaces.entered(segment.here):
        link = asyncio.run(_link())
        heartbeats = Heartbeats("here", [link], Speaking.is_known, lambda come: None)
    ((mine, to),) = heartbeats._sockets
    said = members.write("there", "there-uid", (bytes(6),))
    heard = members.read(said)
    assert heard is not None
    with namespaces.socket_in(segment.there, socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("192.168.1.3"))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        heartbeats.members.hear(heard, time.monotonic() - 10)
        for _ in range(100):  # more than are read at a time
            sock.sendto(said, to)
            assert select.select([mine], [], [], LIMIT)[0]
    heartbeats._look()
    assert heartbeats.members.alive == {"here", "there"}
    heartbeats.members.hear(heard, time.monotonic() - 10)
    heartbeats._look()
    assert heartbeats.members.alive == {"here"}
    heartbeats.close()


async def _link() -> Link:
    made = Link("eth0", lambda link, heard: None)
    made.close()
    return made


def test_a_speaker_says_nothing_before_it_knows_who_lives(
    segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        here = Speaking("here", segment.here)
        await here.ready.wait()
        monkeypatch.setattr(members, "DEAD_AFTER", 1000.0)
        there = Speaking("there", segment.there)
        await until(lambda: "here" in there.alive)
        assert not there.ready.is_set()
        assert here.alive == {"here"}
        await there.end()
        await here.end()
        assert here.changes == []

    asyncio.run(main())


def test_what_passed_a_router_and_who_is_unknown_are_not_heard(segment: Segment, patient: None) -> None:
    async def main() -> None:
        here = Speaking("here", segment.here)
        await here.ready.wait()
        with namespaces.socket_in(segment.there, socket.AF_INET, socket.SOCK_DGRAM) as sock:
            address = socket.inet_aton("192.168.1.3")
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, address)
            for name, uid, hops in (
                ("there", "there-uid", 254),
                ("stranger", "stranger-uid", 255),
                ("there", "another", 255),
                ("there", "there-uid", 255),
            ):
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, hops)
                sock.sendto(members.write(name, uid, (bytes(6),)), (GROUP, PORT))
        await until(lambda: here.alive == {"here", "there"})
        assert here.changes == [True]
        await here.end()

    asyncio.run(main())
