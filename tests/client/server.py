"""A server that speaks list and watch over plain HTTP, and fails in any way a test asks for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from fairlead.client.api import Api
from fairlead.client.kubeconfig import Config
from fairlead.process import listener
from tests.waiting import LIMIT

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def pod(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": labels}}


class Pods:
    """The pods of a small cluster. `script` holds answers that the next requests get instead of the true one."""

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[str, dict[str, Any]] = {}
        self.history: list[tuple[int, bytes]] = []
        self.compacted = 0
        self.requests: list[web.Request] = []
        self.script: list[Answer] = []
        self.page = 10_000
        self.streams = False
        """Whether a watch may begin with all objects; servers before Kubernetes 1.32 refuse that."""
        self._changed = asyncio.Event()

    def put(self, obj: dict[str, Any]) -> None:
        name = obj["metadata"]["name"]
        kind = "MODIFIED" if name in self.objects else "ADDED"
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        self.objects[name] = obj
        self.tell(kind, obj)

    def delete(self, name: str) -> None:
        self.version += 1
        gone = json.loads(json.dumps(self.objects.pop(name)))
        gone["metadata"]["resourceVersion"] = str(self.version)
        self.tell("DELETED", gone)

    def tell(self, kind: str, obj: dict[str, Any]) -> None:
        self.history.append((self.version, json.dumps({"type": kind, "object": obj}).encode() + b"\n"))
        self._changed.set()
        self._changed = asyncio.Event()

    def compact(self) -> None:
        self.history.clear()
        self.compacted = self.version

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "sendInitialEvents" in request.query and not self.streams:
            return await refused(422, request)
        self.requests.append(request)
        if self.script:
            return await self.script.pop(0)(request)
        if "watch" in request.query:
            return await self.watch(request)
        start = int(request.query.get("continue") or 0)
        names = sorted(self.objects)
        items = [self.objects[name] for name in names[start : start + self.page]]
        more = str(start + self.page) if start + self.page < len(names) else ""
        return web.json_response(
            {
                "kind": "PodList",
                "items": items,
                "metadata": {"resourceVersion": str(self.version), "continue": more},
            }
        )

    async def watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        if "sendInitialEvents" in request.query:
            for obj in self.objects.values():
                await response.write(json.dumps({"type": "ADDED", "object": obj}).encode() + b"\n")
            meta = {
                "resourceVersion": str(self.version),
                "annotations": {"k8s.io/initial-events-end": "true"},
            }
            end = {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": meta}}
            await response.write(json.dumps(end).encode() + b"\n")
            seen = self.version
        else:
            seen = int(request.query["resourceVersion"])
        if seen < self.compacted:
            status = {
                "kind": "Status",
                "status": "Failure",
                "code": 410,
                "reason": "Expired",
                "message": "too old",
            }
            await response.write(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
            return response
        while True:
            changed = self._changed
            for version, line in list(self.history):
                if version > seen:
                    await response.write(line)
                    seen = version
            await changed.wait()


@asynccontextmanager
async def serving(pods: Pods) -> AsyncIterator[Api]:
    """A client of a server that answers every request with `pods.answer`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", pods.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    sock = listener("127.0.0.1", 0)
    await web.SockSite(runner, sock).start()
    try:
        async with Api(Config(server=f"http://127.0.0.1:{sock.getsockname()[1]}")) as api:
            yield api
    finally:
        await runner.cleanup()


async def refused(code: int, request: web.Request) -> web.StreamResponse:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "message": f"refused {code}",
    }
    return web.json_response(status, status=code)


async def until(condition: Callable[[], bool], what: str, seconds: float = LIMIT) -> None:
    """Returns as soon as the condition holds; fails the test after `seconds`."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"waited {seconds} s in vain until {what}"
        await asyncio.sleep(0.002)
