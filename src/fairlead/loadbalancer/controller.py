"""The shell around `allocate`: Services in; their status, finalizers and Events out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fairlead.client.api import Api
from fairlead.client.election import ElectionConfig, elected
from fairlead.client.events import Recorder
from fairlead.client.informer import Change, Informer, all_synced
from fairlead.client.queue import WorkQueue
from fairlead.loadbalancer import metrics
from fairlead.loadbalancer.allocation import Given, Refused, allocate, conflict
from fairlead.loadbalancer.book import Book
from fairlead.loadbalancer.config import LoadBalancerConfig
from fairlead.loadbalancer.poolcontroller import PoolController
from fairlead.loadbalancer.pools import Address, parse_address
from fairlead.loadbalancer.reports import ALLOCATED, Condition, condition, event, known, said
from fairlead.loadbalancer.requests import Request, held_by, is_ours, ports_of, request_of
from fairlead.loadbalancer.servicewriter import ServiceWriter, was_ours
from fairlead.loadbalancer.written import Written
from fairlead.objects.core_v1 import Namespace, Node, Service
from fairlead.objects.resources import NAMESPACES, NODES, SERVICES
from fairlead.process import Health

NAME = "fairlead-loadbalancer"
WORKERS = 8
"""Services written at a time. Decisions are made one after the other, each knowing those before it."""


async def run(
    api: Api, config: LoadBalancerConfig, health: Health, check: Callable[[], None] = lambda: None
) -> None:
    """Gives addresses to Services until cancelled.

    `check` is asked before each write and raises OSError when another replica may have taken over.
    """
    metrics.reset()
    controller = Controller(api, config, check)
    queues = (controller.queue, controller.pools.queue)
    try:
        async with all_synced(controller.informers, health, "loadbalancer") as group:
            controller.adopt()
            for informer in controller.informers:
                for queue in queues:
                    informer.on_return(queue.hurry)
            group.create_task(controller.pools.queue.serve(controller.pools.sync))
            await controller.queue.serve(controller.sync, workers=WORKERS)
    finally:
        await controller.recorder.close()


async def run_elected(
    api: Api, config: LoadBalancerConfig, election: ElectionConfig | None, health: Health
) -> None:
    """The same, whenever this replica leads; without an election it always does."""
    await elected(api, election, health, "loadbalancer", lambda check: run(api, config, health, check))


class Controller:
    """Who has which address. A change costs one Service, and those that wait for an address when one is given back."""

    def __init__(
        self, api: Api, config: LoadBalancerConfig, check: Callable[[], None] = lambda: None
    ) -> None:
        self._config = config
        self._book = Book()
        self._waiting: dict[str, None] = {}
        """Services that lack an address that they ask for, in the order in which they came to lack it."""
        self._told: dict[str, Condition] = {}
        """What each Service's condition says, as we wrote it last."""
        self.recorder = Recorder(api, NAME)
        self.queue: WorkQueue[str] = WorkQueue("loadbalancer")
        self.services = Informer(api, SERVICES)
        self._written = Written(self.services)
        self._writer = ServiceWriter(api, self._written, check)
        self.namespaces = Informer(api, NAMESPACES)
        self.nodes = Informer(api, NODES)
        self.pools = PoolController(api, config, self._book, self.recorder, check, self._on_pools)
        self.services.index("namespace", lambda service: (service.metadata.namespace,))
        self.services.subscribe(self._on_service)
        self.namespaces.subscribe(self._on_namespace)
        self.nodes.subscribe(self._on_node)

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """All that has to be known before the first decision."""
        return (self.services, self.namespaces, self.nodes, *self.pools.informers)

    def adopt(self) -> None:
        """Notes what Services have already, the older ones first, so that nothing moves on a restart."""
        services = [s for s in self.services.items.values() if s.spec.type == "LoadBalancer" and held_by(s)]
        for service in sorted(services, key=lambda s: (s.metadata.creationTimestamp or "", s.metadata.name)):
            try:
                request = self._request(service)
            except ValueError:
                request = _bare(service)  # what is wrong with it is told when its turn comes
            held = held_by(service)
            if not any(conflict(request, address, self._book) for address in held):
                self._book.take(request, held)

    def _is_ours(self, service: Service) -> bool:
        return is_ours(service, default=self._config.default, name=self._config.load_balancer_class)

    def _on_service(self, change: Change[Service]) -> None:
        for service in (change.old, change.new):
            if service is not None and (service.spec.type == "LoadBalancer" or was_ours(service)):
                self.queue.add(change.key)
                return

    def _on_namespace(self, change: Change[Namespace]) -> None:
        """Pools may be for the namespaces with certain labels."""
        before, after = (n.metadata.labels if n is not None else None for n in (change.old, change.new))
        if before != after:
            for service in self.services.by_index("namespace", change.key):
                if self._is_ours(service):
                    self.queue.add(f"{service.metadata.namespace}/{service.metadata.name}")

    def _on_node(self, change: Change[Node]) -> None:
        """A node's own addresses are given to nobody: its ports would be the Service's."""
        before, after = (_addresses(node) if node is not None else () for node in (change.old, change.new))
        if before == after:
            return
        key = f"node {change.key}"  # no Service is called so
        for address in after:
            for holder in self._book.holders(address):
                if holder in self.services.items:
                    self.queue.add(holder)  # it has to have another one
        self._book.take(Request(key, (4, 6)), after)
        freed = self._book.settle(key)
        self.pools.moved((*after, *freed))
        if freed:
            self._wake()

    def _on_pools(self) -> None:
        for key, service in self.services.items.items():
            if self._is_ours(service):
                self.queue.add(key)

    def _request(self, service: Service) -> Request:
        namespace = self.namespaces.items.get(service.metadata.namespace)
        return request_of(service, namespace.metadata.labels if namespace is not None else {})

    async def sync(self, key: str) -> None:
        """Gives one Service what it should have, or takes what it should not."""
        service = self._written.newest(key)
        if service is not None and self._is_ours(service) and service.metadata.deletionTimestamp is None:
            await self._serve(key, service)
            return
        self._book.leave(key)
        self._waiting.pop(key, None)
        self._told.pop(key, None)
        if service is not None:
            if self._is_ours(service) or was_ours(service):
                await self._let_go(service, self._book.left(key))
            elif service.spec.type == "LoadBalancer" and (held := held_by(service)):
                # Another's, with its address: nobody else may have that one.
                self._book.take(_bare(service), held)
                self.pools.moved(held)
        self._settle(key)

    async def _serve(self, key: str, service: Service) -> None:
        # No await from here until the decision is noted: the next one has to know of it.
        found = self._decide(key, service)
        had = held_by(service)
        before = self._told.get(key) or known(service.status, ALLOCATED)
        complete = isinstance(found, Given) and len(found.addresses) >= len(service.spec.ipFamilies)
        if complete:
            self._waiting.pop(key, None)
        else:
            self._waiting.setdefault(key)
        metrics.decided(condition(found).reason, len(self._waiting))
        await self._writer.give(service, found)
        self._told[key] = condition(found)
        if (told := event(key, found, before, had)) is not None:
            self.recorder.event(service, told.type, told.reason, told.message)
        self._settle(key)

    def _decide(self, key: str, service: Service) -> Given | Refused:
        try:
            request = self._request(service)
        except ValueError as error:
            self._book.leave(key)
            return Refused("InvalidRequest", str(error))
        held = self._book.held(key) or request.held
        catalog = self.pools.catalog
        found = allocate(replace(request, held=held), catalog.pools.values(), self._book, catalog.unusable)
        if isinstance(found, Refused):
            self._book.leave(key)
        elif found.addresses != self._book.held(key):
            self._book.take(request, found.addresses)
            self.pools.moved(found.addresses)
        else:
            self._book.take(request, found.addresses)
        return found

    def _settle(self, key: str) -> None:
        """What the Service gave up, and its status has no more, is for those that wait."""
        freed = self._book.settle(key)
        if freed:
            self.pools.moved(freed)
            self._wake()

    def _wake(self) -> None:
        """Those that wait may have what was given back."""
        for each in self._waiting:
            self.queue.add(each)

    async def _let_go(self, service: Service, had: tuple[Address, ...]) -> None:
        """Nothing of ours stays on the Service, which had these addresses until now."""
        pools, there = self.pools.catalog.pools.values(), held_by(service)
        # The provider of the class that the Service has now may have been quicker.
        theirs = (
            service.spec.type == "LoadBalancer"
            and not self._is_ours(service)
            and not any(address in pool for pool in pools for address in there)
        )
        service = await self._writer.let_go(service, theirs=theirs)
        if had:
            self.recorder.event(
                service, "Normal", "IPReleased", f"Released IP {said(had)}: {self._why(service)}"
            )

    def _why(self, service: Service) -> str:
        if service.metadata.deletionTimestamp is not None:
            return "the Service is deleted"
        if service.spec.type != "LoadBalancer":
            return f"the Service is of type {service.spec.type} now"
        if service.spec.loadBalancerClass:
            return f"the Service is of class {service.spec.loadBalancerClass!r} now"
        return "the Service has no class, and we are not the default"


def _addresses(node: Node) -> tuple[Address, ...]:
    """The addresses that a node's status tells of; names are passed over."""
    found: dict[Address, None] = {}
    for each in node.status.addresses if node.status is not None else ():
        if each.type in ("InternalIP", "ExternalIP"):
            with contextlib.suppress(ValueError):
                found[parse_address(each.address)] = None
    return tuple(found)


def _bare(service: Service) -> Request:
    """A Service that shares with nobody, of which only the addresses matter."""
    meta = service.metadata
    return Request(f"{meta.namespace}/{meta.name}", (4, 6), ports=ports_of(service))
