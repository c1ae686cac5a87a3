"""Several API servers on one etcd: to their clients they are one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from fairlead.process import listener
from tests.apiserver.serving import SECONDS, Client, config_map, pod, service
from tests.store.etcd import Cluster, needs_etcd

pytestmark = needs_etcd

LEASE_SECONDS = 1.5
SERVER = f"""
import socket, sys
from pathlib import Path
from fairlead.apiserver.server import ServerConfig, serve
from fairlead.process import Health, run

config = ServerConfig(
    store=sys.argv[1], tokens=Path(sys.argv[2]), advertise_address=sys.argv[4], lease_seconds={LEASE_SECONDS}
)
run(lambda: serve(config, [socket.socket(fileno=int(sys.argv[3]))], Health()))
"""


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("etcd"))
    yield cluster
    cluster.stop()


Servers = tuple[list[str], list[subprocess.Popen[bytes]]]
Test = Callable[[list[Client], list[subprocess.Popen[bytes]]], Awaitable[None]]


@contextlib.contextmanager
def servers(store: str, directory: Path, count: int) -> Iterator[Servers]:
    """Some servers, which are processes of their own: their addresses, and themselves."""
    tokens = directory / "tokens.csv"
    tokens.write_text('secret,admin,1,"system:masters"\nalice,alice,2\n')
    sockets = [listener("127.0.0.1", 0) for _ in range(count)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SERVER, store, str(tokens), str(sock.fileno()), f"192.168.1.{i + 1}"],
            pass_fds=[sock.fileno()],
        )
        for i, sock in enumerate(sockets)
    ]
    urls = [f"http://127.0.0.1:{sock.getsockname()[1]}" for sock in sockets]
    for sock in sockets:
        sock.close()
    try:
        yield urls, processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def run(of: Servers, test: Test) -> None:
    """Runs a test against servers, once they are there."""
    urls, processes = of

    async def main() -> None:
        headers = {"Authorization": "Bearer secret"}
        sessions = [aiohttp.ClientSession(url, headers=headers) for url in urls]
        try:
            elsewhere: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            clients = [Client(session, elsewhere) for session in sessions]
            for client in clients:
                await client.until(
                    "/api/v1/namespaces/default/services/kubernetes", lambda status, _: status == 200
                )
            await test(clients, processes)
        finally:
            for session in sessions:
                await session.close()

    uvloop.run(main())


def with_servers(store: str, directory: Path, count: int, test: Test) -> None:
    """Runs a test against some servers of its own."""
    with servers(store, directory, count) as started:
        run(started, test)


@pytest.fixture(scope="module")
def pair(etcd: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Two servers for the tests that leave them as they are."""
    with servers(etcd.address("/pair"), tmp_path_factory.mktemp("pair"), 2) as started:
        yield started


MAPS = "/api/v1/namespaces/default/configmaps"
SERVICES = "/api/v1/namespaces/default/services"
PODS = "/api/v1/namespaces/default/pods"


def test_what_one_server_wrote_the_other_reads_and_tells_at_once(pair: Servers) -> None:
    async def test(clients: list[Client], processes: list[subprocess.Popen[bytes]]) -> None:
        a, b = clients
        watches = [await client.watch(f"{PODS}?resourceVersion=0") for client in clients]
        for i in range(30):
            made = await (a, b)[i % 2].create(PODS, pod(f"p{i}"))
            seen = await (b, a)[i % 2].get(f"{PODS}/p{i}")
            assert seen == made
            listed = await (b, a)[i % 2].get(PODS)
            assert len(listed["items"]) == i + 1
        told = [[await watch.next() for _ in range(30)] for watch in watches]
        assert told[0] == told[1]
        revisions = [int(obj["metadata"]["resourceVersion"]) for _, obj in told[0]]
        assert revisions == sorted(set(revisions))
        status, gone = await a.ask("DELETE", f"{PODS}/p3")
        assert status == 200, gone
        assert (await b.ask("GET", f"{PODS}/p3"))[0] == 404
        await b.create(PODS, pod("p3"))

        first = await a.get(f"{PODS}?limit=10")
        await b.ask("DELETE", f"{PODS}/p9")
        names = [item["metadata"]["name"] for item in first["items"]]
        rest = await b.get(f"{PODS}?limit=100&continue={first['metadata']['continue']}")
        names += [item["metadata"]["name"] for item in rest["items"]]
        assert len(names) == 30, "the pages are of one moment, also from another server"
        assert "p9" in names
        assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]

    run(pair, test)


