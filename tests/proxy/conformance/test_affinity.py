"""sessionAffinity ClientIP: a client stays with its endpoint."""

from __future__ import annotations

import pytest

from tests.proxy.conformance.cluster import Cluster, Frontends
from tests.proxy.topology import KINDS

pytestmark = pytest.mark.parametrize("protocol", ["TCP", "UDP"])

HOUR = 3600
OFTEN = 20
"""Requests that would all meet one endpoint of five by chance once in 10^13 runs."""


def who(
    cluster: Cluster, at: Frontends, place: str, frontend: str, protocol: str, times: int = OFTEN
) -> set[str]:
    """Everybody who answered a place's requests to a frontend."""
    return {cluster.network.ask(place, *at[frontend], KINDS[protocol])[0] for _ in range(times)}


def test_a_client_stays_with_one_endpoint_and_clients_are_told_apart(
    cluster: Cluster, at: Frontends, protocol: str
) -> None:
    cluster.serve(at.service(timeout=HOUR), "abcde")
    met = {place: who(cluster, at, place, "clusterIP", protocol) for place in "abc"}
    assert all(len(places) == 1 for places in met.values()), met
    assert met == {place: who(cluster, at, place, "clusterIP", protocol) for place in "abc"}


def test_without_affinity_a_client_is_not_kept(cluster: Cluster, at: Frontends, protocol: str) -> None:
    cluster.serve(at.service(timeout=HOUR), "abcde")
    who(cluster, at, "a", "clusterIP", protocol)
    cluster.serve(at.service(), "abcde")
    assert len(who(cluster, at, "a", "clusterIP", protocol, 100)) == 5


def test_all_frontends_of_a_port_lead_a_client_to_one_endpoint(
    cluster: Cluster, at: Frontends, protocol: str
) -> None:
    cluster.serve(at.service(type="LoadBalancer", timeout=HOUR), "abcde")
    frontends = ["clusterIP", "node1's nodePort", "externalIP", "loadBalancer"]
    met = set.union(*(who(cluster, at, "a", frontend, protocol, 5) for frontend in frontends))
    assert len(met) == 1, met


def test_endpoints_that_come_and_go_leave_a_client_where_it_is(
    cluster: Cluster, at: Frontends, protocol: str
) -> None:
    cluster.serve(at.service(timeout=HOUR), "abcde")
    (kept,) = who(cluster, at, "b", "clusterIP", protocol)
    others = "abcde".replace(kept, "")
    for on in (kept + others[:1], others[2:] + kept, "abcde", kept, "abcde"):
        cluster.serve(at.service(timeout=HOUR), on)
        assert who(cluster, at, "b", "clusterIP", protocol, 5) == {kept}


def test_a_client_whose_endpoint_is_gone_gets_another_and_stays_there(
    cluster: Cluster, at: Frontends, protocol: str
) -> None:
    cluster.serve(at.service(timeout=HOUR), "abcde")
    (first,) = who(cluster, at, "b", "clusterIP", protocol)
    cluster.serve(at.service(timeout=HOUR), "abcde".replace(first, ""))
    (second,) = who(cluster, at, "b", "clusterIP", protocol)
    assert second != first
    cluster.serve(at.service(timeout=HOUR), "abcde")
    assert who(cluster, at, "b", "clusterIP", protocol) == {second}


def test_a_restart_of_the_proxy_keeps_clients_where_they_are(
    cluster: Cluster, at: Frontends, protocol: str
) -> None:
    cluster.serve(at.service(timeout=HOUR), "abcde")
    met = {place: who(cluster, at, place, "clusterIP", protocol, 3) for place in "abcde"}
    for proxy in cluster.proxies.values():
        proxy.stop()
        proxy.start()
    assert met == {place: who(cluster, at, place, "clusterIP", protocol, 3) for place in "abcde"}


def test_affinity_under_local_policies(cluster: Cluster, at: Frontends, protocol: str) -> None:
    spec = {"type": "NodePort", "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local"}
    cluster.serve(at.service(timeout=HOUR, **spec), "abcde")
    met = who(cluster, at, "outside", "node1's nodePort", protocol)
    assert len(met) == 1
    assert met < set("abc")
    met = who(cluster, at, "d", "clusterIP", protocol)
    assert len(met) == 1
    assert met < set("de")
