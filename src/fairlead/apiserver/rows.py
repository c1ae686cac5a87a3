"""Rows of tables: what kubectl shows of one object of each kind, cell by cell.

Upstream: the print functions of pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fairlead.apiserver.ages import UNKNOWN, since
from fairlead.objects import coordination_v1, core_v1, discovery_v1, networking_v1, rbac_v1
from fairlead.objects.resources import Stored
from fairlead.objects.scalars import Object

Cells = list[Any]

NONE, UNSET = "<none>", "<unset>"
SHOWN = 3
"""How many endpoints and ports are shown before "+ N more...". """

ROLE_LABEL = "node-role.kubernetes.io/"


class Condition(Object, frozen=True, kw_only=True):
    """What kubectl has to know of a row besides its cells."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


COMPLETED = {
    "Succeeded": Condition(
        type="Completed", status="True", reason="Succeeded", message="The pod has completed successfully."
    ),
    "Failed": Condition(type="Completed", status="True", reason="Failed", message="The pod failed."),
}


def pod_conditions(pod: core_v1.Pod) -> tuple[Condition, ...]:
    """Whether the pod is done."""
    done = COMPLETED.get(pod.status.phase)
    return (done,) if done else ()


def pod(pod: core_v1.Pod, now: float) -> Cells:
    """Name, readiness, status, restarts, age, address, node, nominated node, readiness gates."""
    spec, status = pod.spec, pod.status
    sidecars = {c.name for c in spec.initContainers if c.restartPolicy == "Always"}
    shown = status.reason or status.phase
    if any(c.type == "PodScheduled" and c.reason == "SchedulingGated" for c in status.conditions):
        shown = "SchedulingGated"
    ready = 0
    counted: list[core_v1.ContainerStatus] = []
    initializing = False
    for i, container in enumerate(status.initContainerStatuses):
        counted.append(container)
        ended = container.state.terminated
        if ended is not None and ended.exitCode == 0:
            continue
        if container.name in sidecars and container.started:
            ready += container.ready
            continue
        waiting = container.state.waiting
        if ended is not None:
            shown = f"Init:{_ending(ended)}"
        elif waiting is not None and waiting.reason not in ("", "PodInitializing"):
            shown = f"Init:{waiting.reason}"
        else:
            shown = f"Init:{i}/{len(spec.initContainers)}"
        initializing = True
        break
    if not initializing or _is_true(status.conditions, "Initialized"):
        counted = [c for c in counted if c.name in sidecars] + list(status.containerStatuses)
        running = 0
        for container in reversed(status.containerStatuses):
            ended, waiting = container.state.terminated, container.state.waiting
            if waiting is not None and waiting.reason:
                shown = waiting.reason
            elif ended is not None:
                shown = _ending(ended)
            elif container.ready and container.state.running is not None:
                running += 1
        ready += running
        if shown == "Completed" and running:
            shown = "Running" if _is_true(status.conditions, "Ready") else "NotReady"
    if pod.metadata.deletionTimestamp is not None:
        if status.reason == "NodeLost":
            shown = "Unknown"
        elif status.phase not in ("Succeeded", "Failed"):
            shown = "Terminating"
    gates = [_is_true(status.conditions, gate.conditionType) for gate in spec.readinessGates]
    return [
        pod.metadata.name,
        f"{ready}/{len(spec.containers) + len(sidecars)}",
        shown,
        _restarts(counted, now),
        since(pod.metadata.creationTimestamp, now),
        status.podIPs[0].ip if status.podIPs else status.podIP or NONE,
        spec.nodeName or NONE,
        status.nominatedNodeName or NONE,
        f"{sum(gates)}/{len(gates)}" if gates else NONE,
    ]


def _is_true(conditions: Iterable[core_v1.PodCondition], kind: str) -> bool:
    return any(condition.type == kind and condition.status == "True" for condition in conditions)


