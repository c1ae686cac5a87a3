"""What only the nftables mode does, with real packets; what all modes do is in `conformance`."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
from collections.abc import Iterator

import pytest
from pyroute2 import IPRoute
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

from fairlead import libnftables
from fairlead.objects.core_v1 import Service, ServicePort, ServiceSpec
from fairlead.objects.discovery_v1 import EndpointConditions, EndpointPort
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.proxy import nftables
from fairlead.proxy.detection import LocalPods
from fairlead.proxy.family import IPV4
from fairlead.proxy.ledger import Ledger
from fairlead.proxy.nftables import Nftables, skeleton, table
from fairlead.proxy.nftables.inventory import Inventory
from fairlead.proxy.nftables.names import CLUSTER_IPS
from fairlead.proxy.options import PRIMARY, ProxyOptions
from fairlead.proxy.resources import SERVICE_NAME, Endpoint, EndpointSlice
from fairlead.proxy.selection import Node
from tests.proxy.topology import ADDRESSES, PODS_OF, PORT, Topology, root, router, topology

pytestmark = root

NODE_ADDRESS = ADDRESSES[IPV4]["node1"]
OUTSIDE_ADDRESS = router(NODE_ADDRESS)
PODS = {pod: ADDRESSES[IPV4][pod] for pod in PODS_OF["node1"]}
WEB, EMPTY, UNASSIGNED = "10.96.0.100", "10.96.0.101", "10.96.0.200"
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM


class Proxy:
    """The ledger and the kernel of the node, without an API: changes are told by hand."""

    def __init__(self, network: Topology) -> None:
        self._network = network
        self.ledger = Ledger(Node("node", (socket.inet_aton(NODE_ADDRESS),)))
        # Others change the table here, as they can before Linux 6.9 (`test_ownership` has the rest).
        self.options = ProxyOptions(LocalPods(("10.244.0.0/16",)), ("10.96.0.0/16",), own_table=False)
        self._slices: dict[str, EndpointSlice] = {}
        self._gathering = False
        self.start()

    def start(self) -> None:
        """A process with the same knowledge of the API, which finds the kernel as it is."""
        self.dataplane = self._network.inside("node1", self._make)
        self.resync()

    def _make(self) -> Nftables:
        dataplane = Nftables(self.options)
        dataplane.node_changed(self.ledger.node.addresses)
        return dataplane

    def resync(self) -> bool:
        self._network.inside("node1", lambda: self.dataplane.rebuild(self.ledger.everything))
        return bool(self.dataplane.last)

    def serve(self, name: str, address: str, pods: str, **spec: object) -> None:
        """Service `name` with TCP and UDP port 80 on these pods."""
        key = f"default/{name}"
        meta = ObjectMeta(name=name, namespace="default", labels={SERVICE_NAME: name})
        ports = tuple(
            ServicePort(name=p, port=80, protocol=p, nodePort=30080 if spec.get("type") else 0)
            for p in ("TCP", "UDP")
        )
        self.ledger.service_changed(
            key,
            Service(metadata=meta, spec=ServiceSpec(**{"clusterIP": address, "ports": ports, **spec})),  # type: ignore[arg-type]
        )
        piece = EndpointSlice(
            metadata=meta,
            addressType="IPv4",
            endpoints=tuple(
                Endpoint(addresses=(PODS[pod],), nodeName="node", conditions=EndpointConditions(ready=True))
                for pod in pods
            ),
            ports=tuple(EndpointPort(name=p, port=PORT, protocol=p) for p in ("TCP", "UDP")),
        )
        self.ledger.slice_changed(key, self._slices.get(key), piece)
        self._slices[key] = piece
        self.sync()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What is told in the block becomes one transaction."""
        self._gathering = True
        yield
        self._gathering = False
        self.sync()

    def sync(self) -> None:
        if self._gathering:
            return
        self._network.inside("node1", lambda: self.dataplane.commit(self.ledger.changes()))

    def ruleset(self) -> str:
        return self._network.inside("node1", lambda: libnftables.run("list ruleset\n"))


@pytest.fixture(scope="module")
def network() -> Iterator[Topology]:
    with topology() as made:
        for far in ("10.96.0.0/16", "198.51.100.0/24"):
            made.inside("outside", lambda far=far: add_route(far, NODE_ADDRESS))  # type: ignore[misc]
        yield made


def add_address(address: str) -> None:
    with IPRoute() as ip:
        ip.addr("replace", index=ip.link_lookup(ifname="lo")[0], address=address, prefixlen=32)


