"""--masquerade-all: what is sent to a ClusterIP takes the node's address, whoever sends it."""

from __future__ import annotations

import pytest

from tests.proxy.conformance.cluster import Cluster, Frontends
from tests.proxy.conformance.conftest import Install
from tests.proxy.conformance.traffic import Ask, check


@pytest.fixture(scope="module")
def masquerading(install: Install) -> Cluster:
    return install(masquerade_all=True, masquerade_bit=20)


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_masquerade_all(masquerading: Cluster, at: Frontends, protocol: str) -> None:
    masquerading.serve(at.service(), "ad")
    asks = [Ask("b", "clusterIP", "ad", "node1"), Ask("e", "clusterIP", "ad", "node2")]
    check(masquerading.network, at, asks, protocol)
    masquerading.clear()
