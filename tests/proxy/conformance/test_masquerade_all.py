"""--masquerade-all: what is sent to a ClusterIP takes the node's address, whoever sends it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fairlead.proxy.family import Family
from tests.proxy.conformance.cluster import Cluster, Frontends
from tests.proxy.conformance.traffic import Ask, check
from tests.proxy.topology import Topology


@pytest.fixture(scope="module")
def masquerading(network: Topology, mode: str, family: Family) -> Iterator[Cluster]:
    made = Cluster(network, mode, family, masquerade_all=True, masquerade_bit=20)
    yield made
    made.cleanup()


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_masquerade_all(masquerading: Cluster, at: Frontends, protocol: str) -> None:
    masquerading.serve(at.service(), "ad")
    asks = [Ask("b", "clusterIP", "ad", "node1"), Ask("e", "clusterIP", "ad", "node2")]
    check(masquerading.network, at, asks, protocol)
    masquerading.clear()
