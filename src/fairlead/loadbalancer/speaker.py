"""The speaker of one node: it announces the addresses of load balancers to the network around it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pyroute2 import IPRoute

from fairlead.client.api import Api
from fairlead.client.events import Recorder
from fairlead.client.informer import Change, Informer, all_synced
from fairlead.loadbalancer.announcement import addresses, carriers, is_eligible, is_ready
from fairlead.loadbalancer.bgp.announcer import Bgp
from fairlead.loadbalancer.bgp.configuration import BgpConfig
from fairlead.loadbalancer.layer2.announcer import Layer2
from fairlead.loadbalancer.pools import Address
from fairlead.loadbalancer.requests import CLASS
from fairlead.loadbalancer.roster import Roster
from fairlead.objects.core_v1 import Node, Service
from fairlead.objects.discovery_v1 import EndpointSlice
from fairlead.objects.resources import ENDPOINTSLICES, NODES, SERVICES
from fairlead.process import Health

log = logging.getLogger("fairlead.loadbalancer")

NAME = "fairlead-speaker"
SERVICE_NAME = "kubernetes.io/service-name"


@dataclass(frozen=True)
class SpeakerConfig:
    """What one speaker is to do.

    `node` is the name of its Node; `interfaces` are those on which it answers, by default those that have the Node's
    addresses. With `bgp` routers are told instead, by a BIRD with its files in `directory`. Ours are the Services of
    the class `loadbalancer_class` and, if `default`, those without one.
    """

    node: str
    interfaces: tuple[str, ...] = ()
    default: bool = True
    loadbalancer_class: str = CLASS
    bgp: BgpConfig | None = None
    directory: Path | None = None


class Announcer(Protocol):
    """A way to announce addresses."""

    def decide(self, changed: frozenset[Address]) -> None:
        """Something about these addresses has changed in the roster."""


async def run(api: Api, config: SpeakerConfig, health: Health) -> None:
    """Announces until cancelled. Raises OSError where the interfaces cannot be used."""
    speaker = Speaker(api, config)
    health.waits_for("speaker/announcing")
    try:
        async with all_synced(speaker.informers, health, "speaker") as group:
            await speaker.registered()
            speaker.work()
            announcer: Announcer
            if config.bgp is not None and config.directory is not None:
                announcer = bgp = Bgp(
                    config.node,
                    speaker.node_addresses(),
                    config.bgp,
                    config.directory,
                    speaker.roster,
                    speaker.tell_routed,
                )
                log.info("announcing by BGP to %s", ", ".join(peer.address for peer in config.bgp.peers))
                group.create_task(bgp.run())
            else:
                wanted = frozenset(speaker.node_addresses())
                interfaces = config.interfaces or await asyncio.to_thread(interfaces_of, wanted)
                announcer = layer2 = Layer2(
                    config.node, interfaces, speaker.roster, speaker.is_known, speaker.tell
                )
                log.info("announcing by ARP and NDP on %s", ", ".join(interfaces))
                group.create_task(layer2.run(speaker.uid))
            health.has("speaker/announcing")
            await speaker.follow(announcer)
    finally:
        await speaker.recorder.close()


class Speaker:
    """The roster, kept true by informers. A change costs its Service; one of a Node, all load balancers."""

    def __init__(self, api: Api, config: SpeakerConfig) -> None:
        self._config = config
        self.roster = Roster()
        self.recorder = Recorder(api, NAME, config.node)
        self._services = Informer(api, SERVICES)
        self._slices = Informer(api, ENDPOINTSLICES)
        self._nodes = Informer(api, NODES)
        self.informers: tuple[Informer[Any], ...] = (self._services, self._slices, self._nodes)
        self._slices.index("service", lambda piece: (_service_of(piece),))
        self._dirty: set[str] = set()
        self._balanced: set[str] = set()
        """The Services of type LoadBalancer, by key."""
        self._wake = asyncio.Event()
        self._services.subscribe(self._on_service)
        self._slices.subscribe(self._on_slice)
        self._nodes.subscribe(self._on_node)

    def _on_service(self, change: Change[Service]) -> None:
        spec = change.new.spec if change.new is not None else None
        if spec is not None and spec.type == "LoadBalancer":
            self._balanced.add(change.key)
        elif change.key in self._balanced:
            self._balanced.discard(change.key)
        else:
            return
        self._look_at(change.key)

    def _on_slice(self, change: Change[EndpointSlice]) -> None:
        for piece in (change.old, change.new):
            if piece is not None and (key := _service_of(piece)) in self._balanced:
                self._look_at(key)

    def _on_node(self, change: Change[Node]) -> None:
        def says(node: Node | None) -> tuple[bool, ...]:
            return () if node is None else (is_eligible(node), is_ready(node))

        if says(change.old) != says(change.new) or change.key == self._config.node:
            self._look_at(*self._balanced)

    def _look_at(self, *keys: str) -> None:
        self._dirty.update(keys)
        self._wake.set()

    def work(self) -> frozenset[Address]:
        """Brings the roster up to date; gives the addresses for which that changes something."""
        dirty, self._dirty = self._dirty, set()
        changed: set[Address] = set()
        for key in dirty:
            service = self._services.items.get(key)
            found = _addresses(service, self._config)
            able: frozenset[str] = frozenset()
            if service is not None and found:
                able = carriers(service, self._slices.by_index("service", key), self._nodes.items)
            changed |= self.roster.put(key, found, able)
        return frozenset(changed)

    async def follow(self, announcer: Announcer) -> None:
        """Tells the announcer what changes until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            announcer.decide(self.work())

    async def registered(self) -> None:
        """Returns when there is a Node of our name."""
        while self._config.node not in self._nodes.items:
            log.info("waiting for the Node %s", self._config.node)
            self._wake.clear()
            await self._wake.wait()

    def uid(self) -> str:
        """That of our Node; "" while there is none."""
        node = self._nodes.items.get(self._config.node)
        return node.metadata.uid if node is not None else ""

    def is_known(self, name: str, uid: str) -> bool:
        """Whether there is a Node of that name and uid."""
        node = self._nodes.items.get(name)
        return node is not None and node.metadata.uid == uid

    def node_addresses(self) -> tuple[str, ...]:
        """The InternalIPs of our Node."""
        status = self._nodes.items[self._config.node].status
        return tuple(a.address for a in (status.addresses if status else ()) if a.type == "InternalIP")

    def tell(self, address: Address, other: str) -> None:
        """Says on the Services of an address that it is announced, or that `other`, a hardware address, has it."""
        for key in self.roster.services(address):
            service = self._services.items.get(key)
            if service is None:
                continue
            if other:
                message = (
                    f"{address} is not announced: {other} has it on the network of node {self._config.node}"
                )
                self.recorder.event(service, "Warning", "AddressInUse", message)
            else:
                message = f"announcing {address} from node {self._config.node} by ARP or NDP"
                self.recorder.event(service, "Normal", "Announced", message)
        log.info("%s %s", address, f"is in use by {other}" if other else "is announced")

    def tell_routed(self, address: Address) -> None:
        """Says on the Services of an address that routers are told of it."""
        for key in self.roster.services(address):
            service = self._services.items.get(key)
            if service is not None:
                message = f"announcing {address} from node {self._config.node} by BGP"
                self.recorder.event(service, "Normal", "Announced", message)
        log.info("%s is announced", address)


def _addresses(service: Service | None, config: SpeakerConfig) -> tuple[Address, ...]:
    if service is None:
        return ()
    return addresses(service, default=config.default, name=config.loadbalancer_class)


def _service_of(piece: EndpointSlice) -> str:
    return f"{piece.metadata.namespace}/{piece.metadata.labels.get(SERVICE_NAME, '')}"


def interfaces_of(wanted: frozenset[str]) -> tuple[str, ...]:
    """The interfaces of this network namespace that have one of the addresses. Raises OSError where none has."""
    with IPRoute() as kernel:
        indexes = {
            message["index"] for message in kernel.get_addr() if message.get_attr("IFA_ADDRESS") in wanted
        }
        found = tuple(
            sorted(link.get_attr("IFLA_IFNAME") for link in kernel.get_links() if link["index"] in indexes)
        )
    if not found:
        raise OSError(f"no interface here has an address of the Node ({', '.join(sorted(wanted))}); name it")
    return found
