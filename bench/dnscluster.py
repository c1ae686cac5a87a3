"""The Services that the DNS is measured over, and what changes among them meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import dns.message
import dns.rcode

from bench.cluster import until_up
from bench.dnsperf import ask
from fairlead.client.api import Api
from fairlead.client.kubeconfig import Config
from fairlead.objects import core_v1, discovery_v1
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import ENDPOINTSLICES, SERVICES

DOMAIN = "default.svc.cluster.local"
ENDPOINTS = 2
CHANGES_A_SECOND = 200
"""At most, while dnsperf asks."""


async def make_services(credentials: Config, count: int) -> dict[str, str]:
    """Services with a slice each; gives the address by name that the API server gave to each."""
    expected: dict[str, str] = {}
    port = core_v1.ServicePort(name="http", port=80, protocol="TCP")
    waiting = iter(range(count))
    async with Api(credentials) as api:

        async def create() -> None:
            for number in waiting:
                name = f"svc-{number}"
                meta = ObjectMeta(name=name, namespace="default")
                spec = core_v1.ServiceSpec(ports=(port,))
                made = await api.create(SERVICES, core_v1.Service(metadata=meta, spec=spec), "default")
                assert made.spec is not None
                expected[name] = made.spec.clusterIP
                piece = discovery_v1.EndpointSlice(
                    metadata=ObjectMeta(
                        name=f"{name}-1",
                        namespace="default",
                        labels={"kubernetes.io/service-name": name},
                    ),
                    addressType="IPv4",
                    endpoints=tuple(
                        discovery_v1.Endpoint(addresses=(f"10.{244 + e}.{number >> 8}.{number & 255}",))
                        for e in range(ENDPOINTS)
                    ),
                    ports=(discovery_v1.EndpointPort(name="http", port=8080, protocol="TCP"),),
                )
                await api.create(ENDPOINTSLICES, piece, "default")

        await until_up(api)
        await asyncio.gather(*(create() for _ in range(32)))
    return dict(sorted(expected.items()))


async def change(api: Api, name: str, address: str) -> None:
    """Gives a slice another endpoint."""
    endpoints = [{"addresses": [address], "conditions": {"ready": True}}]
    await api.patch(ENDPOINTSLICES, f"{name}-1", "default", {"endpoints": endpoints})


async def ask_while_changing(
    credentials: Config, port: int, file: Path, seconds: int, options: Sequence[str] = ()
) -> tuple[float, float]:
    """Queries a second while slices change, and how many do a second."""
    changed, done = 0, False

    async def change_on(api: Api) -> None:
        nonlocal changed
        for number in itertools.cycle(range(1_000)):
            if done:
                return
            await change(api, f"svc-{number}", f"10.{200 + changed % 50}.{number >> 8}.{number & 255}")
            changed += 1
            await asyncio.sleep(1 / CHANGES_A_SECOND)

    async with Api(credentials) as api:
        task = asyncio.ensure_future(change_on(api))
        rate, _ = await asyncio.to_thread(ask, port, file, seconds, options)
        done = True
        await task
    return rate, changed / seconds


async def lateness(credentials: Config, port: int, count: int) -> list[float]:
    """Seconds from the answer of the API to a changed slice until the name of its new endpoint is answered."""
    found = []
    loop = asyncio.get_running_loop()
    async with Api(credentials) as api:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(("127.0.0.1", port))
            for number in range(count):
                address = f"10.199.{number >> 8}.{number & 255}"
                label = address.replace(".", "-")
                asked = dns.message.make_query(f"{label}.svc-1.{DOMAIN}", "A").to_wire()
                await change(api, "svc-1", address)
                written = time.perf_counter()
                while True:
                    await loop.sock_sendall(sock, asked)
                    answer = await asyncio.wait_for(loop.sock_recv(sock, 4096), 5)
                    if answer[3] & 15 == dns.rcode.NOERROR:
                        break
                found.append(time.perf_counter() - written)
    return found
