"""The API server over TLS, durable: writes a second, watch fan-out, lists, memory."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvloop

from bench.load import Answer, Target, Watchers, send
from bench.report import Measure
from fairlead.client.kubeconfig import load
from fairlead.objects import protobuf

TITLE = "API server: SQLite with every write durable, TLS, a load generator on the other core"
FAIRLEAD = str(Path(sys.executable).with_name("fairlead"))
PEER = "kube-apiserver, etcd"
COUNT, QUICK = 5_000, 1_000
ENDPOINTS = 50
WATCHERS = 1_000
CHANGES = 100
LISTS = 10
CONNECTIONS = 32
DEADLINE = 60.0

CORES = os.cpu_count() or 1
SERVER = "  of all cores meanwhile, the server took"
GENERATOR = "  of all cores meanwhile, the load generator took"

NAMESPACE = "/api/v1/namespaces/default"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
STRATEGIC = "application/strategic-merge-patch+json"
FORMS = {
    "JSON": "application/json",
    "protobuf": protobuf.CONTENT_TYPE,
    "a Table": "application/json;as=Table;v=v1;g=meta.k8s.io",
}


@dataclass(frozen=True)
class Server:
    """A running API server."""

    pid: int
    target: Target

    @property
    def cpu(self) -> float:
        """Seconds of both cores that it has used."""
        ticks = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    @property
    def memory(self) -> float:
        """Its share of memory in MB."""
        found = re.search(
            r"^Pss:\s+(\d+) kB", Path(f"/proc/{self.pid}/smaps_rollup").read_text(), re.MULTILINE
        )
        assert found is not None
        return int(found[1]) / 1000


def measure(quick: bool) -> list[Measure]:
    """Every run begins with an empty store."""
    results: dict[str, list[float]] = defaultdict(list)
    for _ in range(1 if quick else 3):
        with TemporaryDirectory(prefix="fairlead-bench-") as directory, api_server(Path(directory)) as server:
            for name, value in uvloop.run(one_run(server, QUICK if quick else COUNT)).items():
                results[name].append(value)

    def row(what: str, unit: str, **of: Any) -> Measure:
        return Measure(what, tuple(results[what]), unit, **of)

    writes = {"more_is_better": True, "peer_name": PEER}
    return [
        row("pods created, their status patched", "/s", peer=1020, budget=5000, **writes),
        row("  a pod created", "µs CPU"),
        row("  a status patched", "µs CPU"),
        row(SERVER, "%"),
        row(GENERATOR, "%"),
        row("Services created, with their slices of 50", "/s", peer=300, budget=2500, **writes),
        row("  a Service created", "µs CPU"),
        row("  a slice created", "µs CPU"),
        row(f"change acknowledged to the last of {WATCHERS} watchers, median", "ms"),
        row(f"change acknowledged to the last of {WATCHERS} watchers, 99th percentile", "ms"),
        *(row(f"list of all pods, {form}", "ms") for form in FORMS),
        row("memory when it is empty", "MB"),
        row("memory at all pods and Services", "MB"),
        row(f"memory with {WATCHERS} watchers besides", "MB"),
    ]


@contextmanager
def api_server(directory: Path) -> Iterator[Server]:
    """The command, as a user runs it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kubeconfig = directory / "kubeconfig"
    command = [FAIRLEAD, "apiserver", "--directory", str(directory), "--listen", f"127.0.0.1:{port}"]
    process = subprocess.Popen([*command, "--kubeconfig", str(kubeconfig), "--log-level", "error"])
    try:
        deadline = time.monotonic() + DEADLINE
        while not (kubeconfig.exists() and accepts(port)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the API server did not start")
            time.sleep(0.05)
        yield Server(process.pid, Target(load(kubeconfig)))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE)


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


async def one_run(server: Server, count: int) -> dict[str, float]:
    """All figures of one server. Checks what it reads before it counts it."""
    target = server.target
    await ready(target)
    found = {"memory when it is empty": server.memory}
    pods = [target.request("POST", f"{NAMESPACE}/pods", encode(pod(n))) for n in range(count)]
    patches = [
        target.request("PATCH", f"{NAMESPACE}/pods/pod-{n}/status", encode(running(n)), STRATEGIC)
        for n in range(count)
    ]
    own, its = time.process_time(), server.cpu
    made, found["  a pod created"] = await timed(server, pods, 201)
    patched, found["  a status patched"] = await timed(server, patches, 200)
    seconds = made + patched
    found["pods created, their status patched"] = 2 * count / seconds
    found[GENERATOR] = (time.process_time() - own) / seconds / CORES * 100
    found[SERVER] = (server.cpu - its) / seconds / CORES * 100
    services = [target.request("POST", f"{NAMESPACE}/services", encode(service(n))) for n in range(count)]
    slices = [target.request("POST", SLICES, encode(endpoint_slice(n))) for n in range(count)]
    made, found["  a Service created"] = await timed(server, services, 201)
    sliced, found["  a slice created"] = await timed(server, slices, 201)
    found["Services created, with their slices of 50"] = 2 * count / (made + sliced)
    await check_services(target, count)
    found |= await lists(target, count)
    found["memory at all pods and Services"] = server.memory
    found |= await fan_out(server)
    return found


async def ready(target: Target) -> None:
    """Waits until it is ready."""
    async with asyncio.timeout(DEADLINE):
        while True:
            answers, _ = await send(target, [target.request("GET", "/readyz")], 1)
            if answers[0].code == 200:
                return
            await asyncio.sleep(0.05)


