"""`fairlead dns` as a user starts it: several processes on one port, health, an API that goes away, an orderly end."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path

import aiohttp
import dns.message
import dns.rcode
import uvloop

from fairlead.client.api import Api
from fairlead.client.kubeconfig import Config
from fairlead.dns.workers import TOO_SOON
from fairlead.objects.resources import SERVICES
from tests.client.cluster import api_server, eventually
from tests.dns.test_server import service
from tests.loopback import free_ports, own_address
from tests.waiting import LIMIT

FAIRLEAD = """
import sys
from fairlead.cli.main import main
from fairlead.dns import exposition as e

e.HEALTH_PORT, e.READY_PORT, e.METRICS_PORT = map(int, sys.argv.pop(1).split(","))
main()
"""
"""The command with ports of health and metrics that nobody else on this machine has."""
WORKERS = 2
CLIENTS = 24
"""So many ports that each worker is asked from some: the kernel picks the worker by the client's port."""


def kubeconfig(directory: Path, config: Config) -> Path:
    """A file with what a client needs."""
    authority = base64.b64encode(config.authority).decode()
    path = directory / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "current-context": "c",
                "clusters": [
                    {
                        "name": "c",
                        "cluster": {"server": config.server, "certificate-authority-data": authority},
                    }
                ],
                "users": [{"name": "c", "user": {"token": config.token}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
            }
        )
    )
    return path


class Command:
    """The running command."""

    def __init__(self, process: subprocess.Popen[bytes], ports: list[int]) -> None:
        self.process = process
        self._port, self._health, self._ready, self._metrics = ports

    def workers(self) -> set[int]:
        pid = self.process.pid
        return {int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}

    def ask(self, name: str, seconds: float = LIMIT) -> set[str]:
        """What the clients are told: addresses, or the response's code; "nothing" where one waits so long in vain."""
        asked = dns.message.make_query(f"{name}.default.svc.cluster.local", "A").to_wire()
        found = set()
        with ExitStack() as stack:
            for _ in range(CLIENTS):
                sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                sock.settimeout(seconds)
                sock.connect((own_address(), self._port))
                try:
                    sock.send(asked)
                    answer = dns.message.from_wire(sock.recv(4096))
                except OSError:
                    return {"nothing"}
                found |= {rdata.to_text() for rrset in answer.answer for rdata in rrset} or {
                    dns.rcode.to_text(answer.rcode())
                }
        return found

    async def health(self) -> int:
        """The status of `/health`."""
        return (await get(self._health, "/health"))[0]

    async def ready(self) -> int:
        """The status of `/ready`."""
        return (await get(self._ready, "/ready"))[0]

    async def metrics(self) -> str:
        """What `/metrics` says."""
        return (await get(self._metrics, "/metrics"))[1]

    async def until_ready(self, wanted: int = 200) -> None:
        async def is_so() -> bool:
            return await self.ready() == wanted

        await eventually(is_so, f"/ready is {wanted}")

    async def until_told(self, name: str, wanted: str) -> None:
        async def told() -> bool:
            return await asyncio.to_thread(self.ask, name) == {wanted}

        await eventually(told, f"every worker says {wanted} of {name}")


@contextmanager
def command(directory: Path, config: Config) -> Iterator[Command]:
    ports = free_ports(4)
    words = [
        ",".join(map(str, ports[1:])),
        "dns",
        "--kubeconfig",
        str(kubeconfig(directory, config)),
        "--workers",
        str(WORKERS),
    ]
    words += ["--listen", f"{own_address()}:{ports[0]}", "--expose", own_address()]
    with subprocess.Popen([sys.executable, "-c", FAIRLEAD, *words], stderr=subprocess.DEVNULL) as process:
        try:
            yield Command(process, ports)
        finally:
            process.terminate()
            process.wait(LIMIT)


async def get(port: int, path: str) -> tuple[int, str]:
    """Status and text; 0 where nobody listens."""
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{own_address()}:{port}{path}") as response,
        ):
            return response.status, await response.text()
    except aiohttp.ClientError:
        return 0, ""


def test_workers_share_the_port_and_the_data_and_come_back(tmp_path: Path) -> None:
    async def test(directory: Path) -> None:
        async with AsyncExitStack() as stack:
            config = await stack.enter_async_context(api_server(directory))
            api = await stack.enter_async_context(Api(config))
            started = stack.enter_context(command(directory, config))
            await started.until_ready()

            async def complete() -> bool:
                return len(started.workers()) == WORKERS

            await eventually(complete, "all workers are there")
            since = time.monotonic()
            await api.create(SERVICES, service("web", clusterIP="10.96.0.100"), "default")
            await started.until_told("web", "10.96.0.100")
            assert await started.health() == 200
            assert "coredns_dns_requests_total" in await started.metrics()

            # One that ends right after its start is not started again.
            async def old_enough() -> bool:
                return time.monotonic() - since > TOO_SOON

            await eventually(old_enough, "the workers have run for a while")
            killed = max(started.workers())
            os.kill(killed, signal.SIGKILL)

            async def replaced() -> bool:
                """The new one takes its share of the questions; until it knows the zone it does not say what is there.

                What the killed one had taken is not answered.
                """
                told = await asyncio.to_thread(started.ask, "web", 1.0)
                assert told <= {"10.96.0.100", "nothing", "SERVFAIL"}
                now = started.workers()
                return killed not in now and len(now) == WORKERS

            await eventually(replaced, "a killed worker is replaced")
            await started.until_told("web", "10.96.0.100")
            started.process.terminate()
            assert await asyncio.to_thread(started.process.wait, LIMIT) == 0

    uvloop.run(test(tmp_path))


def test_it_goes_on_answering_while_the_api_is_away(tmp_path: Path) -> None:
    async def test(directory: Path) -> None:
        with ExitStack() as stack:
            async with api_server(directory) as config:
                port = int(config.server.rpartition(":")[2])
                async with Api(config) as api:
                    await api.create(SERVICES, service("web", clusterIP="10.96.0.100"), "default")
                started = stack.enter_context(command(directory, config))
                await started.until_ready()
                await started.until_told("web", "10.96.0.100")
            for _ in range(5):
                assert await asyncio.to_thread(started.ask, "web") == {"10.96.0.100"}
                assert await asyncio.to_thread(started.ask, "other") == {"NXDOMAIN"}
            assert await started.ready() == 200
            async with api_server(directory, port) as config, Api(config) as api:
                await api.create(SERVICES, service("other", clusterIP="10.96.0.101"), "default")
                await started.until_told("other", "10.96.0.101")

    uvloop.run(test(tmp_path))


def test_without_the_api_it_says_that_it_does_not_know(tmp_path: Path) -> None:
    async def test(directory: Path) -> None:
        async with api_server(directory) as config:
            pass
        with command(directory, config) as started:
            await started.until_told("web", "SERVFAIL")
            await started.until_ready(503)

    uvloop.run(test(tmp_path))
