"""The server against a real API server: it follows what happens there, and goes on answering without it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
import dns.message
import dns.rcode

from fairlead.client.api import Api
from fairlead.dns import exposition
from fairlead.dns.config import DnsConfig
from fairlead.dns.exposition import exposed
from fairlead.dns.listeners import Listeners
from fairlead.dns.server import run
from fairlead.objects import core_v1, discovery_v1
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import ENDPOINTSLICES, NAMESPACES, SERVICES
from fairlead.process import Health
from tests.client.cluster import eventually, with_server
from tests.loopback import free_ports, own_address
from tests.waiting import LIMIT

D = "default.svc.cluster.local"


@dataclass
class Server:
    """The server under test, with its health, once it is made."""

    listeners: Listeners
    health: Health


def scenario(test: Callable[[Api, Server], object]) -> None:
    """Runs a test with an API server and a DNS server that follows it."""
    made: list[Server] = []

    async def start(api: Api, health: Health) -> None:
        listeners = Listeners(DnsConfig(listen=((own_address(), 0),)))
        made.append(Server(listeners, health))
        await run(api, DnsConfig(), health, listeners)

    async def with_made(api: Api) -> None:
        await test(api, made[0])  # type: ignore[misc]

    with_server(with_made, start)


async def answers(server: Server, name: str, kind: str = "A") -> dns.message.Message:
    def ask() -> dns.message.Message:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(LIMIT)
            sock.sendto(dns.message.make_query(name, kind).to_wire(), server.listeners.addresses[0])
            return dns.message.from_wire(sock.recv(4096))

    return await asyncio.to_thread(ask)


def service(name: str, **spec: object) -> core_v1.Service:
    port = core_v1.ServicePort(name="http", port=80, protocol="TCP")
    return core_v1.Service(
        metadata=ObjectMeta(name=name, namespace="default"),
        spec=core_v1.ServiceSpec(ports=(port,), **spec),  # type: ignore[arg-type]
    )


def slice_of(name: str, *addresses: str) -> discovery_v1.EndpointSlice:
    return discovery_v1.EndpointSlice(
        metadata=ObjectMeta(
            name=f"{name}-1", namespace="default", labels={"kubernetes.io/service-name": name}
        ),
        addressType="IPv4",
        endpoints=tuple(discovery_v1.Endpoint(addresses=(address,)) for address in addresses),
        ports=(discovery_v1.EndpointPort(name="http", port=8080, protocol="TCP"),),
    )


def test_it_follows_services_slices_and_namespaces() -> None:
    async def test(api: Api, server: Server) -> None:
        assert (await answers(server, f"web.{D}")).rcode() == dns.rcode.NXDOMAIN
        made = await api.create(SERVICES, service("web"), "default")
        assert made.spec is not None

        async def has_address() -> bool:
            return made.spec.clusterIP in str(await answers(server, f"web.{D}"))

        await eventually(has_address, "the Service has its name")
        await api.create(SERVICES, service("pods", clusterIP="None"), "default")
        await api.create(ENDPOINTSLICES, slice_of("pods", "10.244.1.2"), "default")

        async def has_pod(address: str = "10.244.1.2") -> bool:
            return address in str(await answers(server, f"pods.{D}"))

        await eventually(has_pod, "the headless Service has its pod")
        current = await api.get(ENDPOINTSLICES, "pods-1", "default")
        changed = slice_of("pods", "10.244.1.3")
        await api.replace(
            ENDPOINTSLICES,
            discovery_v1.EndpointSlice(
                metadata=current.metadata,
                addressType="IPv4",
                endpoints=changed.endpoints,
                ports=changed.ports,
            ),
        )

        async def has_other() -> bool:
            text = str(await answers(server, f"pods.{D}"))
            return "10.244.1.3" in text and "10.244.1.2" not in text

        await eventually(has_other, "the answer has changed with the slice")
        await api.delete(SERVICES, "web", "default")

        async def is_gone() -> bool:
            return (await answers(server, f"web.{D}")).rcode() == dns.rcode.NXDOMAIN

        await eventually(is_gone, "the deleted Service is gone")
        await api.create(NAMESPACES, core_v1.Namespace(metadata=ObjectMeta(name="fresh")))

        async def namespace_is_there() -> bool:
            return (await answers(server, "fresh.svc.cluster.local")).rcode() == dns.rcode.NOERROR

        await eventually(namespace_is_there, "the new namespace is there")

    scenario(test)


def test_health_and_metrics_are_where_coredns_has_them() -> None:
    async def test(api: Api, server: Server) -> None:
        for _ in range(3):
            await answers(server, "kubernetes.default.svc.cluster.local")
        ports = free_ports(3)
        exposition.HEALTH_PORT, exposition.READY_PORT, exposition.METRICS_PORT = ports
        async with (
            exposed(own_address(), server.health, server.listeners),
            aiohttp.ClientSession() as session,
        ):

            async def get(port: int, path: str) -> tuple[int, str]:
                async with session.get(f"http://{own_address()}:{port}{path}") as response:
                    return response.status, await response.text()

            assert await get(ports[0], "/health") == (200, "OK")
            assert await get(ports[1], "/ready") == (200, "OK")
            server.health.waits_for("services")
            assert (await get(ports[1], "/ready"))[0] == 503
            server.health.has("services")
            _, text = await get(ports[2], "/metrics")
            label = f'server="dns://:{server.listeners.addresses[0][1]}"'
            assert f'coredns_dns_requests_total{{proto="udp",{label},type="A"}} 3.0' in text
            assert f'coredns_dns_responses_total{{rcode="NOERROR",{label}}} 3.0' in text
            assert "coredns_cache_hits_total" in text

    before = exposition.HEALTH_PORT, exposition.READY_PORT, exposition.METRICS_PORT
    try:
        scenario(test)
    finally:
        exposition.HEALTH_PORT, exposition.READY_PORT, exposition.METRICS_PORT = before
