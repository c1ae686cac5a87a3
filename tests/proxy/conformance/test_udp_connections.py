"""Which UDP connections the kernel is made to forget, so that a client which goes on sending reaches who serves now."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.proxy.conformance.cluster import Cluster, Frontends, On
from tests.proxy.topology import OTHER_PORT, talk
from tests.waiting import LIMIT

WAYS = [
    ("a", "clusterIP"), ("node1", "clusterIP"), ("outside", "node1's nodePort"), ("outside", "externalIP"),
]  # fmt: skip


@contextlib.contextmanager
def client(cluster: Cluster, at: Frontends, place: str, frontend: str) -> Iterator[socket.socket]:
    """A client that sends from one port all the time."""
    with cluster.network.open(place, socket.SOCK_DGRAM, at.family) as sock:
        sock.connect(at[frontend])
        yield sock


def forgotten(cluster: Cluster) -> int:
    """How many connections were removed after the last change."""
    return sum(proxy.forgotten for proxy in cluster.proxies.values())


def one(cluster: Cluster) -> tuple[int, ...]:
    """What `forgotten` may be after a change by which one connection leads to nobody.

    IPVS ends by itself what leads to a real server that is removed, its entry of conntrack with it, so soon that it is
    often the first (net/netfilter/ipvs/ip_vs_conn.c, ip_vs_expire_nodest_conn_flush and ip_vs_conn_expire).
    """
    return (0, 1) if cluster.mode == "ipvs" else (1,)


@pytest.mark.parametrize(("place", "frontend"), WAYS)
def test_the_endpoint_is_gone(cluster: Cluster, at: Frontends, place: str, frontend: str) -> None:
    service = at.service(type="NodePort")
    cluster.serve(service, "b")
    with client(cluster, at, place, frontend) as sock:
        assert talk(sock)[0] == "b"
        cluster.serve(service, "d")
        assert talk(sock)[0] == "d"
        assert forgotten(cluster) in one(cluster)
        cluster.serve(service, "de")
        assert (talk(sock)[0], forgotten(cluster)) == ("d", 0)


def test_an_endpoint_that_ends_and_serves_keeps_its_clients(cluster: Cluster, at: Frontends) -> None:
    cluster.serve(at.service(), "b")
    with client(cluster, at, "a", "clusterIP") as sock:
        talk(sock)
        cluster.serve(at.service(), [On("b", ready=False, serving=True, terminating=True), On("d")])
        assert (talk(sock)[0], forgotten(cluster)) == ("b", 0)
        cluster.serve(at.service(), [On("b", ready=False, serving=False, terminating=True), On("d")])
        assert talk(sock)[0] == "d"
        assert forgotten(cluster) in one(cluster)


def test_the_target_port_changes(cluster: Cluster, at: Frontends) -> None:
    cluster.serve(at.service(), "b")
    with client(cluster, at, "a", "clusterIP") as sock:
        talk(sock)
        cluster.serve(at.service(), "b", port=OTHER_PORT)
        assert talk(sock)[0] == "b"
        assert forgotten(cluster) in one(cluster)


def test_nothing_is_forgotten_while_a_service_has_nobody(cluster: Cluster, at: Frontends) -> None:
    cluster.serve(at.service(), "b")
    with client(cluster, at, "a", "clusterIP") as sock:
        talk(sock)
        cluster.serve(at.service(), "")
        if cluster.mode == "ipvs":
            # Without a real server the connection ends; so with kube-proxy (pkg/proxy/ipvs/graceful_termination.go).
            with pytest.raises(ConnectionRefusedError):
                talk(sock)
        else:
            assert (talk(sock)[0], forgotten(cluster)) == ("b", 0)
        cluster.serve(at.service(), "d")
        assert talk(sock)[0] == "d"
        assert forgotten(cluster) in one(cluster)


def test_a_client_that_was_there_before_the_first_endpoint(cluster: Cluster, at: Frontends) -> None:
    """It sent to the externalIP before any Service had it, to a router that knew nothing of it."""
    with client(cluster, at, "d", "externalIP") as sock:
        sock.send(b"?")
        cluster.serve(at.service(type="NodePort"), "e")
        sock.settimeout(LIMIT)
        with contextlib.suppress(OSError):
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        assert talk(sock)[0] == "e"
        assert cluster.proxies["node2"].forgotten == 1


def test_a_restart_catches_up(cluster: Cluster, at: Frontends) -> None:
    cluster.serve(at.service(), "b")
    with client(cluster, at, "a", "clusterIP") as sock:
        talk(sock)
        proxy = cluster.proxies["node1"]
        proxy.stop()
        proxy.sync = lambda: None  # type: ignore[method-assign]
        cluster.serve(at.service(), "d")
        del proxy.sync
        proxy.start()
        assert talk(sock)[0] == "d"
        assert proxy.forgotten in one(cluster)


def test_many_frontends_at_once(cluster: Cluster, at: Frontends) -> None:
    """The kernel's table is read once for all of them, and others' connections stay."""
    names = [f"s{number}" for number in range(12)]
    addresses = [at["a free address"][0][:-2] + str(10 + number) for number in range(12)]
    with contextlib.ExitStack() as stack:
        socks = []
        for name, address in zip(names, addresses, strict=True):
            cluster.serve(at.service(name, clusterIP=address), "b")
            sock = stack.enter_context(cluster.network.open("a", socket.SOCK_DGRAM, at.family))
            sock.connect((address, 80))
            talk(sock)
            socks.append(sock)
        for proxy in cluster.proxies.values():
            proxy.stop()
            proxy.start()
        assert forgotten(cluster) == 0
        assert {talk(sock)[0] for sock in socks} == {"b"}
        cluster.serve(at.service(names[0], clusterIP=addresses[0]), "d")
        assert forgotten(cluster) in one(cluster)
        assert [talk(sock)[0] for sock in socks] == ["d"] + ["b"] * 11
