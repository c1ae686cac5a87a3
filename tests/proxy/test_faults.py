"""Clients ask all the time, while the proxy is killed, rules are flushed, endpoints roll over and the API is away."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from pyroute2 import IPRoute

from fairlead import libnftables
from fairlead.client import kubeconfig
from fairlead.client.api import Api
from fairlead.objects.discovery_v1 import Endpoint, EndpointConditions, EndpointSlice
from fairlead.objects.resources import ENDPOINTSLICES, SERVICES
from fairlead.proxy import modes
from fairlead.proxy.dataplane import Unusable
from tests.client.cluster import TOKEN, api_server
from tests.proxy.chosen import CHOSEN
from tests.proxy.test_server import WEB, WEB_SERVICE, answer, in_a_node, leads, until, web_slice
from tests.proxy.topology import root
from tests.waiting import LIMIT

PODS = ("192.168.1.21", "192.168.1.22", "192.168.1.23")
CLIENTS = 4


class Clients:
    """Each asks the Service again as soon as it was answered, over a new connection; none may fail."""

    def __init__(self) -> None:
        self.answered = [0] * CLIENTS
        self.failed: list[str] = []

    async def _run(self, number: int) -> None:
        while True:
            try:
                async with asyncio.timeout(LIMIT):
                    reader, writer = await asyncio.open_connection(WEB, 80)
                    if await reader.read() != b"hello":
                        self.failed.append("no answer")
                    writer.close()
            except OSError as error:
                self.failed.append(f"{type(error).__name__}: {error}")
            self.answered[number] += 1

    async def more(self, times: int = 20) -> None:
        """Until each was answered so many times more. Nobody may have failed until then."""
        goal = [count + times for count in self.answered]

        async def reached() -> bool:
            return bool(self.failed) or all(n >= g for n, g in zip(self.answered, goal, strict=True))

        await until(reached)
        assert not self.failed, self.failed[:3]

    @contextlib.asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._run(number)) for number in range(CLIENTS)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def proxy(config: Path, mode: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The proxy as a process of its own, which ends by SIGKILL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from fairlead.cli.main import main; main()", "proxy",
        "--kubeconfig", str(config), "--node-name", "node1", "--proxy-mode", mode,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def ready() -> bool:
    """Whether the proxy has programmed the kernel."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", 10256)
    except OSError:
        return False
    writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
    said = await reader.read()
    writer.close()
    return b" 200 " in said.partition(b"\r\n")[0]


def piece_of(current: EndpointSlice | None, pods: tuple[str, ...]) -> EndpointSlice:
    endpoints = tuple(Endpoint(addresses=(pod,), conditions=EndpointConditions(ready=True)) for pod in pods)
    made = msgspec.structs.replace(web_slice(True), endpoints=endpoints)
    return msgspec.structs.replace(made, metadata=current.metadata) if current is not None else made


def add_pods() -> None:
    with IPRoute() as ip:
        for pod in PODS:
            ip.addr("add", index=1, address=pod, prefixlen=24)


def lose_what_leaves() -> None:
    """What is sent to the Service untranslated gets no answer, not even that nobody has the address."""
    with IPRoute() as ip:
        (eth0,) = ip.link_lookup(ifname="eth0")
        ip.neigh("add", dst=WEB, lladdr="02:00:00:00:00:01", ifindex=eth0, state=128)  # NUD_PERMANENT


def flush(mode: str) -> None:
    """Somebody else removes all rules, or the virtual servers."""
    if mode == "ipvs":
        subprocess.run(["ipvsadm", "-C"], check=True)
    else:
        libnftables.run("flush ruleset\n")


async def faults(directory: Path, mode: str) -> None:
    await asyncio.to_thread(add_pods)
    await asyncio.to_thread(lose_what_leaves)
    servers = [await asyncio.start_server(answer, pod, 8080) for pod in PODS]
    file = directory / "kubeconfig"
    clients = Clients()
    async with api_server(directory) as reached, Api(reached) as api:
        port = int(reached.server.rpartition(":")[2])
        kubeconfig.write(file, reached.server, reached.authority or b"", TOKEN)
        await api.create(SERVICES, WEB_SERVICE, "default")
        piece = await api.create(ENDPOINTSLICES, piece_of(None, PODS), "default")
        async with proxy(file, mode):
            await leads(WEB, 80, "hello")
            async with clients.asking():
                await clients.more()
                # Every endpoint goes in turn and comes again, as in a rolling update.
                for number in range(9):
                    left = tuple(pod for pod in PODS if pod != PODS[number % 3])
                    piece = await api.replace(ENDPOINTSLICES, piece_of(piece, left))
                    await clients.more(10)
        # Killed: the kernel goes on. Then another one takes over, which finds one endpoint gone.
        async with clients.asking():
            await clients.more()
            piece = await api.replace(ENDPOINTSLICES, piece_of(piece, PODS[:2]))
            async with proxy(file, mode):
                await until(ready)
                await clients.more()
        async with proxy(file, mode):
            await until(ready)
            # In nftables nobody else can change the table, since Linux 6.9. Elsewhere what a client sends while no
            # rule is there goes astray, and what it sends again is led on; IPVS ends the connections.
            async with clients.asking():
                flush(mode)
                if mode != "ipvs":
                    await clients.more()
            await leads(WEB, 80, "hello")
            clients.failed.clear()
            async with clients.asking():
                await clients.more()
    # The API is away, and the proxy is started meanwhile: it knows nothing, and harms nothing until it does.
    async with clients.asking(), proxy(file, mode):
        await clients.more()
        async with api_server(directory, port) as reached, Api(reached) as api:
            await until(ready)
            await clients.more()
            current = await api.get(ENDPOINTSLICES, "web-1", "default")
            await api.replace(ENDPOINTSLICES, piece_of(current, PODS[2:]))
            await clients.more()
    for server in servers:
        server.close()


@root
@pytest.mark.parametrize("mode", CHOSEN)
def test_no_client_fails(tmp_path: Path, mode: str) -> None:
    try:
        modes.load(mode).available()
    except Unusable as reason:
        pytest.skip(str(reason))
    in_a_node(lambda directory: faults(directory, mode), tmp_path)
