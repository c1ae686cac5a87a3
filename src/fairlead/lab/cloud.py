"""The lab's cloud: it leads the addresses of LoadBalancer Services from outside to the nodes that can answer.

It does what a provider's network load balancer does. Each node is asked whether it is well: at the Service's
`healthCheckNodePort` under externalTrafficPolicy Local, at its proxy's `/healthz` otherwise. New connections go to
nodes that are well; those that there are stay on their node until they end, or it dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead.client.api import Api
from fairlead.client.informer import Informer
from fairlead.lab.addressing import IPV4, Family
from fairlead.lab.cloudhealth import Place, Standing, answer_of
from fairlead.lab.cloudtables import Lead, Tables
from fairlead.objects.core_v1 import Node, Service
from fairlead.objects.resources import NODES, SERVICES

log = logging.getLogger("fairlead.lab")

HEALTHZ_PORT = 10256
EVERY = 0.4
"""Seconds between two questions to a node."""

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"


@dataclass(frozen=True)
class Balanced:
    """What an address wants: the places of the nodes it may lead to, in order; `sticky` and `ports` as in `Lead`."""

    places: tuple[Place, ...]
    sticky: bool = False
    ports: tuple[tuple[str, int, int], ...] = ()


def wanted(services: Iterable[Service], nodes: Iterable[Node], via: str = "vip") -> dict[str, Balanced]:
    """Where each address of a load balancer may lead. Pure; the Services that share one are asked about together."""
    all_nodes = list(nodes)
    addresses = {
        version: sorted(filter(None, (_address(node, version) for node in all_nodes))) for version in (4, 6)
    }
    found: dict[str, Balanced] = {}
    for service in services:
        spec, status = service.spec, service.status
        if spec is None or status is None or spec.type != "LoadBalancer":
            continue
        port = HEALTHZ_PORT
        if spec.externalTrafficPolicy == "Local" and spec.healthCheckNodePort:
            port = spec.healthCheckNodePort
        ports = tuple(
            (each.protocol.lower() if each.protocol else "tcp", each.port, each.nodePort)
            for each in spec.ports
            if each.nodePort and via == "nodeport"
        )
        for ingress in status.loadBalancer.ingress:
            if not ingress.ip or ingress.ipMode == "Proxy":
                continue
            if via == "nodeport" and not ports:  # allocateLoadBalancerNodePorts: false
                continue
            places = tuple((address, port) for address in addresses[6 if ":" in ingress.ip else 4])
            before = found.get(ingress.ip, Balanced(()))
            sticky = before.sticky or spec.sessionAffinity == "ClientIP"
            found[ingress.ip] = Balanced(places, sticky, before.ports + ports)
    return found


def _address(node: Node, version: int) -> str:
    """Where a node is that takes traffic from outside in a family; "" for one that must not, or is not in it."""
    if EXCLUDED in node.metadata.labels or node.metadata.deletionTimestamp is not None or node.status is None:
        return ""
    return next(
        (
            a.address
            for a in node.status.addresses
            if a.type == "InternalIP" and (":" in a.address) == (version == 6)
        ),
        "",
    )


def leads(all_wanted: Mapping[str, Balanced], well: Mapping[Place, bool]) -> dict[str, Lead]:
    """Where each address leads now; to no nodes where nobody is well."""
    return {
        address: Lead(
            tuple(place[0] for place in each.places if well.get(place, False)), each.sticky, each.ports
        )
        for address, each in all_wanted.items()
    }


async def run(api: Api, via: str = "vip", families: Sequence[Family] = (IPV4,)) -> None:
    """Leads the addresses from this network namespace until cancelled. `via` is one of `topology.LOADBALANCER_VIA`."""
    services, nodes = Informer(api, SERVICES), Informer(api, NODES)
    cloud = _Cloud(families)
    informers: tuple[Informer[Any], ...] = (services, nodes)
    async with asyncio.TaskGroup() as group:
        for informer in informers:
            group.create_task(informer.run())
        for informer in informers:
            await informer.synced()
            informer.subscribe(lambda _: cloud.look())
        while True:
            cloud.want(wanted(services.items.values(), nodes.items.values(), via))
            await cloud.ask()
            await cloud.lead()
            await cloud.rest()


class _Cloud:
    """Who is well, and where addresses lead. A round costs a question to each node for each port."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._wanted: dict[str, Balanced] = {}
        self._standing: dict[Place, Standing] = {}
        self._leads: dict[str, Lead] = {}
        self._dead: set[str] = set()
        self._tables = Tables(families)
        self._changed = asyncio.Event()

    def look(self) -> None:
        """Something may have changed: no need to wait for the next round."""
        self._changed.set()

    def want(self, new: dict[str, Balanced]) -> None:
        """Where each address may lead."""
        self._wanted = new
        places = {place for each in new.values() for place in each.places}
        self._standing = {place: self._standing.get(place, Standing()) for place in places}

    async def ask(self) -> None:
        """Asks everybody, all at once."""
        answers = await asyncio.gather(*map(answer_of, self._standing))
        self._standing = {
            place: standing.after(answer)
            for (place, standing), answer in zip(self._standing.items(), answers, strict=True)
        }

    async def lead(self) -> None:
        """Brings the kernel to what the answers say."""
        new = leads(self._wanted, {place: standing.is_well for place, standing in self._standing.items()})
        silent = {place[0] for place, standing in self._standing.items() if standing.is_dead}
        moved = [
            (address, node)
            for address, lead in self._leads.items()
            for node in set(lead.nodes) - set(new[address].nodes if address in new else ())
        ]
        died, self._dead = silent - self._dead, silent
        if new != self._leads or died:
            # pyroute2's blocking interface has a loop of its own, and two do not go together in a thread.
            told = await asyncio.to_thread(self._tell, new, moved, died)
            self._leads = new if told else {}

    def _tell(self, new: dict[str, Lead], moved: Iterable[tuple[str, str]], died: Iterable[str]) -> bool:
        told = self._tables.lead(new)
        for address, node in moved:
            self._tables.forget_datagrams(address, node)
        for node in died:
            log.info("%s does not answer any more", node)
            self._tables.forget(node)
        return told

    async def rest(self) -> None:
        """Waits for the next round, or for a change."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), EVERY)
        self._changed.clear()
