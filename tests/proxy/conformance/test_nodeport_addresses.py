"""--nodeport-addresses: the networks in which the node's addresses open node ports."""

from __future__ import annotations

import pytest

from tests.proxy.conformance.cluster import Cluster, Frontends
from tests.proxy.conformance.conftest import Install
from tests.proxy.conformance.traffic import REFUSED, Ask, check

OTHER = "node1-other's nodePort"


@pytest.fixture(scope="module")
def narrowed(install: Install) -> Cluster:
    """Node ports are open on the second address of each node."""
    return install(nodeport_addresses=("172.16.0.0/16", "fd00:172::/32"))


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_nodeport_addresses(narrowed: Cluster, at: Frontends, protocol: str) -> None:
    narrowed.serve(at.service(type="NodePort"), "d")
    asks = [
        Ask("outside", "node1's nodePort", REFUSED),
        Ask("outside", OTHER, "d"),
        Ask("node1", OTHER, "d"),
        Ask("node1", "localhost's nodePort", REFUSED),
    ]
    check(narrowed.network, at, asks, protocol)
    narrowed.clear()
