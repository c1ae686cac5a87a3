"""The lab's cloud: it leads the addresses of LoadBalancer Services from outside to the nodes that can answer.

It does what a provider's network load balancer does. Each node is asked whether it is well: at the Service's
`healthCheckNodePort` under externalTrafficPolicy Local, at its proxy's `/healthz` otherwise. The router between
`outside` and the nodes gets a route for each address, shared by the nodes that are well; so the kernel forwards, and
packets reach the nodes with the address as destination and the client as source (`ipMode: VIP`). A connection stays on
its node as long as the set of nodes does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from fairlead.client.api import Api
from fairlead.client.informer import Informer
from fairlead.objects.core_v1 import Node, Service
from fairlead.objects.resources import NODES, SERVICES

log = logging.getLogger("fairlead.lab")

HEALTHZ_PORT = 10256
EVERY = 0.5
"""Seconds between two questions to a node."""
PATIENCE = 0.5
"""Seconds that a node has for its answer."""
FAILURES = 2
"""So many in a row, and a node gets no more connections; one good answer brings it back."""

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"

Place = tuple[str, int]
"""A node's address, and the port at which it is asked."""


@dataclass(frozen=True)
class Wanted:
    """Where each address may lead, if they are well: the nodes' places, in order."""

    places: Mapping[str, tuple[Place, ...]] = field(default_factory=dict)

    def asked(self) -> frozenset[Place]:
        """Everybody who has to be asked."""
        return frozenset(place for places in self.places.values() for place in places)


def wanted(services: Iterable[Service], nodes: Iterable[Node]) -> Wanted:
    """Which nodes each address of a load balancer may lead to. Pure; an address that is shared is asked about once."""
    addresses = sorted(filter(None, map(_address, nodes)))
    places: dict[str, tuple[Place, ...]] = {}
    for service in services:
        spec, status = service.spec, service.status
        if spec is None or status is None or spec.type != "LoadBalancer":
            continue
        port = HEALTHZ_PORT
        if spec.externalTrafficPolicy == "Local" and spec.healthCheckNodePort:
            port = spec.healthCheckNodePort
        for ingress in status.loadBalancer.ingress:
            if ingress.ip and ":" not in ingress.ip and ingress.ipMode != "Proxy":
                places[ingress.ip] = tuple((address, port) for address in addresses)
    return Wanted(places)


def _address(node: Node) -> str:
    """Where a node is that takes traffic from outside; "" for one that must not."""
    if EXCLUDED in node.metadata.labels or node.metadata.deletionTimestamp is not None or node.status is None:
        return ""
    return next(
        (a.address for a in node.status.addresses if a.type == "InternalIP" and ":" not in a.address), ""
    )


def routes(all_wanted: Wanted, well: Mapping[Place, bool]) -> dict[str, tuple[str, ...]]:
    """The nodes' addresses that each address leads to now; none where nobody is well."""
    return {
        address: tuple(place[0] for place in places if well.get(place, False))
        for address, places in all_wanted.places.items()
    }


async def run(api: Api) -> None:
    """Keeps the routes of this network namespace right until cancelled."""
    services, nodes = Informer(api, SERVICES), Informer(api, NODES)
    cloud = _Cloud()
    informers: tuple[Informer[Any], ...] = (services, nodes)
    async with asyncio.TaskGroup() as group:
        for informer in informers:
            group.create_task(informer.run())
        for informer in informers:
            await informer.synced()
            informer.subscribe(lambda _: cloud.look())
        while True:
            cloud.want(wanted(services.items.values(), nodes.items.values()))
            await cloud.ask()
            await cloud.lead()
            await cloud.rest()


class _Cloud:
    """Who is well, and which routes there are. A round costs a question to each node for each port."""

    def __init__(self) -> None:
        self._wanted = Wanted()
        self._failures: dict[Place, int] = {}
        self._routes: dict[str, tuple[str, ...]] = {}
        self._changed = asyncio.Event()

    def look(self) -> None:
        """Something may have changed: no need to wait for the next round."""
        self._changed.set()

    def want(self, new: Wanted) -> None:
        """Which nodes each address may lead to."""
        self._wanted = new
        asked = new.asked()
        # One that is new has to answer before it gets anything.
        self._failures = {place: self._failures.get(place, FAILURES) for place in asked}

    async def ask(self) -> None:
        """Asks everybody, all at once."""
        places = list(self._failures)
        for place, well in zip(places, await asyncio.gather(*map(is_well, places)), strict=True):
            self._failures[place] = 0 if well else self._failures[place] + 1

    async def lead(self) -> None:
        """Brings the routes to what the answers say."""
        well = {place: failures < FAILURES for place, failures in self._failures.items()}
        new = routes(self._wanted, well)
        changes = dict.fromkeys(self._routes.keys() - new.keys(), ()) | {
            address: nodes for address, nodes in new.items() if self._routes.get(address, ()) != nodes
        }
        if changes:
            # pyroute2's blocking interface has a loop of its own, and two do not go together in a thread.
            await asyncio.to_thread(_set_routes, changes)
        self._routes = {address: nodes for address, nodes in new.items() if nodes}

    async def rest(self) -> None:
        """Waits for the next round, or for a change."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), EVERY)
        self._changed.clear()


def _set_routes(changes: Mapping[str, tuple[str, ...]]) -> None:
    """The nodes that each of these addresses leads to from now on. They stay when this process ends."""
    with IPRoute() as kernel:
        for address, nodes in changes.items():
            log.info("%s leads to %s", address, ", ".join(nodes) or "no node")
            try:
                if nodes:
                    ways = [{"gateway": node} for node in nodes]
                    kernel.route("replace", dst=f"{address}/32", multipath=ways)
                else:
                    with contextlib.suppress(NetlinkError):
                        kernel.route("del", dst=f"{address}/32")
            except NetlinkError as error:
                log.error("cannot set the route to %s: %s", address, error.args[1])


async def is_well(place: Place) -> bool:
    """Whether a node's health server answers with 200."""
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(*place)
            try:
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except (OSError, ValueError):
        return False
