"""Servers and etcd members killed under writers and watchers.

Nothing that was acknowledged is lost, nothing is given twice, who resumes a watch sees every change once and in order.
FAIRLEAD_CRASH_SECONDS says for how long each store is ill-treated.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from fairlead.process import listener
from tests.apiserver import reserved
from tests.apiserver.serving import config_map, pod, service
from tests.store.etcd import Cluster, Member, needs_etcd

SECONDS = float(os.environ.get("FAIRLEAD_CRASH_SECONDS", "3"))
WRITERS = 12
PATIENCE = 60.0
"""How long anything may take to work again."""

KINDS = {"services": service, "pods": pod}
MERGE = {"Content-Type": "application/merge-patch+json"}
SERVER = """
import asyncio, socket, sys, uvloop
from pathlib import Path
from fairlead.apiserver.server import ServerConfig, serve
from fairlead.process import Health

config = ServerConfig(store=sys.argv[1], tokens=Path(sys.argv[2]))
uvloop.run(serve(config, [socket.socket(fileno=int(sys.argv[3]))], Health()))
"""


class Server:
    """An API server that is killed and started again; its clients wait at the socket meanwhile."""

    def __init__(self, store: str, directory: Path) -> None:
        self._store, self._directory = store, directory
        self._socket: socket.socket = listener("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        descriptor = self._socket.fileno()
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, self._store, str(self._directory / "tokens.csv"), str(descriptor)],
            pass_fds=[descriptor],
        )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.kill()
        self._socket.close()


State = tuple[str, str] | None
"""What a writer knows of an object: its uid and its mark; None: it is not there."""


@dataclass
class Ledger:
    """What was acknowledged and what was seen."""

    known: dict[str, State] = field(default_factory=dict)
    revisions: set[int] = field(default_factory=set)
    writes: int = 0
    unknown: int = 0
    kills: int = 0
    done: bool = False


class Writer:
    """Makes, changes and deletes objects of its own, and knows of each what it has to be."""

    def __init__(
        self, name: str, session: aiohttp.ClientSession, ledger: Ledger, chance: random.Random
    ) -> None:
        self._name, self._session, self._ledger, self._chance = name, session, ledger, chance
        self._mine: list[str] = []
        self._count = 0

    async def run(self) -> None:
        while not self._ledger.done:
            choice = self._chance.random()
            if len(self._mine) < 3 or (choice < 0.5 and len(self._mine) < 25):
                self._count += 1
                path = f"{self._chance.choice(list(KINDS))}/{self._name}-{self._count}"
                self._mine.append(path)
                await self._step("create", path)
            elif choice < 0.75:
                await self._step("patch", self._chance.choice(self._mine))
            else:
                path = self._mine.pop(self._chance.randrange(len(self._mine)))
                await self._step("delete", path)

    async def _step(self, verb: str, path: str) -> None:
        """One write; where its outcome is not known, what is there now has to be the state before it or after it."""
        before = self._ledger.known.get(path)
        mark = str(time.monotonic_ns())
        try:
            status, answer = await self._send(verb, path, mark)
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            status, answer = 0, {}
        if status in (200, 201):
            self._ledger.writes += 1
            if verb == "delete":
                self._ledger.known[path] = None
            else:
                metadata = answer["metadata"]
                self._ledger.known[path] = metadata["uid"], metadata["labels"]["mark"]
                self._ledger.revisions.add(int(metadata["resourceVersion"]))
            return
        # aiohttp sends a DELETE again by itself where the connection broke: the first one may have done it.
        assert status in (0, 500, 503, 504) or (verb, status) == ("delete", 404), (verb, path, status, answer)
        self._ledger.unknown += 1
        await self._wait_for_writes_under_way()
        found = await self._read(path)
        if verb == "delete":
            assert found in (before, None), (path, before, found)
        elif verb == "patch":
            assert found == before or (found and before and found == (before[0], mark)), (path, before, found)
        else:
            assert found is None or found[1] == mark, (path, found)
        self._ledger.known[path] = found
        if found is None and verb != "delete":
            self._mine.remove(path)
        elif found is not None and verb == "delete":
            self._mine.append(path)

    async def _send(self, verb: str, path: str, mark: str) -> tuple[int, Any]:
        plural, name = path.split("/")
        url = f"/api/v1/namespaces/default/{plural}"
        match verb:
            case "create":
                body = KINDS[plural](name)
                if plural == "services":
                    body["spec"]["type"] = self._chance.choice(["ClusterIP", "NodePort"])
                body["metadata"]["labels"] = {"mark": mark}
                request = self._session.post(url, json=body)
            case "patch":
                change: dict[str, Any] = {"metadata": {"labels": {"mark": mark}}}
                if plural == "services":
                    change["spec"] = {"type": self._chance.choice(["ClusterIP", "NodePort"])}
                request = self._session.patch(f"{url}/{name}", json=change, headers=MERGE)
            case _:
                request = self._session.delete(f"{url}/{name}")
        async with request as response:
            return response.status, await response.json()

    async def _wait_for_writes_under_way(self) -> None:
        """What a server had sent to etcd before it was killed may be made after it, but not after this write."""
        self._count += 1
        body = config_map(f"{self._name}-{self._count}")
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    async with self._session.post(
                        "/api/v1/namespaces/default/configmaps", json=body
                    ) as response:
                        if response.status in (201, 409):
                            return
                except (aiohttp.ClientError, ConnectionError, TimeoutError):
                    pass
                await asyncio.sleep(0.05)

    async def _read(self, path: str) -> State:
        """What the server says once it is there again."""
        plural, name = path.split("/")
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    async with self._session.get(f"/api/v1/namespaces/default/{plural}/{name}") as response:
                        answer = await response.json()
                        if response.status == 404:
                            return None
                        if response.status == 200:
                            return answer["metadata"]["uid"], answer["metadata"]["labels"]["mark"]
                except (aiohttp.ClientError, ConnectionError, TimeoutError):
                    pass
                await asyncio.sleep(0.05)


class Watcher:
    """Follows one kind, goes on where it was when it is cut off, and checks every event against the one before."""

    def __init__(self, plural: str, session: aiohttp.ClientSession) -> None:
        self.plural, self._session = plural, session
        self.objects: dict[str, Any] = {}
        self.revisions: list[int] = []
        self.revision = 0
        self.resumed = 0
        self._holders: dict[Any, str] = {}

    async def begin(self) -> None:
        async with self._session.get(f"/api/v1/namespaces/default/{self.plural}") as response:
            answer = await response.json()
            assert response.status == 200, answer
        self.revision = int(answer["metadata"]["resourceVersion"])
        for item in answer["items"]:
            self._hold(item)

    async def run(self) -> None:
        while True:
            with contextlib.suppress(aiohttp.ClientError, ConnectionError, TimeoutError):
                await self._follow()
            self.resumed += 1
            await asyncio.sleep(0.02)

    async def _follow(self) -> None:
        parameters = {"watch": "true", "resourceVersion": str(self.revision), "allowWatchBookmarks": "true"}
        path = f"/api/v1/namespaces/default/{self.plural}"
        async with self._session.get(
            path, params=parameters, timeout=aiohttp.ClientTimeout(sock_read=300)
        ) as response:
            if response.status != 200:
                assert response.status in (500, 503, 504), await response.text()
                return
            async for line in response.content:
                if line.endswith(b"\n"):
                    self._event(json.loads(line))

    def _event(self, frame: dict[str, Any]) -> None:
        kind, obj = frame["type"], frame["object"]
        assert kind != "ERROR", obj
        revision = int(obj["metadata"]["resourceVersion"])
        if kind == "BOOKMARK":
            assert revision >= self.revision
            self.revision = revision
            return
        name = obj["metadata"]["name"]
        assert revision > self.revision, "an event came twice, or out of order"
        self.revision = revision
        self.revisions.append(revision)
        assert (kind == "ADDED") == (name not in self.objects), (kind, name)
        self._release(name)
        if kind != "DELETED":
            self._hold(obj)

    def _hold(self, obj: Any) -> None:
        name = obj["metadata"]["name"]
        self.objects[name] = obj
        for what in held(obj):
            assert self._holders.setdefault(what, name) == name, f"{what} is given twice"

    def _release(self, name: str) -> None:
        for what in held(self.objects.pop(name, None)):
            del self._holders[what]


def held(obj: Any) -> set[Any]:
    """The addresses and node ports of a Service."""
    spec = obj["spec"] if obj else {}
    if "clusterIP" not in spec:
        return set()
    return {spec["clusterIP"], *(port["nodePort"] for port in spec["ports"] if "nodePort" in port)}


async def ill_treat(servers: list[Server], victims: Sequence[Server | Member], seconds: float) -> Ledger:
    """Writers and watchers at all servers while the victims are killed; then everything is compared."""
    chance = random.Random()
    ledger = Ledger()
    headers = {"Authorization": "Bearer secret"}
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    sessions = [aiohttp.ClientSession(s.url, headers=headers, timeout=timeout) for s in servers]
    watchers = [Watcher(plural, session) for plural in KINDS for session in sessions]
    writers = [
        Writer(f"w{i}", sessions[i % len(sessions)], ledger, random.Random(chance.random()))
        for i in range(WRITERS)
    ]
    try:
        for watcher in watchers:
            await watcher.begin()
        watching = [asyncio.ensure_future(watcher.run()) for watcher in watchers]
        writing = [asyncio.ensure_future(writer.run()) for writer in writers]
        end = time.monotonic() + seconds
        while time.monotonic() < end or not ledger.kills:
            async with asyncio.timeout(PATIENCE):
                before = ledger.writes
                while ledger.writes < before + 20:
                    await finished(writing, watching, 0.01)
            await finished(writing, watching, chance.uniform(0, 1))
            victim = chance.choice(victims)
            await asyncio.to_thread(kill, victim)
            ledger.kills += 1
            if isinstance(victim, Member):
                await finished(writing, watching, chance.uniform(0, 2))
            victim.start()
        ledger.done = True
        await asyncio.gather(*writing)
        await compare(sessions, watchers, watching, ledger)
        for task in watching:
            task.cancel()
        await asyncio.wait(watching)
    finally:
        for session in sessions:
            await session.close()
    return ledger


def kill(victim: Server | Member) -> None:
    if isinstance(victim, Server):
        victim.kill()
    else:
        victim.signal(signal.SIGKILL)


async def finished(
    writing: Sequence[asyncio.Future[None]], watching: Sequence[asyncio.Future[None]], seconds: float
) -> None:
    """Waits; whoever ends meanwhile has found something wrong."""
    done, _ = await asyncio.wait([*writing, *watching], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
        raise AssertionError("a writer or a watcher has ended")


async def listed(session: aiohttp.ClientSession, path: str) -> Any:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                async with session.get(path) as response:
                    if response.status == 200:
                        return await response.json()
            except (aiohttp.ClientError, ConnectionError):
                pass
            await asyncio.sleep(0.05)


async def compare(
    sessions: list[aiohttp.ClientSession],
    watchers: list[Watcher],
    watching: Sequence[asyncio.Future[None]],
    ledger: Ledger,
) -> None:
    """What is there is what was acknowledged, to every server and to every watcher."""
    for session in sessions:
        actual: dict[str, State] = {}
        wanted = {path: state for path, state in ledger.known.items() if state is not None}
        for plural in KINDS:
            for item in (await listed(session, f"/api/v1/namespaces/default/{plural}"))["items"]:
                metadata = item["metadata"]
                if metadata["name"] != "kubernetes":
                    actual[f"{plural}/{metadata['name']}"] = metadata["uid"], metadata["labels"]["mark"]
        assert actual == wanted
        services = (await listed(session, "/api/v1/services"))["items"]
        addresses = (await listed(session, "/apis/networking.k8s.io/v1/ipaddresses"))["items"]
        assert sorted(a["metadata"]["name"] for a in addresses) == sorted(
            s["spec"]["clusterIP"] for s in services
        )
    newest = {
        watcher.plural: max(w.revision for w in watchers if w.plural == watcher.plural)
        for watcher in watchers
    }
    last = max(ledger.revisions)
    async with asyncio.timeout(PATIENCE):
        while (
            any(w.revision < newest[w.plural] for w in watchers) or max(w.revision for w in watchers) < last
        ):
            await finished([], watching, 0.02)
    seen = {plural: [w.revisions for w in watchers if w.plural == plural] for plural in KINDS}
    for plural, each in seen.items():
        objects = [w.objects for w in watchers if w.plural == plural]
        assert all(one == each[0] for one in each), f"the servers tell different events of {plural}"
        assert all(one == objects[0] for one in objects)
    missed = ledger.revisions - {revision for each in seen.values() for revision in each[0]}
    assert not missed, f"nobody was told of the acknowledged writes {sorted(missed)[:10]}"


def run(stores: list[str], directory: Path, members: Sequence[Member] | None = None) -> None:
    (directory / "tokens.csv").write_text('secret,admin,1,"system:masters"\n')
    servers = [Server(store, directory) for store in stores]
    try:

        async def main() -> Ledger:
            async with aiohttp.ClientSession(headers={"Authorization": "Bearer secret"}) as session:
                for server in servers:
                    await listed(session, f"{server.url}/api/v1/namespaces/default/services/kubernetes")
            return await ill_treat(servers, members or servers, SECONDS)

        ledger = uvloop.run(main())
        print(
            f"\n{ledger.kills} kills, {ledger.writes} writes acknowledged, {ledger.unknown} without an answer, "
            f"{len(ledger.revisions)} events of them compared"
        )
        assert ledger.writes > 20
    finally:
        for server in servers:
            server.stop()


@pytest.mark.timeout(300 + 2 * SECONDS)
def test_a_server_on_sqlite(tmp_path: Path) -> None:
    run([f"sqlite:{tmp_path / 'store.db'}"], tmp_path)
    reserved.check_file(tmp_path)


@needs_etcd
@pytest.mark.timeout(300 + 2 * SECONDS)
@pytest.mark.parametrize("victims", ["servers", "members"])
def test_two_servers_on_three_etcd_members(tmp_path: Path, victims: str) -> None:
    cluster = Cluster(tmp_path / "etcd", 3)
    try:
        run([cluster.address()] * 2, tmp_path, cluster.members if victims == "members" else None)
    finally:
        cluster.stop()
