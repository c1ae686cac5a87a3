"""ServiceCIDRs: when addresses may be taken from one, and when one may go.

This runs in the API server, as the collector does; upstream has it in kube-controller-manager
(pkg/controller/servicecidrs) and waits ten seconds before it lets one go, for allocators that have not heard of it.
Here a reservation is conditional on its ServiceCIDR being unchanged, so there is nothing to wait for. Several servers
on one store may do the same work.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from fairlead.apiserver.allocation import addresses_of
from fairlead.apiserver.answers import decoded
from fairlead.apiserver.kinds import IPADDRESSES, SERVICECIDRS
from fairlead.apiserver.metadata import now
from fairlead.apiserver.registry import Registry
from fairlead.apiserver.reservations import Reservations
from fairlead.apiserver.services import MANAGED_BY, MANAGER
from fairlead.apiserver.strategies import Strategy
from fairlead.objects.codec import decoder
from fairlead.objects.meta_v1 import Condition
from fairlead.objects.networking_v1 import IPAddress, ServiceCIDR
from fairlead.objects.status import StatusError
from fairlead.store import Closed, Event, Failed

log = logging.getLogger("fairlead.apiserver")

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
READY = Condition(type="Ready", status="True", message="Kubernetes Service CIDR is ready")
TERMINATING = Condition(
    type="Ready",
    status="False",
    reason="Terminating",
    message="There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
)
RETRY_SECONDS = 1.0


class ServiceCIDRStrategy(Strategy):
    """ServiceCIDRs: held by their finalizer from the first moment on, so that none goes while it is in use."""

    def prepare_create(self, obj: ServiceCIDR) -> ServiceCIDR:
        """With the finalizer."""
        kept = tuple(dict.fromkeys((*obj.metadata.finalizers, FINALIZER)))
        return replace(obj, metadata=replace(obj.metadata, finalizers=kept))

    def prepare_update(self, obj: ServiceCIDR, old: ServiceCIDR) -> ServiceCIDR:
        """With the old status."""
        return replace(obj, status=old.status)

    def prepare_status(self, obj: ServiceCIDR, old: ServiceCIDR) -> ServiceCIDR:
        """With everything else as it was. Upstream: ResetObjectMetaForStatus."""
        kept = ("labels", "annotations", "finalizers", "ownerReferences")
        metadata = replace(obj.metadata, **{field: getattr(old.metadata, field) for field in kept})
        return replace(obj, spec=old.spec, metadata=metadata)


def with_condition(cidr: ServiceCIDR, condition: Condition) -> ServiceCIDR:
    """The ServiceCIDR that says so; the moment stays where the status does."""
    old = next((c for c in cidr.status.conditions if c.type == condition.type), Condition())
    moment = old.lastTransitionTime if old.status == condition.status else now()
    others = tuple(c for c in cidr.status.conditions if c.type != condition.type)
    said = replace(condition, lastTransitionTime=moment)
    return replace(cidr, status=replace(cidr.status, conditions=(*others, said)))


def says(cidr: ServiceCIDR, condition: Condition) -> bool:
    """Whether it says so already."""
    return any(replace(c, lastTransitionTime=None) == condition for c in cidr.status.conditions)


def lost(number: int, version: int, others: Iterable[ServiceCIDR]) -> bool:
    """Whether an address is in none of these ServiceCIDRs that stay. Upstream: ContainsAddress."""
    for other in others:
        if other.metadata.deletionTimestamp is not None:
            continue
        for text in other.spec.cidrs:
            network = ipaddress.ip_network(text)
            if network.version == version and number in addresses_of(network):
                return False
    return True


class ServiceCIDRController:
    """Looks at a ServiceCIDR again when it, another one, or the address that held it changes."""

    def __init__(self, registry: Registry, view: Reservations) -> None:
        self._registry = registry
        self._store = registry.store
        self._view = view
        self._waiting: set[str] = set()
        self._blockers: dict[str, str] = {}
        """For each ServiceCIDR that cannot go yet, an address that holds it."""
        self._awake = asyncio.Event()
        view.watchers.append(self._seen)

    async def run(self) -> None:
        """Works until it is cancelled or the store is closed."""
        self._add(self._view.cidrs)
        while True:
            await self._awake.wait()
            self._awake.clear()
            waiting, self._waiting = sorted(self._waiting), set()
            for name in waiting:
                try:
                    await self._settle(name)
                except StatusError as error:
                    if error.code not in (404, 409):
                        self._later(name, error)
                except Failed as error:
                    self._later(name, error)
                except Closed:
                    return
                except Exception:
                    log.exception("cannot settle the ServiceCIDR %s", name)

    def _add(self, names: Iterable[str]) -> None:
        self._waiting.update(names)
        if self._waiting:
            self._awake.set()

    def _later(self, name: str, error: Exception) -> None:
        log.warning("cannot settle the ServiceCIDR %s yet: %s", name, error)
        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._add, [name])

    def _seen(self, event: Event | None) -> None:
        """Costs nothing for addresses unless a ServiceCIDR waits for them to go."""
        if event is None:
            self._add(self._view.cidrs)
        elif event.key.startswith(SERVICECIDRS.prefix):
            self._add([event.key[len(SERVICECIDRS.prefix) :], *self._blockers])
        elif self._blockers and event.value is None:
            self._add([name for name, blocker in self._blockers.items() if blocker == event.key])

    async def _all(self) -> list[ServiceCIDR]:
        page = await self._store.range(SERVICECIDRS.prefix)
        return [decoded(SERVICECIDRS, entry.value, entry.revision) for entry in page.entries]

    async def _settle(self, name: str) -> None:
        if not await self._view.fresh():
            raise Failed("the view of what is reserved lags behind the store")
        every = await self._all()
        cidr = next((one for one in every if one.metadata.name == name), None)
        self._blockers.pop(name, None)
        if cidr is None:
            return
        if cidr.metadata.deletionTimestamp is None:
            if FINALIZER not in cidr.metadata.finalizers:
                await self._finalizers(name, add=True)
            if not says(cidr, READY):
                await self._say(name, READY)
            return
        if FINALIZER not in cidr.metadata.finalizers:
            return
        others = [one for one in every if one.metadata.name != name]
        if await self._blocker(cidr, others) is None:
            await self._finalizers(name, add=False)
        elif not says(cidr, TERMINATING):
            await self._say(name, TERMINATING)

    async def _blocker(self, cidr: ServiceCIDR, others: Sequence[ServiceCIDR]) -> str | None:
        """An address of a Service that would be in no ServiceCIDR any more.

        Costs a look at every address of the family, but only until the first that holds it, and again only when that
        one is gone. Whatever was reserved before the deletion began is in the view, which is `fresh`.
        """
        for text in cidr.spec.cidrs:
            network = ipaddress.ip_network(text)
            for number in self._view.taken_in(network):
                if not lost(number, network.version, others):
                    continue
                key = IPADDRESSES.key("", str(network[number - int(network.network_address)]))
                entry = await self._store.get(key)
                if entry is None:
                    continue
                if decoder(IPAddress).decode(entry.value).metadata.labels.get(MANAGED_BY) == MANAGER:
                    self._blockers[cidr.metadata.name] = key
                    return key
        return None

    async def _say(self, name: str, condition: Condition) -> None:
        async def modify(cidr: Any) -> Any:
            return with_condition(cidr, condition)

        await self._registry.update(SERVICECIDRS, "", name, modify, subresource="status")

    async def _finalizers(self, name: str, *, add: bool) -> None:
        async def modify(cidr: Any) -> Any:
            kept = [finalizer for finalizer in cidr.metadata.finalizers if finalizer != FINALIZER]
            kept += [FINALIZER] if add else []
            return replace(cidr, metadata=replace(cidr.metadata, finalizers=tuple(kept)))

        await self._registry.update(SERVICECIDRS, "", name, modify, subresource="metadata")
