"""The scheduler's decisions: 20,000 pods onto 50 nodes, without an API server, by what the pods ask for."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from bench.report import Measure
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
    ServiceSpec,
    TopologySpreadConstraint,
    WeightedPodAffinityTerm,
)
from fairlead.objects.meta_v1 import LabelSelector, ObjectMeta, OwnerReference
from fairlead.workloads.scheduling.cluster import Cluster
from fairlead.workloads.scheduling.decision import decide
from fairlead.workloads.scheduling.defaults import DefaultSpreads
from fairlead.workloads.scheduling.profile import profile

TITLE = "Scheduler, decisions alone: 20,000 pods of 200 ReplicaSets behind Services, 50 nodes in 3 zones"
NODES, PODS, SETS = 50, 20_000, 200
QUICK = 2_000
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


def measure(quick: bool) -> list[Measure]:
    """Places all pods anew for each run; CPU time of the one thread."""
    count, runs = (QUICK, 2) if quick else (PODS, 3)
    loads: dict[str, dict[str, Any]] = {
        "requests, default spreading": {},
        "a hard zone constraint instead": {"topologySpreadConstraints": (_constraint(),)},
        "preferred anti-affinity besides": {"affinity": _apart()},
    }
    return [
        Measure(f"pods placed a second of CPU: {what}", _runs(count, runs, spec), "/s", more_is_better=True)
        for what, spec in loads.items()
    ]


def _runs(count: int, runs: int, spec: dict[str, Any]) -> tuple[float, ...]:
    return tuple(_run([_pod(i, spec) for i in range(count)]) for _ in range(runs))


def _run(pods: list[Pod]) -> float:
    """Pods a second; all have to be placed, no node with many more than another."""
    cluster, defaults = Cluster(), DefaultSpreads()
    for number in range(NODES):
        cluster.set_node(_node(number))
    for number in range(SETS):
        name = f"app{number}"
        service = Service(
            metadata=ObjectMeta(name=name, namespace="default"), spec=ServiceSpec(selector={"app": name})
        )
        defaults.change(f"default/{name}", service)
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


def _node(number: int) -> Node:
    name = f"node{number}"
    return Node(
        metadata=ObjectMeta(name=name, labels={HOSTNAME: name, ZONE: f"zone{number % 3}"}),
        status=NodeStatus(
            conditions=(NodeCondition(type="Ready", status="True"),),
            allocatable={"pods": "1000", "cpu": "64", "memory": "256Gi"},
        ),
    )


def _pod(number: int, spec: dict[str, Any]) -> Pod:
    app = f"app{number % SETS}"
    asked = ResourceRequirements(requests={"cpu": "50m", "memory": "64Mi"})
    owner = OwnerReference(kind="ReplicaSet", apiVersion="apps/v1", name=app, uid=app, controller=True)
    return Pod(
        metadata=ObjectMeta(
            name=f"{app}-{number}",
            namespace="default",
            labels={"app": app, "tier": "web"},
            ownerReferences=(owner,),
        ),
        spec=PodSpec(containers=(Container(name="main", resources=asked),), **spec),
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