def add_route(network: str, gateway: str) -> None:
    with IPRoute() as ip:
        ip.route("replace", dst=network, gateway=gateway)


def forget_connections() -> None:
    """Empties the connection table of this network namespace."""
    with NFCTSocket() as table:
        table.flush()


@pytest.fixture
def proxy(network: Topology) -> Iterator[Proxy]:
    # A datagram from a port that the test before used would follow the translation made for that one.
    network.inside("node1", forget_connections)
    proxy = Proxy(network)
    proxy.serve("web", WEB, "abc")
    proxy.serve("empty", EMPTY, "")
    yield proxy
    proxy.dataplane.close()
    network.inside("node1", nftables.cleanup)


def talk(sock: socket.socket) -> str:
    sock.send(b"?")
    return sock.recv(100).decode()


def test_a_restart_changes_nothing(proxy: Proxy, network: Topology) -> None:
    proxy.serve("web", WEB, "bc")
    before = proxy.dataplane.applied
    second = network.inside("node1", proxy._make)
    network.inside("node1", second.adopt)
    assert second.applied == before
    network.inside("node1", lambda: second.rebuild(proxy.ledger.everything))
    assert not second.last
    second.close()


def test_a_restart_with_a_million_slots_fills_a_new_map(
    proxy: Proxy, network: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "READ_AT_MOST", 2)

    def lengths() -> dict[tuple[bytes, int], int]:
        return {name: len(held) for name, held in proxy.dataplane.applied.slots.items()}

    before = lengths()
    proxy.dataplane.close()
    proxy.start()
    assert lengths() == before
    assert proxy.ruleset().count("map endpoints-") == 1
    assert {network.ask("b", WEB)[0] for _ in range(60)} == set(PODS)
    assert not proxy.resync() or proxy.dataplane.applied


def test_the_map_of_endpoints_grows(proxy: Proxy, network: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "SMALLEST", 4)
    proxy.dataplane.close()
    network.inside("node1", nftables.cleanup)
    proxy.start()
    with network.open("a", TCP) as sock:
        sock.connect((WEB, 80))
        first = talk(sock)
        for number in range(20):
            proxy.serve(f"more-{number}", f"10.96.1.{number}", "abc")
        assert talk(sock) == first
    assert {network.ask("b", WEB)[0] for _ in range(60)} == set(PODS)
    assert {network.ask("b", "10.96.1.19")[0] for _ in range(60)} == set(PODS)
    assert proxy.ruleset().count("map endpoints-") == 1


def test_harm_is_noticed_and_foreign_changes_are_not_taken_for_it(proxy: Proxy, network: Topology) -> None:
    def run(commands: str) -> bool:
        network.inside("node1", lambda: libnftables.run(commands))
        return proxy.dataplane.harmed()

    assert not proxy.dataplane.harmed()
    assert not run("table ip other { chain c { }\n }\n")
    assert run("flush chain ip fairlead services\n")
    proxy.resync()
    assert network.ask("b", WEB)[0] in PODS
    assert run("delete table ip fairlead\n")
    proxy.resync()
    assert network.ask("b", WEB)[0] in PODS
    assert "table ip other" in proxy.ruleset()
    run("delete table ip other\n")


@pytest.mark.parametrize("told", [True, False], ids=["numbers told", "numbers not told"])
@pytest.mark.parametrize("name", ["frontends", "endpoints-65536", "cluster-ips"])
def test_a_flushed_map_is_noticed_and_mended(
    proxy: Proxy, network: Topology, monkeypatch: pytest.MonkeyPatch, name: str, told: bool
) -> None:
    """Kernels that do not tell how many elements a map has are asked for one of ours."""
    if not told:
        monkeypatch.setattr(Inventory, "counts", lambda _: {})
    elif not network.inside("node1", proxy.dataplane._inventory.counts):
        pytest.skip("this kernel does not tell how many elements a map has")
    assert not proxy.dataplane.harmed()
    proxy.serve("more", "10.96.1.1", "ab", **STICKY)
    kind = "set" if name == "cluster-ips" else "map"
    assert not proxy.dataplane.harmed()
    network.inside("node1", lambda: libnftables.run(f"flush {kind} ip fairlead {name}\n"))
    assert proxy.dataplane.harmed()
    assert proxy.resync()
    assert not proxy.dataplane.harmed()
    assert network.ask("b", WEB)[0] in PODS


