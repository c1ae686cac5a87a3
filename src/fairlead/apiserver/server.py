"""The API server: a store behind HTTPS, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fairlead.apiserver.access.clientcertificates import ask
from fairlead.apiserver.access.gate import AccessConfig, Gate
from fairlead.apiserver.allocation import ports_of
from fairlead.apiserver.bootstrap import bootstrap, keep, leave
from fairlead.apiserver.catalog import Catalog
from fairlead.apiserver.clients import Clients, room_for_connections
from fairlead.apiserver.collector import Collector
from fairlead.apiserver.connect.backends import Backends, KubeletClient
from fairlead.apiserver.connect.passing import Passing
from fairlead.apiserver.connect.usage import Metrics as Usage
from fairlead.apiserver.definitions import Definitions
from fairlead.apiserver.expiry import Expiry
from fairlead.apiserver.fairness import Seats
from fairlead.apiserver.handler import Handler
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import ENDPOINTSLICES, NAMESPACES, NODES, PODS, SECRETS, SERVICECIDRS, SERVICES
from fairlead.apiserver.listening import Entrance
from fairlead.apiserver.masterleases import LEASE_SECONDS, MasterLeases
from fairlead.apiserver.metrics import Metrics
from fairlead.apiserver.paths import plain_paths
from fairlead.apiserver.registry import Registry
from fairlead.apiserver.repair import Repair
from fairlead.apiserver.reservations import Reservations
from fairlead.apiserver.servicecidrs import ServiceCIDRController, ServiceCIDRStrategy
from fairlead.apiserver.services import ServiceStrategy
from fairlead.apiserver.strategies import (
    EndpointSliceStrategy,
    NamespaceStrategy,
    NodeStrategy,
    PodStrategy,
    SecretStrategy,
    Strategy,
)
from fairlead.process import Health
from fairlead.store import Closed, Failed, Store, open_store

log = logging.getLogger("fairlead.apiserver")

CHECK_SECONDS = 2.0
"""How often the store is asked whether it is there, and how long it may take, as upstream's check has it."""

LEAVE_SECONDS = 2.0
"""How long it may take to say so to the other servers."""

STOP_SECONDS = 5.0
"""How long requests under way may take when the server stops."""


@dataclass(frozen=True)
class ServerConfig:
    """How to serve. `tokens` is a CSV file (see `Tokens.read`); without `certificate` it is plain HTTP."""

    store: str
    tokens: Path
    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None
    service_cidrs: tuple[str, ...] = ("10.96.0.0/16",)
    node_port_range: tuple[int, int] = (30000, 32767)
    advertise_address: str = ""
    advertise_port: int = 6443
    lease_seconds: float = LEASE_SECONDS
    """After how long a server that is gone is no endpoint of the Service `kubernetes` any more."""
    access: AccessConfig = field(default_factory=AccessConfig)
    kubelets: KubeletClient = field(default_factory=KubeletClient)


async def serve(config: ServerConfig, sockets: Sequence[socket.socket], health: Health) -> None:
    """Serves on every one of the listening sockets until it is cancelled; then requests are finished, watches ended.

    Raises OSError, ValueError, store.Failed where a file of the configuration cannot be used.
    """
    health.waits_for("apiserver", "starting")
    authority = config.authority.read_bytes() if config.authority is not None else b""
    context = tls(config)
    backends = Backends(config.kubelets)
    prepare_interpreter()
    async with await open_store(config.store) as store:
        reservations = Reservations(store, ports_of(*config.node_port_range))
        gate = Gate(config.access, config.tokens, store, authority)
        registry = Registry(
            store, {**strategies(config, authority, reservations), **gate.strategies}, gate.admission
        )
        address = f"{config.advertise_address}:{config.advertise_port}" if config.advertise_address else ""
        catalog = Catalog()
        definitions = Definitions(registry, catalog)
        seats = Seats()
        metrics = Metrics(lambda: seats.waiting)
        paths = plain_paths(store, health, catalog, metrics, address, gate.path)
        passing = Passing(registry, gate.authorizer, backends)
        handler = Handler(registry, catalog, gate, paths, seats, metrics, passing, Usage(registry, backends))
        clients = Clients(handler, room_for_connections())
        await reservations.load()
        following = asyncio.ensure_future(reservations.run())
        leases: MasterLeases | None = None
        if config.advertise_address:
            leases = MasterLeases(store, config.advertise_address, config.lease_seconds)
        try:
            own = (config.service_cidrs, leases, config.advertise_port)
            await bootstrap(registry, *own)
            await definitions.load()
            await gate.prepare(registry)
            entrances = [Entrance(clients, sock, context) for sock in sockets]
            health.has("apiserver")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(joined(following))
                for entrance in entrances:
                    tasks.create_task(entrance.run())
                tasks.create_task(clients.sweep())
                tasks.create_task(gate.run(registry))
                tasks.create_task(keep(registry, *own))
                tasks.create_task(definitions.run())
                tasks.create_task(ServiceCIDRController(registry, reservations).run())
                tasks.create_task(Repair(registry, reservations).run())
                tasks.create_task(Expiry(store).run())
                tasks.create_task(attend(store, health))
                tasks.create_task(Collector(registry, catalog, authority).run())
        finally:
            handler.end_watches()
            backends.close()
            if leases is not None and health.report(readiness=True)[0]:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LEAVE_SECONDS):
                        await leave(registry, leases, config.advertise_port)
            following.cancel()
            await clients.stop(STOP_SECONDS)


def prepare_interpreter() -> None:
    """What the whole process needs for the work of a server.

    The store's thread has to get the interpreter from a busy event loop twice a commit; it asks after 50 us instead of
    5 ms. While it waits, whatever gives the interpreter up for a moment (every callback of uvloop, every call of TLS)
    wakes it in vain, and the writers wait with it. What is read aside (`aside.py`) takes half as long again so.
    """
    sys.setswitchinterval(0.00005)


async def attend(store: Store, health: Health) -> None:
    """Lets the check `etcd` fail while the store cannot be asked, whichever it is."""
    while True:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await store.sync()
            health.has("etcd")
        except Closed:
            return
        except TimeoutError:
            health.fails("etcd", f"the store does not answer within {CHECK_SECONDS:g} s")
        except Failed as error:
            health.fails("etcd", str(error))
        await asyncio.sleep(CHECK_SECONDS)


async def joined(task: asyncio.Future[None]) -> None:
    """Ends as the task does."""
    await task


def tls(config: ServerConfig) -> ssl.SSLContext | None:
    """The context of the serving certificate."""
    if config.certificate is None or config.key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.certificate, config.key)
    context.set_alpn_protocols(["http/1.1"])
    if config.access.client_ca_file is not None:
        ask(context, config.access.client_ca_file)
    return context


def strategies(config: ServerConfig, authority: bytes, reservations: Reservations) -> Mapping[Kind, Strategy]:
    """How the kinds are written that have rules of their own."""
    return {
        NAMESPACES: NamespaceStrategy(authority),
        NODES: NodeStrategy(),
        PODS: PodStrategy(),
        SECRETS: SecretStrategy(),
        SERVICECIDRS: ServiceCIDRStrategy(),
        SERVICES: ServiceStrategy(config.service_cidrs, reservations),
        ENDPOINTSLICES: EndpointSliceStrategy(),
    }
