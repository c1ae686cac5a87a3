"""What every Service wants on this node, kept up by changes of the API."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection

from fairlead.objects.core_v1 import Service
from fairlead.proxy.elements import Applied, Desired, Elements, Frontend, Member, render
from fairlead.proxy.family import IPV4, Family
from fairlead.proxy.resources import EndpointSlice, service_of
from fairlead.proxy.selection import Node, select

log = logging.getLogger("fairlead.proxy")

_NOTHING = Elements({}, frozenset())


class Ledger:
    """Services, their slices, and the elements that follow from both. Only what changed is selected anew.

    Two Services may claim one frontend, by externalIPs for example. The older one has it, as after a restart; when
    it lets go, the others are looked at again.
    """

    def __init__(self, node: Node, family: Family = IPV4) -> None:
        self.node = node
        self.family = family
        self.dirty: set[str] = set()
        """Keys of the Services to look at."""
        self._services: dict[str, Service] = {}
        self._slices: dict[str, dict[str, EndpointSlice]] = {}
        self._held: dict[str, tuple[Collection[Frontend], frozenset[Member]]] = {}
        self._owners: dict[Frontend, str] = {}
        self._waiting: dict[Frontend, set[str]] = {}
        self._wanted: Counter[Member] = Counter()

    def service_changed(self, key: str, new: Service | None) -> None:
        """A Service came, changed or went."""
        if new is None:
            self._services.pop(key, None)
        else:
            self._services[key] = new
        self.dirty.add(key)

    def slice_changed(self, key: str, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        """A slice came, changed or went; `old` may belong to another Service."""
        before = service_of(old) if old is not None else ""
        after = service_of(new) if new is not None else ""
        if before and before != after:
            held = self._slices.get(before, {})
            held.pop(key, None)
            if not held:
                self._slices.pop(before, None)
            self.dirty.add(before)
        if after and new is not None:
            self._slices.setdefault(after, {})[key] = new
            self.dirty.add(after)

    def node_changed(self, node: Node) -> None:
        """The node has other addresses. Looks at every Service again; rare."""
        if node != self.node:
            self.node = node
            self.dirty.update(self._services)

    def slots(self) -> int:
        """About how many slots all Services together need: for the size of the first map."""
        total = 0
        for key, pieces in self._slices.items():
            service = self._services.get(key)
            ports = len(service.spec.ports) if service is not None and service.spec is not None else 0
            total += ports * sum(len(piece.endpoints) for piece in pieces.values())
        return total

    def everything(self, applied: Applied) -> Desired:
        """What has to be in a kernel that holds `applied`, and what has to go from it."""
        desired = Desired(dict.fromkeys(applied.routes), dict.fromkeys(applied.members, False))
        self._held.clear()
        self._owners.clear()
        self._waiting.clear()
        self._wanted.clear()
        self.dirty = set(self._services)
        return self.changes(desired)

    def changes(self, desired: Desired | None = None) -> Desired:
        """What may have to change since the last call, by looking at the Services that did."""
        desired = Desired() if desired is None else desired
        while self.dirty:
            key = self.dirty.pop()
            service = self._services.get(key)
            wanted = _NOTHING
            if service is not None:
                pieces = self._slices.get(key)
                selections = select(service, pieces.values() if pieces else (), self.node, self.family)
                wanted = render(selections)
            self._enter(key, wanted, desired)
        return desired

    def _enter(self, key: str, wanted: Elements, desired: Desired) -> None:
        frontends, members = self._held.get(key, ((), frozenset()))
        for frontend in frontends:
            if frontend not in wanted.routes:
                self._release(frontend, key, desired)
        for frontend, backing in wanted.routes.items():
            if self._claim(frontend, key):
                desired.routes[frontend] = backing
        for member in wanted.members - members:
            self._wanted[member] += 1
            if self._wanted[member] == 1:
                desired.members[member] = True
        for member in members - wanted.members:
            self._wanted[member] -= 1
            if not self._wanted[member]:
                del self._wanted[member]
                desired.members[member] = False
        if wanted.routes or wanted.members:
            self._held[key] = tuple(wanted.routes), wanted.members
        else:
            self._held.pop(key, None)

    def _claim(self, frontend: Frontend, key: str) -> bool:
        owner = self._owners.setdefault(frontend, key)
        if owner == key:
            # Made anew meanwhile, it may be younger than one that waits.
            waiting = self._waiting.get(frontend, ())
            self.dirty.update(other for other in waiting if self._age(other) < self._age(key))
            return True
        first, last = sorted((owner, key), key=self._age)
        self._owners[frontend] = first
        waiters = self._waiting.setdefault(frontend, set())
        waiters.discard(first)
        if last not in waiters:
            waiters.add(last)
            address = self.family.text(frontend[: self.family.size])
            log.warning("%s: %s is already used by %s, and is left to it", last, address, first)
        return first == key

    def _age(self, key: str) -> tuple[bool, str, str]:
        """Sorts Services: older ones first, those that are gone last."""
        service = self._services.get(key)
        created = (service.metadata.creationTimestamp or "") if service is not None else ""
        return service is None, created, key

    def _release(self, frontend: Frontend, key: str, desired: Desired) -> None:
        if self._owners.get(frontend) == key:
            del self._owners[frontend]
            desired.routes[frontend] = None
            self.dirty |= self._waiting.pop(frontend, set())
        elif frontend in self._waiting:
            self._waiting[frontend].discard(key)
