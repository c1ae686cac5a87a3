"""Target ports: a Service's ports as the numbers that they have on one pod."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fairlead.objects.core_v1 import ContainerPort, Pod, Service, ServicePort
from fairlead.objects.discovery_v1 import EndpointPort

PortsKey = tuple[tuple[str, str, int, str], ...]
"""What tells one set of ports from another, whatever its order."""


def target_port(pod: Pod, port: ServicePort) -> int | None:
    """The port's number on the pod; None if it has a name that no container of the pod gives to a port.

    API: services.spec.ports.targetPort; without one it is the Service's port. The protocols have to agree.
    """
    target = port.targetPort or port.port
    if isinstance(target, int):
        return target
    protocol = port.protocol or "TCP"
    for declared in _declared(pod):
        if declared.name == target and (declared.protocol or "TCP") == protocol:
            return declared.containerPort
    return None


def endpoint_ports(service: Service, pod: Pod) -> tuple[EndpointPort, ...]:
    """The Service's ports on this pod, in the Service's order; those that the pod does not have are left out."""
    return tuple(
        EndpointPort(
            name=port.name, port=number, protocol=port.protocol or "TCP", appProtocol=port.appProtocol
        )
        for port in service.spec.ports
        if (number := target_port(pod, port)) is not None
    )


def differ_by_pod(service: Service) -> bool:
    """Whether a target port is a name, so that pods may differ in its number."""
    return any(isinstance(port.targetPort, str) and port.targetPort for port in service.spec.ports)


def ports_key(ports: Iterable[EndpointPort]) -> PortsKey:
    """The same for two sets of ports that mean the same."""
    return tuple(sorted((p.name or "", p.protocol or "TCP", p.port or 0, p.appProtocol or "") for p in ports))


def _declared(pod: Pod) -> Iterator[ContainerPort]:
    for container in pod.spec.containers:
        yield from container.ports
    for container in pod.spec.initContainers:
        # KEP-753: an init container that restarts for ever is a sidecar, and serves
        if container.restartPolicy == "Always":
            yield from container.ports
