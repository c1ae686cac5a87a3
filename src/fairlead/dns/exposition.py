"""Health and metrics over HTTP, at the ports and by the names that CoreDNS gives them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from fairlead.dns.listeners import Listeners
from fairlead.dns.records import Type
from fairlead.dns.zone import Rcode
from fairlead.process import Health, listener

HEALTH_PORT = 8080
READY_PORT = 8181
METRICS_PORT = 9153

_OTHER = {15: "MX", 64: "SVCB", 65: "HTTPS", 257: "CAA"}


class Metrics:
    """What the server has counted, in CoreDNS's names (plugin/metrics, cache, forward)."""

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners

    def collect(self) -> Iterable[Metric]:
        """All families, read from the counters of the moment."""
        responder, forwarder = self._listeners.responder, self._listeners.forwarder
        server = f"dns://:{self._listeners.addresses[0][1]}"
        hits = responder.answers.sent()
        counts = {("udp", kind, rcode): number for (kind, rcode), number in hits.items()}
        for key, number in tuple(responder.counts.items()):
            counts[key] = counts.get(key, 0) + number
        requests = CounterMetricFamily(
            "coredns_dns_requests", "DNS requests by protocol and type.", labels=("server", "proto", "type")
        )
        responses = CounterMetricFamily(
            "coredns_dns_responses", "DNS answers by response code.", labels=("server", "rcode")
        )
        by_type: dict[tuple[str, str], int] = {}
        by_rcode: dict[str, int] = {}
        for (protocol, kind, rcode), number in counts.items():
            name = type_name(kind)
            by_type[protocol, name] = by_type.get((protocol, name), 0) + number
            said = Rcode(rcode).name if rcode in Rcode.__members__.values() else str(rcode)
            by_rcode[said] = by_rcode.get(said, 0) + number
        for (protocol, name), number in sorted(by_type.items()):
            requests.add_metric((server, protocol, name), number)
        for name, number in sorted(by_rcode.items()):
            responses.add_metric((server, name), number)
        yield requests
        yield responses
        ready = GaugeMetricFamily("coredns_cache_entries", "Answers kept ready.", labels=("server", "type"))
        ready.add_metric((server, "success"), len(responder.answers.ready))
        yield ready
        cached = CounterMetricFamily("coredns_cache_hits", "Answers found ready.", labels=("server", "type"))
        cached.add_metric((server, "success"), sum(hits.values()))
        yield cached
        asked = CounterMetricFamily("coredns_forward_requests", "Queries sent to other servers.")
        asked.add_metric((), forwarder.asked)
        yield asked


def type_name(kind: int) -> str:
    """A record type's name in a metric; what is not common is `other`, so that nobody can make metrics without end."""
    if kind in Type.__members__.values():
        return Type(kind).name
    return _OTHER.get(kind, "other")


@asynccontextmanager
async def exposed(address: str, health: Health, listeners: Listeners) -> AsyncIterator[None]:
    """Serves `/health`, `/ready` and `/metrics` meanwhile. Raises OSError where a port is taken."""

    async def healthy(_: web.Request) -> web.Response:
        return web.Response(text="OK")

    async def ready(_: web.Request) -> web.Response:
        good, text = health.report(readiness=True)
        return web.Response(status=200 if good else 503, text="OK" if good else text)

    registry = CollectorRegistry()
    registry.register(Metrics(listeners))

    async def metrics(_: web.Request) -> web.Response:
        body = generate_latest(registry) + generate_latest(REGISTRY)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    runners = []
    try:
        for port, path, handler in (
            (HEALTH_PORT, "/health", healthy),
            (READY_PORT, "/ready", ready),
            (METRICS_PORT, "/metrics", metrics),
        ):
            app = web.Application()
            app.add_routes([web.get(path, handler)])
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            runners.append(runner)
            await web.SockSite(runner, listener(address, port)).start()
        yield
    finally:
        for runner in runners:
            await runner.cleanup()
