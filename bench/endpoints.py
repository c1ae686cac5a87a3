"""The endpoint controllers: from their start to all slices right, one change, and the writes of a rolling update."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvloop
from msgspec.structs import replace

from bench.cluster import DEADLINE, api_server, pss, until_up
from bench.report import Measure
from fairlead.client import kubeconfig
from fairlead.client.api import Api
from fairlead.client.informer import Change, Informer
from fairlead.client.kubeconfig import Config
from fairlead.endpoints.slices import MANAGED_BY, SERVICE_NAME
from fairlead.objects import core_v1
from fairlead.objects.core_v1 import Endpoints, Node, Pod, Service
from fairlead.objects.discovery_v1 import EndpointSlice
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import ENDPOINTS, ENDPOINTSLICES, NODES, PODS, SERVICES
from fairlead.objects.scalars import timestamp

TITLE = (
    "Endpoint controllers: 5,000 pods, 500 Services of 10 and one of 5,000; a rolling update of 1,000 pods"
)
PODS_COUNT, QUICK_COUNT = 5_000, 500
GROUP = 10
NODES_COUNT = 50
ROLLED, QUICK_ROLLED = 1_000, 100
SURGE = 50
"""Pods replaced at the same time."""
OLD, NEW = 20_000, 30_000
"""The numbers of the pods before and after it."""
SETTLE = 2.0
"""Seconds after which nothing is written any more, whatever the batch period."""
PEER = "kube-controller-manager"
FAIRLEAD = str(Path(sys.executable).with_name("fairlead"))
ALL = "everything"


def measure(quick: bool) -> list[Measure]:
    """Makes the pods and Services once; then starts the controllers several times over nothing but them."""
    count, rolled = (QUICK_COUNT, QUICK_ROLLED) if quick else (PODS_COUNT, ROLLED)
    runs = 2 if quick else 5
    loads = [(rolled // 10, 20.0, "0s"), *((rolled, 200.0, period) for period in ("0s", "500ms", "1s"))]
    with TemporaryDirectory(prefix="fairlead-bench-") as text:
        directory = Path(text)
        with api_server(directory) as credentials:
            file = directory / "kubeconfig"
            kubeconfig.write(file, credentials.server, credentials.authority, credentials.token)
            uvloop.run(populate(credentials, count))
            starts = [uvloop.run(cold(credentials, file, count)) for _ in range(runs)]
            taken, cost = uvloop.run(one_change(credentials, file, count, 40 if quick else 200))
            rolls = [uvloop.run(rolling(credentials, file, *load)) for load in loads]
    slices, endpoints, memory, cpu = zip(*starts, strict=True)
    whole = count == PODS_COUNT
    found = [
        Measure(
            "start of the process to all slices right",
            slices,
            "s",
            peer=2.8 if whole else None,
            peer_name=PEER if whole else "",
            budget=1.5 if whole else None,
        ),
        Measure("start of the process to all Endpoints right, too", endpoints, "s"),
        Measure("  CPU that the controllers took for it", cpu, "s"),
        Measure(
            "memory when all is right (PSS)", memory, "MB", 150 if whole else None, PEER if whole else ""
        ),
        Measure(
            f"one pod of {count} changes, status answered to slice seen, median",
            (taken[len(taken) // 2],),
            "ms",
        ),
        Measure("  the same, 99th percentile", (taken[len(taken) * 99 // 100],), "ms"),
        Measure("  CPU of the controllers for one such change, slices and Endpoints", (cost,), "ms"),
    ]
    for (number, pace, period), written in zip(loads, rolls, strict=True):
        what = f"{number:,} pods replaced, {pace:.0f} a second, batch period {period}"
        found.append(Measure(f"{what}: slices written for a pod", (written[0],), "writes"))
        found.append(Measure("  Endpoints written for a pod", (written[1],), "writes"))
    return found


def pod(name: str, number: int, **labels: str) -> Pod:
    """A pod on one of the nodes."""
    return Pod(
        metadata=ObjectMeta(name=name, namespace="default", labels=labels),
        spec=core_v1.PodSpec(
            nodeName=f"node{number % NODES_COUNT}",
            containers=(core_v1.Container(name="main", image="fairlead/echo"),),
        ),
    )


def status(number: int, *, ready: bool = True) -> core_v1.PodStatus:
    """It runs, with an address of its own."""
    ip = f"10.{(number >> 16) + 128}.{number >> 8 & 255}.{number & 255}"
    condition = core_v1.PodCondition(
        type="Ready", status="True" if ready else "False", lastTransitionTime=timestamp(time.time())
    )
    return core_v1.PodStatus(
        phase="Running", podIP=ip, podIPs=(core_v1.PodIP(ip=ip),), conditions=(condition,)
    )


def service(name: str, **selector: str) -> Service:
    """A Service of port 80."""
    port = core_v1.ServicePort(name="http", port=80, protocol="TCP", targetPort=8080)
    return Service(
        metadata=ObjectMeta(name=name, namespace="default"),
        spec=core_v1.ServiceSpec(selector=selector, ports=(port,)),
    )


async def populate(credentials: Config, count: int) -> None:
    """Nodes, pods that run, and their Services: one for each ten, and one for all."""
    async with Api(credentials) as api:
        await until_up(api)
        for number in range(NODES_COUNT):
            zone = {"topology.kubernetes.io/zone": "abc"[number % 3]}
            await api.create(NODES, Node(metadata=ObjectMeta(name=f"node{number}", labels=zone)))

        async def one(number: int) -> None:
            made = await api.create(PODS, pod(f"pod-{number}", number, app=ALL, group=f"g{number // GROUP}"))
            await api.replace(PODS, replace(made, status=status(number)), "status")

        async def group(number: int) -> None:
            await api.create(SERVICES, service(f"svc-{number}", group=f"g{number}"))

        await in_parallel(range(count), one)
        await in_parallel(range(count // GROUP), group)
        await api.create(SERVICES, service(ALL, app=ALL))


async def in_parallel(numbers: range, work: Callable[[int], Awaitable[Any]], width: int = 32) -> None:
    """Works on all numbers, so many at a time."""
    waiting = iter(numbers)

    async def worker() -> None:
        for number in waiting:
            await work(number)

    await asyncio.gather(*(worker() for _ in range(width)))


@contextmanager
def controllers(file: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The controllers, as a process of their own."""
    process = subprocess.Popen(
        [
            FAIRLEAD,
            "endpoints",
            "--kubeconfig",
            str(file),
            "--health",
            "none",
            "--log-level",
            "warning",
            *options,
        ]
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


class Watched:
    """What the controllers wrote, as the API server tells it."""

    def __init__(self, api: Api) -> None:
        self.slices = Informer(api, ENDPOINTSLICES, labels=f"{MANAGED_BY}=endpointslice-controller.k8s.io")
        self.endpoints = Informer(api, ENDPOINTS, labels="endpoints.kubernetes.io/managed-by")
        self.held = 0
        self.listed = 0
        self.changed = asyncio.Event()
        self.slice_writes = 0
        self.endpoints_writes = 0
        self.ready: dict[str, bool] = {}
        self.slices.subscribe(self._on_slice)
        self.endpoints.subscribe(self._on_endpoints)

    def _on_slice(self, change: Change[EndpointSlice]) -> None:
        old = change.old.endpoints if change.old else ()
        new = change.new.endpoints if change.new else ()
        self.held += len(new) - len(old)
        self.slice_writes += 1
        if change.new and change.new.metadata.labels[SERVICE_NAME] in (ALL, "rolled"):
            for endpoint in new:
                if endpoint.targetRef and endpoint.conditions:
                    self.ready[endpoint.targetRef.name] = bool(endpoint.conditions.ready)
        self.changed.set()

    def _on_endpoints(self, change: Change[Endpoints]) -> None:
        self.listed += _listed(change.new) - _listed(change.old)
        self.endpoints_writes += 1
        self.changed.set()

    def standing(self) -> set[str]:
        """The pods in the slices of the Service that is rolled."""
        return {
            e.targetRef.name
            for piece in self.slices.items.values()
            if piece.metadata.labels[SERVICE_NAME] == "rolled"
            for e in piece.endpoints
            if e.targetRef
        }

    async def until(self, holds: Callable[[], bool]) -> float:
        """When it first held."""
        async with asyncio.timeout(DEADLINE):
            while not holds():
                self.changed.clear()
                await self.changed.wait()
        return time.monotonic()


def _listed(endpoints: Endpoints | None) -> int:
    return sum(len(s.addresses) for s in endpoints.subsets) if endpoints else 0


@asynccontextmanager
async def watching(api: Api) -> AsyncIterator[Watched]:
    """Tells what is written from here on."""
    watched = Watched(api)
    tasks = [asyncio.create_task(informer.run()) for informer in (watched.slices, watched.endpoints)]
    await watched.slices.synced()
    await watched.endpoints.synced()
    try:
        yield watched
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def cold(credentials: Config, file: Path, count: int) -> tuple[float, float, float, float]:
    """Seconds to right slices and to right Endpoints, megabytes, and seconds of CPU; removes what was written."""
    async with Api(credentials) as api, watching(api) as watched:
        started = time.monotonic()
        with controllers(file) as process:
            slices = await watched.until(lambda: watched.held == 2 * count)
            endpoints = await watched.until(lambda: watched.listed == count + min(count, 1000))
            taken = slices - started, endpoints - started, pss(process.pid) / 1e6, cpu(process.pid)
        check(watched, count)
        await remove(api, watched)
    return taken


def check(watched: Watched, count: int) -> None:
    """Every pod once in the slices of each of its two Services, and no slice over the limit."""
    found = [
        (piece.metadata.labels[SERVICE_NAME], e.targetRef.name if e.targetRef else "")
        for piece in watched.slices.items.values()
        for e in piece.endpoints
    ]
    expected = [(name, f"pod-{n}") for n in range(count) for name in (ALL, f"svc-{n // GROUP}")]
    if sorted(found) != sorted(expected):
        raise AssertionError(f"{len(found)} endpoints in the slices, not the {len(expected)} expected")
    if any(len(piece.endpoints) > 100 for piece in watched.slices.items.values()):
        raise AssertionError("a slice holds over 100 endpoints")


async def remove(api: Api, watched: Watched) -> None:
    """Removes what the controllers wrote."""
    slices, endpoints = list(watched.slices.items.values()), list(watched.endpoints.items.values())
    await in_parallel(
        range(len(slices)), lambda n: api.delete(ENDPOINTSLICES, slices[n].metadata.name, "default")
    )
    await in_parallel(
        range(len(endpoints)), lambda n: api.delete(ENDPOINTS, endpoints[n].metadata.name, "default")
    )
    await watched.until(lambda: not watched.slices.items and not watched.endpoints.items)


def cpu(pid: int) -> float:
    """Seconds of CPU that the process took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def one_change(credentials: Config, file: Path, count: int, times: int) -> tuple[list[float], float]:
    """Milliseconds from a status answered to its slice seen, sorted, and those of CPU a change takes."""
    async with Api(credentials) as api, watching(api) as watched:
        with controllers(file) as process:
            await watched.until(lambda: watched.held == 2 * count)
            await watched.until(lambda: watched.listed == count + min(count, 1000))
            before = cpu(process.pid)
            taken = []
            for turn in range(times):
                number = turn * 37 % count
                name = f"pod-{number}"
                current = await api.get(PODS, name, "default")
                await api.replace(PODS, replace(current, status=status(number, ready=False)), "status")
                began = time.monotonic()
                taken.append((await watched.until(lambda n=name: not watched.ready[n]) - began) * 1000)  # type: ignore[misc]
                current = await api.get(PODS, name, "default")
                await api.replace(PODS, replace(current, status=status(number)), "status")
                await watched.until(lambda n=name: watched.ready[n])  # type: ignore[misc]
            cost = (cpu(process.pid) - before) / (2 * times) * 1000
        await remove(api, watched)
    return sorted(taken), cost


async def rolling(
    credentials: Config, file: Path, count: int, pace: float, period: str
) -> tuple[float, float]:
    """Slices and Endpoints written for each pod of a Service that is replaced by a new one, as a Deployment does it.

    A pod that goes is seen terminating first; one that comes has an address before it is ready: four changes in all.
    """
    batch = ("--endpointslice-updates-batch-period", period, "--endpoint-updates-batch-period", period)
    async with Api(credentials) as api:

        async def appear(number: int, *, ready: bool) -> Pod:
            made = await api.create(PODS, pod(f"rolled-{number}", number, app="rolled"))
            return await api.replace(PODS, replace(made, status=status(number, ready=ready)), "status")

        await in_parallel(range(OLD, OLD + count), lambda n: appear(n, ready=True))
        await api.create(SERVICES, service("rolled", app="rolled"))
        async with watching(api) as watched:
            with controllers(file, *batch):
                await watched.until(lambda: watched.ready.keys() >= names(OLD, count))
                await asyncio.sleep(SETTLE)
                before = watched.slice_writes, watched.endpoints_writes
                began = time.monotonic()

                async def replaced(number: int) -> None:
                    await asyncio.sleep(max(0.0, began + number / pace - time.monotonic()))
                    made = await appear(NEW + number, ready=False)
                    await api.replace(PODS, replace(made, status=status(NEW + number)), "status")
                    await api.delete(PODS, f"rolled-{OLD + number}", "default", grace_period_seconds=30)
                    await api.delete(PODS, f"rolled-{OLD + number}", "default", grace_period_seconds=0)

                await in_parallel(range(count), replaced, SURGE)
                await watched.until(lambda: watched.standing() == names(NEW, count))
                await asyncio.sleep(SETTLE)
                after = watched.slice_writes, watched.endpoints_writes
            await remove(api, watched)
        await api.delete(SERVICES, "rolled", "default")
        await in_parallel(
            range(NEW, NEW + count),
            lambda n: api.delete(PODS, f"rolled-{n}", "default", grace_period_seconds=0),
        )
    slices, endpoints = ((later - earlier) / count for earlier, later in zip(before, after, strict=True))
    return slices, endpoints


def names(first: int, count: int) -> set[str]:
    """The names of pods that are rolled."""
    return {f"rolled-{number}" for number in range(first, first + count)}
