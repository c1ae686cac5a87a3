"""A pod's conditions, from its status. Pure. Upstream: pkg/kubelet/status/generate.go."""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.node import wholerestart
from fairlead.node.containers import is_sidecar, sidecars_of
from fairlead.objects.core_v1 import Pod, PodCondition, PodStatus
from fairlead.objects.scalars import timestamp


def conditions(
    pod: Pod, status: PodStatus, disruption: str, *, sandbox: bool, restarting: bool = False, now: float
) -> tuple[PodCondition, ...]:
    """The conditions in the kubelet's order; what others wrote stays, after them.

    `status` is what they tell of; `disruption` says why the node has ended the pod, where it has;
    `restarting` whether a rule has all containers end, to be restarted.
    """
    ready = _containers_ready(pod, status)
    wanted = {
        "PodReadyToStartContainers": PodCondition(status=_text(sandbox)),
        "Initialized": _initialized(pod, status),
        "Ready": _pod_ready(pod, ready),
        "ContainersReady": ready,
        "PodScheduled": PodCondition(status="True"),
    }
    if wholerestart.is_possible(pod):
        wanted["AllContainersRestarting"] = _restarting(status, restarting)
    if disruption and status.phase == "Failed":
        wanted["DisruptionTarget"] = PodCondition(
            status="True", reason="TerminationByKubelet", message=disruption
        )
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
    return (*result, *(c for c in pod.status.conditions if c.type not in wanted))


def _initialized(pod: Pod, status: PodStatus) -> PodCondition:
    if status.phase == "Succeeded":
        return PodCondition(status="True", reason="PodCompleted")
    if any(main.containerID or main.lastState.terminated for main in status.containerStatuses):
        return PodCondition(status="True")  # for good: it has been, whatever has to run again
    lacking = [
        one.name
        for container, one in zip(pod.spec.initContainers, status.initContainerStatuses, strict=True)
        if not (one.started if is_sidecar(container) else one.ready)
    ]
    if not lacking:
        return PodCondition(status="True")
    return PodCondition(
        status="False",
        reason="ContainersNotInitialized",
        message=f"containers with incomplete status: [{' '.join(lacking)}]",
    )


def _restarting(status: PodStatus, restarting: bool) -> PodCondition:
    if status.phase in ("Succeeded", "Failed"):
        reason = "PodCompleted" if status.phase == "Succeeded" else "PodFailed"
        return PodCondition(status="False", reason=reason)
    if not restarting:
        return PodCondition(status="False")
    return PodCondition(
        status="True",
        reason="RestartAllContainersStarted",
        message="container exited with restart policy rule",
    )


def _containers_ready(pod: Pod, status: PodStatus) -> PodCondition:
    if status.phase == "Succeeded":
        return PodCondition(status="False", reason="PodCompleted")
    if status.phase == "Failed":
        return PodCondition(status="False", reason="PodFailed")
    sidecars = {container.name for container in sidecars_of(pod)}
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
