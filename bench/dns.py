"""DNS over the Services of a cluster: queries a second by dnsperf, and the memory of all its processes."""

from __future__ import annotations

import asyncio
import itertools
import re
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import uvloop

from bench.cluster import DEADLINE, api_server, child, pss, until_up
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
PEER = "CoreDNS"
DOMAIN = "default.svc.cluster.local"


def measure(quick: bool) -> list[Measure]:
    """Makes the Services through an API server, checks every answer, then lets dnsperf ask."""
    if shutil.which("dnsperf") is None:
        raise Unavailable("dnsperf is missing: apt-get install dnsperf")
    count = QUICK_COUNT if quick else SERVICES_COUNT
    runs, seconds = (1, 1) if quick else (3, 3)
    with TemporaryDirectory(prefix="fairlead-bench-") as text:
        directory = Path(text)
        with api_server(directory) as credentials:
            expected = uvloop.run(make_services(credentials, count))
            with dns_server(credentials) as (port, pids):
                check(port, expected)
                present = [f"{name}.{DOMAIN} A" for name in expected]
                absent = [f"random-{n}.{DOMAIN} A" for n in range(100_000)]
                mixed = [absent[n] if n % 10 == 0 else present[n % count] for n in range(100_000)]
                cookie = ("-E", "10:0123456789abcdef")
                loads: list[tuple[str, list[str], tuple[str, ...], bool]] = [
                    ("answers ready, without EDNS", present, (), True),
                    ("answers ready, with EDNS", present, ("-e",), False),
                    ("answers ready, with EDNS and a cookie", present, cookie, False),
                    ("one in ten a name that does not exist, never the same soon", mixed, (), False),
                    ("only names that do not exist, never the same soon", absent, (), False),
                    ("answers ready, over TCP", present, ("-m", "tcp"), False),
                ]
                found = []
                for what, queries, options, is_peers in loads:
                    file = directory / "queries"
                    file.write_text("\n".join(queries) + "\n")
                    samples = tuple(ask(port, file, seconds, options) for _ in range(runs))
                    found.append(
                        Measure(
                            what,
                            samples,
                            "queries/s",
                            peer=82_000 if is_peers else None,
                            peer_name=PEER if is_peers else "",
                            budget=200_000 if is_peers else None,
                            more_is_better=True,
                        )
                    )
                file = directory / "queries"
                file.write_text("\n".join(present) + "\n")
                changing = [
                    uvloop.run(ask_while_changing(credentials, port, file, seconds)) for _ in range(runs)
                ]
                rates, changes = zip(*changing, strict=True)
                per_second = f"{statistics.median(changes):.0f}"
                found.append(
                    Measure(
                        f"answers ready, {per_second} slices changed a second meanwhile",
                        rates,
                        "queries/s",
                        more_is_better=True,
                    )
                )
                late = [
                    uvloop.run(lateness(credentials, port, CHANGES // 4 if quick else CHANGES))
                    for _ in range(runs)
                ]
                for what, at in (("median", 0.5), ("99th percentile", 0.99)):
                    samples = tuple(sorted(each)[int(at * len(each))] * 1e3 for each in late)
                    found.append(
                        Measure(f"slice written to its answer changed, {what}", samples, "ms", budget=50)
                    )
                with bare_loop(expected) as bare_port:
                    file.write_text("\n".join(present) + "\n")
                    samples = tuple(ask(bare_port, file, seconds, ()) for _ in range(runs))
                found.append(
                    Measure(
                        "the bare loop: receive, look up, send", samples, "queries/s", more_is_better=True
                    )
                )
                memory = sum(pss(pid) for pid in pids()) / 1e6
                found.append(
                    Measure(f"memory of {WORKERS} workers, PSS", (memory,), "MB", 349, PEER, budget=150)
                )
                return found


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
        rate = await asyncio.to_thread(ask, port, file, seconds, ())
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
def bare_loop(expected: dict[str, str]) -> Iterator[int]:
    """What Python can do at most with a blocking socket: one lookup between receiving and sending; gives its port."""
    table = {}
    for name, address in expected.items():
        asked = dns.message.make_query(f"{name}.{DOMAIN}", "A", id=0)
        answer = dns.message.make_response(asked)
        answer.answer.append(dns.rrset.from_text(f"{name}.{DOMAIN}.", 30, "IN", "A", address))
        table[asked.to_wire()[2:]] = answer.to_wire()[2:]

    def bound(port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", port))
        return sock

    def answer_on() -> int:
        with bound(port) as sock:
            receive, send, find = sock.recvfrom, sock.sendto, table.get
            while True:
                query, client = receive(512)
                if (answer := find(query[2:])) is not None:
                    send(query[:2] + answer, client)

    with bound(0) as sock:
        port = sock.getsockname()[1]
    with ExitStack() as stack:
        for _ in range(WORKERS):
            stack.enter_context(child(answer_on))
        time.sleep(0.2)
        yield port


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


def ask(port: int, file: Path, seconds: int, options: tuple[str, ...]) -> float:
    """Queries a second as dnsperf counts them; raises where answers were lost in number or failed."""
    command = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", str(file)]
    command += ["-l", str(seconds), "-c", "16", "-q", "200", *options]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    codes = re.search(r"Response codes:\s+(.*)", output)
    lost = re.search(r"Queries lost:\s+\d+ \(([\d.]+)%\)", output)
    if codes is None or lost is None or "SERVFAIL" in codes[1] or float(lost[1]) > 0.1:
        raise AssertionError(f"dnsperf was not answered well:\n{output}")
    rate = re.search(r"Queries per second:\s+([\d.]+)", output)
    assert rate is not None
    return float(rate[1])
