"""What becomes of a Service's allocations when it is changed: what an update inherits, and what it leaves behind.

Pure. Upstream: pkg/registry/core/service/storage/storage.go (normalizeClusterIPs, patchAllocatedValues), strategy.go
(dropTypeDependentFields).
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from fairlead.objects.core_v1 import ServicePort, ServiceSpec
from fairlead.objects.dualstack import is_headless
from fairlead.objects.services import is_external, needs_health_check


def needs_addresses(spec: ServiceSpec) -> bool:
    """Whether it has a virtual address."""
    return spec.type != "ExternalName" and not is_headless(spec)


def needs_node_ports(spec: ServiceSpec) -> bool:
    """Whether its type has node ports."""
    return spec.type in ("NodePort", "LoadBalancer")


def node_ports(spec: ServiceSpec) -> dict[int, None]:
    """The node ports that it holds, each once, in order; the one of the health check too."""
    found = {port.nodePort: None for port in spec.ports if port.nodePort}
    if needs_health_check(spec) and spec.healthCheckNodePort:
        found[spec.healthCheckNodePort] = None
    return found


def in_step(spec: ServiceSpec, old: ServiceSpec | None) -> ServiceSpec:
    """clusterIP and clusterIPs made to agree where only one of them was given or changed (normalizeClusterIPs)."""
    if old is None:
        if spec.clusterIP and not spec.clusterIPs:
            return replace(spec, clusterIPs=(spec.clusterIP,))
        return spec
    if old.clusterIPs and not spec.clusterIPs and old.clusterIP == spec.clusterIP:
        spec = replace(spec, clusterIPs=old.clusterIPs)
    if spec.clusterIP != old.clusterIP and spec.clusterIPs == old.clusterIPs:
        return replace(spec, clusterIPs=(spec.clusterIP,) if spec.clusterIP else ())
    return spec


def inherited(spec: ServiceSpec, old: ServiceSpec) -> ServiceSpec:
    """The spec with what was allocated before, where it names nothing else (patchAllocatedValues)."""
    changes: dict[str, Any] = {}
    if "ExternalName" not in (spec.type, old.type):
        changes["clusterIP"] = spec.clusterIP or old.clusterIP
        changes["clusterIPs"] = spec.clusterIPs or old.clusterIPs
    if needs_node_ports(spec) and needs_node_ports(old):
        changes["ports"] = inherited_node_ports(spec.ports, old.ports)
    if needs_health_check(spec) and needs_health_check(old) and not spec.healthCheckNodePort:
        changes["healthCheckNodePort"] = old.healthCheckNodePort
    return replace(spec, **changes)


def inherited_node_ports(
    ports: tuple[ServicePort, ...], old: tuple[ServicePort, ...]
) -> tuple[ServicePort, ...]:
    """The ports with the node port that the port of the same name had, unless another one asks for it."""
    used = {port.nodePort for port in ports} & {port.nodePort for port in old}
    by_name = {port.name: port.nodePort for port in old}
    return tuple(
        replace(port, nodePort=number)
        if not port.nodePort and (number := by_name.get(port.name, 0)) and number not in used
        else port
        for port in ports
    )


def without_useless(spec: ServiceSpec, old: ServiceSpec) -> ServiceSpec:
    """The spec without values that a change of type left behind (dropTypeDependentFields).

    A value that was changed as well is left for validation to refuse.
    """
    changes: dict[str, Any] = {}
    if old.type != "ExternalName" and spec.type == "ExternalName":
        if (spec.clusterIP, spec.clusterIPs) == (old.clusterIP, old.clusterIPs):
            changes.update(clusterIP="", clusterIPs=())
        if spec.ipFamilies == old.ipFamilies:
            changes["ipFamilies"] = ()
        if spec.ipFamilyPolicy == old.ipFamilyPolicy:
            changes["ipFamilyPolicy"] = None
    if needs_node_ports(old) and not needs_node_ports(spec):
        before = {port.nodePort for port in old.ports}
        if {port.nodePort for port in spec.ports if port.nodePort} <= before:
            changes["ports"] = tuple(replace(port, nodePort=0) for port in spec.ports)
    lost_check = needs_health_check(old) and not needs_health_check(spec)
    if lost_check and spec.healthCheckNodePort == old.healthCheckNodePort:
        changes["healthCheckNodePort"] = 0
    if old.type == "LoadBalancer" and spec.type != "LoadBalancer":
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if getattr(spec, field) == getattr(old, field):
                changes[field] = None
    if is_external(old) and not is_external(spec) and spec.externalTrafficPolicy == old.externalTrafficPolicy:
        changes["externalTrafficPolicy"] = ""
    return replace(spec, **changes)
