"""The proxy from the start of its process, with the API server on the same machine."""

from __future__ import annotations

import http.client
import socket
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop
from pyroute2 import IPRoute

from bench import api
from bench.api import FAIRLEAD, NAMESPACE, SLICES, Server, api_server, encode
from bench.load import send
from bench.report import Unavailable
from fairlead.proxy.netlink import Link
from fairlead.proxy.nftables.inventory import Inventory
from fairlead.proxy.nftables.names import ENDPOINTS

SERVICES = 5_000
"""Of `api.ENDPOINTS` endpoints each."""

PORT = 10256
DEADLINE = 60.0


def started() -> dict[str, float]:
    """Seconds from the start of `fairlead proxy` until it is ready; the kernel is read to see that it is.

    In a network namespace of the caller's, in which nothing else is.
    """
    with IPRoute() as links:
        links.link("set", index=1, state="up")
    with TemporaryDirectory(prefix="fairlead-bench-") as text, api_server(Path(text)) as server:
        uvloop.run(_fill(server))
        kubeconfig = f"{text}/kubeconfig"
        command = [FAIRLEAD, "proxy", "--kubeconfig", kubeconfig, "--node-name", "node1"]
        began = time.perf_counter()
        process = subprocess.Popen([*command, "--cluster-cidr", "10.128.0.0/9", "--log-level", "error"])
        try:
            while not _ready():
                if process.poll() is not None or time.perf_counter() - began > DEADLINE:
                    raise RuntimeError("the proxy was not ready in time")
                time.sleep(0.005)
            taken = time.perf_counter() - began
            _check()
        finally:
            process.terminate()
            process.wait(DEADLINE)
        return {"started": taken}


async def _fill(server: Server) -> None:
    """Makes the Services and their slices."""
    await api.ready(server.target)
    for path, make in ((f"{NAMESPACE}/services", api.service), (SLICES, api.endpoint_slice)):
        requests = [server.target.request("POST", path, encode(make(number))) for number in range(SERVICES)]
        answers, _ = await send(server.target, requests, api.CONNECTIONS)
        if {answer.code for answer in answers} != {201}:
            raise AssertionError("not everything was made")


def _ready() -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _check() -> None:
    """Asks the kernel how many endpoints it has; the Service of the API server has one more."""
    link = Link(socket.AF_INET)
    try:
        counts = Inventory(link).counts()
    finally:
        link.close()
    if not counts:
        raise Unavailable("this kernel does not tell how many elements a map has (6.18 does)")
    found = sum(count for name, count in counts.items() if name.startswith(ENDPOINTS))
    if not SERVICES * api.ENDPOINTS <= found <= SERVICES * api.ENDPOINTS + 1:
        raise AssertionError(f"{found} endpoints are in the kernel")
