"""The proxy's benchmark: decoded API objects into the kernel, cold and for one change, and what a ClusterIP costs."""

from __future__ import annotations

import gc
import json
import os
import resource
import socket
import threading
import time
import traceback
from collections.abc import Callable
from typing import TypeVar

import msgspec
from pyroute2 import IPRoute

from bench.report import Measure, Unavailable
from fairlead.client.informer import Change
from fairlead.node import namespaces
from fairlead.node.network import connect
from fairlead.node.records import Address
from fairlead.objects.core_v1 import Service, ServicePort, ServiceSpec
from fairlead.objects.discovery_v1 import EndpointConditions, EndpointPort
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.process import Health
from fairlead.proxy.detection import LocalPods
from fairlead.proxy.ledger import Ledger
from fairlead.proxy.nftables import Nftables, table
from fairlead.proxy.options import ProxyOptions
from fairlead.proxy.proxier import Proxier
from fairlead.proxy.resources import SERVICE_NAME, Endpoint, EndpointSlice
from fairlead.proxy.selection import Node

TITLE = "proxy: nftables, from the informers' sync to the kernel's commit"

PEER = "kube-proxy nftables"
NODES = 100
"""Nodes that the endpoints are spread over; one of them is ours."""

OPTIONS = ProxyOptions(LocalPods(("10.128.0.0/9",)), ("10.96.0.0/12",))

Row = tuple[int, int, float | None, float]
"""Services, endpoints of each, the peer's seconds, the budget in seconds."""

ROWS: tuple[Row, ...] = (
    (1_000, 10, 0.25, 0.05),
    (10_000, 2, 12.4, 0.3),
    (5_000, 50, 5.75, 0.6),
    (20_000, 50, None, 3.0),
)

T = TypeVar("T")


def measure(quick: bool) -> list[Measure]:
    """All rows; with `quick` fewer runs and no million."""
    if os.geteuid() != 0:
        raise Unavailable("it makes network namespaces: run it as root")
    runs = 2 if quick else 3
    measures: list[Measure] = []
    for services, endpoints, peer, budget in ROWS[: 3 if quick else None]:
        results = [in_child(lambda s=services, e=endpoints: cold(s, e)) for _ in range(runs)]  # type: ignore[misc]
        name = f"{services:,} Services of {endpoints}"
        measures.append(
            Measure(
                f"cold start, {name}",
                tuple(r["cold"] for r in results),
                "s",
                peer=peer,
                peer_name=PEER,
                budget=budget,
            )
        )
        if services * endpoints == 250_000:
            measures += [
                Measure("one endpoint of 250,000 changes, 99th percentile", tuple(r["p99"] for r in results), "ms",
                        peer=3400, peer_name=PEER, budget=2),
                Measure("one endpoint of 250,000 changes, median", tuple(r["p50"] for r in results), "ms"),
                Measure("memory at its peak, decoded API objects included", tuple(r["memory"] for r in results), "MB",
                        peer=976, peer_name=f"{PEER} and nft", budget=180),
                Measure("restart over a full table", tuple(r["restart"] for r in results), "s"),
            ]  # fmt: skip
    rates = [in_child(lambda: connections(2 if quick else 4)) for _ in range(runs)]
    measures += [
        Measure("connections through a ClusterIP, 10,000 Services in the kernel, share of direct ones",
                tuple(r["share"] for r in rates), "", peer=0.88, peer_name=PEER, budget=0.92, more_is_better=True),
        Measure("connect through a ClusterIP, median", tuple(r["through"] for r in rates), "µs",
                peer=24.3, peer_name=PEER),
        Measure("connect directly, median", tuple(r["direct"] for r in rates), "µs"),
    ]  # fmt: skip
    return measures


def in_child(work: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Runs `work` in a forked process with a network namespace of its own; gives what it returns."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            namespaces.unshare(namespaces.CLONE_NEWNET)
            os.write(writer, json.dumps(work()).encode())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    said = b"".join(iter(lambda: os.read(reader, 65536), b""))
    os.close(reader)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("the measuring process failed")
    return dict(json.loads(said))


def service(number: int) -> Service:
    """A Service whose address follows from its number."""
    address = f"10.{96 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    return Service(
        metadata=ObjectMeta(name=f"service-{number}", namespace="default", resourceVersion="1"),
        spec=ServiceSpec(
            type="ClusterIP",
            clusterIP=address,
            clusterIPs=(address,),
            ports=(ServicePort(name="http", port=80, protocol="TCP"),),
        ),
    )


def piece(number: int, count: int) -> EndpointSlice:
    """The slice of that Service. Decoded from JSON, as the informer would, so that no string is shared."""
    made = EndpointSlice(
        metadata=ObjectMeta(
            name=f"service-{number}-abcde",
            namespace="default",
            labels={SERVICE_NAME: f"service-{number}"},
            resourceVersion="1",
        ),
        addressType="IPv4",
        endpoints=tuple(endpoint(number * count + index) for index in range(count)),
        ports=(EndpointPort(name="http", port=8080, protocol="TCP"),),
    )
    return _DECODER.decode(_ENCODER.encode(made))


def endpoint(number: int) -> Endpoint:
    """A ready endpoint with an address of its own."""
    return Endpoint(
        addresses=(f"10.{128 + (number >> 16)}.{number >> 8 & 255}.{number & 255}",),
        conditions=EndpointConditions(ready=True, serving=True, terminating=False),
        nodeName=f"node{number % NODES}",
    )


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(EndpointSlice)


