"""A running API server for a test, on a loopback socket with a temporary store."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from fairlead.apiserver.access.gate import AccessConfig
from fairlead.apiserver.certificates import make_authority, make_signing_key
from fairlead.apiserver.server import ServerConfig, serve
from fairlead.process import Health, listener

TOKEN = "secret"
SECONDS = 60.0
"""How long is waited for what has to come, also on a machine that does other things."""


class Client:
    """Speaks to the server as its administrator."""

    def __init__(self, session: aiohttp.ClientSession, server: asyncio.Future[None]) -> None:
        self.session = session
        self.server = server
        """What runs the server; to cancel it is to stop it."""
        self.warnings: list[str] = []

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        """The status and the JSON of an answer; `body` is sent as JSON unless it is bytes."""
        if isinstance(body, bytes):
            options["data"] = body
        elif body is not None:
            headers = {"Content-Type": "application/json", **options.pop("headers", {})}
            options |= {"data": json.dumps(body).encode(), "headers": headers}
        async with self.session.request(method, path, **options) as response:
            self.warnings = response.headers.getall("Warning", [])
            text = await response.read()
            return response.status, json.loads(text) if text.startswith(b"{") else text.decode()

    async def get(self, path: str) -> Any:
        """The answer to a GET that has to succeed."""
        status, answer = await self.ask("GET", path)
        assert status == 200, answer
        return answer

    async def create(self, path: str, body: Any) -> Any:
        """The object made by a POST that has to succeed."""
        status, answer = await self.ask("POST", path, body)
        assert status == 201, answer
        return answer

    async def patch(self, path: str, body: Any, form: str = "merge-patch") -> tuple[int, Any]:
        """The answer to a PATCH."""
        return await self.ask("PATCH", path, body, headers={"Content-Type": f"application/{form}+json"})

    async def watch(self, path: str) -> Frames:
        """Opens a watch; `path` has the other parameters."""
        response = await self.session.get(path + ("&" if "?" in path else "?") + "watch=true")
        assert response.status == 200, await response.text()
        return Frames(response)

    async def until(self, path: str, there: Callable[[int, Any], bool]) -> Any:
        """Asks until the answer is as wanted."""
        async with asyncio.timeout(SECONDS):
            while True:
                status, answer = await self.ask("GET", path)
                if there(status, answer):
                    return answer
                await asyncio.sleep(0.01)


class Frames:
    """The frames of a watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> tuple[str, Any]:
        """Type and object of the next frame."""
        async with asyncio.timeout(SECONDS):
            line = await self.response.content.readline()
        assert line, "the watch has ended"
        frame = json.loads(line)
        return frame["type"], frame["object"]

    async def names(self, count: int) -> list[tuple[str, str]]:
        """Type and name of as many frames."""
        found = [await self.next() for _ in range(count)]
        return [(kind, obj["metadata"]["name"]) for kind, obj in found]


MEMORY = Path("/dev/shm")
ROOM = 256 << 20
"""Bytes that have to be free there: the stores of a few tests at a time, the largest of which has some 40 MB."""


@contextlib.contextmanager
def where_writes_are_quick(store: Path) -> Iterator[Path]:
    """The store's file in memory while a server has it: most of a server's start is to wait for the disk.

    What a store owes to its users when the power fails is not asked here; `test_crash.py` asks about kill -9.
    """
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < ROOM:
        yield store
        return
    with tempfile.TemporaryDirectory(prefix="fairlead-test-", dir=MEMORY) as text:
        there = Path(text) / store.name
        if store.exists():
            shutil.move(store, there)
        try:
            yield there
        finally:
            if there.exists():
                shutil.move(there, store)


def with_server(directory: Path, test: Callable[[Client], Awaitable[None]], **options: Any) -> None:
    """Runs a test against a server, which is stopped after it.

    Nothing but the test writes to its store, unless it is given an `advertise_address`: then it renews a lease every
    few seconds, and revisions grow by themselves.
    """

    async def main(store: Path) -> None:
        authority = make_authority(directory)
        certificate, key = authority.issue(directory, "apiserver", ["127.0.0.1"])
        tokens = directory / "tokens.csv"
        tokens.write_text(f'{TOKEN},admin,1,"system:masters"\n')
        make_signing_key(directory / "sa.key")
        access = AccessConfig(
            client_ca_file=authority.path, service_account_signing_key_file=directory / "sa.key"
        )
        sock = listener("127.0.0.1", 0)
        health = Health()
        config = ServerConfig(
            **{
                "store": f"sqlite:{store}",
                "tokens": tokens,
                "certificate": certificate,
                "key": key,
                "authority": authority.path,
                "access": access,
                **options,
            }
        )
        server = asyncio.ensure_future(serve(config, [sock], health))
        await asyncio.sleep(0)
        ready = asyncio.ensure_future(health.ready())
        await asyncio.wait([server, ready], return_when=asyncio.FIRST_COMPLETED)
        if server.done():
            server.result()
        context = ssl.create_default_context(cafile=str(authority.path))
        try:
            async with aiohttp.ClientSession(
                f"https://127.0.0.1:{sock.getsockname()[1]}",
                connector=aiohttp.TCPConnector(ssl=context, limit=0),
                headers={"Authorization": f"Bearer {TOKEN}"},
            ) as session:
                await test(Client(session, server))
        finally:
            server.cancel()
            await asyncio.wait([server])

    with where_writes_are_quick(directory / "store.db") as store:
        uvloop.run(main(store))


def pod(name: str = "web", **metadata: Any) -> dict[str, Any]:
    """A pod with one container."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **metadata},
        "spec": {"containers": [{"name": "c", "image": "fairlead/echo"}]},
    }


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    """A Service with one port."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"port": 80}], **spec},
    }


def config_map(name: str = "settings", **metadata: Any) -> dict[str, Any]:
    """A ConfigMap with one value."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
        "data": {"a": "1"},
    }
