"""What the kernel counts of each Service's connections and bytes, with real ones."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from fairlead import libnftables
from fairlead.proxy import traffic
from fairlead.proxy.family import IPV4
from fairlead.proxy.traffic import Counted, Totals, Traffic
from fairlead.proxy.trafficmetrics import TrafficCollector, by_service
from tests.proxy.conformance.cluster import Cluster, Frontends
from tests.proxy.topology import ADDRESSES, KINDS, PORT

TIMES = 5
ASKS = (
    ("a", "clusterIP"),
    ("node1", "clusterIP"),
    ("outside", "node1's nodePort"),
    ("outside", "externalIP"),
)
"""Who asks where. Each is translated on node1."""


@contextlib.contextmanager
def counting(cluster: Cluster, counted: Counted, node: str = "node1") -> Iterator[Traffic]:
    """Counters on a node, all zero at first."""
    if cluster.mode == "ipvs":
        pytest.skip("the kernel does not mark the connections that IPVS translates")
    made = cluster.network.inside(node, lambda: Traffic(counted, cluster.family))
    try:
        cluster.network.inside(node, made.start)
        yield made
    finally:
        made.close()
        cluster.network.inside(node, lambda: traffic.cleanup(cluster.family))


def ask(cluster: Cluster, at: Frontends, protocol: str) -> Counter[str]:
    """How often each pod answered."""
    return Counter(
        cluster.network.ask(place, *at[frontend], KINDS[protocol])[0]
        for place, frontend in ASKS
        for _ in range(TIMES)
    )


def seen(cluster: Cluster, counters: Traffic, protocol: str = "TCP") -> dict[str, Totals]:
    """The counts of the Service under test by pod, all of whose labels are as they must be."""
    counts = by_service(counters.read().items(), cluster.proxies["node1"].ledger)
    form = "{}:{}" if cluster.family is IPV4 else "[{}]:{}"
    endpoints = {form.format(ADDRESSES[cluster.family][pod], PORT): pod for pod in "abcde"}
    assert {labels[:3] for labels in counts} <= {("default", "web", protocol)}
    return {endpoints[labels[3]]: totals for labels, totals in counts.items()}


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_connections_and_bytes_of_each_endpoint(cluster: Cluster, at: Frontends, protocol: str) -> None:
    cluster.serve(at.service(type="NodePort"), "abc")
    with counting(cluster, Counted.BYTES) as counters, counting(cluster, Counted.BYTES, "node2") as elsewhere:
        met = ask(cluster, at, protocol)
        found = seen(cluster, counters, protocol)
        assert {pod: totals.connections for pod, totals in found.items()} == met
        for pod, totals in found.items():
            if protocol == "UDP":
                header = 28 if cluster.family is IPV4 else 48
                assert totals.received == met[pod] * (header + 1)
            assert totals.sent > met[pod] * 28
        # Nobody asked node2, though some of the pods that answered are there.
        assert elsewhere.read() == {}


def test_without_bytes(cluster: Cluster, at: Frontends) -> None:
    cluster.serve(at.service(type="NodePort"), "abc")
    with counting(cluster, Counted.CONNECTIONS) as counters:
        met = ask(cluster, at, "TCP")
        assert seen(cluster, counters) == {pod: Totals(times) for pod, times in met.items()}


def test_counts_outlive_a_restart_and_a_change_of_the_option(cluster: Cluster, at: Frontends) -> None:
    cluster.serve(at.service(type="NodePort"), "a")
    with counting(cluster, Counted.CONNECTIONS) as counters:
        ask(cluster, at, "TCP")
        with contextlib.closing(
            cluster.network.inside("node1", lambda: Traffic(Counted.BYTES, cluster.family))
        ) as again:
            cluster.network.inside("node1", again.start)
            ask(cluster, at, "TCP")
            found = seen(cluster, again)["a"]
            assert found.connections == 2 * TIMES * len(ASKS)
            assert found.sent
            cluster.network.inside("node1", counters.start)
            assert seen(cluster, counters)["a"] == Totals(found.connections)


def test_a_table_that_somebody_removed_is_made_anew(cluster: Cluster, at: Frontends) -> None:
    cluster.serve(at.service(type="NodePort"), "a")
    with counting(cluster, Counted.CONNECTIONS) as counters:
        table = f"{cluster.family.table} {traffic.TABLE}"
        cluster.network.inside("node1", lambda: libnftables.run(f"delete table {table}"))
        assert cluster.network.inside("node1", counters.read) == {}
        ask(cluster, at, "TCP")
        assert seen(cluster, counters)["a"].connections == TIMES * len(ASKS)


def test_what_prometheus_is_told(cluster: Cluster, at: Frontends) -> None:
    cluster.serve(at.service(type="NodePort"), "a")
    with counting(cluster, Counted.BYTES) as counters:
        ask(cluster, at, "TCP")
        registry = CollectorRegistry()
        collector = TrafficCollector(Counted.BYTES, [(counters, cluster.proxies["node1"].ledger)])
        registry.register(collector)
        host = ADDRESSES[cluster.family]["a"]
        endpoint = f"{host}:{PORT}" if cluster.family is IPV4 else f"[{host}]:{PORT}"
        labels = f'endpoint="{endpoint}",namespace="default",port="TCP",service="web"'
        told = generate_latest(registry).decode()
        assert f"fairlead_proxy_service_connections_total{{{labels}}} {TIMES * len(ASKS):.1f}" in told
        # One pair for each frontend that was asked.
        assert f'fairlead_proxy_traffic_pairs{{ip_family="{cluster.family.address_type}"}} 3.0' in told
        cluster.remove("default/web")
        told = generate_latest(registry).decode()
        assert "service=" not in told
        # The counters are there until nothing has passed them for an hour.
        assert f'fairlead_proxy_traffic_pairs{{ip_family="{cluster.family.address_type}"}} 3.0' in told
