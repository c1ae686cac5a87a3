"""The scheduler: decisions alone, by what the pods ask for, and bindings by way of an API server."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvloop

from bench.cluster import DEADLINE, api_server, child, until_up
from bench.endpoints import in_parallel
from bench.report import Measure
from fairlead.client.api import Api
from fairlead.client.informer import Informer
from fairlead.client.kubeconfig import Config
from fairlead.objects import resources
from fairlead.objects.core_v1 import (
    Affinity,
    Container,
    Node,
    NodeCondition,
    NodeStatus,
    Pod,
    PodAffinityTerm,
    PodAntiAffinity,
    PodSpec,
    ResourceRequirements,
    Service,
    ServicePort,
    ServiceSpec,
    TopologySpreadConstraint,
    WeightedPodAffinityTerm,
)
from fairlead.objects.meta_v1 import LabelSelector, ObjectMeta, OwnerReference
from fairlead.process import Health
from fairlead.process import run as run_process
from fairlead.workloads import scheduler
from fairlead.workloads.scheduling.cluster import Cluster
from fairlead.workloads.scheduling.decision import decide
from fairlead.workloads.scheduling.defaults import DefaultSpreads
from fairlead.workloads.scheduling.profile import profile

TITLE = (
    "Scheduler: 20,000 pods of 200 ReplicaSets behind Services decided on, 5,000 bound; 50 nodes in 3 zones"
)
NODES, PODS, SETS = 50, 20_000, 200
QUICK = 2_000
BOUND, QUICK_BOUND = 5_000, 500
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


def measure(quick: bool) -> list[Measure]:
    """Places all pods anew for each run; CPU time of the one thread."""
    count, runs = (QUICK, 2) if quick else (PODS, 3)
    loads: dict[str, dict[str, Any]] = {
        "requests, default spreading": {},
        "a hard zone constraint instead": {"topologySpreadConstraints": (_constraint(),)},
        "preferred anti-affinity besides": {"affinity": _apart()},
    }
    found = [
        Measure(f"pods placed a second of CPU: {what}", _runs(count, runs, spec), "/s", more_is_better=True)
        for what, spec in loads.items()
    ]
    rates, costs = zip(*(_bind_all(QUICK_BOUND if quick else BOUND) for _ in range(runs)), strict=True)
    return [
        *found,
        Measure(
            "pods bound a second, start of the process to the last one", rates, "/s", more_is_better=True
        ),
        Measure("  CPU of the scheduler for a pod", costs, "µs"),
    ]


def _bind_all(count: int) -> tuple[float, float]:
    """Has so many pods wait, then starts the scheduler: pods bound a second, and µs of its CPU for one."""
    with TemporaryDirectory(prefix="fairlead-bench-") as text, api_server(Path(text)) as credentials:
        uvloop.run(_wait(credentials, count))

        async def schedule() -> None:
            async with Api(credentials) as api:
                await scheduler.run(api, Health())

        began = time.monotonic()
        with child(lambda: run_process(schedule)) as pid:
            uvloop.run(_until_bound(credentials, count))
            took = time.monotonic() - began
            spent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    cpu = sum(map(int, spent)) / os.sysconf("SC_CLK_TCK")
    return count / took, cpu / count * 1e6


async def _wait(credentials: Config, count: int) -> None:
    async with Api(credentials) as api:
        await until_up(api)
        for number in range(NODES):
            await api.create(resources.NODES, _node(number))
        for number in range(SETS):
            await api.create(resources.SERVICES, _service(number))
        await in_parallel(
            range(count), lambda number: api.create(resources.PODS, _pod(number, {}, owned=False))
        )


async def _until_bound(credentials: Config, count: int) -> None:
    """Returns when no pod is without a node; all have to be on one that there is."""
    async with Api(credentials) as api:
        done = asyncio.Event()
        unbound = Informer(api, resources.PODS, fields="spec.nodeName=")
        unbound.subscribe(lambda change: done.set() if change.new is None and not unbound.items else None)
        task = asyncio.create_task(unbound.run())
        async with asyncio.timeout(DEADLINE):
            await unbound.synced()
            if unbound.items:
                await done.wait()
        task.cancel()
        placed = Counter(pod.spec.nodeName for pod in (await api.list(resources.PODS)).items)
        if placed.total() != count or len(placed) != NODES or placed[""]:
            raise AssertionError(f"pods by node: {placed}")


def _runs(count: int, runs: int, spec: dict[str, Any]) -> tuple[float, ...]:
    return tuple(_run([_pod(i, spec) for i in range(count)]) for _ in range(runs))


def _run(pods: list[Pod]) -> float:
    """Pods a second; all have to be placed, no node with many more than another."""
    cluster, defaults = Cluster(), DefaultSpreads()
    for number in range(NODES):
        cluster.set_node(_node(number))
    for number in range(SETS):
        service = _service(number)
        defaults.change(f"default/{service.metadata.name}", service)
    placed: Counter[str] = Counter()
    began = time.thread_time()
    for pod in pods:
        mine = profile(pod)
        chosen = decide(mine, cluster, defaults)
        if not isinstance(chosen, str):
            raise AssertionError(f"{mine.key} has no node: {chosen.message}")
        cluster.put(mine, chosen)
        placed[chosen] += 1
    took = time.thread_time() - began
    most, fewest = max(placed.values()), min(placed[name] for name in cluster.nodes)
    if most > 1.2 * fewest:
        raise AssertionError(f"a node has {most} pods, another {fewest}")
    return len(pods) / took


def _service(number: int) -> Service:
    name = f"app{number}"
    spec = ServiceSpec(selector={"app": name}, ports=(ServicePort(port=80, protocol="TCP"),))
    return Service(metadata=ObjectMeta(name=name, namespace="default"), spec=spec)


def _node(number: int) -> Node:
    name = f"node{number}"
    return Node(
        metadata=ObjectMeta(name=name, labels={HOSTNAME: name, ZONE: f"zone{number % 3}"}),
        status=NodeStatus(
            conditions=(NodeCondition(type="Ready", status="True"),),
            allocatable={"pods": "1000", "cpu": "64", "memory": "256Gi"},
        ),
    )


def _pod(number: int, spec: dict[str, Any], *, owned: bool = True) -> Pod:
    """`owned`: by a ReplicaSet, which an API server would look for in vain."""
    app = f"app{number % SETS}"
    asked = ResourceRequirements(requests={"cpu": "50m", "memory": "64Mi"})
    owner = OwnerReference(kind="ReplicaSet", apiVersion="apps/v1", name=app, uid=app, controller=True)
    return Pod(
        metadata=ObjectMeta(
            name=f"{app}-{number}",
            namespace="default",
            labels={"app": app, "tier": "web"},
            ownerReferences=(owner,) if owned else (),
        ),
        spec=PodSpec(containers=(Container(name="main", image="fairlead/echo", resources=asked),), **spec),
    )


def _constraint() -> TopologySpreadConstraint:
    selector = LabelSelector(matchLabels={"tier": "web"})
    return TopologySpreadConstraint(
        topologyKey=ZONE, maxSkew=1, whenUnsatisfiable="DoNotSchedule", labelSelector=selector
    )


def _apart() -> Affinity:
    term = PodAffinityTerm(topologyKey=HOSTNAME, labelSelector=LabelSelector(matchLabels={"tier": "web"}))
    weighted = WeightedPodAffinityTerm(weight=100, podAffinityTerm=term)
    return Affinity(
        podAntiAffinity=PodAntiAffinity(preferredDuringSchedulingIgnoredDuringExecution=(weighted,))
    )