def test_writers_at_both_servers_lose_no_update_and_get_nothing_twice(pair: Servers) -> None:
    async def test(clients: list[Client], processes: list[subprocess.Popen[bytes]]) -> None:
        made = await clients[0].create(MAPS, config_map("counter", labels={"n": "0"}))
        both = [client.ask("PUT", f"{MAPS}/counter", made | {"data": {}}) for client in clients]
        assert sorted([status for status, _ in await asyncio.gather(*both)]) == [200, 409]

        async def count(client: Client) -> None:
            for _ in range(15):
                while True:
                    obj = await client.get(f"{MAPS}/counter")
                    obj["metadata"]["labels"]["n"] = str(int(obj["metadata"]["labels"]["n"]) + 1)
                    status, answer = await client.ask("PUT", f"{MAPS}/counter", obj)
                    if status == 200:
                        break
                    assert status == 409, answer

        async def make(client: Client, who: int) -> list[Any]:
            return [await client.create(SERVICES, service(f"s{who}-{i}", type="NodePort")) for i in range(10)]

        await asyncio.gather(*(count(client) for client in clients * 2))
        assert (await clients[1].get(f"{MAPS}/counter"))["metadata"]["labels"]["n"] == "60"
        each = await asyncio.gather(*(make(client, i) for i, client in enumerate(clients * 4)))
        all_made = [one for some in each for one in some]
        assert len({s["spec"]["clusterIP"] for s in all_made}) == len(all_made) == 80
        assert len({s["spec"]["ports"][0]["nodePort"] for s in all_made}) == 80

        async def race(client: Client, number: int) -> int:
            ports = [{"port": 80, "nodePort": 30005}]  # of the band that is given out last
            status, _ = await client.ask(
                "POST", SERVICES, service(f"r{number}", type="NodePort", ports=ports)
            )
            return status

        results = await asyncio.gather(*(race(client, i) for i, client in enumerate(clients * 4)))
        assert sorted(results) == [201] + [422] * 7

    run(pair, test)


def test_a_right_given_or_taken_at_one_server_holds_at_both_at_once(pair: Servers) -> None:
    """Each server follows the roles by itself: what it takes is the way of a watch event, not a cache's time."""
    group = "rbac.authorization.k8s.io"
    path = f"/apis/{group}/v1"
    maps = "/api/v1/namespaces/default/configmaps"
    alice = {"headers": {"Authorization": "Bearer alice"}}

    async def test(clients: list[Client], _: list[subprocess.Popen[bytes]]) -> None:
        one, other = clients

        async def both_say(status: int) -> None:
            async with asyncio.timeout(SECONDS):
                for client in (one, other):
                    while (await client.ask("GET", maps, **alice))[0] != status:
                        pass

        head = {"apiVersion": f"{group}/v1"}
        rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}
        role = {**head, "kind": "ClusterRole", "metadata": {"name": "lists"}, "rules": [rule]}
        binding = {
            **head,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "lists"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "lists"},
            "subjects": [{"kind": "User", "name": "alice"}],
        }
        await both_say(403)
        await one.create(f"{path}/clusterroles", role)
        await other.create(f"{path}/clusterrolebindings", binding)
        await both_say(200)
        assert (await one.patch(f"{path}/clusterroles/lists", {"rules": None}))[0] == 200
        await both_say(403)
        assert (await other.patch(f"{path}/clusterroles/lists", {"rules": [rule]}))[0] == 200
        await both_say(200)
        await one.ask("DELETE", f"{path}/clusterrolebindings/lists")
        await both_say(403)

    run(pair, test)


