"""sessionAffinityConfig.clientIP.timeoutSeconds: a client is forgotten."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from fairlead.proxy.family import Family
from fairlead.proxy.ipvs.kernel import Ipvs
from fairlead.proxy.options import IpvsOptions
from tests.proxy.conformance.cluster import Cluster, Frontends
from tests.proxy.conformance.conftest import Install
from tests.proxy.topology import KINDS, NODES
from tests.waiting import LIMIT

SECONDS = 2
UDP_TIMEOUT = 300
"""Seconds for which IPVS keeps an idle connection of UDP, if it is not told otherwise."""


@pytest.fixture(scope="module")
def impatient(install: Install, mode: str, family: Family) -> Iterator[Cluster]:
    """IPVS remembers a client at least for as long as a connection: of UDP, here, for a second."""
    made = install(ipvs=IpvsOptions(udp_timeout=1))
    yield made
    if mode == "ipvs":
        for node in NODES:
            made.network.inside(node, lambda: Ipvs(family).timeouts(0, 0, UDP_TIMEOUT))


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_a_client_is_forgotten_after_the_timeout(impatient: Cluster, at: Frontends, protocol: str) -> None:
    impatient.serve(at.service(timeout=SECONDS), "abcde")

    def ask() -> str:
        return impatient.network.ask("b", *at["clusterIP"], KINDS[protocol])[0]

    first = ask()
    # IPVS looks again after a minute where a client has connections when its time is over, and it has one of TCP for
    # two minutes after the end (net/netfilter/ipvs/ip_vs_conn.c, ip_vs_conn_expire; ip_vs_proto_tcp.c, TIME_WAIT).
    kept = impatient.mode == "ipvs" and protocol == "TCP"
    deadline = time.monotonic() + LIMIT
    met = first
    while met == first:
        assert time.monotonic() < deadline, f"still with {first}"
        time.sleep(SECONDS + 0.2)  # what is tested is that nothing happens for longer than the timeout
        met = ask()
        if kept:
            assert met == first
            break
    impatient.clear()
