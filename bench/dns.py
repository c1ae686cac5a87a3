"""DNS over the Services of a cluster: queries a second by dnsperf, and the memory of all its processes."""

from __future__ import annotations

import shutil
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import dns.flags
import dns.message
import dns.rcode
import uvloop

from bench.cluster import DEADLINE, api_server, child, pss
from bench.dnscluster import DOMAIN, ask_while_changing, lateness, make_services
from bench.dnsforward import forwarded
from bench.dnspeer import NAME as KNOT
from bench.dnspeer import knot
from bench.dnsperf import ask, bare_loop, free_port, round_trip
from bench.report import Measure, Unavailable
from fairlead.client.kubeconfig import Config
from fairlead.dns.server import DnsConfig
from fairlead.dns.server import serve as serve_dns

TITLE = "DNS: A queries over 5,000 Services"
SERVICES_COUNT, QUICK_COUNT = 5_000, 1_000
WORKERS = 2
CHANGES = 200
"""Of which the time is taken."""
ROUND_TRIPS = 2_000
PEER = "CoreDNS"
EDNS, COOKIE, TCP = ("-e",), ("-E", "10:0123456789abcdef"), ("-m", "tcp")
"""Options of dnsperf."""


def measure(quick: bool) -> list[Measure]:
    """Makes the Services through an API server, checks every answer, then lets dnsperf ask."""
    if shutil.which("dnsperf") is None:
        raise Unavailable("dnsperf is missing: apt-get install dnsperf")
    count = QUICK_COUNT if quick else SERVICES_COUNT
    runs, seconds = (1, 1) if quick else (3, 2)
    with TemporaryDirectory(prefix="fairlead-bench-") as text:
        file = Path(text) / "queries"
        with api_server(Path(text)) as credentials:
            expected = uvloop.run(make_services(credentials, count))
            with dns_server(credentials) as (port, pids):
                check(port, dict(list(expected.items())[:1]))
                before = sum(pss(pid) for pid in pids()) / 1e6
                check(port, expected)
                found = beside_the_bare_loop(port, pids(), expected, file, runs, seconds)
                found += loads(port, pids(), list(expected), file, runs, seconds)
                found += changing(credentials, port, list(expected), file, runs, seconds)
                found += late(credentials, port, runs, CHANGES // 4 if quick else CHANGES)
                memory = sum(pss(pid) for pid in pids()) / 1e6
                what = f"memory of {WORKERS} workers and their parent, PSS"
                found += forwarded(credentials, expected, file, runs, seconds, WORKERS)
                found.append(Measure(f"{what}, before the first query", (before,), "MB"))
                found.append(Measure(f"{what}, after all of this", (memory,), "MB", 349, PEER, budget=150))
                return found


def beside_the_bare_loop(
    port: int, pids: list[int], expected: dict[str, str], file: Path, runs: int, seconds: int
) -> list[Measure]:
    """Ready answers without EDNS, in turns with the loop that only receives, looks up, sends, and with Knot DNS."""
    write(file, present(list(expected)))
    full = {f"{name}.{DOMAIN}": address for name, address in expected.items()}
    one = next(iter(full))
    ours, bare, other, few = [], [], [], []
    with bare_loop(full, WORKERS) as (bare_port, bare_pids), knot(full, WORKERS) as peer:
        for _ in range(runs):
            ours.append(ask(port, file, seconds, (), pids))
            bare.append(ask(bare_port, file, seconds, (), bare_pids))
            if peer is not None:
                other.append(ask(peer[0], file, seconds, (), peer[1]))
            few.append((round_trip(port, one, ROUND_TRIPS), round_trip(bare_port, one, ROUND_TRIPS)))
    pairs = list(zip(ours, bare, strict=True))
    found = [
        Measure(
            "answers ready, without EDNS",
            tuple(asked.rate for asked in ours),
            "queries/s",
            peer=82_000,
            peer_name=PEER,
            budget=200_000,
            more_is_better=True,
        ),
        Measure(
            "  the bare loop: receive, look up, send",
            tuple(asked.rate for asked in bare),
            "queries/s",
            more_is_better=True,
        ),
        Measure(
            "  share of its rate in the same run (200,000 of its 282,000 where the budget is from)",
            tuple(a.rate / b.rate for a, b in pairs),
            "",
            budget=0.71,
            more_is_better=True,
        ),
        Measure("  CPU of the server", tuple(asked.cpu for asked in ours), "µs/query"),
        Measure("  CPU of the bare loop", tuple(asked.cpu for asked in bare), "µs/query"),
        Measure("  share of its CPU", tuple(a.cpu / b.cpu for a, b in pairs), ""),
        Measure("one query at a time, to its answer", tuple(a * 1e6 for a, _ in few), "µs"),
        Measure("  the bare loop", tuple(b * 1e6 for _, b in few), "µs"),
    ]
    if not other:
        print(
            f"{KNOT} is not installed, so that there is no peer in this run: apt-get install knot",
            file=sys.stderr,
        )
        return found
    rates, costs = tuple(asked.rate for asked in other), tuple(asked.cpu for asked in other)
    return [
        *found,
        Measure(f"  {KNOT}, the same names from a zone file", rates, "queries/s", more_is_better=True),
        Measure(f"  CPU of {KNOT}", costs, "µs/query"),
    ]


def loads(port: int, pids: list[int], names: list[str], file: Path, runs: int, seconds: int) -> list[Measure]:
    """The kinds of queries that cost differently: what is ready and what is not, with EDNS, a cookie, over TCP."""
    ready, mixed, absent = present(names), one_in_ten_missing(names), missing()
    both = [line for question in ready for line in (question, f"{question}AAA")]
    cases: list[tuple[str, list[str], tuple[str, ...]]] = [
        ("answers ready, with EDNS", ready, EDNS),
        ("answers ready, with EDNS and a cookie", ready, COOKIE),
        ("one in ten a name that does not exist, never the same soon", mixed, ()),
        ("the same with EDNS and a cookie", mixed, COOKIE),
        ("only names that do not exist, never the same soon", absent, ()),
        ("the same with EDNS and a cookie", absent, COOKIE),
        ("half of them for AAAA, of which there are none", both, ()),
        ("answers ready, over TCP", ready, TCP),
        ("answers ready, over TCP, with EDNS and a cookie", ready, (*TCP, *COOKIE)),
        ("one in ten a name that does not exist, over TCP", mixed, TCP),
        ("only names that do not exist, over TCP", absent, TCP),
    ]
    found = []
    for what, queries, options in cases:
        write(file, queries)
        samples = [ask(port, file, seconds, options, pids) for _ in range(runs)]
        rates, costs = tuple(s.rate for s in samples), tuple(s.cpu for s in samples)
        found.append(Measure(what, rates, "queries/s", more_is_better=True))
        found.append(Measure("  CPU of the server", costs, "µs/query"))
    return found


def changing(
    credentials: Config, port: int, names: list[str], file: Path, runs: int, seconds: int
) -> list[Measure]:
    """Queries while EndpointSlices change."""
    found = []
    cases: list[tuple[str, list[str], tuple[str, ...]]] = [
        ("answers ready", present(names), ()),
        ("one in ten a name that does not exist, with EDNS and a cookie", one_in_ten_missing(names), COOKIE),
        ("only names that do not exist, with EDNS and a cookie", missing(), COOKIE),
        ("answers ready, over TCP", present(names), TCP),
        ("one in ten a name that does not exist, over TCP", one_in_ten_missing(names), TCP),
        ("only names that do not exist, over TCP", missing(), TCP),
    ]
    for what, queries, options in cases:
        write(file, queries)
        rates, changes = zip(
            *(uvloop.run(ask_while_changing(credentials, port, file, seconds, options)) for _ in range(runs)),
            strict=True,
        )
        said = f"{what}, {statistics.median(changes):.0f} slices changed a second meanwhile"
        found.append(Measure(said, rates, "queries/s", more_is_better=True))
    return found


def late(credentials: Config, port: int, runs: int, count: int) -> list[Measure]:
    """From a changed slice to its changed answer."""
    found = [sorted(uvloop.run(lateness(credentials, port, count))) for _ in range(runs)]
    return [
        Measure(
            f"slice written to its answer changed, {what}",
            tuple(each[int(at * len(each))] * 1e3 for each in found),
            "ms",
            budget=50,
        )
        for what, at in (("median", 0.5), ("99th percentile", 0.99))
    ]


def present(names: list[str]) -> list[str]:
    """A question for the address of each Service."""
    return [f"{name}.{DOMAIN} A" for name in names]


def missing() -> list[str]:
    """Questions for names that do not exist, more of them than any server keeps."""
    return [f"random-{n}.{DOMAIN} A" for n in range(100_000)]


def one_in_ten_missing(names: list[str]) -> list[str]:
    """Questions for the Services, and for what does not exist between them."""
    ready, absent = present(names), missing()
    return [absent[n] if n % 10 == 0 else ready[n % len(ready)] for n in range(100_000)]


def write(file: Path, queries: list[str]) -> None:
    """The questions as dnsperf reads them."""
    file.write_text("\n".join(queries) + "\n")


@contextmanager
def dns_server(credentials: Config) -> Iterator[tuple[int, Callable[[], list[int]]]]:
    """The DNS server, ready; gives its port and what tells its processes."""
    port = free_port()
    config = DnsConfig(listen=(("127.0.0.1", port),), workers=WORKERS)
    with child(lambda: serve_dns(config, credentials, expose="")) as parent:

        def pids() -> list[int]:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
            return [parent, *map(int, children)]

        yield port, pids


def check(port: int, expected: dict[str, str]) -> None:
    """Asks for every Service, from several client ports so that every worker is asked; raises where one is wrong."""
    for _ in range(2 * WORKERS):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1)
            sock.connect(("127.0.0.1", port))
            wait_ready(sock)
            for name, address in expected.items():
                answer = query(sock, name)
                found = [rdata.to_text() for rrset in answer.answer for rdata in rrset]
                if found != [address] or not answer.flags & dns.flags.AA:
                    raise AssertionError(f"{name}: {found} instead of {address}")
            if query(sock, "nothing").rcode() != dns.rcode.NXDOMAIN:
                raise AssertionError("a name that does not exist was answered")


def wait_ready(sock: socket.socket) -> None:
    """Returns when the worker behind this socket knows the zone."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            if query(sock, "kubernetes").rcode() != dns.rcode.SERVFAIL:
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError("the DNS server is not ready")
        time.sleep(0.05)


def query(sock: socket.socket, name: str) -> dns.message.Message:
    """One question on a connected socket; late answers to others before it are passed over."""
    asked = dns.message.make_query(f"{name}.{DOMAIN}", "A")
    sock.send(asked.to_wire())
    while True:
        answer = dns.message.from_wire(sock.recv(4096))
        if asked.is_response(answer):
            return answer
