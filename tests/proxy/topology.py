"""Two nodes with their pods and a client outside, in network namespaces that end with their file descriptors.

    a b c      d e         pods, each on a routed veth pair
     node1    node2        a zone each; eth0 has the primary address, eth1 another one
         outside           a client that is no part of the cluster, and the router between the nodes

Everybody has an address of each family. It takes a tenth of a second to build; no bridge, so that it needs nothing of
a kernel but veth.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from pyroute2 import IPRoute

from fairlead.node import namespaces
from fairlead.node.network import connect
from fairlead.node.records import Address
from fairlead.proxy.family import IPV4, IPV6, Family
from tests.waiting import LIMIT

T = TypeVar("T")
root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: makes network namespaces")

NODES = ("node1", "node2")
ZONES = {"node1": "east", "node2": "west"}
PODS_OF = {"node1": "abc", "node2": "de"}
NODE_OF = {pod: node for node, pods in PODS_OF.items() for pod in pods}
KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}
PORT, OTHER_PORT = 8080, 9090
"""Where pods and nodes answer."""

POD_CIDRS = {"node1": ("10.244.1.0/24", "fd00:244:1::/64"), "node2": ("10.244.2.0/24", "fd00:244:2::/64")}
ADDRESSES = {
    IPV4: {
        **{f"node{n}": f"192.168.{n}.10" for n in (1, 2)},
        **{f"node{n}-other": f"172.16.{n}.10" for n in (1, 2)},
        **{pod: f"10.244.{node[-1]}.{2 + PODS_OF[node].index(pod)}" for pod, node in NODE_OF.items()},
    },
    IPV6: {
        **{f"node{n}": f"fd00:192:{n}::10" for n in (1, 2)},
        **{f"node{n}-other": f"fd00:172:{n}::10" for n in (1, 2)},
        **{pod: f"fd00:244:{node[-1]}::{2 + PODS_OF[node].index(pod)}" for pod, node in NODE_OF.items()},
    },
}
"""Who has which address: pods, and the nodes' primary and other ones."""


def links(node: str) -> dict[str, tuple[str, str]]:
    """The node's addresses on each of its interfaces, one of each family; the router there has .1."""
    return {
        name: (ADDRESSES[IPV4][place], ADDRESSES[IPV6][place])
        for name, place in (("eth0", node), ("eth1", f"{node}-other"))
    }


def router(address: str) -> str:
    """The address of `outside` on the link where a node has `address`."""
    return address.removesuffix("10") + "1"


SERVICE_CIDRS = ("10.96.0.0/16", "fd00:96::/112")
"""Where ClusterIPs are; `outside` sends there by way of node1."""
ROUTED = {IPV4: ("203.0.113.0/24", "198.51.100.0/24"), IPV6: ("fd00:203::/64", "fd00:198::/64")}
"""Networks that `outside` sends to node1, and to node2: where externalIPs and load balancers are."""


FAR = {IPV4: "203.0.113.7", IPV6: "fd00:203::7"}
"""An address of a load balancer that is a machine of its own: `outside` has it, and answers on its port 80."""


def owners(family: Family) -> dict[str, str]:
    """Whose each address is; those of a node's two interfaces are the node's."""
    owned = {address: place.removesuffix("-other") for place, address in ADDRESSES[family].items()}
    owned |= {router(address): "outside" for address in ADDRESSES[family].values() if address.endswith("10")}
    return owned | {FAR[family]: "outside"}


def namespace() -> int:
    """A network namespace of its own: an open file descriptor."""
    before = namespaces.open_network()
    try:
        namespaces.unshare(namespaces.CLONE_NEWNET)
        return namespaces.open_network()
    finally:
        namespaces.setns(before, namespaces.CLONE_NEWNET)
        os.close(before)


@dataclass
class Topology:
    """Namespaces by name. What answers in pods and nodes says `NAME CLIENT-ADDRESS`, on TCP and UDP."""

    places: dict[str, int] = field(default_factory=dict)

    def inside(self, place: str, call: Callable[[], T]) -> T:
        """Calls a function in a place's network."""
        with namespaces.entered(self.places[place]):
            return call()

    def open(
        self, place: str, kind: int = socket.SOCK_STREAM, family: Family = IPV4, seconds: float = LIMIT
    ) -> socket.socket:
        """A socket of a place, with a timeout."""
        sock = namespaces.socket_in(self.places[place], family.number, kind)
        sock.settimeout(seconds)
        return sock

    def ask(
        self, place: str, address: str, port: int = 80, kind: int = socket.SOCK_STREAM, seconds: float = LIMIT
    ) -> tuple[str, str]:
        """Which pod answers there, and which client's address it sees. Raises OSError."""
        with self.open(place, kind, IPV6 if ":" in address else IPV4, seconds) as sock:
            sock.connect((address, port))
            return talk(sock)


def talk(sock: socket.socket) -> tuple[str, str]:
    """Who answers on a connected socket, and which client's address that one sees. Raises OSError."""
    sock.send(b"?")
    said = sock.recv(100).decode().split()
    if not said:
        raise ConnectionResetError("closed by the other side")
    return said[0], said[1]


