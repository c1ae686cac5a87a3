"""Knot DNS with the same names, where it is installed: what a server in C makes of the same load on the same cores."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.cluster import DEADLINE
from bench.dnsperf import free_port, round_trip

NAME = "Knot DNS"
ZONE = """\
$TTL 30
@ SOA ns.dns hostmaster 1 7200 1800 86400 30
@ NS ns.dns
ns.dns A 10.96.0.10
"""
CONFIG = """\
server:
    rundir: {directory}
    listen: 127.0.0.1@{port}
    udp-workers: {workers}
    tcp-workers: {workers}
    background-workers: 1
log:
  - target: stderr
    any: error
database:
    storage: {directory}
zone:
  - domain: cluster.local
    storage: {directory}
    file: cluster.local.zone
    journal-content: none
    zonefile-load: whole
"""


@contextmanager
def knot(expected: dict[str, str], workers: int) -> Iterator[tuple[int, list[int]] | None]:
    """Answers for these names with these addresses from a zone file; gives port and process, None where it is missing.

    It has no Services to follow: what it is compared in is the way from a question to its answer.
    """
    program = shutil.which("knotd", path="/usr/sbin:/usr/bin:/sbin:/usr/local/sbin")
    if program is None:
        yield None
        return
    with TemporaryDirectory(prefix="fairlead-bench-") as directory:
        folder, port = Path(directory), free_port()
        lines = [f"{name}. A {address}" for name, address in expected.items()]
        (folder / "cluster.local.zone").write_text(ZONE + "\n".join(lines) + "\n")
        (folder / "knot.conf").write_text(CONFIG.format(directory=directory, port=port, workers=workers))
        with subprocess.Popen([program, "-c", folder / "knot.conf"]) as process:
            try:
                wait_for_answer(port, next(iter(expected)))
                yield port, [process.pid]
            finally:
                process.terminate()


def wait_for_answer(port: int, name: str) -> None:
    """Returns when there is an answer."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            round_trip(port, name, 1)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
