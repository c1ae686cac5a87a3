"""The repair of what is reserved: at start, every few minutes, and when an IPAddress of a Service is tampered with.

A Service and its reservations are written in one transaction, so there is nothing to repair unless somebody wrote
IPAddresses by hand, restored a part of a backup, or changed the flags. Each step is conditional on all that it was
decided upon, so several servers may do the same work beside writers. Findings are told as Events (`disorder.py`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from datetime import datetime

from msgspec.structs import replace

from fairlead.apiserver.answers import decoded
from fairlead.apiserver.disorder import Finding, judge_address, judge_port, judge_reservation, refers_to
from fairlead.apiserver.happenings import Happenings
from fairlead.apiserver.kinds import IPADDRESSES, SERVICES
from fairlead.apiserver.registry import Registry
from fairlead.apiserver.reservations import NODE_PORTS, Reservations
from fairlead.apiserver.services import address_object, held_addresses, holder
from fairlead.apiserver.transitions import node_ports
from fairlead.objects.codec import decoder, encode
from fairlead.objects.core_v1 import Service
from fairlead.objects.networking_v1 import IPAddress
from fairlead.store import Change, Closed, Condition, Conflict, Entry, Event, Failed

log = logging.getLogger("fairlead.apiserver")

INTERVAL_SECONDS = 180.0
"""Upstream: controlplane's repair interval."""
RETRY_SECONDS = 5.0
PAGE = 200
"""So many objects are looked at before others have their turn."""