@contextlib.contextmanager
def topology() -> Iterator[Topology]:
    """Builds it, lets pods and nodes answer, and takes it down."""
    made = Topology({name: namespace() for name in ("outside", *NODES, *NODE_OF)})
    stop, stopper = socket.socketpair()
    sockets: list[tuple[str, socket.socket]] = []
    try:
        for place in ("outside", *NODES):
            made.inside(place, _forward)
        made.inside("outside", lambda: _outside(made.places))
        for node, pods in PODS_OF.items():
            made.inside(node, lambda node=node: _node(node))  # type: ignore[misc]
            for pod in pods:
                own = [Address(ADDRESSES[family][pod]) for family in (IPV4, IPV6)]
                made.inside(pod, lambda n=made.places[node], p=pod, own=own: connect(n, p, own))  # type: ignore[misc]
        for place in made.places:
            made.inside(place, _wait_for_links)
        for name in (*NODES, *NODE_OF):
            for kind in KINDS.values():
                sockets += [(name, _listening(made, name, kind, port)) for port in (PORT, OTHER_PORT)]
        for far in FAR.values():
            sockets += [("outside", _listening(made, "outside", kind, 80, far)) for kind in KINDS.values()]
        thread = threading.Thread(target=_answer, args=(sockets, stop), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            stopper.send(b"x")
            thread.join(LIMIT)
    finally:
        for end in (stop, stopper, *(sock for _, sock in sockets)):
            end.close()
        for fd in made.places.values():
            os.close(fd)


def _outside(places: dict[str, int]) -> None:
    numbers = itertools.count(100)
    with IPRoute() as ip:
        ip.link("set", index=1, state="up")
        for far in FAR.values():
            ip.addr("add", index=1, address=far, prefixlen=128 if ":" in far else 32)
        for node in NODES:
            for name, addresses in links(node).items():
                peer = {"ifname": name, "net_ns_fd": places[node]}
                # Where both ends have one number, the kernel takes its time, up to a second, to bring them up.
                index = next(numbers)
                ip.link("add", ifname=f"{node}-{name}", index=index, kind="veth", peer=peer)
                for address in addresses:
                    _address(ip, index, router(address))
                ip.link("set", index=index, state="up")
                with namespaces.entered(places[node]):
                    _up(name, addresses)
        for pick, family in enumerate((IPV4, IPV6)):
            for number, node in enumerate(NODES):
                for network in (POD_CIDRS[node][pick], ROUTED[family][number]):
                    ip.route("add", dst=network, gateway=ADDRESSES[family][node])
            ip.route("add", dst=SERVICE_CIDRS[pick], gateway=ADDRESSES[family]["node1"])


def _up(name: str, addresses: tuple[str, ...]) -> None:
    with IPRoute() as ip:
        index = ip.link_lookup(ifname=name)[0]
        for address in addresses:
            _address(ip, index, address)
        ip.link("set", index=index, state="up")


def _address(ip: IPRoute, index: int, address: str) -> None:
    six = ":" in address
    # IFA_F_NODAD: nobody else is on the link, so the address is good at once.
    flags = {"flags": 0x02} if six else {}
    ip.addr("add", index=index, address=address, prefixlen=64 if six else 24, **flags)


def _node(node: str) -> None:
    with IPRoute() as ip:
        ip.link("set", index=1, state="up")
        for family, default in ((IPV4, "default"), (IPV6, "::/0")):
            ip.route("add", dst=default, gateway=router(ADDRESSES[family][node]))


def _forward() -> None:
    for name, value in (
        # Until a link-local address is known to be alone, for a second, a router asks nobody for his neighbours.
        ("net/ipv6/conf/default/accept_dad", 0),
        ("net/ipv4/ip_forward", 1),
        ("net/ipv6/conf/all/forwarding", 1),
        # The kernel sends one ICMP error a second to each host; tests want each one.
        ("net/ipv4/icmp_ratelimit", 0),
        ("net/ipv6/icmp/ratelimit", 0),
    ):
        namespaces.set_sysctl(name, value)


def _wait_for_links() -> None:
    """Until the kernel sends on all of them: what comes before is lost, and asked for again after a second."""
    deadline = time.monotonic() + LIMIT
    with IPRoute() as ip:
        while any(
            link.get("state") != "up" or link.get("operstate") not in ("UP", "UNKNOWN")
            for link in ip.get_links()
        ):
            assert time.monotonic() < deadline, "the links do not come up"
            time.sleep(0.002)


def _listening(made: Topology, name: str, kind: int, port: int, address: str = "::") -> socket.socket:
    sock = made.open(name, kind, IPV6 if ":" in address else IPV4)
    if address == "::":
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind((address, port))
    if kind == socket.SOCK_STREAM:
        sock.listen(100)
    sock.setblocking(False)
    return sock


def _answer(sockets: list[tuple[str, socket.socket]], stop: socket.socket) -> None:
    """Answers every message on every socket and connection with the place's name and the client's address."""
    with selectors.DefaultSelector() as selector:
        selector.register(stop, selectors.EVENT_READ)
        for name, listening in sockets:
            selector.register(listening, selectors.EVENT_READ, name)
        while True:
            for key, _ in selector.select():
                sock, name = key.fileobj, key.data
                assert isinstance(sock, socket.socket)
                if sock is stop:
                    return
                try:
                    if sock.type == socket.SOCK_DGRAM:
                        _, client = sock.recvfrom(100)
                        sock.sendto(_said(name, client), client)
                    elif sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        connection, _ = sock.accept()
                        connection.setblocking(False)
                        selector.register(connection, selectors.EVENT_READ, name)
                    elif sock.recv(100):
                        sock.send(_said(name, sock.getpeername()))
                    else:
                        selector.unregister(sock)
                        sock.close()
                except BlockingIOError:
                    continue
                except OSError:
                    if sock.type == socket.SOCK_STREAM and sock.fileno() not in {
                        s.fileno() for _, s in sockets
                    }:
                        selector.unregister(sock)
                        sock.close()


def _said(name: str, client: tuple[str, int]) -> bytes:
    return f"{name} {client[0].removeprefix('::ffff:')}".encode()
