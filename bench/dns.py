"""DNS over the Services of a cluster: queries a second by dnsperf, and the memory of all its processes."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import subprocess
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