async def timed(server: Server, requests: list[bytes], code: int) -> tuple[float, float]:
    """Seconds that all of them took, and microseconds of the server's processor for each."""
    before = server.cpu
    answers, seconds = await send(server.target, requests, CONNECTIONS)
    spent = server.cpu - before
    wrong = [answer for answer in answers if answer.code != code]
    if wrong or len(answers) != len(requests):
        raise AssertionError(f"{len(wrong)} of {len(answers)} answers are wrong: {wrong[:1]}")
    return seconds, spent / len(requests) * 1e6


async def check_services(target: Target, count: int) -> None:
    """Every Service has an address of its own."""
    (answer,), _ = await send(target, [target.request("GET", f"{NAMESPACE}/services")], 1)
    items = json.loads(answer.body)["items"]
    addresses = {item["spec"]["clusterIP"] for item in items}
    if len(items) != count + 1 or len(addresses) != len(items) or not all(addresses):
        raise AssertionError(f"{len(items)} Services have {len(addresses)} addresses")


async def lists(target: Target, count: int) -> dict[str, float]:
    """Milliseconds of a list of all pods, in each form."""
    found = {}
    for form, accept in FORMS.items():
        request = target.request("GET", f"{NAMESPACE}/pods", accept=accept)
        answers, _ = await send(target, [request] * LISTS, 1)
        for answer in answers[:1]:
            check_list(form, answer, count)
        found[f"list of all pods, {form}"] = statistics.median(a.seconds for a in answers) * 1e3
    return found


def check_list(form: str, answer: Answer, count: int) -> None:
    """The answer has every pod, running."""
    if form == "protobuf":
        listed: Any = protobuf.decode(answer.body, "v1", "PodList")
        phases = [item["status"]["phase"] for item in listed["items"]]
    elif form == "a Table":
        phases = [row["cells"][2] for row in json.loads(answer.body)["rows"]]
    else:
        phases = [item["status"]["phase"] for item in json.loads(answer.body)["items"]]
    if answer.code != 200 or phases != ["Running"] * count:
        raise AssertionError(f"the list in {form} has {len(phases)} pods, {phases.count('Running')} running")


async def fan_out(server: Server) -> dict[str, float]:
    """From the answer to a write until the last watcher has its event."""
    target = server.target
    watchers = Watchers()
    path = f"{NAMESPACE}/configmaps?watch=1&resourceVersion=0&fieldSelector=metadata.name%3Dbeacon"
    await watchers.open(target, target.request("GET", path), WATCHERS)
    latencies = []
    try:
        for n in range(CHANGES):
            # Text that no other change has, and no metadata.
            marker = f"beacon-{n}-"
            body = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "beacon"},
                "data": {"n": marker},
            }
            method, place = ("POST", "") if n == 0 else ("PUT", "/beacon")
            seen = watchers.expect(marker.encode())
            request = target.request(method, f"{NAMESPACE}/configmaps{place}", encode(body))
            (answer,), _ = await send(target, [request], 1)
            if answer.code not in (200, 201):
                raise AssertionError(f"the change was refused: {answer}")
            async with asyncio.timeout(DEADLINE):
                latencies.append(max(await seen - answer.at, 0.0) * 1e3)
        memory = server.memory
    finally:
        watchers.close()
    what = f"change acknowledged to the last of {WATCHERS} watchers"
    return {
        f"{what}, median": statistics.median(latencies),
        f"{what}, 99th percentile": statistics.quantiles(latencies, n=100)[98],
        f"memory with {WATCHERS} watchers besides": memory,
    }


def encode(value: Any) -> bytes:
    """JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def pod(number: int) -> dict[str, Any]:
    """A pod as a ReplicaSet makes it, on its node."""
    container = {"name": "web", "image": "registry.example/web:1.0", "ports": [{"containerPort": 8080}]}
    labels = {"app": f"web-{number % 500}", "pod-template-hash": "5d4f8c7b9"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"pod-{number}", "labels": labels},
        "spec": {"nodeName": f"node-{number % 100}", "containers": [container]},
    }


def running(number: int) -> dict[str, Any]:
    """What a kubelet says of it."""
    address = f"10.{128 + number // 65536}.{number // 256 % 256}.{number % 256}"
    moment = "2026-01-01T00:00:00Z"
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": moment}
        for kind in ("Initialized", "Ready", "ContainersReady")
    ]
    container = {
        "name": "web",
        "image": "registry.example/web:1.0",
        "imageID": "",
        "ready": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": moment}},
    }
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "hostIP": "192.168.0.1"}
    return {
        "status": {**status, "conditions": conditions, "containerStatuses": [container], "startTime": moment}
    }


def service(number: int) -> dict[str, Any]:
    """A Service that gets a ClusterIP."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"service-{number}"},
        "spec": {"selector": {"app": f"web-{number}"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }


def endpoint_slice(number: int) -> dict[str, Any]:
    """The slice of its endpoints."""
    endpoints = [
        {
            "addresses": [f"10.{n}.{number // 256}.{number % 256}"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": f"node-{n}",
            "targetRef": {"kind": "Pod", "name": f"pod-{number}-{n}", "namespace": "default"},
        }
        for n in range(ENDPOINTS)
    ]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"service-{number}-abcde",
            "labels": {"kubernetes.io/service-name": f"service-{number}"},
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    }
