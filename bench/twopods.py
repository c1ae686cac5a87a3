"""Two pods on one node whose proxy holds Services, and connections between them: directly and through a ClusterIP."""

from __future__ import annotations

import os
import signal
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from pyroute2 import IPRoute

from fairlead.node import namespaces
from fairlead.node.network import connect
from fairlead.node.records import Address
from fairlead.proxy.resources import Endpoint

CLIENT, SERVER = "10.128.0.2", "10.128.0.3"
PORT = 8080
NUMBER = 7
"""The Service that the server stands behind."""
DIRECT, THROUGH = (SERVER, PORT), (f"10.96.0.{NUMBER}", 80)


@dataclass(frozen=True)
class Pods:
    """The namespaces, as descriptors; the thread that made them is in the node's."""

    node: int
    client: int
    server: int


def pods() -> Pods:
    """A node in a new network namespace of this thread, and two pods on it. They go with the process."""
    node = namespaces.open_network()
    with IPRoute() as ip:
        ip.link("set", index=1, state="up")
    namespaces.set_sysctl("net/ipv4/ip_forward", 1)
    made = []
    for name, address in (("client", CLIENT), ("server", SERVER)):
        namespaces.unshare(namespaces.CLONE_NEWNET)
        connect(node, name, (Address(address),))
        # A closed connection keeps its port for a minute; there are more connections than ports.
        namespaces.set_sysctl("net/ipv4/tcp_tw_reuse", 1)
        namespaces.set_sysctl("net/ipv4/ip_local_port_range", "1024 65535")
        made.append(namespaces.open_network())
    namespaces.setns(node, namespaces.CLONE_NEWNET)
    return Pods(node, *made)


def endpoint_of_server() -> Endpoint:
    """What the slice of Service NUMBER has to say."""
    return Endpoint(addresses=(SERVER,), nodeName="node1")


@contextmanager
def serving(where: Pods, handle: Callable[[socket.socket], None] = socket.socket.close) -> Iterator[None]:
    """A server in a process of its own, which takes one connection after the other; it closes each at once."""
    with namespaces.entered(where.server):
        listening = socket.create_server(("0.0.0.0", PORT), backlog=1024)
    pid = os.fork()
    if pid == 0:
        try:
            while True:
                connection, _ = listening.accept()
                with connection, suppress(ConnectionError):
                    handle(connection)
        finally:
            os._exit(1)
    listening.close()
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def reachable(where: Pods) -> bool:
    """Whether the ClusterIP leads to the server now; waits a tenth of a second for it."""
    with namespaces.entered(where.client), socket.socket() as sock:
        sock.settimeout(0.1)
        try:
            sock.connect(THROUGH)
        except OSError:
            return False
        return True


def tries(where: Pods) -> int:
    """How many times the ClusterIP had to be tried, one after the other, until it led to the server."""
    count = 1
    while not reachable(where):
        count += 1
    return count


def in_turns(where: Pods, seconds: float, *targets: tuple[str, int]) -> list[list[float]]:
    """Microseconds of connects to each of the targets, which are asked one after the other, for so long; sorted."""
    taken: list[list[float]] = [[] for _ in targets]
    with namespaces.entered(where.client):
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            for target, into in zip(targets, taken, strict=True):
                with socket.socket() as sock:
                    # Reset, not closed: no port is left waiting.
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    began = time.perf_counter()
                    sock.connect(target)
                    into.append((time.perf_counter() - began) * 1e6)
    return [sorted(each) for each in taken]


def mean(samples: list[float]) -> float:
    """Of the faster 95 in a hundred: a pause of the machine counts for nobody."""
    return statistics.fmean(samples[: len(samples) * 95 // 100])


def through_a_cluster_ip(where: Pods, seconds: float) -> dict[str, float]:
    """Microseconds until a connection is there, its first packet and the answer; connections a second; the share."""
    direct, through = in_turns(where, seconds, DIRECT, THROUGH)
    return {
        "share": mean(direct) / mean(through),
        "direct": statistics.median(direct),
        "through": statistics.median(through),
        "direct p99": direct[len(direct) * 99 // 100],
        "through p99": through[len(through) * 99 // 100],
        "direct rate": 1e6 / mean(direct),
        "through rate": 1e6 / mean(through),
    }
