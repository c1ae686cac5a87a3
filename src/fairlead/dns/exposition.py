"""Health and metrics over HTTP, at the ports and by the names that CoreDNS gives them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from fairlead.dns.listeners import Listeners
from fairlead.dns.records import OTHERS, Type
from fairlead.dns.tally import Board, Tally, tally, together
from fairlead.dns.zone import Rcode
from fairlead.process import Health, listener

HEALTH_PORT = 8080
READY_PORT = 8181
METRICS_PORT = 9153


class Metrics:
    """What the server has counted, in CoreDNS's names (plugin/metrics, cache, forward)."""

    def __init__(self, server: str, read: Callable[[], Tally]) -> None:
        self._server = server
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """All families, of all workers."""
        tally, server = self._read(), self._server
        yield from self._queries(tally)
        ready = GaugeMetricFamily("coredns_cache_entries", "Answers kept ready.", labels=("server", "type"))
        ready.add_metric((server, "success"), tally.ready)
        ready.add_metric((server, "forwarded"), tally.cache[0])
        yield ready
        for name, said, values in (
            ("hits", "Answers found ready.", {"success": tally.hits, "forwarded": tally.cache[1]}),
            ("misses", "Questions that were put to others.", {"forwarded": tally.cache[2]}),
            ("served_stale", "Answers past their time that were given.", {"forwarded": tally.cache[3]}),
            ("prefetch", "Answers fetched before their end.", {"forwarded": tally.cache[4]}),
        ):
            family = CounterMetricFamily(f"coredns_cache_{name}", said, labels=("server", "type"))
            for kind, value in values.items():
                family.add_metric((server, kind), value)
            yield family
        asked = CounterMetricFamily(
            "coredns_forward_requests", "Queries sent to other servers.", labels=("to",)
        )
        for to, number in tally.forwarded.items():
            asked.add_metric((to,), number)
        yield asked

    def _queries(self, tally: Tally) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "coredns_dns_requests", "DNS requests by protocol and type.", labels=("server", "proto", "type")
        )
        responses = CounterMetricFamily(
            "coredns_dns_responses", "DNS answers by response code.", labels=("server", "rcode")
        )
        by_type: Counter[tuple[str, str]] = Counter()
        by_rcode: Counter[str] = Counter()
        for protocol, kind, rcode, number in tally.queries:
            by_type[protocol, type_name(kind)] += number
            by_rcode[Rcode(rcode).name if rcode in Rcode.__members__.values() else str(rcode)] += number
        for (protocol, name), number in sorted(by_type.items()):
            requests.add_metric((self._server, protocol, name), number)
        for name, number in sorted(by_rcode.items()):
            responses.add_metric((self._server, name), number)
        yield requests
        yield responses


def view(tally: Tally, period: int) -> dict[str, object]:
    """Who asked for what, by Service, as JSON."""
    services: dict[str, dict[str, int]] = {}
    for service, who, count in tally.seen:
        services.setdefault(service, {})[who] = count
    return {
        "countedOneIn": period,
        "services": [
            {"service": name, "queries": sum(clients.values()), "clients": clients}
            for name, clients in sorted(services.items(), key=lambda item: -sum(item[1].values()))
        ],
    }


def type_name(kind: int) -> str:
    """A record type's name in a metric; what is not common is `other`, so that nobody can make metrics without end."""
    if kind in Type.__members__.values():
        return Type(kind).name
    return OTHERS.get(kind, "other")


@asynccontextmanager
async def exposed(
    address: str, health: Health, listeners: Listeners, board: Board | None = None
) -> AsyncIterator[None]:
    """Serves `/health`, `/ready`, `/metrics` and `/queries` meanwhile. Raises OSError where a port is taken.

    `board` is where the other workers show what they have counted; this one is the first.
    """

    def read() -> Tally:
        return together((tally(listeners), *(board.others(0) if board else ())))

    async def healthy(_: web.Request) -> web.Response:
        return web.Response(text="OK")

    async def ready(_: web.Request) -> web.Response:
        good, text = health.report(readiness=True)
        return web.Response(status=200 if good else 503, text="OK" if good else text)

    registry = CollectorRegistry()
    registry.register(Metrics(f"dns://:{listeners.addresses[0][1]}", read))

    async def metrics(_: web.Request) -> web.Response:
        body = generate_latest(registry) + generate_latest(REGISTRY)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def queries(_: web.Request) -> web.Response:
        return web.json_response(view(read(), listeners.observer.period))

    runners = []
    try:
        for port, handlers in (
            (HEALTH_PORT, {"/health": healthy}),
            (READY_PORT, {"/ready": ready}),
            (METRICS_PORT, {"/metrics": metrics, "/queries": queries}),
        ):
            app = web.Application()
            app.add_routes([web.get(path, handler) for path, handler in handlers.items()])
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            runners.append(runner)
            await web.SockSite(runner, listener(address, port)).start()
        yield
    finally:
        for runner in runners:
            await runner.cleanup()
