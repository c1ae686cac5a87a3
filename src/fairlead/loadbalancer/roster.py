"""The addresses to announce and who may, kept up to date Service by Service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fairlead.loadbalancer.announcement import announcer, shared
from fairlead.loadbalancer.pools import Address


class Roster:
    """What each Service's addresses and carriers are, and with it those of each address.

    `alive` are the nodes that were heard of; they count for the election alone. A change of a Service costs its
    addresses, one of a node's life all addresses.
    """

    def __init__(self) -> None:
        self._services: dict[str, tuple[tuple[Address, ...], frozenset[str]]] = {}
        self._holders: dict[Address, set[str]] = {}

    @property
    def addresses(self) -> Iterable[Address]:
        """All that somebody has to announce."""
        return self._holders.keys()

    def services(self, address: Address) -> frozenset[str]:
        """The Services that have the address, by key."""
        return frozenset(self._holders.get(address, ()))

    def put(self, key: str, addresses: tuple[Address, ...], carriers: frozenset[str]) -> frozenset[Address]:
        """Notes what a Service has now, which may be nothing; gives the addresses for which that changes something."""
        old_addresses, old_carriers = self._services.get(key, ((), frozenset()))
        for address in old_addresses:
            self._holders[address].discard(key)
            if not self._holders[address]:
                del self._holders[address]
        for address in addresses:
            self._holders.setdefault(address, set()).add(key)
        if addresses:
            self._services[key] = addresses, carriers
        else:
            self._services.pop(key, None)
        if old_carriers == carriers:
            return frozenset(set(old_addresses) ^ set(addresses))
        return frozenset((*old_addresses, *addresses))

    def carriers(self, address: Address) -> frozenset[str]:
        """The nodes that may take the traffic of the address."""
        return shared(self._services[key][1] for key in self._holders.get(address, ()))

    def elected(self, address: Address, alive: frozenset[str]) -> str:
        """The node that announces the address in layer 2; "" if nobody can."""
        return announcer(address, self.carriers(address) & alive)

    def announced_by(self, node: str) -> Mapping[Address, frozenset[str]]:
        """What a node announces in BGP, with the Services behind each address."""
        return {
            address: frozenset(keys)
            for address, keys in self._holders.items()
            if node in self.carriers(address)
        }
