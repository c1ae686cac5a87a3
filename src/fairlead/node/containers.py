"""The containers of a pod's spec, and what each of its three lists means. Pure."""

from __future__ import annotations

import signal

import msgspec

from fairlead.node.records import ContainerRecord
from fairlead.objects.core_v1 import Container, EphemeralContainer, Pod


def containers_of(pod: Pod) -> tuple[Container, ...]:
    """All containers: those that initialise, the pod's own, those that somebody added to look around."""
    return (*pod.spec.initContainers, *pod.spec.containers, *ephemeral_of(pod))


def ephemeral_of(pod: Pod) -> tuple[Container, ...]:
    """The ephemeral containers, as what they are but for their target."""
    return tuple(_as_container(one) for one in pod.spec.ephemeralContainers)


def _as_container(one: EphemeralContainer) -> Container:
    fields = {name: getattr(one, name) for name in Container.__struct_fields__}
    return msgspec.structs.replace(Container(), **fields)


def is_sidecar(container: Container) -> bool:
    """Whether an init container runs beside the others for as long as they do."""
    return container.restartPolicy == "Always"


def sidecars_of(pod: Pod) -> tuple[Container, ...]:
    """The restartable init containers."""
    return tuple(container for container in pod.spec.initContainers if is_sidecar(container))


def field_path(pod: Pod, container: Container) -> str:
    """Where the container stands in the pod, as Events say it: `spec.containers{web}`."""
    for group in ("initContainers", "ephemeralContainers"):
        if any(one.name == container.name for one in getattr(pod.spec, group)):
            return f"spec.{group}{{{container.name}}}"
    return f"spec.containers{{{container.name}}}"


def restarts(pod: Pod, container: Container, exit_code: int, *, init: bool = False) -> bool:
    """Whether a container that ended with this code is started again.

    The container's rules come first, then its own policy, then the pod's; an init container that has done its work
    is never run again. Upstream: ContainerShouldRestart in pkg/api/v1/pod, findNextInitContainerToRun.
    """
    if init and not is_sidecar(container) and exit_code == 0:
        return False
    if matching_action(container, exit_code) == "Restart":
        return True
    policy = container.restartPolicy or pod.spec.restartPolicy or "Always"
    if init and not is_sidecar(container):
        return policy != "Never"
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def matching_action(container: Container, exit_code: int) -> str:
    """What the first of the container's rules that knows this code says: `Restart`, `RestartAllContainers`; or nothing.

    Upstream: findMatchingContainerRestartRule in pkg/api/v1/pod.
    """
    if container.restartPolicy is not None:
        for rule in container.restartPolicyRules:
            codes = rule.exitCodes
            if codes is not None and (exit_code in codes.values) == (codes.operator == "In"):
                return rule.action
    return ""


def turn_to_stop(pod: Pod, name: str, running: list[ContainerRecord]) -> bool:
    """Whether a container may be told to end while the pod ends: a sidecar comes after all that it was there for.

    Sidecars stop in the reverse of the order in which they were started, after the pod's own containers. Upstream:
    terminationOrdering in pkg/kubelet/kuberuntime.
    """
    sidecars = [container.name for container in sidecars_of(pod)]
    if name not in sidecars:
        return True
    later = {container.name for container in pod.spec.containers}
    later.update(sidecars[sidecars.index(name) + 1 :])
    return not any(record.name in later for record in running)


def stop_signal(container: Container | None) -> int:
    """The signal that asks a container to end: SIGTERM unless its lifecycle names another, as `SIGUSR1`."""
    name = (container.lifecycle.stopSignal if container and container.lifecycle else None) or "SIGTERM"
    for base, first in (("SIGRTMIN+", signal.SIGRTMIN), ("SIGRTMAX-", signal.SIGRTMAX)):
        if name.startswith(base) and name[len(base) :].isdigit():
            step = int(name[len(base) :])
            return first + step if base == "SIGRTMIN+" else first - step
    try:
        return signal.Signals[name]
    except KeyError:
        return signal.SIGTERM