def _ending(ended: core_v1.ContainerStateTerminated) -> str:
    if ended.reason:
        return ended.reason
    return f"Signal:{ended.signal}" if ended.signal else f"ExitCode:{ended.exitCode}"


def _restarts(containers: Sequence[core_v1.ContainerStatus], now: float) -> str:
    restarts = sum(container.restartCount for container in containers)
    ends = [c.lastState.terminated.finishedAt for c in containers if c.lastState.terminated is not None]
    last = max((end for end in ends if end), default=None)
    return f"{restarts} ({since(last, now)} ago)" if restarts and last else str(restarts)


def service(service: core_v1.Service, now: float) -> Cells:
    """Name, type, virtual address, external addresses, ports, age, selector."""
    spec = service.spec
    return [
        service.metadata.name,
        spec.type,
        spec.clusterIPs[0] if spec.clusterIPs else spec.clusterIP or NONE,
        _external(service),
        ",".join(_port(port) for port in spec.ports) or NONE,
        since(service.metadata.creationTimestamp, now),
        ",".join(f"{key}={value}" for key, value in sorted(spec.selector.items())) or NONE,
    ]


def _external(service: core_v1.Service) -> str:
    spec = service.spec
    match spec.type:
        case "ClusterIP" | "NodePort":
            return ",".join(spec.externalIPs) or NONE
        case "LoadBalancer":
            given = sorted({one.ip or one.hostname for one in service.status.loadBalancer.ingress})
            return ",".join([*filter(None, given), *spec.externalIPs]) or "<pending>"
        case "ExternalName":
            return spec.externalName
    return UNKNOWN


def _port(port: core_v1.ServicePort) -> str:
    return f"{port.port}:{port.nodePort}/{port.protocol}" if port.nodePort else f"{port.port}/{port.protocol}"


def endpoints(endpoints: core_v1.Endpoints, now: float) -> Cells:
    """Name, the first of its ready addresses, age."""
    found: list[str] = []
    for subset in endpoints.subsets:
        ips = [f"[{address.ip}]" if ":" in address.ip else address.ip for address in subset.addresses]
        if not subset.ports:
            found += [address.ip for address in subset.addresses]
        for port in subset.ports:
            found += [f"{ip}:{port.port}" for ip in ips]
    return [endpoints.metadata.name, _some(found) or NONE, since(endpoints.metadata.creationTimestamp, now)]


def _some(items: Sequence[str]) -> str:
    shown = ",".join(items[:SHOWN])
    return f"{shown} + {len(items) - SHOWN} more..." if len(items) > SHOWN else shown


def endpointslice(endpoint_slice: discovery_v1.EndpointSlice, now: float) -> Cells:
    """Name, address type, the first of its ports, the first of its addresses, age."""
    ports = [p.name or "*" if p.port is None else str(p.port) for p in endpoint_slice.ports]
    addresses = [address for endpoint in endpoint_slice.endpoints for address in endpoint.addresses]
    return [
        endpoint_slice.metadata.name,
        endpoint_slice.addressType,
        _some(ports) or UNSET,
        _some(addresses) or UNSET,
        since(endpoint_slice.metadata.creationTimestamp, now),
    ]


def node(node: core_v1.Node, now: float) -> Cells:
    """Name, status, roles, age, version, addresses, system, kernel, runtime."""
    ready = [c.status for c in node.status.conditions if c.type == "Ready"]
    shown = ("Ready" if ready[0] == "True" else "NotReady") if ready else "Unknown"
    if node.spec.unschedulable:
        shown += ",SchedulingDisabled"
    roles = {
        label.removeprefix(ROLE_LABEL) if label.startswith(ROLE_LABEL) else value
        for label, value in node.metadata.labels.items()
        if label.startswith(ROLE_LABEL) or label == "kubernetes.io/role"
    }
    info = node.status.nodeInfo
    return [
        node.metadata.name,
        shown,
        ",".join(sorted(filter(None, roles))) or NONE,
        since(node.metadata.creationTimestamp, now),
        info.kubeletVersion,
        _address(node, "InternalIP"),
        _address(node, "ExternalIP"),
        info.osImage or UNKNOWN,
        info.kernelVersion or UNKNOWN,
        info.containerRuntimeVersion or UNKNOWN,
    ]


