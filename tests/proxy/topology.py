"""A node with three pods and a client outside, in network namespaces that end with their file descriptors."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from pyroute2 import IPRoute

from fairlead.node import namespaces
from fairlead.node.network import connect
from fairlead.node.records import Address

T = TypeVar("T")
root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: makes network namespaces")

NODE_ADDRESS, OUTSIDE_ADDRESS = "192.168.1.10", "192.168.1.1"
PODS = {"a": "10.244.1.2", "b": "10.244.1.3", "c": "10.244.1.4"}
PORT = 8080


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
    """Namespaces by name, and what answers in the pods: `NAME CLIENT-ADDRESS` on TCP and UDP port 8080."""

    places: dict[str, int] = field(default_factory=dict)

    def inside(self, place: str, call: Callable[[], T]) -> T:
        """Calls a function in a place's network."""
        with namespaces.entered(self.places[place]):
            return call()

    def open(self, place: str, kind: int) -> socket.socket:
        """A socket of a place, with a timeout."""
        sock = self.inside(place, lambda: socket.socket(socket.AF_INET, kind))
        sock.settimeout(3)
        return sock

    def ask(
        self, place: str, address: str, port: int = 80, kind: int = socket.SOCK_STREAM
    ) -> tuple[str, str]:
        """Which pod answers there, and which client's address it sees. Raises OSError."""
        with self.open(place, kind) as sock:
            sock.connect((address, port))
            sock.send(b"?")
            name, client = sock.recv(100).decode().split()
            return name, client


@contextlib.contextmanager
def topology() -> Iterator[Topology]:
    """Builds it, lets the pods answer, and takes it down."""
    made = Topology({name: namespace() for name in ("node", "outside", *PODS)})
    stop, stopper = socket.socketpair()
    sockets: list[tuple[str, socket.socket]] = []
    try:
        made.inside("node", lambda: _node(made.places["outside"]))
        made.inside("outside", _outside)
        for name, address in PODS.items():
            made.inside(
                name,
                lambda name=name, address=address: connect(  # type: ignore[misc]
                    made.places["node"], name, (Address(address),)
                ),
            )
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                sock = made.open(name, kind)
                sock.bind(("0.0.0.0", PORT))
                if kind == socket.SOCK_STREAM:
                    sock.listen(100)
                sockets.append((name, sock))
        thread = threading.Thread(target=_answer, args=(sockets, stop), daemon=True)
        thread.start()
        yield made
        stopper.send(b"x")
        thread.join(5)
    finally:
        for end in (stop, stopper, *(sock for _, sock in sockets)):
            end.close()
        for fd in made.places.values():
            os.close(fd)


def _node(outside: int) -> None:
    with IPRoute() as ip:
        ip.link("set", index=1, state="up")
        ip.link("add", ifname="eth0", kind="veth", peer={"ifname": "eth0", "net_ns_fd": outside})
        eth0 = ip.link_lookup(ifname="eth0")[0]
        ip.addr("add", index=eth0, address=NODE_ADDRESS, prefixlen=24)
        ip.link("set", index=eth0, state="up")
        with namespaces.entered(outside):
            _outside()
        ip.route("add", dst="default", gateway=OUTSIDE_ADDRESS)
    namespaces.set_sysctl("net/ipv4/ip_forward", 1)
    # The kernel sends one ICMP error a second to each host, redirects counted; tests want each one.
    namespaces.set_sysctl("net/ipv4/icmp_ratelimit", 0)


def _outside() -> None:
    with IPRoute() as ip:
        eth0 = ip.link_lookup(ifname="eth0")[0]
        if not ip.get_addr(index=eth0, family=socket.AF_INET):
            ip.addr("add", index=eth0, address=OUTSIDE_ADDRESS, prefixlen=24)
            ip.link("set", index=eth0, state="up")


def _answer(sockets: list[tuple[str, socket.socket]], stop: socket.socket) -> None:
    """Answers every message on every socket and connection with the pod's name and the client's address."""
    with selectors.DefaultSelector() as selector:
        selector.register(stop, selectors.EVENT_READ)
        for name, listening in sockets:
            listening.setblocking(False)
            selector.register(listening, selectors.EVENT_READ, name)
        while True:
            for key, _ in selector.select():
                sock, name = key.fileobj, key.data
                assert isinstance(sock, socket.socket)
                if sock is stop:
                    return
                with contextlib.suppress(ConnectionError, BlockingIOError):
                    if sock.type == socket.SOCK_DGRAM:
                        _, client = sock.recvfrom(100)
                        sock.sendto(f"{name} {client[0]}".encode(), client)
                    elif sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        connection, _ = sock.accept()
                        connection.setblocking(False)
                        selector.register(connection, selectors.EVENT_READ, name)
                    elif sock.recv(100):
                        sock.send(f"{name} {sock.getpeername()[0]}".encode())
                    else:
                        selector.unregister(sock)
                        sock.close()
