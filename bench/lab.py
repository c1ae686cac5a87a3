"""The lab's benchmark: from the command to the first answer through a ClusterIP, and what a lab takes of memory."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.report import Measure, Unavailable
from fairlead.client import kubeconfig
from fairlead.client.api import Api
from fairlead.lab import removal
from fairlead.lab.state import StateDirectory
from fairlead.node import namespaces
from fairlead.objects.core_v1 import (
    Container,
    ContainerPort,
    HTTPGetAction,
    Pod,
    PodSpec,
    Probe,
    Service,
    ServicePort,
    ServiceSpec,
)
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import PODS, SERVICES

TITLE = "lab: from the command to the first answer"

FAIRLEAD = str(Path(sys.executable).with_name("fairlead"))
LAB = f"bench-{os.getpid()}"
DEADLINE = 30.0
"""Seconds after which a lab that gives no answer is a failure."""


def measure(quick: bool) -> list[Measure]:
    """Cold starts of a lab of three nodes; the idle memory of a lab of one."""
    if os.geteuid() != 0:
        raise Unavailable("it looks into the lab's network namespaces from outside: run it as root")
    starts = [_cold_start() for _ in range(2 if quick else 5)]
    ready, answered = (tuple(times) for times in zip(*starts, strict=True))
    return [
        Measure(
            "3 nodes: command to first answer through a ClusterIP",
            answered,
            "s",
            2.7,
            "kube-apiserver alone",
            2.0,
        ),
        Measure("3 nodes: command to `lab up --detach` returning", ready, "s"),
        Measure(
            "1 node, idle: memory of all processes (PSS)",
            tuple(_idle_memory() for _ in range(1 if quick else 3)),
            "MB",
            291 + 40 + 75 + 56 + 60,
            "apiserver, etcd, controllers, proxy, DNS",
            250,
        ),
    ]


class _Lab:
    """A lab for one measurement."""

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes
        self.folder = tempfile.TemporaryDirectory(prefix="fairlead-bench-")
        self.kubeconfig = Path(self.folder.name) / "kubeconfig"

    def __enter__(self) -> _Lab:
        argv = (FAIRLEAD, "lab", "up", "--detach", "--name", LAB, "--nodes", str(self.nodes))
        subprocess.run([*argv, "--kubeconfig", str(self.kubeconfig)], check=True, capture_output=True)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([FAIRLEAD, "lab", "down", "--name", LAB], check=True, capture_output=True)
        self.folder.cleanup()


def _cold_start() -> tuple[float, float]:
    """Seconds from the command to its return, and to the first answer of an echo pod through its Service."""
    begun = time.perf_counter()
    with _Lab(3) as lab:
        ready = time.perf_counter() - begun
        address = asyncio.run(_workload(lab.kubeconfig))
        answer = _first_answer(address)
        answered = time.perf_counter() - begun
        if answer["pod"] not in ("echo-1", "echo-2", "echo-3"):
            raise RuntimeError(f"somebody else answered: {answer}")
    return ready, answered


async def _workload(path: Path) -> str:
    """Three echo pods and their Service; gives its address."""
    probe = Probe(httpGet=HTTPGetAction(path="/healthz", port=8080), periodSeconds=1)
    container = Container(
        name="echo", image="fairlead/echo", ports=(ContainerPort(containerPort=8080),), readinessProbe=probe
    )
    async with Api(kubeconfig.load(path)) as api:
        for number in (1, 2, 3):
            meta = ObjectMeta(name=f"echo-{number}", namespace="default", labels={"app": "echo"})
            await api.create(PODS, Pod(metadata=meta, spec=PodSpec(containers=(container,))))
        spec = ServiceSpec(selector={"app": "echo"}, ports=(ServicePort(port=80, targetPort=8080),))
        meta = ObjectMeta(name="echo", namespace="default")
        return (await api.create(SERVICES, Service(metadata=meta, spec=spec))).spec.clusterIP


def _first_answer(address: str) -> dict[str, str]:
    """Asks from node1 until somebody answers."""
    network = namespaces.open_network(StateDirectory.of(LAB).network.path("node1"))
    deadline = time.perf_counter() + DEADLINE
    try:
        while True:
            connection = http.client.HTTPConnection(address, timeout=1)
            try:
                with namespaces.entered(network):
                    connection.connect()
                connection.request("GET", "/")
                answer: dict[str, str] = json.load(connection.getresponse())
                return answer
            except OSError:
                if time.perf_counter() > deadline:
                    raise
                time.sleep(0.002)
            finally:
                connection.close()
    finally:
        os.close(network)


def _idle_memory() -> float:
    """MB of a lab of one node with its DNS pod and nothing else, each shared page counted once."""
    with _Lab(1):
        time.sleep(1)  # what is loaded on first use has been, and the first list is garbage by now
        directory = StateDirectory.of(LAB)
        record = directory.read()
        pids = {p.identity.pid for p in record.processes}
        pids |= {identity.pid for identity in removal.inhabitants(directory, record)}
        return sum(_pss(pid) for pid in pids) / 1000


def _pss(pid: int) -> float:
    """Kilobytes of a process, shared pages in proportion."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1.024
    return 0.0
