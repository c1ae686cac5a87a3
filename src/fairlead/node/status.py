"""A pod's status as the kubelet writes it, from what its containers do. Pure.

Upstream: generateAPIPodStatus, getPhase and convertToAPIContainerStatuses in pkg/kubelet/kubelet_pods.go;
the conditions are in `conditions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec.structs import replace

from fairlead.node import conditions
from fairlead.node.containers import ephemeral_of, is_sidecar, restarts
from fairlead.node.images import identifier
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
    PodIP,
    PodStatus,
)
from fairlead.objects.scalars import timestamp

TERMINAL = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Failure:
    """Why the node has ended a pod before its time."""

    reason: str
    message: str
    grace: float | None = None
    """Seconds that its containers have to end; None for what the pod's spec says."""
    disrupted: bool = False
    """Whether the condition DisruptionTarget tells of it."""


RESTARTING = "RestartingAllContainers"
REMOVED = "The container is removed because RestartAllContainers in place"
"""What is said of runs from before a rule restarted all containers: the kubelet has removed them by then."""

OVERDUE = Failure("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")


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
    hooking: frozenset[str] = frozenset()
    """Runs of containers, by id, whose postStart hook has not ended: they count as not started yet."""
    former: frozenset[str] = frozenset()
    """Runs of containers, by id, from before a rule restarted all of them."""
    restarting: bool = False
    """Whether some of those are still to end."""
    failure: Failure | None = None


def make(pod: Pod, facts: Facts, now: float) -> PodStatus:
    """The whole status; what others wrote into it (their conditions, qosClass) stays."""
    inits = tuple(_container(pod, c, facts, init=True) for c in pod.spec.initContainers)
    mains = tuple(_container(pod, c, facts, init=False) for c in pod.spec.containers)
    others = tuple(_container(pod, c, facts, init=False) for c in ephemeral_of(pod))
    phase, reason, message = _phase(pod, inits, mains), pod.status.reason, pod.status.message
    if facts.failure is not None:
        phase, reason, message = "Failed", facts.failure.reason, facts.failure.message
    if pod.status.phase in TERMINAL:
        phase, reason, message = pod.status.phase, pod.status.reason, pod.status.message  # it is final
    elif phase in TERMINAL and any(history.current.running for history in facts.histories.values()):
        # Whoever sees a pod that is over may rely on it that nothing runs (mergePodStatus in pkg/kubelet/status).
        phase, reason, message = pod.status.phase, pod.status.reason, pod.status.message
    if phase in TERMINAL and _initialised(pod, mains, inits):
        inits = tuple(_settled(pod, c, one) for c, one in zip(pod.spec.initContainers, inits, strict=True))
        mains = tuple(_settled(pod, c, one) for c, one in zip(pod.spec.containers, mains, strict=True))
    status = replace(
        pod.status,
        observedGeneration=pod.metadata.generation,
        phase=phase,
        reason=reason,
        message=message,
        hostIP=facts.host_ips[0] if facts.host_ips else "",
        hostIPs=tuple(HostIP(ip=ip) for ip in facts.host_ips),
        podIP=facts.pod_ips[0] if facts.pod_ips else pod.status.podIP,
        podIPs=tuple(PodIP(ip=ip) for ip in facts.pod_ips) or pod.status.podIPs,
        startTime=pod.status.startTime or timestamp(now),
        initContainerStatuses=inits,
        containerStatuses=mains,
        ephemeralContainerStatuses=others,
    )
    disruption = facts.failure.message if facts.failure and facts.failure.disrupted else ""
    made = conditions.conditions(
        pod, status, disruption, sandbox=facts.sandbox, restarting=facts.restarting, now=now
    )
    return replace(status, conditions=made)


_BY_ADDRESS = ("hostIPs", "podIPs")
"""Lists that a strategic merge patch merges by address: one that went would stay if it were not told to replace."""


def difference(old: PodStatus, new: PodStatus) -> dict[str, Any]:
    """The fields of `new` that differ, as a strategic merge patch of the status. Empty if none differ.

    Fields that went are null, those of a condition too: a reason of before would stay. Of the conditions only those
    that differ are sent, with the order of all, so that what others write meanwhile stays (upstream: PatchPodStatus in
    pkg/util/pod).
    """
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(new)
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    for name in _BY_ADDRESS:
        if name in changed:
            changed[name] = [*changed[name], {"$patch": "replace"}]
    if "conditions" in changed:
        known = {one["type"]: one for one in before.get("conditions", ())}
        changed["conditions"] = [
            {**dict.fromkeys(known.get(one["type"], ())), **one}
            for one in after["conditions"]
            if one != known.get(one["type"])
        ]
        changed["$setElementOrder/conditions"] = [{"type": one["type"]} for one in after["conditions"]]
    changed.update({name: None for name in before if name not in after})
    return changed


