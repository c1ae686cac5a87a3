"""A lab from nothing: seconds to the first answer through a ClusterIP, step by step; memory when it idles."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.report import Measure, Unavailable
from fairlead.client.api import Api
from fairlead.client.kubeconfig import load
from fairlead.lab.state import StateDirectory
from fairlead.node import namespaces
from fairlead.objects import core_v1
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import PODS, SERVICES

TITLE = "Lab: cold start of 3 nodes to the first answer through a ClusterIP; memory of one node, idle"
FAIRLEAD = str(Path(sys.executable).with_name("fairlead"))
NAME = "bench-lab"
PODS_COUNT = 3
LABELS = {"app": "echo"}
DEADLINE = 30.0
SETTLE_SECONDS = 3.0
STEP = re.compile(r"^ +([0-9.]+) s  (.*)$")


def measure(quick: bool) -> list[Measure]:
    """Makes labs one after another; every answer is read and has to name a pod that was made."""
    if os.geteuid() != 0:
        raise Unavailable("it looks into the lab's namespaces directly, which takes root")
    runs = 2 if quick else 7
    totals: list[float] = []
    steps: dict[str, list[float]] = defaultdict(list)
    for _ in range(runs):
        with TemporaryDirectory(prefix="fairlead-bench-") as folder:
            started = time.monotonic()
            with lab(Path(folder) / "kubeconfig", nodes=3) as lines:
                for seconds, step in lines:
                    steps[step].append(seconds)
                steps["lab ready, the command has returned"].append(time.monotonic() - started)
                applied, answered = asyncio.run(first_answer(Path(folder) / "kubeconfig"))
                steps[f"from {PODS_COUNT} pods and a Service made to the answer"].append(answered - applied)
                totals.append(answered - started)
    with TemporaryDirectory(prefix="fairlead-bench-") as folder, lab(Path(folder) / "kubeconfig", nodes=1):
        time.sleep(SETTLE_SECONDS)
        memory = pss()
    return [
        Measure(
            "start of the process to the first answer",
            tuple(totals),
            "s",
            peer=2.45,
            peer_name="kube-apiserver and etcd alone, ready",
            budget=2.0,
        ),
        *(Measure(f"  {step}", tuple(samples), "s") for step, samples in steps.items()),
        Measure(
            "memory of one node, idle (PSS, all processes)",
            (sum(memory.values()),),
            "MB",
            peer=522,
            peer_name="kube-apiserver, etcd, controllers, kube-proxy, CoreDNS",
            budget=250,
        ),
        *(Measure(f"  {name}", (megabytes,), "MB") for name, megabytes in memory.items()),
    ]


@contextmanager
def lab(kubeconfig: Path, nodes: int) -> Iterator[list[tuple[float, str]]]:
    """A lab; gives the steps that its making told, with their seconds."""
    command = [FAIRLEAD, "lab", "up", "--name", NAME, "--nodes", str(nodes), "--detach"]
    try:
        done = subprocess.run(
            [*command, "--kubeconfig", str(kubeconfig)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise Unavailable(done.stderr.strip())
        # The port differs from run to run; the step is the same.
        found = [STEP.match(line) for line in done.stdout.splitlines()]
        yield [(float(m[1]), re.sub(r" (at https?|: node).*", "", m[2])) for m in found if m]
    finally:
        subprocess.run([FAIRLEAD, "lab", "down", "--name", NAME], capture_output=True, check=False)


async def first_answer(kubeconfig: Path) -> tuple[float, float]:
    """Makes pods and their Service; gives when that began and when the Service's address first answered."""
    async with Api(load(kubeconfig)) as api:
        began = time.monotonic()
        service = await api.create(
            SERVICES,
            core_v1.Service(
                metadata=ObjectMeta(name="echo", namespace="default"),
                spec=core_v1.ServiceSpec(
                    selector=LABELS, ports=(core_v1.ServicePort(port=80, targetPort=8080),)
                ),
            ),
        )
        names = [f"echo-{number + 1}" for number in range(PODS_COUNT)]
        for name in names:
            await api.create(PODS, pod(name))
    answer, at = await asyncio.to_thread(ask, service.spec.clusterIP)
    if not any(f'"{name}"' in answer for name in names):
        raise AssertionError(f"{service.spec.clusterIP} answered {answer!r}, which names none of {names}")
    return began, at


def pod(name: str) -> core_v1.Pod:
    """An echo pod."""
    container = core_v1.Container(
        name="echo", image="fairlead/echo", ports=(core_v1.ContainerPort(containerPort=8080),)
    )
    return core_v1.Pod(
        metadata=ObjectMeta(name=name, namespace="default", labels=LABELS),
        spec=core_v1.PodSpec(containers=(container,)),
    )


def ask(address: str) -> tuple[str, float]:
    """Asks from node1 until there is an answer; gives it with the moment it was read."""
    network = namespaces.open_network(StateDirectory.of(NAME).network.path("node1"))
    deadline = time.monotonic() + DEADLINE
    try:
        while time.monotonic() < deadline:
            with suppress(OSError), namespaces.socket_in(network) as sock:
                sock.settimeout(1.0)
                sock.connect((address, 80))
                sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = b"".join(iter(lambda s=sock: s.recv(65536), b""))  # type: ignore[misc]
                if answer:
                    return answer.decode(), time.monotonic()
            time.sleep(0.002)
    finally:
        os.close(network)
    raise TimeoutError(f"{address} did not answer within {DEADLINE:.0f} s")


def pss() -> dict[str, float]:
    """The lab's processes with the megabytes that each adds: shared pages count in parts."""
    found: dict[str, float] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # Forks keep the command line of the process that they come from.
            if NAME.encode() not in (process / "cmdline").read_bytes().split(b"\0"):
                continue
            name = (process / "comm").read_text().strip().removeprefix("fairlead-")
            kilobytes = re.search(r"^Pss: +(\d+) kB", (process / "smaps_rollup").read_text(), re.MULTILINE)
            found[name] = found.get(name, 0.0) + (int(kilobytes[1]) / 1000 if kilobytes else 0.0)
    return dict(sorted(found.items(), key=lambda item: -item[1]))