def _address(node: core_v1.Node, kind: str) -> str:
    return next((one.address for one in node.status.addresses if one.type == kind), NONE)


def event(event: core_v1.Event, now: float) -> Cells:
    """When last, type, reason, object, part, source, message, when first, how often, name."""
    first = since(event.firstTimestamp or event.eventTime, now)
    last = since(event.lastTimestamp, now) if event.lastTimestamp else first
    count = event.count or 1
    if event.series is not None:
        last, count = since(event.series.lastObservedTime, now), event.series.count
    about = event.involvedObject
    target = about.kind.lower()
    source = [
        event.source.component or event.reportingComponent,
        event.source.host or event.reportingInstance,
    ]
    return [
        last,
        event.type,
        event.reason,
        f"{target}/{about.name}" if about.name else target,
        about.fieldPath,
        ", ".join(filter(None, source)),
        event.message.strip(),
        first,
        count,
        event.metadata.name,
    ]


def namespace(namespace: core_v1.Namespace, now: float) -> Cells:
    """Name, status, age."""
    return [namespace.metadata.name, namespace.status.phase, since(namespace.metadata.creationTimestamp, now)]


def configmap(configmap: core_v1.ConfigMap, now: float) -> Cells:
    """Name, how many keys, age."""
    count = len(configmap.data) + len(configmap.binaryData)
    return [configmap.metadata.name, count, since(configmap.metadata.creationTimestamp, now)]


def secret(secret: core_v1.Secret, now: float) -> Cells:
    """Name, type, how many keys, age."""
    return [
        secret.metadata.name,
        secret.type,
        len(secret.data),
        since(secret.metadata.creationTimestamp, now),
    ]


def serviceaccount(account: core_v1.ServiceAccount, now: float) -> Cells:
    """Name, how many Secrets, age."""
    return [account.metadata.name, len(account.secrets), since(account.metadata.creationTimestamp, now)]


def lease(lease: coordination_v1.Lease, now: float) -> Cells:
    """Name, holder, age."""
    return [
        lease.metadata.name,
        lease.spec.holderIdentity or "",
        since(lease.metadata.creationTimestamp, now),
    ]


def servicecidr(cidr: networking_v1.ServiceCIDR, now: float) -> Cells:
    """Name, networks, age."""
    return [cidr.metadata.name, ",".join(cidr.spec.cidrs), since(cidr.metadata.creationTimestamp, now)]


def ipaddress(address: networking_v1.IPAddress, now: float) -> Cells:
    """Name, whose it is."""
    parent = address.spec.parentRef
    resource = f"{parent.resource}.{parent.group}" if parent.group else parent.resource
    return [address.metadata.name, "/".join(filter(None, (resource, parent.namespace, parent.name))) or NONE]


def binding(binding: rbac_v1.RoleBinding | rbac_v1.ClusterRoleBinding, now: float) -> Cells:
    """Name, role, age, users, groups, ServiceAccounts."""
    subjects: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in binding.subjects:
        if subject.kind == "ServiceAccount":
            subjects[subject.kind].append(f"{subject.namespace}/{subject.name}")
        elif subject.kind in subjects:
            subjects[subject.kind].append(subject.name)
    return [
        binding.metadata.name,
        f"{binding.roleRef.kind}/{binding.roleRef.name}",
        since(binding.metadata.creationTimestamp, now),
        *(", ".join(names) for names in subjects.values()),
    ]


def anything(obj: Stored, now: float) -> Cells:
    """Name, when it was made."""
    return [obj.metadata.name, obj.metadata.creationTimestamp]
