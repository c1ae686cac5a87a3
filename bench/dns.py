"""DNS over the Services of a cluster: queries a second by dnsperf, and the memory of all its processes."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import dns.flags
import dns.message
import dns.rcode
import uvloop

from bench.cluster import DEADLINE, api_server, child, pss, until_up
from bench.dnsperf import ask, bare_loop, round_trip
from bench.report import Measure, Unavailable
from fairlead.client.api import Api
from fairlead.client.kubeconfig import Config
from fairlead.dns.server import DnsConfig
from fairlead.dns.server import serve as serve_dns
from fairlead.objects import core_v1, discovery_v1
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import ENDPOINTSLICES, SERVICES

TITLE = "DNS: A queries over 5,000 Services"
SERVICES_COUNT, QUICK_COUNT = 5_000, 1_000
ENDPOINTS = 2
WORKERS = 2
CHANGES_A_SECOND = 200
"""At most, while dnsperf asks."""
CHANGES = 200
"""Of which the time is taken."""
ROUND_TRIPS = 2_000
PEER = "CoreDNS"
DOMAIN = "default.svc.cluster.local"


def measure(quick: bool) -> list[Measure]:
    """Makes the Services through an API server, checks every answer, then lets dnsperf ask."""
    if shutil.which("dnsperf") is None:
        raise Unavailable("dnsperf is missing: apt-get install dnsperf")
    count = QUICK_COUNT if quick else SERVICES_COUNT
    runs, seconds = (1, 1) if quick else (3, 3)
    with TemporaryDirectory(prefix="fairlead-bench-") as text:
        file = Path(text) / "queries"
        with api_server(Path(text)) as credentials:
            expected = uvloop.run(make_services(credentials, count))
            with dns_server(credentials) as (port, pids):
                check(port, expected)
                found = beside_the_bare_loop(port, pids(), expected, file, runs, seconds)
                found += loads(port, pids(), list(expected), file, runs, seconds)
                found += changing(credentials, port, list(expected), file, runs, seconds)
                found += late(credentials, port, runs, CHANGES // 4 if quick else CHANGES)
                memory = sum(pss(pid) for pid in pids()) / 1e6
                found.append(
                    Measure(f"memory of {WORKERS} workers, PSS", (memory,), "MB", 349, PEER, budget=150)
                )
                return found


def beside_the_bare_loop(
    port: int, pids: list[int], expected: dict[str, str], file: Path, runs: int, seconds: int
) -> list[Measure]:
    """Ready answers without EDNS, in turns with the loop that does nothing but receive, look up, send."""
    write(file, present(list(expected)))
    full = {f"{name}.{DOMAIN}": address for name, address in expected.items()}
    ours, bare, few = [], [], []
    with bare_loop(full, WORKERS) as (bare_port, bare_pids):
        for _ in range(runs):
            ours.append(ask(port, file, seconds, (), pids))
            bare.append(ask(bare_port, file, seconds, (), bare_pids))
            one = next(iter(full))
            few.append((round_trip(port, one, ROUND_TRIPS), round_trip(bare_port, one, ROUND_TRIPS)))
    pairs = list(zip(ours, bare, strict=True))
    return [
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
        Measure("  share of its rate", tuple(a.rate / b.rate for a, b in pairs), "", more_is_better=True),
        Measure("  CPU of the server", tuple(asked.cpu for asked in ours), "µs/query"),
        Measure("  CPU of the bare loop", tuple(asked.cpu for asked in bare), "µs/query"),
        Measure("  share of its CPU", tuple(a.cpu / b.cpu for a, b in pairs), ""),
        Measure("one query at a time, to its answer", tuple(a * 1e6 for a, _ in few), "µs"),
        Measure("  the bare loop", tuple(b * 1e6 for _, b in few), "µs"),
    ]


def loads(port: int, pids: list[int], names: list[str], file: Path, runs: int, seconds: int) -> list[Measure]:
    """The kinds of queries that cost differently: what is ready and what is not, with EDNS, a cookie, over TCP."""
    ready, absent = present(names), [f"random-{n}.{DOMAIN} A" for n in range(100_000)]
    mixed = [absent[n] if n % 10 == 0 else ready[n % len(ready)] for n in range(100_000)]
    edns, cookie, tcp = ("-e",), ("-E", "10:0123456789abcdef"), ("-m", "tcp")
    cases: list[tuple[str, list[str], tuple[str, ...]]] = [
        ("answers ready, with EDNS", ready, edns),
        ("answers ready, with EDNS and a cookie", ready, cookie),
        ("one in ten a name that does not exist, never the same soon", mixed, ()),
        ("the same with EDNS and a cookie", mixed, cookie),
        ("only names that do not exist, never the same soon", absent, ()),
        ("the same with EDNS and a cookie", absent, cookie),
        ("answers ready, over TCP", ready, tcp),
        ("one in ten a name that does not exist, over TCP", mixed, tcp),
        ("only names that do not exist, over TCP", absent, tcp),
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
    """Ready answers while EndpointSlices change."""
    write(file, present(names))
    rates, changes = zip(
        *(uvloop.run(ask_while_changing(credentials, port, file, seconds)) for _ in range(runs)), strict=True
    )
    what = f"answers ready, {statistics.median(changes):.0f} slices changed a second meanwhile"
    return [Measure(what, rates, "queries/s", more_is_better=True)]


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


def write(file: Path, queries: list[str]) -> None:
    """The questions as dnsperf reads them."""
    file.write_text("\n".join(queries) + "\n")


async def make_services(credentials: Config, count: int) -> dict[str, str]:
    """Services with a slice each; gives the address by name that the API server gave to each."""
    expected: dict[str, str] = {}
    port = core_v1.ServicePort(name="http", port=80, protocol="TCP")
    waiting = iter(range(count))
    async with Api(credentials) as api:

        async def create() -> None:
            for number in waiting:
                name = f"svc-{number}"
                meta = ObjectMeta(name=name, namespace="default")
                spec = core_v1.ServiceSpec(ports=(port,))
                made = await api.create(SERVICES, core_v1.Service(metadata=meta, spec=spec), "default")
                assert made.spec is not None
                expected[name] = made.spec.clusterIP
                piece = discovery_v1.EndpointSlice(
                    metadata=ObjectMeta(
                        name=f"{name}-1",
                        namespace="default",
                        labels={"kubernetes.io/service-name": name},
                    ),
                    addressType="IPv4",
                    endpoints=tuple(
                        discovery_v1.Endpoint(addresses=(f"10.{244 + e}.{number >> 8}.{number & 255}",))
                        for e in range(ENDPOINTS)
                    ),
                    ports=(discovery_v1.EndpointPort(name="http", port=8080, protocol="TCP"),),
                )
                await api.create(ENDPOINTSLICES, piece, "default")

        await until_up(api)
        await asyncio.gather(*(create() for _ in range(32)))
    return dict(sorted(expected.items()))


async def change(api: Api, name: str, address: str) -> None:
    """Gives a slice another endpoint."""
    endpoints = [{"addresses": [address], "conditions": {"ready": True}}]
    await api.patch(ENDPOINTSLICES, f"{name}-1", "default", {"endpoints": endpoints})


async def ask_while_changing(credentials: Config, port: int, file: Path, seconds: int) -> tuple[float, float]:
    """Queries a second while slices change, and how many do a second."""
    changed, done = 0, False

    async def change_on(api: Api) -> None:
        nonlocal changed
        for number in itertools.cycle(range(1_000)):
            if done:
                return
            await change(api, f"svc-{number}", f"10.{200 + changed % 50}.{number >> 8}.{number & 255}")
            changed += 1
            await asyncio.sleep(1 / CHANGES_A_SECOND)

    async with Api(credentials) as api:
        task = asyncio.ensure_future(change_on(api))
        rate, _ = await asyncio.to_thread(ask, port, file, seconds)
        done = True
        await task
    return rate, changed / seconds


async def lateness(credentials: Config, port: int, count: int) -> list[float]:
    """Seconds from the answer of the API to a changed slice until the name of its new endpoint is answered."""
    found = []
    loop = asyncio.get_running_loop()
    async with Api(credentials) as api:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(("127.0.0.1", port))
            for number in range(count):
                address = f"10.199.{number >> 8}.{number & 255}"
                label = address.replace(".", "-")
                asked = dns.message.make_query(f"{label}.svc-1.{DOMAIN}", "A").to_wire()
                await change(api, "svc-1", address)
                written = time.perf_counter()
                while True:
                    await loop.sock_sendall(sock, asked)
                    answer = await asyncio.wait_for(loop.sock_recv(sock, 4096), 5)
                    if answer[3] & 15 == dns.rcode.NOERROR:
                        break
                found.append(time.perf_counter() - written)
    return found


@contextmanager
def dns_server(credentials: Config) -> Iterator[tuple[int, Callable[[], list[int]]]]:
    """The DNS server, ready; gives its port and what tells its processes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
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
    """One question on a connected socket."""
    asked = dns.message.make_query(f"{name}.{DOMAIN}", "A")
    sock.send(asked.to_wire())
    return dns.message.from_wire(sock.recv(4096))
