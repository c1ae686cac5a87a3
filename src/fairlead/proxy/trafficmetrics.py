"""What the kernel counted of each Service's traffic, under the Services' names, for Prometheus."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from fairlead.objects.core_v1 import Service
from fairlead.proxy.family import PROTOCOL_NAMES, Family
from fairlead.proxy.ledger import Ledger
from fairlead.proxy.traffic import PAIRS, Counted, Pair, Totals, Traffic

log = logging.getLogger("fairlead.proxy")

LABELS = ("namespace", "service", "port", "endpoint")
"""`port` is the Service port's name, or its number where it has none; `endpoint` is ADDRESS:PORT."""

Labels = tuple[str, str, str, str]


class TrafficCollector(Collector):
    """Reads the kernel's counters when it is asked: nothing is done between two scrapes.

    Frontends that no Service has any more, and translations by others, are left out. Asked in the event loop.
    """

    def __init__(self, counted: Counted, sources: Sequence[tuple[Traffic, Ledger]]) -> None:
        """`sources` has each family's counters with what knows its Services."""
        self._counted = counted
        self._sources = sources

    def describe(self) -> Iterable[Metric]:
        """The metrics without values; asks no kernel."""
        return _metrics(self._counted)

    def collect(self) -> Iterable[Metric]:
        """The metrics with their values. What cannot be read is logged and left out."""
        metrics = connections, received, sent, pairs = _metrics(self._counted)
        for traffic, ledger in self._sources:
            try:
                counts = traffic.read()
            except OSError as error:
                log.warning("traffic of Services over %s: %s", traffic.family.address_type, error)
                continue
            pairs.add_metric([traffic.family.address_type], len(counts))
            for labels, totals in by_service(counts.items(), ledger).items():
                connections.add_metric(labels, totals.connections)
                received.add_metric(labels, totals.received)
                sent.add_metric(labels, totals.sent)
        return metrics if self._counted is Counted.BYTES else (connections, pairs)


def _metrics(
    counted: Counted,
) -> tuple[CounterMetricFamily, CounterMetricFamily, CounterMetricFamily, GaugeMetricFamily]:
    return (
        CounterMetricFamily(
            "fairlead_proxy_service_connections", "Connections that were led to the endpoint", labels=LABELS
        ),
        CounterMetricFamily(
            "fairlead_proxy_service_received_bytes",
            "Octets from clients to the endpoint, with headers",
            labels=LABELS,
        ),
        CounterMetricFamily(
            "fairlead_proxy_service_sent_bytes",
            "Octets from the endpoint to clients, with headers",
            labels=LABELS,
        ),
        GaugeMetricFamily(
            "fairlead_proxy_traffic_pairs",
            f"Frontends with an endpoint that have counters in the kernel, which holds {PAIRS}",
            labels=("ip_family",),
        ),
    )


def by_service(counts: Iterable[tuple[Pair, Totals]], ledger: Ledger) -> dict[Labels, Totals]:
    """The counts of all frontends of a Service port together, for each endpoint. Cost: linear in `counts`."""
    found: dict[Labels, Totals] = {}
    for pair, totals in counts:
        labels = _labels(pair, ledger)
        if labels is not None:
            found[labels] = found[labels].plus(totals) if labels in found else totals
    return found


def _labels(pair: Pair, ledger: Ledger) -> Labels | None:
    protocol, port = pair.protocol, pair.port
    for address in (pair.address, b""):
        service = ledger.owner((protocol, address, port))
        if service is not None:
            name = _port(service, protocol, port, node_port=not address)
            endpoint = _endpoint(pair.endpoint, pair.endpoint_port, ledger.family)
            return service.metadata.namespace, service.metadata.name, name, endpoint
    return None


def _port(service: Service, protocol: int, number: int, *, node_port: bool) -> str:
    for port in service.spec.ports if service.spec is not None else ():
        same = (port.nodePort if node_port else port.port) == number
        if same and (port.protocol or "TCP") == PROTOCOL_NAMES.get(protocol):
            return port.name or str(port.port)
    return str(number)


def _endpoint(address: bytes, port: int, family: Family) -> str:
    host = family.text(address)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
