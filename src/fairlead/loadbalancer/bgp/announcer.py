"""Announces by BGP what this node may carry."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Iterable
from hashlib import blake2b
from pathlib import Path

from fairlead.loadbalancer import speakermetrics
from fairlead.loadbalancer.bgp.bird import Bird
from fairlead.loadbalancer.bgp.configuration import BgpConfig, render
from fairlead.loadbalancer.pools import Address
from fairlead.loadbalancer.roster import Roster

log = logging.getLogger("fairlead.loadbalancer")


AGAIN = 0.2
"""Seconds until a BIRD that did not hear us is told again."""


class Bgp:
    """This node's part. Changes that come together are told to BIRD at once; that costs the addresses announced."""

    def __init__(
        self,
        node: str,
        node_addresses: Iterable[str],
        config: BgpConfig,
        directory: Path,
        roster: Roster,
        told: Callable[[Address], None],
    ) -> None:
        """`told` is called with each address that is announced from now on. Raises BirdMissing."""
        self._node = node
        self._router_id = router_id(node, node_addresses)
        self._config = config
        self._bird = Bird(directory)
        self._roster = roster
        self._told = told
        self._announced: set[Address] = set()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Announces until cancelled."""
        self.decide(self._roster.addresses)
        await self._tell()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._bird.run())
            while True:
                await self._changed.wait()
                await self._tell()

    def decide(self, addresses: Iterable[Address]) -> None:
        """Announces those of the addresses that this node may carry, and withdraws the others."""
        for address in addresses:
            able = self._node in self._roster.carriers(address)
            if able == (address in self._announced):
                continue
            if able:
                self._announced.add(address)
                self._told(address)
            else:
                self._announced.discard(address)
                log.info("%s is withdrawn", address)
            speakermetrics.announces("bgp", len(self._announced))
            self._changed.set()

    async def _tell(self) -> None:
        self._changed.clear()
        try:
            heard = await self._bird.configure(render(self._config, self._router_id, self._announced))
        except TimeoutError:
            log.error("BIRD does not answer")
        except OSError as error:
            log.error("%s", error)
        else:
            if heard:
                return
        asyncio.get_running_loop().call_later(AGAIN, self._changed.set)


def router_id(node: str, addresses: Iterable[str]) -> str:
    """The node's number among routers: its first IPv4 address, or one made of its name where it has none."""
    for text in addresses:
        address = ipaddress.ip_address(text)
        if address.version == 4:
            return str(address)
    number = int.from_bytes(blake2b(node.encode(), digest_size=4).digest()) or 1
    return str(ipaddress.IPv4Address(number))
