"""The benchmark of the proxy's iptables mode: cold, restarted, for one change, and what a ClusterIP costs."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import msgspec

from bench.proxy import connecting, endpoint, feed, in_child, peak, piece, service
from bench.report import Measure, Unavailable
from fairlead.process import Health
from fairlead.proxy.dataplane import Unusable
from fairlead.proxy.detection import LocalPods
from fairlead.proxy.family import IPV4
from fairlead.proxy.iptables.commands import find
from fairlead.proxy.iptables.dataplane import Iptables
from fairlead.proxy.ledger import Ledger
from fairlead.proxy.options import ProxyOptions
from fairlead.proxy.proxier import Proxier
from fairlead.proxy.selection import Node

TITLE = "proxy: iptables, from the informers' sync to iptables-restore's end"

ROWS = ((1_000, 10), (10_000, 2))
"""Services, endpoints of each."""
CHANGES = 20
OPTIONS = ProxyOptions(LocalPods(("10.128.0.0/9",)), ("10.96.0.0/12",))


def measure(quick: bool) -> list[Measure]:
    """All rows; with `quick` fewer runs."""
    if os.geteuid() != 0:
        raise Unavailable("it makes network namespaces: run it as root")
    try:
        find(IPV4)
    except Unusable as error:
        raise Unavailable(str(error)) from error
    runs = 1 if quick else 3
    measures: list[Measure] = []
    for services, endpoints in ROWS:
        # A cold start of the largest takes minutes where the machine is busy.
        several = range(runs if services < 10_000 else 1)
        results = [in_child(lambda s=services, e=endpoints: cold(s, e)) for _ in several]  # type: ignore[misc]
        name = f"{services:,} Services of {endpoints}"
        for what, key, unit in (
            ("cold start", "cold", "s"),
            ("restart over tables that are right", "restart", "s"),
            ("one endpoint changes", "endpoint", "ms"),
            ("one Service goes, or comes", "service", "ms"),
            ("memory at its peak, with API objects and children", "memory", "MB"),
        ):
            measures.append(Measure(f"{what}, {name}", tuple(r[key] for r in results), unit))
    # The kernel asks the rules of every new connection, of those that are for no Service too.
    return measures + connecting(proxier, 1, 1)


def proxier() -> Proxier:
    """The proxy without its informers."""
    return Proxier(Ledger(Node("node1")), Iptables(OPTIONS), Health())


def cold(services: int, endpoints: int) -> dict[str, float]:
    """Seconds into empty tables, seconds for a restart, milliseconds for one change, megabytes."""
    listed = [service(number) for number in range(services)]
    pieces = [piece(number, endpoints) for number in range(services)]
    made = proxier()
    feed(made, listed, pieces)
    result = {"cold": timed(made.start)}
    rules = sum(map(len, find(IPV4).save().ours.values()))
    assert rules > services * (endpoints * 3 + 2), rules
    again = proxier()
    feed(again, listed, pieces)
    result["restart"] = timed(again.start)
    assert isinstance(again.dataplane, Iptables)
    assert not again.dataplane.last
    by_endpoint, by_service = [], []
    for turn in range(CHANGES):
        number = turn * 7 % services
        old, key = pieces[number], f"default/service-{number}"
        new = msgspec.structs.replace(old, endpoints=(*old.endpoints[1:], endpoint((1 << 22) + turn)))
        for before, after in ((old, new), (new, old)):
            again.ledger.slice_changed(key, before, after)
            by_endpoint.append(timed(again.sync) * 1e3)
        for one in (None, listed[number]):
            again.ledger.service_changed(key, one)
            by_service.append(timed(again.sync) * 1e3)
    again.dataplane.rebuild(again.ledger.everything)
    assert not again.dataplane.last
    return result | {
        "endpoint": statistics.median(by_endpoint),
        "service": statistics.median(by_service),
        "memory": peak(),
    }


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