def proxier() -> Proxier:
    """The proxy without its informers."""
    dataplane = Nftables(OPTIONS)
    return Proxier(Ledger(Node("node1")), dataplane, Health())


def feed(made: Proxier, services: list[Service], pieces: list[EndpointSlice]) -> None:
    """What the informers do when they have the first list."""
    for each in services:
        made.service_changed(Change(f"default/{each.metadata.name}", None, each))
    for one in pieces:
        made.slice_changed(Change(f"default/{one.metadata.name}", None, one))


def cold(services: int, endpoints: int) -> dict[str, float]:
    """Seconds into an empty kernel, milliseconds for one change, megabytes at the peak, seconds for a restart."""
    listed = [service(number) for number in range(services)]
    pieces = [piece(number, endpoints) for number in range(services)]
    gc.collect()
    began = time.perf_counter()
    made = proxier()
    feed(made, listed, pieces)
    made.start()
    taken = time.perf_counter() - began
    result = {"cold": taken, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6}
    check(made, services, endpoints)
    result |= changes(made, pieces)
    began = time.perf_counter()
    again = proxier()
    feed(again, listed, pieces)
    again.start()
    result["restart"] = time.perf_counter() - began
    check(again, services, endpoints)
    return result


def check(made: Proxier, services: int, endpoints: int) -> None:
    """Reads the kernel: every Service leads to a chain of its number of endpoints, and has as many slots."""
    dataplane = made.dataplane
    assert isinstance(dataplane, Nftables)
    limit, table.READ_AT_MOST = table.READ_AT_MOST, services * endpoints
    try:
        if services * endpoints > 300_000:  # the kernel's dump is quadratic
            led = dataplane.applied
        else:
            reader = Nftables(OPTIONS)
            reader.adopt()
            led = reader.applied
            reader.close()
        assert led == dataplane.applied
        chains = [way.chain for way in led.ways.values()]
        assert chains == [f"pick-{endpoints}"] * services
        assert sum(map(len, led.slots.values())) == services * endpoints * 8
    finally:
        table.READ_AT_MOST = limit


def changes(made: Proxier, pieces: list[EndpointSlice]) -> dict[str, float]:
    """Milliseconds from a change's event to the kernel's commit: one endpoint of one Service gets another address."""
    taken = []
    for turn in range(500):
        old = pieces[turn * 7 % len(pieces)]
        new = list(old.endpoints)
        new[turn % len(new)] = endpoint((1 << 22) + turn)
        changed = msgspec.structs.replace(old, endpoints=tuple(new))
        key = f"default/{old.metadata.name}"
        for change in (Change(key, old, changed), Change(key, changed, old)):
            began = time.perf_counter()
            # What `slice_changed` schedules for the end of the event loop's turn.
            made.ledger.slice_changed(change.key, change.old, change.new)
            made.sync()
            taken.append((time.perf_counter() - began) * 1e3)
    taken.sort()
    return {"p50": taken[len(taken) // 2], "p99": taken[len(taken) * 99 // 100]}


def connections(
    seconds: float, make: Callable[[], Proxier] = proxier, services: int = 10_000
) -> dict[str, float]:
    """Connections a second from a pod to another, directly and through a ClusterIP, in turns; medians in µs.

    `services` are in the kernel beside it, at least 100.
    """
    node = namespaces.open_network()
    with IPRoute() as ip:
        ip.link("set", index=1, state="up")
    namespaces.set_sysctl("net/ipv4/ip_forward", 1)
    pods = {}
    for name, address in (("client", "10.128.0.2"), ("server", "10.128.0.3")):
        namespaces.unshare(namespaces.CLONE_NEWNET)
        connect(node, name, (Address(address),))
        # A closed connection keeps its port for a minute; there are more connections than ports.
        namespaces.set_sysctl("net/ipv4/tcp_tw_reuse", 1)
        namespaces.set_sysctl("net/ipv4/ip_local_port_range", "1024 65535")
        pods[name] = namespaces.open_network()
    namespaces.setns(node, namespaces.CLONE_NEWNET)
    made = make()
    listed = [service(number) for number in range(services)]
    pieces = [piece(number, 2) for number in range(services)]
    server = Endpoint(addresses=("10.128.0.3",), nodeName="node1")
    pieces[77] = msgspec.structs.replace(pieces[77], endpoints=(server,))
    feed(made, listed, pieces)
    made.start()
    with namespaces.entered(pods["server"]):
        listening = socket.create_server(("0.0.0.0", 8080), backlog=1024)
    threading.Thread(target=_accept, args=(listening,), daemon=True).start()
    direct: list[float] = []
    through: list[float] = []
    with namespaces.entered(pods["client"]):
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            _connect(("10.128.0.3", 8080), direct)
            _connect(("10.96.0.77", 80), through)
    # Means, for the share is of rates; a pause of the machine in one turn counts for nobody.
    kept = [sorted(samples)[: len(samples) * 95 // 100] for samples in (direct, through)]
    means = [sum(samples) / len(samples) for samples in kept]
    return {
        "share": means[0] / means[1],
        "direct": sorted(direct)[len(direct) // 2],
        "through": sorted(through)[len(through) // 2],
    }


def _connect(target: tuple[str, int], taken: list[float]) -> None:
    with socket.socket() as sock:
        # Reset, not closed: no port is left waiting.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        began = time.perf_counter()
        sock.connect(target)
        taken.append((time.perf_counter() - began) * 1e6)


def _accept(listening: socket.socket) -> None:
    while True:
        connection, _ = listening.accept()
        connection.close()
