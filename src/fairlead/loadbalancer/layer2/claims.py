"""The addresses that this node claims on its links: probed, then answered for, given up where another has them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from fairlead.loadbalancer import speakermetrics
from fairlead.loadbalancer.layer2.frames import Heard, Kind, answer, gratuitous, probe
from fairlead.loadbalancer.layer2.link import Link
from fairlead.loadbalancer.pools import Address

PROBES, PROBE_INTERVAL = 3, 0.1
"""How often, and with which pause in seconds, the network is asked whether an address is free.

RFC 5227 §2.1.1 asks as often within seconds, and RFC 4862 once a second; here another node's death has to be made good
within 2 s.
"""
REPEATS = (0.0, 0.2, 1.0, 2.0)
"""Pauses in seconds before each of the gratuitous announcements."""
RETRY = 10.0
"""Seconds until an address that was in use is probed again."""
DEFEND_INTERVAL = 10.0
"""RFC 5227 §2.4: another claim within these seconds after the first, and the address is given up."""

Told = Callable[[Address, str], None]
"""Told of an address that is announced from now on, with "", or that another has, with its hardware address."""


class Claims:
    """What this node claims. Cost: a dictionary lookup a frame; a claim, a task and seven frames a link.

    `friends` tells whether a hardware address is of another speaker: such a claim is no conflict, the election ends it.
    """

    def __init__(self, links: Iterable[Link], friends: Callable[[bytes], bool], told: Told) -> None:
        self._links = tuple(links)
        self._friends = friends
        self._told = told
        self._tasks: dict[Address, asyncio.Task[None]] = {}
        self._held: set[Address] = set()
        self._conflicts: dict[Address, asyncio.Future[str]] = {}

    @property
    def held(self) -> frozenset[Address]:
        """The addresses that are answered for."""
        return frozenset(self._held)

    def claim(self, address: Address) -> None:
        """Probes the address, then answers for it until `release`. Again: nothing."""
        if address not in self._tasks:
            for link in self._links:
                link.join(address)
            self._tasks[address] = asyncio.get_running_loop().create_task(self._keep(address))

    def release(self, address: Address) -> None:
        """Answers for the address no longer. One that was not claimed: nothing."""
        task = self._tasks.pop(address, None)
        if task is not None:
            task.cancel()
            self._holds(address, False)
            self._conflicts.pop(address, None)
            for link in self._links:
                link.leave(address)

    def announce_again(self) -> None:
        """Tells everybody once more: another node, which may have held the same addresses, has been heard again."""
        for address in self._held:
            self._announce(address)

    async def close(self) -> None:
        """Releases everything."""
        tasks = list(self._tasks.values())
        for address in list(self._tasks):
            self.release(address)
        await asyncio.gather(*tasks, return_exceptions=True)

    def heard(self, link: Link, heard: Heard) -> None:
        """A frame came in on a link."""
        address = heard.address
        if address not in self._tasks or any(heard.hardware == own.hardware for own in self._links):
            return
        holds = address in self._held
        if heard.kind is Kind.CLAIMS or (heard.kind is Kind.PROBES and not holds):
            conflict = self._conflicts.get(address)
            if conflict is not None and not conflict.done() and not self._friends(heard.hardware):
                conflict.set_result(heard.hardware.hex(":"))
        elif holds:
            link.send(answer(heard, link.hardware))

    async def _keep(self, address: Address) -> None:
        while True:
            other = await self._probe(address)
            if not other:
                self._holds(address, True)
                self._told(address, "")
                other = await self._hold(address)
                self._holds(address, False)
            speakermetrics.conflict()
            self._told(address, other)
            await asyncio.sleep(RETRY)

    def _holds(self, address: Address, holds: bool) -> None:
        (self._held.add if holds else self._held.discard)(address)
        speakermetrics.announces("layer2", len(self._held))

    async def _probe(self, address: Address) -> str:
        """Who has the address, "" if it is free."""
        for _ in range(PROBES):
            for link in self._links:
                link.send(probe(address, link.hardware))
            if other := await self._conflict(address, PROBE_INTERVAL):
                return other
        return ""

    async def _hold(self, address: Address) -> str:
        """Announces the address and defends it once; gives who claims it all the same."""
        other = ""
        for pause in REPEATS:
            other = await self._conflict(address, pause) or other
            self._announce(address)
            if other:
                break
        while True:
            if not other:
                other = await self._conflict(address, None)
                self._announce(address)
            if again := await self._conflict(address, DEFEND_INTERVAL):
                return again
            other = ""

    async def _conflict(self, address: Address, seconds: float | None) -> str:
        """Waits so long for somebody else who claims the address; "" if nobody does."""
        future = self._conflicts[address] = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait([future], timeout=seconds)
        return future.result() if done else ""

    def _announce(self, address: Address) -> None:
        for link in self._links:
            for frame in gratuitous(address, link.hardware):
                link.send(frame)
