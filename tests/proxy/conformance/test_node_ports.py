"""On which of the node's addresses node ports are open: the modes' defaults."""

from __future__ import annotations

import pytest

from fairlead.proxy.family import IPV4
from tests.proxy.conformance.cluster import Cluster, Frontends
from tests.proxy.conformance.traffic import REFUSED, Ask, check

PRIMARY = Ask("outside", "node1's nodePort", "d")
OTHER = "node1-other's nodePort"
LOCALHOST = "localhost's nodePort"


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_by_default(cluster: Cluster, at: Frontends, protocol: str) -> None:
    """nftables opens them on the primary address alone, the older modes on all, iptables on 127.0.0.1 as well."""
    everywhere = cluster.mode != "nftables"
    open_here = cluster.mode == "iptables" and at.family is IPV4
    asks = [
        PRIMARY,
        Ask("outside", OTHER, "d" if everywhere else REFUSED),
        Ask("node1", OTHER, "d" if everywhere else REFUSED),
        Ask("node1", LOCALHOST, "d" if open_here else REFUSED),
    ]
    cluster.serve(at.service(type="NodePort"), "d")
    check(cluster.network, at, asks, protocol)
