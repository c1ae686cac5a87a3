"""The server killed under its writers: nothing it acknowledged is lost, nothing was given twice."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import uvloop

from fairlead.process import listener
from tests.apiserver import reserved
from tests.apiserver.serving import Client, service, with_server

AT = "/api/v1/namespaces/default/services"
MERGE = {"Content-Type": "application/merge-patch+json"}
SERVER = """
import asyncio, socket, sys, uvloop
from pathlib import Path
from fairlead.apiserver.server import ServerConfig, serve
from fairlead.process import Health

directory, descriptor = Path(sys.argv[1]), int(sys.argv[2])
config = ServerConfig(store=f"sqlite:{directory / 'store.db'}", tokens=directory / "tokens.csv")
uvloop.run(serve(config, [socket.socket(fileno=descriptor)], Health()))
"""


def test_no_acknowledged_write_is_lost_by_kill_9(tmp_path: Path) -> None:
    (tmp_path / "tokens.csv").write_text('secret,admin,1,"system:masters"\n')
    acknowledged: dict[str, str] = {}

    async def write(session: aiohttp.ClientSession, prefix: str, wanted: int, enough: asyncio.Event) -> None:
        for i in range(10_000):
            name = f"{prefix}-{i}"
            try:
                async with session.post(AT, json=service(name, type="NodePort")) as response:
                    answer = await response.json()
                    assert response.status == 201, answer
                acknowledged[name] = answer["metadata"]["uid"]
                if i % 4 == 1:  # it gives its node port back, or all that it has
                    await session.patch(f"{AT}/{name}", json={"spec": {"type": "ClusterIP"}}, headers=MERGE)
                elif i % 4 == 3:
                    del acknowledged[name]
                    await session.delete(f"{AT}/{name}")
                if len(acknowledged) >= wanted:
                    enough.set()
            except (aiohttp.ClientError, ConnectionError):
                return

    async def round_of(number: int) -> None:
        sock = listener("127.0.0.1", 0)
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        server = subprocess.Popen(  # noqa: ASYNC220 - it is killed in the middle of its work
            [sys.executable, "-c", SERVER, str(tmp_path), str(sock.fileno())], pass_fds=[sock.fileno()]
        )
        try:
            enough = asyncio.Event()
            before = len(acknowledged)
            headers = {"Authorization": "Bearer secret"}
            async with aiohttp.ClientSession(url, headers=headers) as session:
                writers = [
                    asyncio.ensure_future(write(session, f"r{number}w{i}", before + 200, enough))
                    for i in range(16)
                ]
                async with asyncio.timeout(20):
                    await enough.wait()
                server.send_signal(signal.SIGKILL)
                sock.close()
                await asyncio.gather(*writers)
        finally:
            server.kill()
            await asyncio.to_thread(server.wait)

    for number in range(2):
        uvloop.run(round_of(number))

    async def test(client: Client) -> None:
        items = (await client.get(AT))["items"]
        found = {item["metadata"]["name"]: item for item in items}
        assert not [name for name, uid in acknowledged.items() if found[name]["metadata"]["uid"] != uid]
        addresses = [item["spec"]["clusterIP"] for item in items]
        ports = [item["spec"]["ports"][0]["nodePort"] for item in items if item["spec"]["type"] == "NodePort"]
        assert len(set(addresses)) == len(addresses)
        assert len(set(ports)) == len(ports)
        held = (await client.get("/apis/networking.k8s.io/v1/ipaddresses"))["items"]
        assert sorted(item["metadata"]["name"] for item in held) == sorted(addresses)

    with_server(tmp_path, test)
    reserved.check_file(tmp_path)
    assert len(acknowledged) >= 400