def test_a_namespace_goes_away_once_though_two_servers_empty_it(pair: Servers) -> None:
    async def test(clients: list[Client], processes: list[subprocess.Popen[bytes]]) -> None:
        a, b = clients
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
        for _ in range(3):
            await a.create("/api/v1/namespaces", namespace)
            for i in range(10):
                await b.create("/api/v1/namespaces/n/configmaps", config_map(f"m{i}"))
            await b.ask("DELETE", "/api/v1/namespaces/n")
            await a.until("/api/v1/namespaces/n", lambda status, _: status == 404)
            assert (await b.ask("GET", "/api/v1/namespaces/n"))[0] == 404

    run(pair, test)


def test_the_service_of_the_api_leads_to_the_servers_that_live(etcd: Cluster, tmp_path: Path) -> None:
    def leads_to(*addresses: str) -> Callable[[int, Any], bool]:
        def there(status: int, answer: Any) -> bool:
            if answer["kind"] == "Endpoints":
                return [a["ip"] for a in answer["subsets"][0]["addresses"]] == list(addresses)
            return [e["addresses"][0] for e in answer["endpoints"]] == list(addresses)

        return there

    async def test(clients: list[Client], processes: list[subprocess.Popen[bytes]]) -> None:
        endpoints = "/api/v1/namespaces/default/endpoints/kubernetes"
        slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
        for path in (endpoints, slices):
            await clients[0].until(path, leads_to("192.168.1.1", "192.168.1.2", "192.168.1.3"))
        processes[2].kill()
        for path in (endpoints, slices):
            await clients[0].until(path, leads_to("192.168.1.1", "192.168.1.2"))
        watch = await clients[1].watch(f"{MAPS}?fieldSelector=metadata.name%3Dnone")
        processes[1].send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(processes[1].wait, SECONDS) == 0
        async for _ in watch.response.content:
            raise AssertionError("nothing was written")
        for path in (endpoints, slices):
            await clients[0].until(path, leads_to("192.168.1.1"))

    with_servers(etcd.address("/leases"), tmp_path, 3, test)


def test_a_server_without_etcd_says_so_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "etcd")

    async def test(clients: list[Client], processes: list[subprocess.Popen[bytes]]) -> None:
        (client,) = clients
        await client.create(MAPS, config_map("before"))
        cluster.members[0].signal(signal.SIGKILL)
        await client.until("/readyz/etcd", lambda status, _: status == 500)
        assert (await client.get(f"{MAPS}/before?resourceVersion=0"))["data"] == {"a": "1"}
        cluster.members[0].start()
        await client.until("/readyz/etcd", lambda status, _: status == 200)
        await client.create(MAPS, config_map("after"))

    try:
        with_servers(cluster.address(), tmp_path, 1, test)
    finally:
        cluster.stop()


@pytest.mark.parametrize("times", [1, 2])
def test_a_server_that_is_told_to_stop_finishes_what_it_does(
    etcd: Cluster, tmp_path: Path, times: int
) -> None:
    async def test(clients: list[Client], processes: list[subprocess.Popen[bytes]]) -> None:
        a, b = clients
        answered: list[str] = []

        async def write(who: int) -> None:
            for i in range(100_000):
                name = f"m{who}-{i}"
                try:
                    status, answer = await a.ask("POST", MAPS, config_map(name))
                except (aiohttp.ClientError, ConnectionError):
                    return
                assert status in (201, 503), answer
                if status == 201:
                    answered.append(name)

        writers = [asyncio.ensure_future(write(who)) for who in range(8)]
        while len(answered) < 100:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for number in range(times):
            if number:
                await asyncio.sleep(0.1)  # in the middle of its end
            os.kill(processes[0].pid, signal.SIGTERM)
        assert await asyncio.to_thread(processes[0].wait, SECONDS) == 0
        await asyncio.gather(*writers)
        there = {item["metadata"]["name"] for item in (await b.get(MAPS))["items"]}
        assert there >= set(answered)

    with_servers(etcd.address(f"/stop-{times}"), tmp_path, 2, test)