def container_id(run: str) -> str:
    """The `containerID` of a run, from the id in its record."""
    return f"fairlead://{run}"


def _container(pod: Pod, container: Container, facts: Facts, *, init: bool) -> ContainerStatus:
    history = facts.histories.get(container.name)
    current = history.current if history else None
    previous = history.previous if history else None
    hooking = current is not None and current.running and current.id in facts.hooking
    former = current is not None and current.id in facts.former and not current.running
    state, last = ContainerState(), ContainerState()
    if previous is not None:
        last = _ended(previous, facts)
    if container.name in facts.waiting:
        state = ContainerState(waiting=facts.waiting[container.name])
        if current is not None:
            last = _ended(current, facts)
    elif current is not None and former:
        state = ContainerState(waiting=ContainerStateWaiting(reason=RESTARTING, message=REMOVED))
        last = _ended(current, facts)
    elif current is None or hooking:
        initialising = not init and pod.spec.initContainers
        reason = "PodInitializing" if initialising else "ContainerCreating"
        state = ContainerState(waiting=ContainerStateWaiting(reason=reason))
    elif current.running:
        state = ContainerState(running=ContainerStateRunning(startedAt=timestamp(current.started_at)))
    else:
        state = _terminated(current)
    running = current is not None and current.running and not hooking
    ready = current is not None and current.id in facts.ready and running
    if init and not is_sidecar(container):
        ready = current is not None and not running and not former and current.exit_code == 0
    return ContainerStatus(
        name=container.name,
        state=state,
        lastState=last,
        ready=ready,
        started=running and current is not None and current.id in facts.started,
        restartCount=current.attempt + former if current else 0,
        image=container.image,
        imageID=identifier(container.image, None) if current else "",
        containerID=container_id(current.id) if current and not hooking and not former else "",
        stopSignal=container.lifecycle.stopSignal if container.lifecycle else None,
    )


def _settled(pod: Pod, container: Container, one: ContainerStatus) -> ContainerStatus:
    """How a container of a pod that is over ended, though it never began.

    Upstream: TerminatePod in pkg/kubelet/status.
    """
    if one.state.terminated is not None or one.state.running is not None:
        return one
    if one.lastState.terminated is not None:
        return replace(
            one, state=ContainerState(terminated=one.lastState.terminated), lastState=ContainerState()
        )
    unknown = ContainerStateTerminated(
        exitCode=137,
        reason="ContainerStatusUnknown",
        message="The container could not be located when the pod was terminated",
    )
    return replace(one, state=ContainerState(terminated=unknown), ready=False, started=False)


def _initialised(pod: Pod, mains: Sequence[ContainerStatus], inits: Sequence[ContainerStatus]) -> bool:
    """Whether the pod's own containers were to be started."""
    if any(main.containerID for main in mains):
        return True
    return all(
        one.started if is_sidecar(container) else one.ready
        for container, one in zip(pod.spec.initContainers, inits, strict=True)
    )


def _ended(record: ContainerRecord, facts: Facts) -> ContainerState:
    """How an earlier run ended. Upstream: convertToAPIContainerStatuses, for the last termination state."""
    if record.id not in facts.former:
        return _terminated(record)
    return ContainerState(
        terminated=ContainerStateTerminated(exitCode=137, reason=RESTARTING, message=REMOVED)
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
    """Upstream: getPhase. Sidecars and ephemeral containers have no say in it once the others run."""
    begun = any(status.containerID for status in mains)
    for container, status in zip(pod.spec.initContainers, inits, strict=True):
        if begun:
            break
        if is_sidecar(container):
            if not status.started:
                return "Pending"
        elif not status.ready:
            ended = status.state.terminated
            final = ended and ended.exitCode and not restarts(pod, container, ended.exitCode, init=True)
            return "Failed" if final else "Pending"
    over = [
        (container, status.state.terminated)
        for container, status in zip(pod.spec.containers, mains, strict=True)
        if status.state.terminated is not None
    ]
    again = [s for s in mains if s.state.waiting and s.lastState.terminated]
    running = [s for s in mains if s.state.running]
    if len(over) + len(again) + len(running) < len(mains):
        return "Pending"
    if running or again:
        return "Running"
    if pod.metadata.deletionTimestamp is None and any(restarts(pod, c, one.exitCode) for c, one in over):
        return "Running"
    return "Failed" if any(one.exitCode for _, one in over) else "Succeeded"
