"""Requests are spread evenly over the endpoints."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.proxy.conformance.cluster import Cluster, Frontends
from tests.proxy.topology import KINDS

REQUESTS = 500


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
@pytest.mark.parametrize(
    ("place", "frontend"),
    [("a", "clusterIP"), ("node1", "clusterIP"), ("outside", "node1's nodePort"), ("outside", "externalIP")],
)
def test_spread(cluster: Cluster, at: Frontends, place: str, frontend: str, protocol: str) -> None:
    cluster.serve(at.service(type="NodePort"), "abcde")
    met = Counter(cluster.network.ask(place, *at[frontend], KINDS[protocol])[0] for _ in range(REQUESTS))
    expected = REQUESTS / 5
    # Chi-square with four degrees of freedom: an even spread passes 45 once in 250 million runs.
    assert sum((met[name] - expected) ** 2 / expected for name in "abcde") < 45, met
