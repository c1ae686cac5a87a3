"""The benchmark of counting each Service's traffic: what it costs a connection, a packet, a scrape and the kernel."""

from __future__ import annotations

import os
import socket
import statistics
import struct
import time
from collections.abc import Callable
from contextlib import closing

from bench import twopods
from bench.proxy import in_child, proxier, started
from bench.report import Measure, Unavailable
from fairlead.node import namespaces
from fairlead.proxy.family import IPV4
from fairlead.proxy.netlink import NESTED, NEWSETELEM, NLM_F_CREATE, Link, Request, attribute
from fairlead.proxy.traffic import CONNECTIONS, PAIRS, TABLE, Counted, Traffic, cleanup

TITLE = "proxy: what --traffic-metrics costs"

SERVICES = 1_000
TURN = 0.25
"""Seconds for which one setting is measured before the next has its turn."""
ROUND_TRIPS = 2_000
"""Of one octet and its answer over one connection, in each turn."""
FEW = 1_000


def measure(quick: bool) -> list[Measure]:
    """All rows; with `quick` fewer runs."""
    if os.geteuid() != 0:
        raise Unavailable("it makes network namespaces: run it as root")
    runs, turns = (1, 6) if quick else (3, 12)
    results = [in_child(lambda: passing(turns)) for _ in range(runs)]
    measures = [
        Measure(f"{what}, --traffic-metrics {counted.value}",
                tuple(r[f"{key} {counted.value}"] for r in results), unit)
        for key, what, unit in (
            ("connect", "connect through a ClusterIP, mean", "µs"),
            ("packet", "an octet and its answer over a connection, two packets, mean", "µs"),
        )
        for counted in Counted
    ]  # fmt: skip
    full = [in_child(scrape) for _ in range(runs)]
    for key, what, unit in (
        ("start", "making the table", "ms"),
        ("few", "a scrape of 1,000 pairs", "ms"),
        ("scrape", f"a scrape of all {PAIRS:,} pairs that the kernel holds", "ms"),
    ):
        measures.append(Measure(what, tuple(r[key] for r in full), unit))
    return measures


def passing(turns: int) -> dict[str, float]:
    """Microseconds of connects and of round trips with each setting, in turns: the medians of the turns."""
    where = twopods.pods()
    started(proxier, SERVICES)
    taken: dict[str, list[float]] = {}
    with twopods.serving(where, _echo):
        for _ in range(turns):
            for counted in Counted:
                _set(counted)
                (connects,) = twopods.in_turns(where, TURN, twopods.THROUGH)
                taken.setdefault(f"connect {counted.value}", []).append(twopods.mean(connects))
                taken.setdefault(f"packet {counted.value}", []).append(twopods.mean(_round_trips(where)))
                with closing(Traffic(counted, IPV4)) as traffic:
                    found = {} if counted is Counted.NONE else traffic.read()
                    assert sum(totals.connections for totals in found.values()) == len(found) * (
                        len(connects) + 1
                    )
                    assert len(found) == (counted is not Counted.NONE)
                cleanup(IPV4)
    return {name: statistics.median(samples) for name, samples in taken.items()}


def _set(counted: Counted) -> None:
    if counted is not Counted.NONE:
        with closing(Traffic(counted, IPV4)) as traffic:
            traffic.start()


def _echo(connection: socket.socket) -> None:
    while data := connection.recv(64):
        connection.send(data)


def _round_trips(where: twopods.Pods) -> list[float]:
    taken = []
    with namespaces.entered(where.client), socket.create_connection(twopods.THROUGH) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(ROUND_TRIPS):
            began = time.perf_counter()
            sock.send(b"?")
            sock.recv(1)
            taken.append((time.perf_counter() - began) * 1e6)
    return sorted(taken)


def scrape() -> dict[str, float]:
    """Milliseconds for making the table, and for reading few pairs and as many as there can be."""
    with closing(Traffic(Counted.CONNECTIONS, IPV4)) as traffic, closing(Link(IPV4.number)) as link:
        result = {"start": _timed(traffic.start)}
        _fill(link, 0, FEW)
        result["few"] = _timed(traffic.read)
        _fill(link, FEW, PAIRS)
        result["scrape"] = _timed(traffic.read)
        assert len(traffic.read()) == PAIRS
    return result


def _fill(link: Link, first: int, end: int) -> None:
    """Makes the elements that packets would have made."""
    named = attribute(1, TABLE.encode() + b"\0") + attribute(2, CONNECTIONS.encode() + b"\0")
    for at in range(first, end, 500):
        elements = b"".join(
            attribute(1 | NESTED, attribute(1 | NESTED, attribute(1, _key(number))))
            for number in range(at, min(at + 500, end))
        )
        payload = named + attribute(3 | NESTED, elements)
        link.commit([(Request(NEWSETELEM, payload, "adding pairs", NLM_F_CREATE),)])


def _key(number: int) -> bytes:
    return struct.pack("!IB3xH2xIH2x", 0x0A600000 + number, socket.IPPROTO_TCP, 80, 0x0A800000 + number, 8080)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3
