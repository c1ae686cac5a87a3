"""The shell around `allocate`: Services in; their status, finalizers and Events out."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

from fairlead.client.api import Api
from fairlead.client.events import Recorder
from fairlead.client.informer import Change, Informer, all_synced
from fairlead.client.queue import WorkQueue
from fairlead.loadbalancer.allocation import Book, Given, Refused, allocate
from fairlead.loadbalancer.config import LoadBalancerConfig
from fairlead.loadbalancer.requests import Request, is_ours, request_of
from fairlead.objects.core_v1 import Namespace, Service
from fairlead.objects.resources import NAMESPACES, SERVICES
from fairlead.objects.scalars import timestamp
from fairlead.objects.status import StatusError
from fairlead.process import Health

log = logging.getLogger("fairlead.loadbalancer")

NAME = "fairlead-loadbalancer"
FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
"""Upstream: k8s.io/cloud-provider/service/helpers."""
CONDITION = "fairlead.dev/AddressAllocated"


async def run(api: Api, config: LoadBalancerConfig, health: Health) -> None:
    """Gives addresses to Services until cancelled."""
    controller = Controller(api, config)
    try:
        async with all_synced((controller.services, controller.namespaces), health, "loadbalancer"):
            controller.adopt()
            # One at a time: each decision has to know of those before it.
            await controller.queue.serve(controller.sync, workers=1)
    finally:
        await controller.recorder.close()


class Controller:
    """Who has which address. A change costs one Service, and those that wait for an address when one is given back."""

    def __init__(self, api: Api, config: LoadBalancerConfig) -> None:
        self._api = api
        self._config = config
        self._book = Book()
        self._waiting: set[str] = set()
        """Services that got no address."""
        self._told: dict[str, str] = {}
        """What was told last to each Service that waits, or goes on with a note."""
        self.recorder = Recorder(api, NAME)
        self.queue: WorkQueue[str] = WorkQueue("loadbalancer")
        self.services = Informer(api, SERVICES)
        self.namespaces = Informer(api, NAMESPACES)
        self.services.index("namespace", lambda service: (service.metadata.namespace,))
        self.services.subscribe(self._on_service)
        self.namespaces.subscribe(self._on_namespace)

    def adopt(self) -> None:
        """Notes what Services have already, the older ones first, so that nothing moves on a restart."""
        ours = [
            service
            for service in self.services.items.values()
            if is_ours(service, default=self._config.default)
        ]
        for service in sorted(ours, key=lambda s: (s.metadata.creationTimestamp or "", s.metadata.name)):
            try:
                request = self._request(service)
            except ValueError:
                continue  # it is told when its turn comes
            if request.held and not any(
                other.sharing != request.sharing or not request.sharing or other.ports & request.ports
                for address in request.held
                for other in self._book.holders(address).values()
            ):
                self._book.take(request, request.held)

    def _on_service(self, change: Change[Service]) -> None:
        old, new = change.old, change.new
        for service in (old, new):
            if service is not None and (
                service.spec.type == "LoadBalancer" or FINALIZER in service.metadata.finalizers
            ):
                self.queue.add(change.key)
                return

    def _on_namespace(self, change: Change[Namespace]) -> None:
        """Pools may be for the namespaces with certain labels."""
        before, after = (n.metadata.labels if n is not None else None for n in (change.old, change.new))
        if before != after:
            for service in self.services.by_index("namespace", change.key):
                if service.spec.type == "LoadBalancer":
                    self.queue.add(f"{service.metadata.namespace}/{service.metadata.name}")

    def _request(self, service: Service) -> Request:
        namespace = self.namespaces.items.get(service.metadata.namespace)
        return request_of(service, namespace.metadata.labels if namespace is not None else {})

    async def sync(self, key: str) -> None:
        """Gives one Service what it should have, or takes what it should not."""
        service = self.services.items.get(key)
        if service is None or not is_ours(service, default=self._config.default):
            self._release(key)
            if service is not None and service.spec.type != "LoadBalancer":
                await self._let_go(service)
            return
        if service.metadata.deletionTimestamp is not None:
            self._release(key)
            await self._let_go(service)
            return
        try:
            request = self._request(service)
        except ValueError as error:
            found: Given | Refused = Refused("InvalidRequest", str(error))
        else:
            # What we have written may not be in the informer's copy yet.
            held = self._book.held(key) or request.held
            found = allocate(replace(request, held=held), self._config.pools, self._book)
        if isinstance(found, Refused):
            self._release(key)
            self._waiting.add(key)
        else:
            freed = set(self._book.held(key)) - set(found.addresses)
            self._book.take(request, found.addresses)
            self._waiting.discard(key)
            if freed:
                self._wake()
        await self._write(service, found)
        self._tell(service, key, found)

    def _release(self, key: str) -> None:
        self._waiting.discard(key)
        self._told.pop(key, None)
        if self._book.release(key):
            self._wake()

    def _wake(self) -> None:
        """Those that wait may have what was given back."""
        for key in self._waiting:
            self.queue.add(key)

    async def _write(self, service: Service, found: Given | Refused) -> None:
        """The finalizer first: an address that nobody would give back is worse than none for a moment."""
        meta = service.metadata
        addresses = found.addresses if isinstance(found, Given) else ()
        if addresses and FINALIZER not in meta.finalizers:
            patch = {"metadata": {"finalizers": [FINALIZER], "uid": meta.uid}}
            await self._api.patch(SERVICES, meta.name, meta.namespace, patch, kind="strategic")
        status: dict[str, Any] = {}
        wanted = [{"ip": str(address), "ipMode": "VIP"} for address in addresses]
        current = service.status.loadBalancer.ingress if service.status is not None else ()
        if [(each["ip"], each["ipMode"]) for each in wanted] != [(i.ip, i.ipMode or "VIP") for i in current]:
            status["loadBalancer"] = {"ingress": wanted} if wanted else {"ingress": None}
        condition = _condition(found)
        known = [
            c
            for c in (service.status.conditions if service.status is not None else ())
            if c.type == CONDITION
        ]
        if not known or any(getattr(known[0], name) != value for name, value in condition.items()):
            if not known or known[0].status != condition["status"]:
                condition["lastTransitionTime"] = timestamp(time.time())
            status["conditions"] = [{**condition, "observedGeneration": meta.generation or 0}]
        if status:
            patch = {"metadata": {"uid": meta.uid}, "status": status}
            await self._api.patch(
                SERVICES, meta.name, meta.namespace, patch, kind="strategic", subresource="status"
            )

    async def _let_go(self, service: Service) -> None:
        """Takes our finalizer off: nothing of the Service is left here."""
        meta = service.metadata
        if FINALIZER not in meta.finalizers:
            return
        patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER], "uid": meta.uid}}
        try:
            await self._api.patch(SERVICES, meta.name, meta.namespace, patch, kind="strategic")
        except StatusError as error:
            if error.code not in (404, 409):
                raise

    def _tell(self, service: Service, key: str, found: Given | Refused) -> None:
        """An Event when an address is given, and each time that there is another reason why none can be."""
        if isinstance(found, Refused):
            said = f"Failed to allocate IP for {key!r}: {found.message}"
            kind, reason = "Warning", "AllocationFailed"
        elif found.note:
            said, kind, reason = (
                found.note,
                "Warning",
                "AddressKept" if not found.pool else "IncompleteAddresses",
            )
        else:
            names = ", ".join(map(str, found.addresses))
            said, kind, reason = f"Assigned IP {names} of pool {found.pool}", "Normal", "IPAllocated"
        before = self._told.get(key)
        self._told[key] = said
        current = service.status.loadBalancer.ingress if service.status is not None else ()
        settled = isinstance(found, Given) and [i.ip for i in current] == [str(a) for a in found.addresses]
        if said != before and not (settled and kind == "Normal"):
            self.recorder.event(service, kind, reason, said)


def _condition(found: Given | Refused) -> dict[str, Any]:
    if isinstance(found, Refused):
        return {"type": CONDITION, "status": "False", "reason": found.reason, "message": found.message}
    if found.note:
        return {"type": CONDITION, "status": "True", "reason": "AllocatedWithNote", "message": found.note}
    names = ", ".join(map(str, found.addresses))
    return {
        "type": CONDITION,
        "status": "True",
        "reason": "Allocated",
        "message": f"{names} of pool {found.pool}",
    }
