"""Claims on a real link: the kernel at its other end finds the addresses, in IPv4 and in IPv6, or has them itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import REGISTRY
from pyroute2 import IPRoute

from fairlead.loadbalancer.layer2 import claims
from fairlead.loadbalancer.layer2.claims import Claims
from fairlead.loadbalancer.layer2.frames import Heard, gratuitous, probe
from fairlead.loadbalancer.layer2.link import Link
from fairlead.loadbalancer.pools import Address, parse_address
from fairlead.node import namespaces
from tests.loadbalancer.layer2.conftest import Segment, told, until, usable
from tests.waiting import LIMIT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces, which needs root")

OURS = [parse_address("203.0.113.1"), parse_address("2001:db8::1")]
CONFLICTS, ANNOUNCED = "fairlead_speaker_conflicts_total", "fairlead_speaker_addresses_announced"
by_family = pytest.mark.parametrize("address", OURS, ids=["IPv4", "IPv6"])


class Claiming:
    """Claims on the link, with what was told of them and the frames sent by the other end's link."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.told: list[tuple[Address, str]] = []
        self.friends: set[bytes] = set()
        with namespaces.entered(segment.here):
            self.link = Link("eth0", self.heard)
        with namespaces.entered(segment.there):
            self.other = Link("eth0", lambda link, heard: None)
        self.claims = Claims(
            [self.link], self.friends.__contains__, lambda address, other: self.told.append((address, other))
        )

    def heard(self, link: Link, heard: Heard) -> None:
        self.claims.heard(link, heard)

    def claim(self, address: Address) -> None:
        with namespaces.entered(self.segment.here):
            self.claims.claim(address)

    async def until(self, holds: Callable[[], object], seconds: float = LIMIT) -> None:
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110 -- the kernel does not tell
                await asyncio.sleep(0.01)


def on(segment: Segment, work: Callable[[Claiming], Awaitable[None]]) -> None:
    async def main() -> None:
        made = Claiming(segment)
        try:
            await work(made)
        finally:
            await made.claims.close()
            made.link.close()
            made.other.close()

    asyncio.run(main())


@by_family
def test_the_other_end_finds_an_address_that_is_claimed(segment: Segment, address: Address) -> None:
    async def work(made: Claiming) -> None:
        made.claim(address)
        await made.until(lambda: made.told == [(address, "")])
        segment.forget(address)

        def found() -> bool:
            segment.send(address)  # again: the kernel gives up to look for it after three seconds
            return segment.neighbour(address) == made.link.hardware.hex(":")

        await made.until(found)

    on(segment, work)


@by_family
def test_a_move_is_told_to_who_knows_the_address_elsewhere(segment: Segment, address: Address) -> None:
    with namespaces.entered(segment.there), IPRoute() as kernel:
        index = kernel.link_lookup(ifname="eth0")[0]
        kernel.neigh("replace", dst=str(address), lladdr="02:00:00:00:00:99", ifindex=index, state="stale")

    async def work(made: Claiming) -> None:
        made.claim(address)
        await made.until(lambda: segment.neighbour(address) == made.link.hardware.hex(":"))

    on(segment, work)


@by_family
def test_an_address_in_use_is_not_claimed_until_it_is_free(
    segment: Segment, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "RETRY", 0.05)
    length = 32 if address.version == 4 else 128

    def own(what: str) -> None:
        def change(kernel: IPRoute) -> None:
            index = kernel.link_lookup(ifname="eth0")[0]
            kernel.addr(what, index=index, address=str(address), prefixlen=length)

        told(segment.there, change)
        if what == "add":
            until(segment.there, lambda kernel: str(address) in usable(kernel))

    async def work(made: Claiming) -> None:
        before = REGISTRY.get_sample_value(CONFLICTS) or 0
        made.claim(address)
        await made.until(lambda: made.told)
        assert made.told[0] == (address, made.other.hardware.hex(":"))
        assert (REGISTRY.get_sample_value(CONFLICTS) or 0) > before
        assert not REGISTRY.get_sample_value(ANNOUNCED, {"protocol": "layer2"})
        assert not made.claims.held
        own("del")
        await made.until(lambda: made.claims.held)
        assert made.told[-1] == (address, "")
        assert REGISTRY.get_sample_value(ANNOUNCED, {"protocol": "layer2"}) == 1

    own("add")
    try:
        on(segment, work)
    except BaseException:
        own("del")
        raise


@by_family
def test_who_claims_it_as_well_is_answered_once_then_given_way(segment: Segment, address: Address) -> None:
    async def work(made: Claiming) -> None:
        made.claim(address)
        await made.until(lambda: made.claims.held)

        def intrude() -> bool:
            for frame in gratuitous(address, made.other.hardware):
                made.other.send(frame)
            return address not in made.claims.held

        intrude()
        await made.until(lambda: segment.neighbour(address) != made.other.hardware.hex(":"))
        await made.until(intrude)
        assert made.told == [(address, ""), (address, made.other.hardware.hex(":"))]

    on(segment, work)


@by_family
def test_another_speaker_is_no_conflict(segment: Segment, address: Address) -> None:
    async def work(made: Claiming) -> None:
        made.friends.add(made.other.hardware)
        made.claim(address)
        for _ in range(20):
            for frame in gratuitous(address, made.other.hardware):
                made.other.send(frame)
            await asyncio.sleep(0)
        await made.until(lambda: made.told)
        assert made.told == [(address, "")]

    on(segment, work)


@by_family
def test_who_probes_an_address_that_is_held_learns_that_it_is_in_use(
    segment: Segment, address: Address
) -> None:
    async def work(made: Claiming) -> None:
        heard = []
        made.claim(address)
        await made.until(lambda: made.claims.held)
        made.other._heard = lambda link, what: heard.append(what.hardware)
        made.other.send(probe(address, made.other.hardware))
        await made.until(lambda: made.link.hardware in heard)

    on(segment, work)


def test_an_address_that_was_released_is_not_answered_for(segment: Segment) -> None:
    first, second = OURS[0], parse_address("203.0.113.2")

    async def work(made: Claiming) -> None:
        made.claim(first)
        made.claim(second)
        await made.until(lambda: made.claims.held == {first, second})
        made.claims.release(first)
        segment.forget(first)
        for address in (first, second):  # what is asked first is answered first
            segment.send(address)
        await made.until(lambda: segment.neighbour(second))
        assert not segment.neighbour(first)

    on(segment, work)
