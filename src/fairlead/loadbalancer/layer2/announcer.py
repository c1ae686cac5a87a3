"""Announces in layer 2 what this node is elected for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from fairlead.loadbalancer.layer2.claims import Claims, Told
from fairlead.loadbalancer.layer2.frames import Heard
from fairlead.loadbalancer.layer2.heartbeats import Heartbeats
from fairlead.loadbalancer.layer2.link import Link
from fairlead.loadbalancer.pools import Address
from fairlead.loadbalancer.roster import Roster

log = logging.getLogger("fairlead.loadbalancer")


class Layer2:
    """This node's part. `is_known` tells whether a Node of that name and uid is in the cluster.

    A change of an address costs an election, a node's death or return one for each address.
    """

    def __init__(
        self,
        node: str,
        interfaces: Iterable[str],
        roster: Roster,
        is_known: Callable[[str, str], bool],
        told: Told,
    ) -> None:
        """Raises OSError where an interface cannot be used."""
        self._node = node
        self._roster = roster
        self._ready = asyncio.Event()
        self._links: list[Link] = []
        try:
            for name in interfaces:
                self._links.append(Link(name, self._on_frame))
            self._heartbeats = Heartbeats(node, self._links, is_known, self._on_members)
        except OSError:
            self._close_links()
            raise
        self._claims = Claims(self._links, self._heartbeats.members.is_speaker, told)

    async def run(self, uid: Callable[[], str]) -> None:
        """Announces until cancelled; `uid` is that of this node's Node."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._heartbeats.run(uid, self._ready))
                await self._ready.wait()
                self.decide(tuple(self._roster.addresses))
        finally:
            await self._claims.close()
            self._close_links()

    def decide(self, addresses: Iterable[Address]) -> None:
        """Claims those of the addresses that this node is elected for, and releases the others."""
        if not self._ready.is_set():
            return
        alive = self._heartbeats.members.alive
        for address in addresses:
            if self._roster.elected(address, alive) == self._node:
                self._claims.claim(address)
            else:
                self._claims.release(address)

    def _on_members(self, came: bool) -> None:
        self.decide(tuple(self._roster.addresses))
        if came and self._ready.is_set():
            # It may have been cut off, and have claimed what it held before.
            self._claims.announce_again()

    def _on_frame(self, link: Link, heard: Heard) -> None:
        self._claims.heard(link, heard)

    def _close_links(self) -> None:
        for link in self._links:
            link.close()
