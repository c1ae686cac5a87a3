"""What is reserved: the addresses and node ports that are taken, and the networks that addresses come from.

The store holds the truth: an IPAddress object for each address, a key for each node port, ServiceCIDR objects for the
networks. Here it is followed by watches and kept in the form in which a free value is found without reading through
anything. What it says may be a moment old, therefore every reservation is written on the condition that it does not
exist yet, and that the ServiceCIDR it comes from is as it was; and nothing is refused before the view is `fresh`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable

import msgspec

from fairlead.apiserver.allocation import Network, Pool, Range, addresses_of
from fairlead.apiserver.kinds import IPADDRESSES, SERVICECIDRS
from fairlead.objects import addresses
from fairlead.objects.codec import decoder
from fairlead.objects.networking_v1 import ServiceCIDR
from fairlead.store import Closed, Compacted, Condition, Event, Store, TooSlow, Watch

log = logging.getLogger("fairlead.apiserver")

NODE_PORTS = "/allocations/nodeports/"
FRESH_SECONDS = 5.0


class Source(msgspec.Struct, frozen=True, gc=False):
    """A network of a ServiceCIDR. `condition`: that the ServiceCIDR is still as it was when this was decided upon."""

    network: Network
    numbers: Range
    condition: Condition
    ready: bool


def is_ready(cidr: ServiceCIDR) -> bool:
    """Whether addresses may be given from it."""
    if cidr.metadata.deletionTimestamp is not None:
        return False
    return any(c.type == "Ready" and c.status == "True" for c in cidr.status.conditions)


class Reservations:
    """The view of one API server."""

    def __init__(self, store: Store, ports: Range) -> None:
        self._store = store
        self.port_range = ports
        self._ports = Pool(ports)
        self._taken: dict[int, set[int]] = {4: set(), 6: set()}
        self._sources: dict[str, tuple[Source, ...]] = {}
        self._ready: dict[int, list[Source]] = {4: [], 6: []}
        self._pools: dict[Network, Pool] = {}
        self._watches: dict[str, Watch] = {}
        self.watchers: list[Callable[[Event | None], None]] = []
        """Who wants to know of every change of an IPAddress or a ServiceCIDR; None says that some were missed."""

    async def load(self) -> None:
        """Reads all of it; afterwards `run` follows."""
        for prefix, reset, note in self._followed():
            await self._read(prefix, reset, note)

    async def run(self) -> None:
        """Follows the store until it is cancelled or the store is closed."""
        async with asyncio.TaskGroup() as tasks:
            for prefix, reset, note in self._followed():
                tasks.create_task(self._follow(prefix, reset, note))

    def _followed(self) -> list[tuple[str, Callable[[], None], Callable[[str, bytes | None, int], None]]]:
        return [
            (IPADDRESSES.prefix, self._forget_addresses, self._note_address),
            (SERVICECIDRS.prefix, self._forget_cidrs, self._note_cidr),
            (NODE_PORTS, self._forget_ports, self._note_port),
        ]

    async def _read(
        self, prefix: str, reset: Callable[[], None], note: Callable[[str, bytes | None, int], None]
    ) -> None:
        page = await self._store.range(prefix)
        reset()
        for entry in page.entries:
            note(entry.key[len(prefix) :], entry.value, entry.revision)
        self._watches[prefix] = self._store.watch(prefix, page.revision)

    async def _follow(
        self, prefix: str, reset: Callable[[], None], note: Callable[[str, bytes | None, int], None]
    ) -> None:
        try:
            while True:
                try:
                    for event in await self._watches[prefix].next():
                        note(event.key[len(prefix) :], event.value, event.revision)
                        if prefix != NODE_PORTS:
                            for tell in self.watchers:
                                tell(event)
                except (TooSlow, Compacted):
                    self._watches[prefix].close()
                    await self._read(prefix, reset, note)
                    for tell in self.watchers:
                        tell(None)
        except Closed:
            return
        finally:
            self._watches[prefix].close()

    async def fresh(self) -> bool:
        """Waits until everything that was committed before now, by any server, is seen here.

        False where that takes too long. Raises Failed where the store cannot be asked.
        """
        try:
            async with asyncio.timeout(FRESH_SECONDS):
                await self._store.sync()
                target, wait = self._store.revision, 0.0
                while any(watch.revision < target for watch in self._watches.values()):
                    await asyncio.sleep(wait)
                    wait = 0.002
        except TimeoutError:
            return False
        return True

    def _forget_addresses(self) -> None:
        self._taken = {4: set(), 6: set()}
        self._pools.clear()

    def _forget_cidrs(self) -> None:
        self._sources.clear()
        self._settle_sources()

    def _forget_ports(self) -> None:
        self._ports = Pool(self.port_range)

    def _note_address(self, name: str, value: bytes | None, revision: int) -> None:
        version = 6 if ":" in name else 4
        number = int.from_bytes(addresses.packed(name) or b"", "big")
        (self._taken[version].discard if value is None else self._taken[version].add)(number)
        for network, pool in self._pools.items():
            if network.version == version:
                (pool.give_back if value is None else pool.take)(number)

    def _note_port(self, name: str, value: bytes | None, revision: int) -> None:
        (self._ports.give_back if value is None else self._ports.take)(int(name))

    def _note_cidr(self, name: str, value: bytes | None, revision: int) -> None:
        self._sources.pop(name, None)
        if value is not None:
            condition = Condition(SERVICECIDRS.key("", name), revision)
            try:
                cidr = decoder(ServiceCIDR).decode(value)
                networks = [ipaddress.ip_network(text) for text in cidr.spec.cidrs]
            except ValueError as error:  # somebody wrote it past the API
                log.warning("no addresses are taken from the ServiceCIDR %s: %s", name, error)
            else:
                self._sources[name] = tuple(
                    Source(network, addresses_of(network), condition, is_ready(cidr)) for network in networks
                )
        self._settle_sources()

    def _settle_sources(self) -> None:
        every = [source for name in sorted(self._sources) for source in self._sources[name]]
        for version in self._ready:
            self._ready[version] = [s for s in every if s.ready and s.network.version == version]
        known = {source.network for source in every}
        for network in [network for network in self._pools if network not in known]:
            del self._pools[network]

    @property
    def cidrs(self) -> list[str]:
        """The names of all ServiceCIDRs."""
        return list(self._sources)

    def covering(self, number: int, version: int) -> Source | None:
        """A ready network that has an address; None where there is none."""
        return next((source for source in self._ready[version] if number in source.numbers), None)

    def has(self, address: str) -> bool:
        """Whether an address is in a network of any ServiceCIDR, ready or not; a text that is none is in none."""
        if not addresses.family(address):
            return False
        number, version = int(ipaddress.ip_address(address)), 6 if ":" in address else 4
        return any(
            source.network.version == version and number in source.numbers
            for sources in self._sources.values()
            for source in sources
        )

    def taken_in(self, network: Network) -> list[int]:
        """The addresses of a network that are taken, as numbers."""
        numbers = addresses_of(network)
        return [number for number in self._taken[network.version] if number in numbers]

    def free_address(self, version: int) -> tuple[str, Condition] | None:
        """An address that is not taken, with the condition under which it may be given; None when all are."""
        for source in self._ready[version]:
            if (number := self._pool(source).pick()) is not None:
                return addresses.from_number(number, version), source.condition
        return None

    def _pool(self, source: Source) -> Pool:
        """The pool of a network, made when the first address is wanted from it."""
        pool = self._pools.get(source.network)
        if pool is None:
            pool = self._pools[source.network] = Pool(source.numbers, self._taken[source.network.version])
        return pool

    def free_port(self, besides: dict[int, None]) -> int | None:
        """A node port that is not taken, nor in `besides`; None when all are."""
        mine = [number for number in besides if number not in self._ports]
        for number in mine:
            self._ports.take(number)
        try:
            return self._ports.pick()
        finally:
            for number in mine:
                self._ports.give_back(number)
