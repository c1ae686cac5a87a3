"""The proxy's benchmark: decoded API objects into the kernel, cold and for one change, and what a ClusterIP costs."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import random
import resource
import time
import traceback
from collections.abc import Callable
from dataclasses import replace

import msgspec

from bench import proxystart, twopods
from bench.report import Measure, Unavailable
from fairlead import libnftables
from fairlead.client.informer import Change
from fairlead.node import namespaces
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

SIZES = (10, 1_000, 10_000)
"""Services in the kernel while connections are made."""
PEERS_SIZE = 10_000


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
        measures.append(Measure("the same, CPU of the process", tuple(r["cpu"] for r in results), "s"))
        if services * endpoints == 1_000_000:
            measures.append(
                Measure("memory at its peak, 1,000,000 endpoints", tuple(r["memory"] for r in results), "MB")
            )
        if services * endpoints == 250_000:
            measures += [
                Measure("one endpoint of 250,000 changes, 99th percentile", tuple(r["p99"] for r in results), "ms",
                        peer=3400, peer_name=PEER, budget=2),
                Measure("one endpoint of 250,000 changes, median", tuple(r["p50"] for r in results), "ms"),
                Measure("memory at its peak, with API objects and children", tuple(r["memory"] for r in results), "MB",
                        peer=976, peer_name=f"{PEER} and nft", budget=180),
                Measure("restart over a full table", tuple(r["restart"] for r in results), "s"),
            ]  # fmt: skip
    starts = [in_child(proxystart.started) for _ in range(runs)]
    measures.append(
        Measure("5,000 Services of 50, from the start of the process, the API server on the same machine",
                tuple(start["started"] for start in starts), "s", peer=7, peer_name=PEER, budget=2)
    )  # fmt: skip
    for services in SIZES[1:]:
        gaps = [in_child(lambda s=services: flushed(s)) for _ in range(2 if quick else 7)]  # type: ignore[misc]
        measures.append(
            Measure(f"{services:,} Services, --nftables-table-owner=false: `nft flush ruleset` to the next answer",
                    tuple(gap["mended"] for gap in gaps), "ms")
        )  # fmt: skip
    return measures + connecting(proxier, runs, 1 if quick else 2)


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


def proxier(*, own_table: bool = True) -> Proxier:
    """The proxy without its informers."""
    dataplane = Nftables(replace(OPTIONS, own_table=own_table))
    return Proxier(Ledger(Node("node1")), dataplane, Health())


def feed(made: Proxier, services: list[Service], pieces: list[EndpointSlice]) -> None:
    """What the informers do when they have the first list."""
    for each in services:
        made.service_changed(Change(f"default/{each.metadata.name}", None, each))
    for one in pieces:
        made.slice_changed(Change(f"default/{one.metadata.name}", None, one))


def cold(services: int, endpoints: int) -> dict[str, float]:
    """Seconds into an empty kernel and of CPU, milliseconds for one change, megabytes, seconds for a restart."""
    listed = [service(number) for number in range(services)]
    pieces = [piece(number, endpoints) for number in range(services)]
    gc.collect()
    began, worked = time.perf_counter(), time.process_time()
    made = proxier()
    feed(made, listed, pieces)
    made.start()
    result = {"cold": time.perf_counter() - began, "cpu": time.process_time() - worked, "memory": peak()}
    check(made, services, endpoints)
    result |= changes(made, pieces)
    made.close()
    began = time.perf_counter()
    again = proxier()
    feed(again, listed, pieces)
    again.start()
    result["restart"] = time.perf_counter() - began
    check(again, services, endpoints)
    return result


def peak() -> float:
    """Megabytes that this process had at its peak, with those of its largest child."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(each).ru_maxrss for each in who) * 1024 / 1e6


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
            with dataplane._ownership.lent():
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
    """As `twopods.through_a_cluster_ip`, with so many Services in the kernel."""
    where = twopods.pods()
    started(make, services)
    with twopods.serving(where):
        return twopods.through_a_cluster_ip(where, seconds)


def started(make: Callable[[], Proxier], services: int) -> Proxier:
    """A proxy with Services of two endpoints, one of which has the server for its endpoint."""
    made = make()
    pieces = [piece(number, 2) for number in range(services)]
    pieces[twopods.NUMBER] = msgspec.structs.replace(
        pieces[twopods.NUMBER], endpoints=(twopods.endpoint_of_server(),)
    )
    feed(made, [service(number) for number in range(services)], pieces)
    made.start()
    return made


def flushed(services: int) -> dict[str, float]:
    """Milliseconds from somebody's `nft flush ruleset` until a connection through a ClusterIP succeeds again.

    As before Linux 6.9: since then nobody else can change the table.
    """
    where = twopods.pods()
    made = started(lambda: proxier(own_table=False), services)

    async def mend() -> float:
        watching = asyncio.create_task(made.watch())
        assert await asyncio.to_thread(twopods.reachable, where)
        await asyncio.sleep(random.random())  # looks are apart: at any time between two
        libnftables.run("flush ruleset\n")
        began = time.perf_counter()
        tries = await asyncio.to_thread(twopods.tries, where)
        taken = time.perf_counter() - began
        assert tries > 1
        watching.cancel()
        return taken

    logging.disable()
    with twopods.serving(where):
        return {"mended": asyncio.run(mend()) * 1e3}


def connecting(make: Callable[[], Proxier], runs: int, seconds: float) -> list[Measure]:
    """Connections through a ClusterIP among SIZES Services beside direct ones of the same run."""
    measures: list[Measure] = []
    for services in SIZES:
        rates = [in_child(lambda s=services: connections(seconds, make, s)) for _ in range(runs)]  # type: ignore[misc]
        peer, budget = (0.88, 0.92) if services == PEERS_SIZE and make is proxier else (None, None)
        measures.append(
            Measure(f"{services:,} Services: connections through a ClusterIP, share of direct ones",
                    tuple(r["share"] for r in rates), "", peer=peer, peer_name=PEER, budget=budget,
                    more_is_better=True)
        )  # fmt: skip
        for key, what, unit in (
            ("through rate", "connections one after the other through a ClusterIP", "/s"),
            ("direct rate", "the same directly", "/s"),
            ("through", "first packet and its answer through a ClusterIP, median", "µs"),
            ("direct", "the same directly", "µs"),
            ("through p99", "first packet and its answer through a ClusterIP, 99th percentile", "µs"),
            ("direct p99", "the same directly", "µs"),
        ):
            measures.append(Measure(f"{services:,} Services: {what}", tuple(r[key] for r in rates), unit))
    return measures
