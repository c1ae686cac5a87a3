"""What is asked about the proxy itself: /healthz, /livez, /readyz, /metrics, /proxyMode.

kube-proxy 1.36: pkg/proxy/healthcheck/proxy_health.go, cmd/kube-proxy/app/server.go.
"""

from __future__ import annotations

import socket
from datetime import UTC, datetime

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from fairlead.client.informer import Change
from fairlead.objects.core_v1 import Node
from fairlead.process import Health
from fairlead.proxy import metrics

TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"
"""The taint that the cluster autoscaler gives a node before it removes it."""
JSON = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}


def eligible(node: Node | None) -> bool:
    """Whether load balancers may go on sending new connections to the node; one without an object is starting up."""
    if node is None:
        return True
    taints = node.spec.taints if node.spec is not None else ()
    return not node.metadata.deletionTimestamp and all(taint.key != TO_BE_DELETED for taint in taints)


class ProxyHealth:
    """Whether the proxy does its work, and whether its node stays."""

    def __init__(self, health: Health) -> None:
        self.health = health
        self.node_eligible = True
        self._updated = datetime.now(UTC)

    def node_changed(self, change: Change[Node]) -> None:
        """The node's object came, changed or went; one that is deleted said so by then."""
        if change.new is not None:
            self.node_eligible = eligible(change.new)

    def healthy(self) -> bool:
        """Whether the kernel follows the API, as far as is known."""
        good = self.health.report(readiness=False)[0]
        if good:
            self._updated = datetime.now(UTC)
        return good

    def times(self) -> str:
        """When the proxy last was healthy, and the time now, as JSON's fields."""
        return f'"lastUpdated": "{self._updated}","currentTime": "{datetime.now(UTC)}"'


def _health_routes(state: ProxyHealth) -> list[web.RouteDef]:
    async def healthz(_: web.Request) -> web.Response:
        good = state.healthy() and state.node_eligible
        metrics.HEALTHZ.labels("200" if good else "503").inc()
        text = f'{{{state.times()}, "nodeEligible": {str(state.node_eligible).lower()}}}'
        return web.Response(status=200 if good else 503, text=text, headers=JSON)

    async def livez(_: web.Request) -> web.Response:
        good = state.healthy()
        metrics.LIVEZ.labels("200" if good else "503").inc()
        return web.Response(status=200 if good else 503, text=f"{{{state.times()}}}", headers=JSON)

    async def readyz(_: web.Request) -> web.Response:
        good, text = state.health.report(readiness=True)
        return web.Response(status=200 if good else 503, text=text)

    return [web.get("/healthz", healthz), web.get("/livez", livez), web.get("/readyz", readyz)]


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def serve_health(state: ProxyHealth, sock: socket.socket) -> web.AppRunner:
    """Answers `/healthz`, `/livez`, `/readyz` and `/metrics` on `sock` until the runner is cleaned up."""
    return await _serve([*_health_routes(state), web.get("/metrics", _metrics)], sock)


async def serve_metrics(state: ProxyHealth, mode: str, sock: socket.socket) -> web.AppRunner:
    """Answers `/metrics`, `/proxyMode` and `/healthz` on `sock` until the runner is cleaned up."""

    async def proxy_mode(_: web.Request) -> web.Response:
        return web.Response(text=mode, headers={"X-Content-Type-Options": "nosniff"})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    routes = [web.get("/metrics", _metrics), web.get("/proxyMode", proxy_mode), web.get("/healthz", healthz)]
    return await _serve(routes, sock)


async def _serve(routes: list[web.RouteDef], sock: socket.socket) -> web.AppRunner:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    return runner