def test_one_element_that_somebody_removed_or_added_is_noticed(proxy: Proxy, network: Topology) -> None:
    if not network.inside("node1", proxy.dataplane._inventory.counts):
        pytest.skip("this kernel does not tell how many elements a map has")
    for commands in (
        f"delete element ip fairlead frontends {{ {WEB} . tcp . 80 }}\n",
        f"add element ip fairlead frontends {{ {UNASSIGNED} . tcp . 80 : goto refuse }}\n",
        f"add element ip fairlead cluster-ips {{ {UNASSIGNED} }}\n",
    ):
        assert not proxy.dataplane.harmed()
        network.inside("node1", lambda: libnftables.run(commands))  # noqa: B023
        assert proxy.dataplane.harmed()
        assert proxy.resync()
    assert network.ask("b", WEB)[0] in PODS


def test_rules_are_constant_and_chains_follow_the_counts(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def objects() -> tuple[int, list[str]]:
        text = proxy.ruleset()
        return len(re.findall(r"chain (?!pick-)", text)), sorted(re.findall(r"chain (pick-\d+)", text))

    constant, picks = objects()
    assert picks == ["pick-3"]
    for number, pods in zip(range(30), itertools.cycle(["a", "ab", "abc"]), strict=False):
        proxy.serve(f"s{number}", f"10.96.2.{number}", pods)
    assert objects() == (constant, ["pick-1", "pick-2", "pick-3"])
    for number in range(30):
        proxy.serve(f"s{number}", f"10.96.2.{number}", "ab")
    monkeypatch.setattr(table, "CHAIN_REST", -1.0)
    proxy.dataplane.tidy()
    assert objects() == (constant, ["pick-2", "pick-3"])
    proxy.serve("web", WEB, "a")
    assert objects()[1] == ["pick-1", "pick-2", "pick-3"]
    assert not proxy.dataplane.harmed()


def test_a_refused_batch_is_told_and_mended(proxy: Proxy, network: Topology) -> None:
    network.inside("node1", lambda: libnftables.run("flush map ip fairlead frontends\n"))
    with pytest.raises(OSError, match="frontends"):
        proxy.serve("web", WEB, "")
    assert proxy.resync()
    with pytest.raises(ConnectionRefusedError):
        network.ask("a", WEB)


def test_many_small_batches_come_to_the_same(proxy: Proxy, network: Topology) -> None:
    """The send buffer of a user namespace is limited: here every step is a batch of its own."""
    proxy.dataplane._link.limit = 1
    with proxy.together():
        for number in range(8):
            proxy.serve(f"s{number}", f"10.96.2.{number}", "abc")
        proxy.serve("web", WEB, "b", type="NodePort")
    with proxy.together():
        for number in range(8):
            proxy.serve(f"s{number}", f"10.96.2.{number}", "ac"[: number % 3])
        proxy.serve("web", WEB, "ca")
    assert {network.ask("b", WEB)[0] for _ in range(40)} == {"a", "c"}
    second = network.inside("node1", proxy._make)
    network.inside("node1", second.adopt)
    assert second.applied == proxy.dataplane.applied
    second.close()


STICKY = {"sessionAffinity": "ClientIP", "type": "NodePort"}


def records(proxy: Proxy) -> list[str]:
    """The clients' records in the kernel: `OWNER CLIENT`."""
    text = proxy.ruleset()
    listed = re.findall(r"(\S+) \. (\w+) \. (\d+) \. (\S+) (?:timeout \S+ )?expires \S+ :", text)
    return sorted(f"{owner}:{port}/{protocol} {client}" for owner, protocol, port, client in listed)


@pytest.mark.parametrize("kind", [TCP, UDP], ids=["TCP", "UDP"])
def test_a_client_stays_with_its_endpoint_on_every_frontend(
    proxy: Proxy, network: Topology, kind: int
) -> None:
    proxy.serve("web", WEB, "abc", externalIPs=("198.51.100.7",), **STICKY)
    name = network.ask("outside", NODE_ADDRESS, 30080, kind)[0]
    for _ in range(10):
        assert network.ask("outside", NODE_ADDRESS, 30080, kind)[0] == name
        assert network.ask("outside", "198.51.100.7", 80, kind)[0] == name
        assert network.ask("outside", WEB, 80, kind)[0] == name
    of_a = {network.ask("a", WEB, 80, kind)[0] for _ in range(20)}
    assert len(of_a) == 1
    word = "tcp" if kind == TCP else "udp"
    assert records(proxy) == sorted([f"{WEB}:80/{word} {OUTSIDE_ADDRESS}", f"{WEB}:80/{word} {PODS['a']}"])


def test_services_without_affinity_leave_no_record(proxy: Proxy, network: Topology) -> None:
    network.ask("a", WEB)
    assert records(proxy) == []


def test_clients_beyond_the_size_of_the_map_are_spread(
    proxy: Proxy, network: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skeleton, "AFFINITY_SIZE", 1)
    proxy.dataplane.close()
    network.inside("node1", nftables.cleanup)
    proxy.start()
    proxy.serve("web", WEB, "abc", **STICKY)
    # The one that is remembered stays where it is, before others come and after.
    name = network.ask("a", WEB)[0]
    assert {network.ask("a", WEB)[0] for _ in range(20)} == {name}
    assert len({network.ask("b", WEB)[0] for _ in range(60)}) == 3
    assert {network.ask("a", WEB)[0] for _ in range(20)} == {name}


OPTIONS = {
    "the primary address": (ProxyOptions(), True, False),
    "the primary address, asked for": (ProxyOptions(nodeport_addresses=(PRIMARY,)), True, False),
    "every address": (ProxyOptions(nodeport_addresses=("0.0.0.0/0",)), True, True),
    "another network's": (ProxyOptions(nodeport_addresses=("192.168.0.0/24", "172.16.0.0/12")), False, True),
    "overlapping networks": (
        ProxyOptions(nodeport_addresses=("172.16.0.0/12", "172.16.1.0/24")),
        False,
        True,
    ),
}


@pytest.mark.parametrize(("options", "primary", "second"), OPTIONS.values(), ids=OPTIONS)
def test_node_ports_are_open_where_they_should_be(
    proxy: Proxy, network: Topology, options: ProxyOptions, primary: bool, second: bool
) -> None:
    """The node has a second address, of which the proxy is not told."""
    other = ADDRESSES[IPV4]["node1-other"]
    proxy.dataplane.close()
    proxy.options = options
    proxy.start()
    proxy.serve("web", WEB, "abc", type="NodePort")
    for address, is_open in ((NODE_ADDRESS, primary), (other, second)):
        if is_open:
            # Seen as the node, so that the answer comes back this way from wherever the pod is.
            assert OUTSIDE_ADDRESS not in {network.ask("outside", address, 30080)[1] for _ in range(5)}
        else:
            with pytest.raises(ConnectionRefusedError):
                network.ask("outside", address, 30080)
    for kind in (TCP, UDP):
        with pytest.raises((ConnectionRefusedError, PermissionError)):
            network.ask("node1", "127.0.0.1", 30080, kind)


def test_node_ports_follow_the_node_without_a_look_at_services(proxy: Proxy, network: Topology) -> None:
    proxy.serve("web", WEB, "abc", type="NodePort")
    proxy.serve("local", "10.96.1.1", "abc", type="NodePort", externalTrafficPolicy="Local")
    network.inside("node1", lambda: proxy.dataplane.node_changed(()))
    assert not proxy.dataplane.last.routed
    with pytest.raises(ConnectionRefusedError):
        network.ask("outside", NODE_ADDRESS, 30080)
    network.inside("node1", lambda: proxy.dataplane.node_changed((socket.inet_aton(NODE_ADDRESS),)))
    assert network.ask("outside", NODE_ADDRESS, 30080)[0] in PODS


DETECTION = {
    "pods by their network": (ProxyOptions(LocalPods(("10.244.0.0/16",))), False, True),
    "pods by their interfaces": (ProxyOptions(LocalPods(interface="veth*")), True, True),
    "pods by the interfaces' beginning": (ProxyOptions(LocalPods(interface="fl*")), False, True),
    "everything": (ProxyOptions(LocalPods(("10.244.0.0/16",)), masquerade_all=True), True, True),
    "nothing known of pods": (ProxyOptions(), False, False),
}


@pytest.mark.parametrize(("options", "pod", "outside"), DETECTION.values(), ids=DETECTION)
def test_who_is_masqueraded_to_a_cluster_ip(
    proxy: Proxy, network: Topology, options: ProxyOptions, pod: bool, outside: bool
) -> None:
    proxy.dataplane.close()
    proxy.options = options
    proxy.start()
    proxy.serve("web", WEB, "b")
    assert (network.ask("a", WEB)[1] != PODS["a"]) == pod
    assert (network.ask("outside", WEB)[1] != OUTSIDE_ADDRESS) == outside
    # A change of the options at a restart leaves nothing of the old ones.
    assert f"@{CLUSTER_IPS}" in proxy.ruleset()
