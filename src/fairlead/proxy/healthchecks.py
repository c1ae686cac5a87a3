"""What load balancers ask a node about one Service: whether it has endpoints here (healthCheckNodePort).

The API: services.spec.healthCheckNodePort, of externalTrafficPolicy Local. Answers are those of kube-proxy 1.36
(pkg/proxy/healthcheck/service_health.go).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from aiohttp import web

from fairlead.objects.core_v1 import Service
from fairlead.proxy.family import Family
from fairlead.proxy.ledger import Ledger, Report
from fairlead.proxy.resources import EndpointSlice

log = logging.getLogger("fairlead.proxy")

RETRY = 5.0
"""Seconds after which a port that could not be served is tried again: the proxy before this one may be on its way out.

kube-proxy tries at each of its syncs.
"""
WEIGHT = "X-Load-Balancing-Endpoint-Weight"
JSON = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}


def ready_here(pieces: Iterable[EndpointSlice], node: str) -> int:
    """How many addresses of ready endpoints are on the node; one that stands in two slices counts once."""
    return len(
        {
            endpoint.addresses[0]
            for piece in pieces
            for endpoint in piece.endpoints
            if endpoint.nodeName == node
            and endpoint.addresses
            and (endpoint.conditions is None or endpoint.conditions.ready is not False)
        }
    )


def port_of(service: Service | None) -> int:
    """The Service's healthCheckNodePort, or 0 where it does not count."""
    spec = service.spec if service is not None else None
    if spec is None or spec.type != "LoadBalancer" or spec.externalTrafficPolicy != "Local":
        return 0
    return spec.healthCheckNodePort or 0


@dataclass(slots=True)
class _Check:
    service: Service
    port: int
    counts: dict[Family, int] = field(default_factory=dict)
    site: web.SockSite | None = None
    trouble: str = ""
    """Why it is not served, as it was reported."""


class HealthChecks:
    """One HTTP server for each Service that has a healthCheckNodePort, opened and closed as Services change."""

    def __init__(self, healthy: Callable[[], bool], report: Report) -> None:
        """`healthy` says whether the proxy itself is."""
        self._healthy, self._report = healthy, report
        self._checks: dict[str, _Check] = {}
        self._closing: list[web.SockSite] = []
        self._changed = asyncio.Event()

    def look(self, ledger: Ledger, keys: Iterable[str]) -> None:
        """These Services may have changed, as the ledger has them now. Cost: linear in the Services."""
        for key in keys:
            service = ledger.service(key)
            port = port_of(service)
            check = self._checks.get(key)
            if check is not None and check.port != port:
                self._close(key)
                check = None
            if service is None or not port:
                continue
            if check is None:
                check = self._checks[key] = _Check(service, port)
                self._changed.set()
            check.service = service
            # A pod of two families counts once.
            check.counts[ledger.family] = ready_here(ledger.slices(key), ledger.node.name)

    def _close(self, key: str) -> None:
        site = self._checks.pop(key).site
        if site is not None:
            self._closing.append(site)
            self._changed.set()

    async def run(self) -> None:
        """Opens and closes ports until cancelled."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            while True:
                await self._something()
                while self._closing:
                    await self._closing.pop().stop()
                for key, check in list(self._checks.items()):
                    if check.site is None:
                        await self._open(runner, key, check)
        finally:
            await runner.cleanup()

    async def _something(self) -> None:
        """Waits until there is something to open or close, or to try again."""
        again = any(check.trouble for check in self._checks.values())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETRY if again else None):
                await self._changed.wait()
        self._changed.clear()

    async def _open(self, runner: web.AppRunner, key: str, check: _Check) -> None:
        try:
            site = web.SockSite(runner, _listener(check.port))
        except OSError as error:
            sentence = f"the health check of port {check.port} cannot be served: {error.strerror}"
            if check.trouble != sentence:
                self._report(check.service, "FailedToStartServiceHealthcheck", sentence)
            check.trouble = sentence
            return
        check.trouble = ""
        await site.start()
        if self._checks.get(key) is check:
            check.site = site
        else:
            await site.stop()  # it went while its server came

    async def _answer(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        port = request.transport.get_extra_info("sockname")[1]
        key, check = next(((k, c) for k, c in self._checks.items() if c.port == port), ("/", None))
        count = max(check.counts.values(), default=0) if check is not None else 0
        healthy = self._healthy()
        namespace, _, name = key.partition("/")
        body = {
            "service": {"namespace": namespace, "name": name},
            "localEndpoints": count,
            "serviceProxyHealthy": healthy,
        }
        return web.Response(
            status=200 if count and healthy else 503,
            text=json.dumps(body, indent="\t"),
            headers=JSON | {WEIGHT: str(count)},
        )


def _listener(port: int) -> socket.socket:
    """A socket on the port of every address, of both families where there are both."""
    if socket.has_dualstack_ipv6():
        sock = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    else:
        sock = socket.create_server(("", port))
    sock.setblocking(False)
    return sock
