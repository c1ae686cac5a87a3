"""A load of DNS queries by dnsperf, what it costs the server, and the loop that any server in Python is measured by."""

from __future__ import annotations

import os
import re
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import dns.message
import dns.rrset

from bench.cluster import child

CLIENTS = 16
WAITING = 200
"""Queries that dnsperf has under way at a time."""

TICK = 1 / os.sysconf("SC_CLK_TCK")


class Asked(NamedTuple):
    """Queries a second, and the server's CPU for each in microseconds, the kernel's part included."""

    rate: float
    cpu: float


def ask(
    port: int,
    file: Path,
    seconds: int,
    options: Sequence[str] = (),
    pids: Sequence[int] = (),
) -> Asked:
    """Asks what is in the file for some seconds; raises where answers were lost in number or failed.

    `pids` are the processes whose CPU is taken. Over UDP dnsperf and the server share the cores.
    """
    command = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", str(file)]
    command += ["-l", str(seconds), "-c", str(CLIENTS), "-q", str(WAITING), *options]
    before = sum(map(cpu_seconds, pids))
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spent = sum(map(cpu_seconds, pids)) - before
    codes = re.search(r"Response codes:\s+(.*)", output)
    lost = re.search(r"Queries lost:\s+\d+ \(([\d.]+)%\)", output)
    if codes is None or lost is None or "SERVFAIL" in codes[1] or float(lost[1]) > 0.1:
        raise AssertionError(f"dnsperf was not answered well:\n{output}")
    completed = re.search(r"Queries completed:\s+(\d+)", output)
    rate = re.search(r"Queries per second:\s+([\d.]+)", output)
    assert rate is not None
    assert completed is not None
    return Asked(float(rate[1]), spent / int(completed[1]) * 1e6)


def free_port() -> int:
    """A port that is free over UDP and TCP."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            try:
                tcp.bind(udp.getsockname())
            except OSError:
                continue
            port: int = udp.getsockname()[1]
            return port


def round_trip(port: int, name: str, count: int) -> float:
    """Seconds from a question to its answer where nobody else asks: the median."""
    asked = dns.message.make_query(name, "A", id=0).to_wire()
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect(("127.0.0.1", port))
        for _ in range(count):
            started = time.perf_counter()
            sock.send(asked)
            sock.recv(4096)
            found.append(time.perf_counter() - started)
    return statistics.median(found)


def cpu_seconds(pid: int) -> float:
    """CPU that a process has spent in all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK


@contextmanager
def bare_loop(expected: dict[str, str], workers: int) -> Iterator[tuple[int, list[int]]]:
    """What Python does at most a datagram at a time: one lookup between receiving and sending.

    `expected` has the address of each full name. Gives the port and the processes.
    """
    table = {}
    for name, address in expected.items():
        asked = dns.message.make_query(f"{name}", "A", id=0)
        answer = dns.message.make_response(asked)
        answer.answer.append(dns.rrset.from_text(f"{name}.", 30, "IN", "A", address))
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

    port = free_port()
    with ExitStack() as stack:
        pids = [stack.enter_context(child(answer_on)) for _ in range(workers)]
        time.sleep(0.2)
        yield port, pids
