"""Nodes, pods and clusters, in few words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fairlead.objects.core_v1 import (
    Affinity,
    Container,
    ContainerPort,
    Node,
    NodeCondition,
    NodeSpec,
    NodeStatus,
    Pod,
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
    PodSpec,
    ResourceRequirements,
    Taint,
    TopologySpreadConstraint,
    WeightedPodAffinityTerm,
)
from fairlead.objects.meta_v1 import LabelSelector, ObjectMeta, OwnerReference
from fairlead.objects.scalars import Quantity
from fairlead.workloads.scheduling.cluster import Cluster
from fairlead.workloads.scheduling.decision import Unschedulable, decide
from fairlead.workloads.scheduling.profile import profile

HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


def node(
    name: str,
    *taints: Taint,
    zone: str = "",
    ready: bool = True,
    unschedulable: bool = False,
    labels: Mapping[str, str] | None = None,
    **allocatable: str,
) -> Node:
    """A node with room for 110 pods, 4 cores and 8Gi unless `allocatable` says otherwise."""
    own = {HOSTNAME: name, **({ZONE: zone} if zone else {}), **(labels or {})}
    condition = NodeCondition(type="Ready", status="True" if ready else "False")
    room = {"pods": "110", "cpu": "4", "memory": "8Gi"} | {
        key.replace("__", "/").replace("_", "-"): value for key, value in allocatable.items()
    }
    return Node(
        metadata=ObjectMeta(name=name, labels=own),
        spec=NodeSpec(taints=taints, unschedulable=unschedulable),
        status=NodeStatus(conditions=(condition,), allocatable=dict(room)),
    )


def pod(
    name: str,
    app: str = "web",
    *,
    namespace: str = "default",
    labels: Mapping[str, str] | None = None,
    owner: tuple[str, str] | None = None,
    cpu: str = "",
    memory: str = "",
    ports: Iterable[tuple[str, int, str]] = (),
    terminating: bool = False,
    **spec: Any,
) -> Pod:
    """A pod of one container; `owner`: kind and uid of its controller; `ports`: protocol, host port, hostIP."""
    asked: dict[str, Quantity] = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    container = Container(
        name="main",
        image="fairlead/echo",
        resources=ResourceRequirements(requests=asked),
        ports=tuple(
            ContainerPort(containerPort=80, hostPort=port, protocol=protocol, hostIP=ip)
            for protocol, port, ip in ports
        ),
    )
    owners = (OwnerReference(kind=owner[0], uid=owner[1], name="owner", controller=True),) if owner else ()
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=namespace,
            uid=f"uid-{name}",
            labels={"app": app} if labels is None else dict(labels),
            ownerReferences=owners,
            deletionTimestamp="2026-01-01T00:00:00Z" if terminating else None,
        ),
        spec=PodSpec(**{"containers": (container,), **spec}),
    )


def selector(**labels: str) -> LabelSelector:
    """Pods with these labels."""
    return LabelSelector(matchLabels=labels)


def term(key: str = HOSTNAME, app: str = "web", **fields: Any) -> PodAffinityTerm:
    """Pods of the app, in places told apart by the key."""
    return PodAffinityTerm(**{"topologyKey": key, "labelSelector": selector(app=app), **fields})


def near(*required: PodAffinityTerm, preferred: Iterable[tuple[int, PodAffinityTerm]] = ()) -> Affinity:
    """An affinity to other pods."""
    return Affinity(
        podAffinity=PodAffinity(
            requiredDuringSchedulingIgnoredDuringExecution=required,
            preferredDuringSchedulingIgnoredDuringExecution=_weighted(preferred),
        )
    )


def far(*required: PodAffinityTerm, preferred: Iterable[tuple[int, PodAffinityTerm]] = ()) -> Affinity:
    """An anti-affinity to other pods."""
    return Affinity(
        podAntiAffinity=PodAntiAffinity(
            requiredDuringSchedulingIgnoredDuringExecution=required,
            preferredDuringSchedulingIgnoredDuringExecution=_weighted(preferred),
        )
    )


def _weighted(preferred: Iterable[tuple[int, PodAffinityTerm]]) -> tuple[WeightedPodAffinityTerm, ...]:
    return tuple(WeightedPodAffinityTerm(weight=weight, podAffinityTerm=each) for weight, each in preferred)


def spread(
    key: str = ZONE, skew: int = 1, *, hard: bool = True, app: str = "web", **fields: Any
) -> TopologySpreadConstraint:
    """A constraint on the pods of the app."""
    return TopologySpreadConstraint(
        **{
            "topologyKey": key,
            "maxSkew": skew,
            "whenUnsatisfiable": "DoNotSchedule" if hard else "ScheduleAnyway",
            "labelSelector": selector(app=app),
            **fields,
        }
    )


def cluster(nodes: Iterable[Node], placed: Mapping[str, Iterable[Pod]] | None = None) -> Cluster:
    """These nodes, with these pods on them."""
    made = Cluster()
    for each in nodes:
        made.set_node(each)
    for name, pods in (placed or {}).items():
        for each_pod in pods:
            made.put(profile(each_pod), name)
    return made


def outcome(candidate: Pod, state: Cluster) -> dict[str, str]:
    """The reasons of the nodes that may not run the pod, by name; several joined by commas."""
    from fairlead.workloads.scheduling.filters import Filters

    filters = Filters(profile(candidate), state)
    refusals = {place.name: filters.refusal(place) for place in state.nodes.values()}
    return {name: ", ".join(refusal.reasons) for name, refusal in refusals.items() if refusal is not None}


def message(candidate: Pod, state: Cluster) -> str:
    """What is said of a pod that fits nowhere; "" of one that has a node."""
    decided = decide(profile(candidate), state)
    return decided.message if isinstance(decided, Unschedulable) else ""
