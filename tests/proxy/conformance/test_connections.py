"""What happens to a client while Services, endpoints, the proxy and its rules change under it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from fairlead import libnftables
from fairlead.proxy.family import IPV4
from tests.proxy.conformance.cluster import Cluster, Frontends, NodeProxy, On
from tests.proxy.topology import KINDS, NODES, talk
from tests.waiting import LIMIT


def restart(proxy: NodeProxy) -> None:
    """The proxy is killed, and started again."""
    proxy.stop()
    proxy.start()


def flush(cluster: Cluster, node: str, *, servers: bool = True) -> None:
    """Somebody else removes every rule of the node, and the virtual servers of ipvs."""
    six = "" if cluster.family is IPV4 else "6"

    def run() -> None:
        if cluster.mode == "nftables":
            libnftables.run("flush ruleset\n")
        for table in () if cluster.mode == "nftables" else ("nat", "filter"):
            for what in ("-F", "-X"):
                subprocess.run([f"ip{six}tables", "-t", table, what], check=True)
        if cluster.mode == "ipvs" and servers:
            subprocess.run(["ipvsadm", "-C"], check=True)

    cluster.network.inside(node, run)


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
@pytest.mark.parametrize(
    ("place", "frontend"), [("a", "clusterIP"), ("node1", "clusterIP"), ("outside", "node1's nodePort")]
)
def test_an_established_connection_outlives_everything(
    cluster: Cluster, at: Frontends, place: str, frontend: str, protocol: str
) -> None:
    """Another endpoint, more Services, a restart, flushed rules that are mended: it goes on, to the same pod.

    In the mode ipvs the virtual servers stay: for what becomes of connections without them, see
    `test_flushed_rules_are_noticed_and_mended`.
    """
    service = at.service(type="NodePort")
    cluster.serve(service, "abcde")
    with cluster.network.open(place, KINDS[protocol], at.family) as sock:
        sock.connect(at[frontend])
        first, client = talk(sock)
        cluster.serve(service, first + "abcde".replace(first, "")[:1])
        assert talk(sock) == (first, client)
        cluster.serve(at.service("other", clusterIP=at["a free address"][0]), "abc")
        assert talk(sock) == (first, client)
        for proxy in cluster.proxies.values():
            restart(proxy)
        assert talk(sock) == (first, client)
        if protocol == "TCP":
            # An acknowledgement that is sent while no rule is there would go astray, and end the connection.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        flush(cluster, "node1", servers=False)
        # The legacy programs' rules, which it may be, are compared by the ipvs mode from time to time only.
        assert cluster.mode == "ipvs" or cluster.proxies["node1"].harmed()
        cluster.proxies["node1"].rebuild()
        assert talk(sock) == (first, client)
        assert not cluster.proxies["node1"].harmed()
        if protocol == "TCP":
            # Kubernetes leaves it to a pod that ends to end its connections.
            cluster.serve(service, "abcde".replace(first, ""))
            assert talk(sock) == (first, client)


def test_a_restart_takes_up_what_changed_meanwhile(cluster: Cluster, at: Frontends) -> None:
    cluster.serve(at.service(type="NodePort"), "a")
    for proxy in cluster.proxies.values():
        proxy.stop()
    # The ledgers hear of it while nobody tells the kernel.
    with contextlib.ExitStack() as stack:
        for proxy in cluster.proxies.values():
            stack.callback(setattr, proxy, "sync", proxy.sync)
            proxy.sync = lambda: None  # type: ignore[method-assign]
        cluster.serve(at.service(clusterIP=at["a free address"][0]), "d")
    for proxy in cluster.proxies.values():
        proxy.start()
    assert cluster.network.ask("a", *at["a free address"])[0] == "d"
    with pytest.raises(OSError, match=r"refused|timed out"):
        cluster.network.ask("outside", *at["node1's nodePort"], seconds=1)


def test_two_services_with_one_address(cluster: Cluster, at: Frontends) -> None:
    """The older one has it (here: neither says its age, so the first by name), then the one that waited."""
    ask: Callable[[], set[str]] = lambda: {cluster.network.ask("b", *at["clusterIP"])[0] for _ in range(8)}  # noqa: E731
    cluster.serve(at.service("web"), "a")
    cluster.serve(at.service("zoo"), "d")
    assert ask() == {"a"}
    cluster.serve(at.service("ant"), "b")
    assert ask() == {"b"}
    cluster.remove("default/ant")
    assert ask() == {"a"}
    cluster.remove("default/web")
    assert ask() == {"d"}


class Steady:
    """Clients that ask all the time, each time over a connection of its own."""

    PLACES = (
        ("a", "clusterIP"),
        ("node2", "clusterIP"),
        ("outside", "node1's nodePort"),
        ("e", "externalIP"),
    )

    def __init__(self, cluster: Cluster, at: Frontends) -> None:
        self._cluster, self._at = cluster, at
        self._stop = threading.Event()
        self.failed: list[str] = []
        self._ports: dict[str, set[int]] = {place: set() for place, _ in self.PLACES}
        """From which each has asked over UDP."""
        self.counts = dict.fromkeys(self.PLACES, 0)

    def _run(self, place: str, frontend: str) -> None:
        while not self._stop.is_set():
            for protocol, kind in KINDS.items():
                try:
                    self._ask(place, frontend, kind)
                except OSError as error:
                    self.failed.append(f"{place} to {frontend} over {protocol}: {error}")
            self.counts[place, frontend] += 1

    def _ask(self, place: str, frontend: str, kind: int) -> None:
        if kind == socket.SOCK_DGRAM and self._answered(place, frontend):
            return
        self._cluster.network.ask(place, *self._at[frontend], kind)

    def _answered(self, place: str, frontend: str) -> bool:
        """Asks over UDP. False where it has to be asked again, as whoever uses UDP does.

        A port that was used before may put the request into the connection of that time, and the answer is lost with
        it when its endpoint goes.
        """
        with self._cluster.network.open(place, socket.SOCK_DGRAM, self._at.family, LIMIT / 10) as sock:
            sock.connect(self._at[frontend])
            port = sock.getsockname()[1]
            again = port in self._ports[place]
            self._ports[place].add(port)
            try:
                talk(sock)
            except TimeoutError:
                if not again:
                    raise
                return False
            return True

    @contextlib.contextmanager
    def asking(self) -> Iterator[Steady]:
        """They ask during the block, each of them at least ten times; none may fail."""
        threads = [threading.Thread(target=self._run, args=each, daemon=True) for each in self.PLACES]
        for thread in threads:
            thread.start()
        try:
            yield self
            self.more(10)
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(LIMIT)
        assert not self.failed

    def more(self, times: int) -> None:
        """Waits until each has asked so many times more."""
        goal = {each: count + times for each, count in self.counts.items()}
        waited, deadline = threading.Event(), time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            if all(self.counts[each] >= goal[each] for each in goal) or self.failed:
                return
            waited.wait(0.01)
        raise AssertionError(f"the clients do not get on: {self.counts}")


def test_no_connection_fails_while_endpoints_roll_over(cluster: Cluster, at: Frontends) -> None:
    """Every pod goes in turn, and comes again, as in a rolling update; one that goes serves on for a while."""
    service = at.service(type="NodePort")
    cluster.serve(service, "abcde")
    before = "abcde"
    with Steady(cluster, at).asking() as clients:
        for on in ("bcde", "cde", "de", "ade", "abd", "abc", "bc", "c", "cd", "acde", "e", "abcde"):
            ending = [On(pod, ready=False, serving=True, terminating=True) for pod in before if pod not in on]
            cluster.serve(service, [*map(On, on), *ending])
            clients.more(2)
            cluster.serve(service, on)
            clients.more(1)
            before = on


def test_no_connection_fails_while_the_proxy_is_away_and_comes_back(cluster: Cluster, at: Frontends) -> None:
    cluster.serve(at.service(type="NodePort"), "abcde")
    with Steady(cluster, at).asking() as clients:
        for _ in range(3):
            for proxy in cluster.proxies.values():
                proxy.stop()
                clients.more(2)
                proxy.start()
                clients.more(2)


def test_flushed_rules_are_noticed_and_mended(cluster: Cluster, at: Frontends) -> None:
    cluster.serve(at.service(type="NodePort"), "abcde")
    with cluster.network.open("a", socket.SOCK_STREAM, at.family) as sock:
        sock.connect(at["clusterIP"])
        first, client = talk(sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        for node in NODES:
            flush(cluster, node)
        for proxy in cluster.proxies.values():
            assert proxy.harmed()
            proxy.rebuild()
            assert not proxy.harmed()
        if cluster.mode == "ipvs":
            # net.ipv4.vs.expire_nodest_conn=1, which UDP needs, and kube-proxy sets: with a virtual server the kernel
            # ends its connections (net/netfilter/ipvs/ip_vs_conn.c, ip_vs_expire_nodest_conn_flush).
            with pytest.raises(ConnectionResetError):
                talk(sock)
        else:
            assert talk(sock) == (first, client)
    with Steady(cluster, at).asking() as clients:
        clients.more(1)
