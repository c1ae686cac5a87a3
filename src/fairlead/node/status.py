"""A pod's status as the kubelet writes it, from what its containers do. Pure.

Upstream: generateAPIPodStatus, getPhase and convertToAPIContainerStatuses in pkg/kubelet/kubelet_pods.go;
pkg/kubelet/status/generate.go for the conditions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec.structs import replace

from fairlead.node.images import identifier
from fairlead.node.plan import restarts
from fairlead.node.records import ContainerRecord, History
from fairlead.objects.core_v1 import (
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    HostIP,
    Pod,
    PodCondition,
    PodIP,
    PodStatus,
)
from fairlead.objects.scalars import timestamp

OWN_CONDITIONS = (
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
)


@dataclass(frozen=True)
class Facts:
    """What a status is made of, beyond the pod."""

    host_ips: Sequence[str] = ()
    pod_ips: Sequence[str] = ()
    sandbox: bool = False
    histories: Mapping[str, History] = field(default_factory=dict)
    waiting: Mapping[str, ContainerStateWaiting] = field(default_factory=dict)
    ready: frozenset[str] = frozenset()
    """Runs of containers, by id, that are ready: their readiness probe says so, or they have none."""
    started: frozenset[str] = frozenset()


def make(pod: Pod, facts: Facts, now: float) -> PodStatus:
    """The whole status; what others wrote into it (their conditions, qosClass) stays."""
    inits = tuple(_container(pod, c, facts, init=True) for c in pod.spec.initContainers)
    mains = tuple(_container(pod, c, facts, init=False) for c in pod.spec.containers)
    phase = _phase(pod, inits, mains)
    if pod.status.phase in ("Succeeded", "Failed"):
        phase = pod.status.phase  # it is final
    status = replace(
        pod.status,
        observedGeneration=pod.metadata.generation,
        phase=phase,
        hostIP=facts.host_ips[0] if facts.host_ips else "",
        hostIPs=tuple(HostIP(ip=ip) for ip in facts.host_ips),
        podIP=facts.pod_ips[0] if facts.pod_ips else pod.status.podIP,
        podIPs=tuple(PodIP(ip=ip) for ip in facts.pod_ips) or pod.status.podIPs,
        startTime=pod.status.startTime or timestamp(now),
        initContainerStatuses=inits,
        containerStatuses=mains,
    )
    return replace(status, conditions=_conditions(pod, status, facts, now))


def difference(old: PodStatus, new: PodStatus) -> dict[str, Any]:
    """The fields of `new` that differ, as a patch of the status; fields that went are null. Empty if none differ."""
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(new)
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    changed.update({name: None for name in before if name not in after})
    return changed


def container_id(run: str) -> str:
    """The `containerID` of a run, from the id in its record."""
    return f"fairlead://{run}"


def _container(pod: Pod, container: Container, facts: Facts, *, init: bool) -> ContainerStatus:
    history = facts.histories.get(container.name)
    current = history.current if history else None
    previous = history.previous if history else None
    state, last = ContainerState(), ContainerState()
    if previous is not None:
        last = _terminated(previous)
    if container.name in facts.waiting:
        state = ContainerState(waiting=facts.waiting[container.name])
        if current is not None:
            last = _terminated(current)
    elif current is None:
        initialising = not init and pod.spec.initContainers
        reason = "PodInitializing" if initialising else "ContainerCreating"
        state = ContainerState(waiting=ContainerStateWaiting(reason=reason))
    elif current.running:
        state = ContainerState(running=ContainerStateRunning(startedAt=timestamp(current.started_at)))
    else:
        state = _terminated(current)
    running = current is not None and current.running
    ready = current is not None and current.id in facts.ready and running
    if init and container.restartPolicy != "Always":
        ready = current is not None and not running and current.exit_code == 0
    return ContainerStatus(
        name=container.name,
        state=state,
        lastState=last,
        ready=ready,
        started=running and current is not None and current.id in facts.started,
        restartCount=current.attempt if current else 0,
        image=container.image,
        imageID=identifier(container.image, None) if current else "",
        containerID=container_id(current.id) if current else "",
    )


def _terminated(record: ContainerRecord) -> ContainerState:
    return ContainerState(
        terminated=ContainerStateTerminated(
            exitCode=record.exit_code,
            reason=record.reason,
            message=record.message,
            startedAt=timestamp(record.started_at),
            finishedAt=timestamp(record.finished_at),
            containerID=container_id(record.id),
        )
    )


def _phase(pod: Pod, inits: Sequence[ContainerStatus], mains: Sequence[ContainerStatus]) -> str:
    policy = pod.spec.restartPolicy or "Always"
    begun = any(status.containerID for status in mains)
    for container, status in zip(pod.spec.initContainers, inits, strict=True):
        if container.restartPolicy == "Always":
            if not begun and not status.started:
                return "Pending"
        elif not begun and not status.ready:
            ended = status.state.terminated
            return "Failed" if ended and ended.exitCode and policy == "Never" else "Pending"
    over = [status.state.terminated for status in mains if status.state.terminated is not None]
    again = [s for s in mains if s.state.waiting and s.lastState.terminated]
    running = [s for s in mains if s.state.running]
    if len(over) + len(again) + len(running) < len(mains):
        return "Pending"
    if running or again:
        return "Running"
    if pod.metadata.deletionTimestamp is None and any(
        restarts(policy, ContainerRecord(name="", id="", attempt=0, exit_code=one.exitCode)) for one in over
    ):
        return "Running"
    return "Failed" if any(one.exitCode for one in over) else "Succeeded"


def _conditions(pod: Pod, status: PodStatus, facts: Facts, now: float) -> tuple[PodCondition, ...]:
    ready = _containers_ready(pod, status)
    wanted = {
        "PodReadyToStartContainers": PodCondition(status=_text(facts.sandbox)),
        "Initialized": _initialized(pod, status),
        "Ready": _pod_ready(pod, ready),
        "ContainersReady": ready,
        "PodScheduled": PodCondition(status="True"),
    }
    before = {condition.type: condition for condition in pod.status.conditions}
    result = []
    for kind, condition in wanted.items():
        old = before.get(kind)
        kept = old is not None and old.status == condition.status and old.lastTransitionTime
        result.append(
            replace(
                condition,
                type=kind,
                observedGeneration=pod.metadata.generation,
                lastTransitionTime=kept or timestamp(now),
            )
        )
    return (*result, *(c for c in pod.status.conditions if c.type not in OWN_CONDITIONS))


def _initialized(pod: Pod, status: PodStatus) -> PodCondition:
    if status.phase == "Succeeded":
        return PodCondition(status="True", reason="PodCompleted")
    if any(main.containerID for main in status.containerStatuses):
        return PodCondition(status="True")
    lacking = [
        one.name
        for container, one in zip(pod.spec.initContainers, status.initContainerStatuses, strict=True)
        if not (one.started if container.restartPolicy == "Always" else one.ready)
    ]
    if not lacking:
        return PodCondition(status="True")
    return PodCondition(
        status="False",
        reason="ContainersNotInitialized",
        message=f"containers with incomplete status: [{' '.join(lacking)}]",
    )


def _containers_ready(pod: Pod, status: PodStatus) -> PodCondition:
    if status.phase == "Succeeded":
        return PodCondition(status="False", reason="PodCompleted")
    if status.phase == "Failed":
        return PodCondition(status="False", reason="PodFailed")
    sidecars = {c.name for c in pod.spec.initContainers if c.restartPolicy == "Always"}
    asked = [s for s in status.initContainerStatuses if s.name in sidecars]
    unready = [one.name for one in (*asked, *status.containerStatuses) if not one.ready]
    if not unready:
        return PodCondition(status="True")
    return PodCondition(
        status="False",
        reason="ContainersNotReady",
        message=f"containers with unready status: [{' '.join(unready)}]",
    )


def _pod_ready(pod: Pod, containers: PodCondition) -> PodCondition:
    if containers.status != "True":
        return containers
    given = {condition.type: condition.status for condition in pod.status.conditions}
    problems = []
    for gate in pod.spec.readinessGates:
        if gate.conditionType not in given:
            problems.append(
                f'corresponding condition of pod readiness gate "{gate.conditionType}" does not exist.'
            )
        elif given[gate.conditionType] != "True":
            problems.append(
                f'the status of pod readiness gate "{gate.conditionType}" is not "True", '
                f"but {given[gate.conditionType]}"
            )
    if problems:
        return PodCondition(status="False", reason="ReadinessGatesNotReady", message=", ".join(problems))
    return PodCondition(status="True")


def _text(value: bool) -> str:
    return "True" if value else "False"