class Repair:
    """Looks at Services, IPAddresses and the keys of node ports, and sets right what does not fit."""

    def __init__(self, registry: Registry, view: Reservations) -> None:
        self._store = registry.store
        self._view = view
        self._addresses = Happenings(registry, "ipallocator-repair-controller")
        self._ports = Happenings(registry, "portallocator-repair-controller")
        self._changed: dict[str, Event] = {}
        self._due = 0.0
        self._awake = asyncio.Event()
        view.watchers.append(self._seen)

    async def run(self) -> None:
        """Works until it is cancelled or the store is closed."""
        while True:
            try:
                if time.monotonic() >= self._due:
                    self._due = time.monotonic() + INTERVAL_SECONDS
                    await self.look_at_everything()
                changed, self._changed = self._changed, {}
                for event in changed.values():
                    await self._look_at_change(event)
                await self._wait()
            except Closed:
                return
            except Failed as error:
                log.warning("cannot repair what is reserved: %s", error)
                self._due = time.monotonic() + RETRY_SECONDS
                await self._wait()
            except Exception:
                log.exception("cannot repair what is reserved")
                await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(max(0.0, self._due - time.monotonic())):
                await self._awake.wait()
        except TimeoutError:
            return
        self._awake.clear()

    def _seen(self, event: Event | None) -> None:
        """Only what happened to an IPAddress that there was: new ones come with their Service."""
        if event is None:
            self._due = 0.0
            self._awake.set()
        elif event.previous is not None and event.key.startswith(IPADDRESSES.prefix):
            self._changed[event.key] = event
            self._awake.set()

    async def look_at_everything(self) -> None:
        """One pass. Costs a decoding of every Service and IPAddress, in small portions."""
        await self._view.fresh()
        async for entry in self._entries(SERVICES.prefix):
            await self._look_at_service(entry)
        async for entry in self._entries(IPADDRESSES.prefix):
            await self._look_at_reservation(entry)
        async for entry in self._entries(NODE_PORTS):
            await self._look_at_port_key(entry)

    async def _entries(self, prefix: str) -> AsyncIterator[Entry]:
        after = ""
        while True:
            page = await self._store.range(prefix, after=after, limit=PAGE)
            for entry in page.entries:
                yield entry
            if not page.remaining:
                return
            after = page.entries[-1].key
            await asyncio.sleep(0)

    async def _look_at_change(self, event: Event) -> None:
        """An IPAddress was changed or removed: its Service, if that still has the address, gets it back."""
        if event.previous is None:
            return
        parent = decoder(IPAddress).decode(event.previous.value).spec.parentRef
        entry = await self._store.get(SERVICES.key(parent.namespace, parent.name))
        if entry is not None:
            await self._look_at_service(entry)

    async def _service(self, namespace: str, name: str) -> tuple[Service | None, Condition]:
        """A Service, if there is one, with the condition that this stays so."""
        key = SERVICES.key(namespace, name)
        entry = await self._store.get(key)
        if entry is None:
            return None, Condition(key, 0)
        return decoded(SERVICES, entry.value, entry.revision), Condition(key, entry.revision)

    async def _look_at_service(self, entry: Entry) -> None:
        service: Service = decoded(SERVICES, entry.value, entry.revision)
        own = Condition(entry.key, entry.revision)
        for address in sorted(held_addresses(service.spec)):
            await self._look_at_address(service, own, address)
        for number in node_ports(service.spec):
            await self._look_at_port(service, own, number)

    async def _look_at_address(self, service: Service, own: Condition, address: str) -> None:
        key = IPADDRESSES.key("", address)
        entry = await self._store.get(key)
        held, other, conditions = None, None, [own, Condition(key, entry.revision if entry else 0)]
        if entry is not None:
            held = decoder(IPAddress).decode(entry.value)
            if not refers_to(held, service):
                other, still = await self._service(held.spec.parentRef.namespace, held.spec.parentRef.name)
                conditions += [still] if still.key != own.key else []
        finding = judge_address(service, address, held, other, in_range=self._view.has(address))
        if finding is None:
            return
        wanted = address_object(service, address)
        if held is not None and refers_to(held, service):
            labels = {**held.metadata.labels, **wanted.metadata.labels}
            wanted = replace(held, metadata=replace(held.metadata, labels=labels))
        await self._mend(self._addresses, service, finding, conditions, Change(key, encode(wanted)))

    async def _look_at_reservation(self, entry: Entry) -> None:
        held: IPAddress = decoded(IPADDRESSES, entry.value, entry.revision)
        parent = held.spec.parentRef
        service, still = await self._service(parent.namespace, parent.name)
        finding = judge_reservation(held, service, age_of(held))
        if finding is not None:
            conditions = [Condition(entry.key, entry.revision), still]
            await self._mend(self._addresses, held, finding, conditions, Change(entry.key, None))

    async def _look_at_port(self, service: Service, own: Condition, number: int) -> None:
        key = f"{NODE_PORTS}{number}"
        entry = await self._store.get(key)
        other, conditions = None, [own, Condition(key, entry.revision if entry else 0)]
        if entry is not None and entry.value != holder(service):
            namespace, _, name = entry.value.decode().partition("/")
            other, still = await self._service(namespace, name)
            conditions.append(still)
        finding = judge_port(service, number, entry.value if entry else None, other, self._view.port_range)
        if finding is not None:
            await self._mend(self._ports, service, finding, conditions, Change(key, holder(service)))

    async def _look_at_port_key(self, entry: Entry) -> None:
        """A node port that its holder has not, is free. Nobody has to hear of it."""
        namespace, _, name = entry.value.decode().partition("/")
        service, still = await self._service(namespace, name)
        number = int(entry.key[len(NODE_PORTS) :])
        if service is None or number not in node_ports(service.spec):
            log.warning("node port %d was reserved for %s/%s, which has it not", number, namespace, name)
            await self._commit([Condition(entry.key, entry.revision), still], Change(entry.key, None))

    async def _mend(
        self,
        events: Happenings,
        about: Service | IPAddress,
        finding: Finding,
        conditions: list[Condition],
        change: Change,
    ) -> None:
        if finding.mend and not await self._commit(conditions, change):
            return  # it has changed meanwhile; if it is still wrong, the next look finds it
        if finding.reason:
            await events.warn(about, finding.reason, finding.message)

    async def _commit(self, conditions: list[Condition], change: Change) -> bool:
        try:
            await self._store.commit(conditions, [change])
        except Conflict:
            return False
        return True


def age_of(held: IPAddress) -> float:
    """Seconds since an IPAddress was made."""
    made = held.metadata.creationTimestamp
    return time.time() - datetime.fromisoformat(made).timestamp() if made else 0.0
