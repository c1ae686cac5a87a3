"""Services: what is filled in for the user, and what is refused.

Upstream: pkg/apis/core/v1/defaults.go, pkg/apis/core/validation/validation.go (ValidateService, ValidateServiceUpdate).
Addresses, families and node ports are the allocator's; `validate` wants an object that has them.
"""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects import addresses, names
from fairlead.objects.core_v1 import (
    ClientIPConfig,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Service,
    ServicePort,
    ServiceSpec,
    SessionAffinityConfig,
)
from fairlead.objects.dualstack import is_headless, validate_addresses_kept, validate_cluster_ips
from fairlead.objects.labels import validate_labels
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.scalars import IntOrString
from fairlead.objects.status import FieldError, duplicate, forbidden, invalid, not_supported, required

CLIENT_IP_TIMEOUT = 10800
"""How long a client is held to its endpoint unless the Service says otherwise, in seconds."""
MAX_CLIENT_IP_TIMEOUT = 86400

TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
PROTOCOLS = ("TCP", "UDP", "SCTP")
TRAFFIC_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
TOPOLOGY_MODE = "service.kubernetes.io/topology-mode"
TOPOLOGY_HINTS = "service.kubernetes.io/topology-aware-hints"


def is_external(spec: ServiceSpec) -> bool:
    """Whether it can be reached from outside the cluster, so that externalTrafficPolicy means something."""
    if spec.type in ("NodePort", "LoadBalancer"):
        return True
    return spec.type == "ClusterIP" and bool(spec.externalIPs)


def needs_health_check(spec: ServiceSpec) -> bool:
    """Whether load balancers ask each node for local endpoints, at healthCheckNodePort."""
    return spec.type == "LoadBalancer" and spec.externalTrafficPolicy == "Local"


def default(service: Service) -> Service:
    """The Service with everything filled in that does not have to be allocated."""
    spec = service.spec
    changed: dict[str, object] = {}
    kind = spec.type or "ClusterIP"
    if not spec.type:
        changed["type"] = kind
    affinity = spec.sessionAffinity or "None"
    if not spec.sessionAffinity:
        changed["sessionAffinity"] = affinity
    if affinity == "None":
        changed["sessionAffinityConfig"] = None
    elif affinity == "ClientIP":
        config = spec.sessionAffinityConfig
        if config is None or config.clientIP is None or config.clientIP.timeoutSeconds is None:
            changed["sessionAffinityConfig"] = SessionAffinityConfig(
                clientIP=ClientIPConfig(timeoutSeconds=CLIENT_IP_TIMEOUT)
            )
    changed["ports"] = tuple(_default_port(port) for port in spec.ports)
    if is_external(replace(spec, type=kind)) and not spec.externalTrafficPolicy:
        changed["externalTrafficPolicy"] = "Cluster"
    if spec.internalTrafficPolicy is None and kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        changed["internalTrafficPolicy"] = "Cluster"
    if kind == "LoadBalancer" and spec.allocateLoadBalancerNodePorts is None:
        changed["allocateLoadBalancerNodePorts"] = True
    service = replace(service, spec=replace(spec, **changed))
    if kind == "LoadBalancer":
        ingress = tuple(_default_ingress(i) for i in service.status.loadBalancer.ingress)
        service = replace(
            service, status=replace(service.status, loadBalancer=LoadBalancerStatus(ingress=ingress))
        )
    return service


def _default_port(port: ServicePort) -> ServicePort:
    target = port.targetPort
    if port.protocol and target not in (None, 0, ""):
        return port
    return replace(
        port, protocol=port.protocol or "TCP", targetPort=port.port if target in (None, 0, "") else target
    )


def _default_ingress(ingress: LoadBalancerIngress) -> LoadBalancerIngress:
    return replace(ingress, ipMode="VIP") if ingress.ip and ingress.ipMode is None else ingress


def validate(service: Service, old: Service | None = None) -> list[FieldError]:
    """The errors of a Service that is created, or that replaces `old`; defaults and allocations are in it."""
    spec = service.spec
    before = old.spec if old else ServiceSpec()
    errors: list[FieldError] = []
    if old is not None:
        errors += validate_metadata_update(service.metadata, old.metadata)
        errors += _validate_change(spec, before)
    errors += validate_metadata(service.metadata, names.is_dns1123_label)
    errors += _validate_topology(service)
    errors += _validate_type(spec)
    errors += _validate_ports(spec)
    errors += validate_labels(spec.selector, "spec.selector")
    errors += _validate_affinity(spec)
    errors += validate_cluster_ips(spec, before)
    for i, address in enumerate(spec.externalIPs):
        path = f"spec.externalIPs[{i}]"
        found = addresses.wrong(addresses.is_ip, path, address, old=before.externalIPs)
        errors += found or addresses.wrong(addresses.is_reachable, path, address)
    errors += _validate_source_ranges(service, old)
    errors += _validate_load_balancer(spec)
    errors += _validate_traffic(spec)
    return errors


def _validate_topology(service: Service) -> list[FieldError]:
    annotations = service.metadata.annotations
    mode, hints = annotations.get(TOPOLOGY_MODE), annotations.get(TOPOLOGY_HINTS)
    if mode is None or hints is None or mode == hints:
        return []
    path = f"metadata.annotations[{TOPOLOGY_MODE}]"
    return [invalid(path, mode, f"must match annotations[{TOPOLOGY_HINTS}] when both are specified")]


def _validate_type(spec: ServiceSpec) -> list[FieldError]:
    errors: list[FieldError] = []
    if not spec.ports and not is_headless(spec) and spec.type != "ExternalName":
        errors.append(required("spec.ports"))
    if spec.type in ("LoadBalancer", "NodePort") and is_headless(spec):
        said = f"may not be set to 'None' for {spec.type} services"
        errors.append(invalid("spec.clusterIPs[0]", "None", said))
    if spec.type == "ExternalName":
        for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if getattr(spec, field):
                errors.append(forbidden(f"spec.{field}", "may not be set for ExternalName services"))
        # A trailing dot says that the name is complete.
        name = spec.externalName.removesuffix(".")
        if not name:
            errors.append(required("spec.externalName"))
        else:
            errors += names.wrong(names.is_dns1123_subdomain, "spec.externalName", name)
    if not spec.type:
        errors.append(required("spec.type"))
    elif spec.type not in TYPES:
        errors.append(not_supported("spec.type", spec.type, TYPES))
    return errors


def _validate_ports(spec: ServiceSpec) -> list[FieldError]:
    errors: list[FieldError] = []
    names_seen: set[str] = set()
    for i, port in enumerate(spec.ports):
        path = f"spec.ports[{i}]"
        if port.name:
            errors += names.wrong(names.is_dns1123_label, f"{path}.name", port.name)
            if port.name in names_seen:
                errors.append(duplicate(f"{path}.name", port.name))
            names_seen.add(port.name)
        elif len(spec.ports) > 1:
            errors.append(required(f"{path}.name"))
        errors += [invalid(f"{path}.port", port.port, said) for said in names.is_port_number(port.port)]
        errors += validate_protocol(port.protocol, f"{path}.protocol")
        errors += validate_port_number_or_name(port.targetPort, f"{path}.targetPort")
        if port.appProtocol is not None:
            errors += names.wrong(names.is_qualified_name, f"{path}.appProtocol", port.appProtocol)
    if spec.type == "ClusterIP":
        said = "may not be used when `type` is 'ClusterIP'"
        errors += [
            forbidden(f"spec.ports[{i}].nodePort", said) for i, p in enumerate(spec.ports) if p.nodePort
        ]
    taken: set[tuple[str, int]] = set()
    for i, port in enumerate(spec.ports):
        if port.nodePort and (port.protocol, port.nodePort) in taken:
            errors.append(duplicate(f"spec.ports[{i}].nodePort", port.nodePort))
        taken.add((port.protocol, port.nodePort))
    taken = set()
    for i, port in enumerate(spec.ports):
        if (port.protocol, port.port) in taken:
            errors.append(duplicate(f"spec.ports[{i}]", _as_upstream_shows(port)))
        taken.add((port.protocol, port.port))
    return errors


def _as_upstream_shows(port: ServicePort) -> dict[str, object]:
    """The key by which ports are told apart, in the form of Go's internal type: messages show it."""
    return {
        "Name": "",
        "Protocol": port.protocol,
        "AppProtocol": None,
        "Port": port.port,
        "TargetPort": 0,
        "NodePort": 0,
    }


def validate_protocol(protocol: str | None, path: str) -> list[FieldError]:
    """The errors in the protocol of any port."""
    if not protocol:
        return [required(path)]
    return [] if protocol in PROTOCOLS else [not_supported(path, protocol, PROTOCOLS)]


def validate_port_number_or_name(port: IntOrString | None, path: str) -> list[FieldError]:
    """The errors in a port that is given by its number or by a container port's name."""
    if isinstance(port, str):
        return names.wrong(names.is_port_name, path, port)
    return [invalid(path, port or 0, said) for said in names.is_port_number(port or 0)]


def _validate_affinity(spec: ServiceSpec) -> list[FieldError]:
    kinds = ("ClientIP", "None")
    path = "spec.sessionAffinityConfig"
    if not spec.sessionAffinity:
        return [required("spec.sessionAffinity")]
    if spec.sessionAffinity not in kinds:
        return [not_supported("spec.sessionAffinity", spec.sessionAffinity, kinds)]
    config = spec.sessionAffinityConfig
    if spec.sessionAffinity == "None":
        said = "must not be set when session affinity is None"
        return [] if config is None else [forbidden(path, said)]
    said = "when session affinity type is ClientIP"
    if config is None:
        return [required(path, said)]
    if config.clientIP is None:
        return [required(f"{path}.clientIP", said)]
    seconds = config.clientIP.timeoutSeconds
    if seconds is None:
        return [required(f"{path}.clientIP.timeoutSeconds", said)]
    if not 0 < seconds <= MAX_CLIENT_IP_TIMEOUT:
        said = f"must be greater than 0 and less than {MAX_CLIENT_IP_TIMEOUT}"
        return [invalid(f"{path}.clientIP.timeoutSeconds", seconds, said)]
    return []


def _validate_source_ranges(service: Service, old: Service | None) -> list[FieldError]:
    """The field wins over the annotation that it came from. Values of the old object are let be."""
    spec, said = service.spec, "may only be used when `type` is 'LoadBalancer'"
    annotation = service.metadata.annotations.get(SOURCE_RANGES)
    errors: list[FieldError] = []
    if spec.loadBalancerSourceRanges:
        path = "spec.LoadBalancerSourceRanges"  # the capital letter is upstream's
        if spec.type != "LoadBalancer":
            errors.append(forbidden(path, said))
        known = {value.strip() for value in old.spec.loadBalancerSourceRanges} if old is not None else ()
        for i, value in enumerate(spec.loadBalancerSourceRanges):
            # They may be padded with spaces, since they once stood in the annotation.
            errors += addresses.wrong(addresses.is_cidr, f"{path}[{i}]", value.strip(), old=known)
    elif annotation is not None:
        path = f"metadata.annotations[{SOURCE_RANGES}]"
        if spec.type != "LoadBalancer":
            errors.append(forbidden(path, said))
        changed = old is None or old.metadata.annotations.get(SOURCE_RANGES) != annotation
        for value in annotation.split(",") if annotation.strip() and changed else ():
            errors += addresses.wrong(addresses.is_cidr, path, value.strip())
    return errors


def _validate_load_balancer(spec: ServiceSpec) -> list[FieldError]:
    errors: list[FieldError] = []
    balanced = spec.type == "LoadBalancer"
    said = "may only be used when `type` is 'LoadBalancer'"
    if spec.allocateLoadBalancerNodePorts is not None and not balanced:
        errors.append(forbidden("spec.allocateLoadBalancerNodePorts", said))
    if spec.allocateLoadBalancerNodePorts is None and balanced:
        errors.append(required("allocateLoadBalancerNodePorts"))
    if spec.loadBalancerClass is not None:
        if balanced:
            errors += names.wrong(names.is_qualified_name, "spec.loadBalancerClass", spec.loadBalancerClass)
        else:
            errors.append(forbidden("spec.loadBalancerClass", said))
    return errors


def _validate_traffic(spec: ServiceSpec) -> list[FieldError]:
    errors: list[FieldError] = []
    policies = ("Cluster", "Local")
    external, path = spec.externalTrafficPolicy, "spec.externalTrafficPolicy"
    if not is_external(spec):
        if external:
            errors.append(invalid(path, external, "may only be set for externally-accessible services"))
    elif not external:
        errors.append(required(path))
    elif external not in policies:
        errors.append(not_supported(path, external, policies))
    port, path = spec.healthCheckNodePort, "spec.healthCheckNodePort"
    if not needs_health_check(spec):
        if port:
            said = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            errors.append(invalid(path, port, said))
    elif not port:
        errors.append(required(path))
    else:
        errors += [invalid(path, port, said) for said in names.is_port_number(port)]
    internal, path = spec.internalTrafficPolicy, "spec.internalTrafficPolicy"
    if internal is None:
        if spec.type in ("ClusterIP", "NodePort", "LoadBalancer"):
            errors.append(required(path))
    elif internal not in policies:
        errors.append(not_supported(path, internal, policies))
    distribution = spec.trafficDistribution
    if distribution is not None and distribution not in TRAFFIC_DISTRIBUTIONS:
        errors.append(not_supported("spec.trafficDistribution", distribution, TRAFFIC_DISTRIBUTIONS))
    return errors


def _validate_change(spec: ServiceSpec, before: ServiceSpec) -> list[FieldError]:
    """The class of a load balancer and the port of its health check are for life, as the first address is."""
    errors = validate_addresses_kept(spec, before)
    if spec.type == before.type == "LoadBalancer" and spec.loadBalancerClass != before.loadBalancerClass:
        errors.append(invalid("spec.loadBalancerClass", spec.loadBalancerClass, "may not change once set"))
    checked = needs_health_check(spec) and needs_health_check(before)
    if checked and spec.healthCheckNodePort != before.healthCheckNodePort:
        errors.append(forbidden("spec.healthCheckNodePort", "field is immutable"))
    return errors


def validate_status(service: Service, old: Service) -> list[FieldError]:
    """The errors in a change of a Service's status."""
    errors = validate_metadata_update(service.metadata, old.metadata)
    spec = service.spec
    ingress = service.status.loadBalancer.ingress
    before = old.status.loadBalancer.ingress
    path = "status.loadBalancer.ingress"
    if ingress and spec.type != "LoadBalancer":
        return [*errors, forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")]
    known = {one.ip for one in before}
    for i, one in enumerate(ingress):
        at = f"{path}[{i}]"
        if one.ip:
            errors += addresses.wrong(addresses.is_ip, f"{at}.ip", one.ip, old=known)
        if one.ipMode is None and one.ip:
            errors.append(required(f"{at}.ipMode", "must be specified when `ip` is set"))
        elif one.ipMode is not None and not one.ip:
            errors.append(forbidden(f"{at}.ipMode", "may not be specified when `ip` is not set"))
        elif one.ipMode is not None and one.ipMode not in ("Proxy", "VIP"):
            errors.append(not_supported(f"{at}.ipMode", one.ipMode, ("Proxy", "VIP")))
        if one.hostname:
            errors += names.wrong(names.is_dns1123_subdomain, f"{at}.hostname", one.hostname)
            if addresses.family(one.hostname):
                said = "must be a DNS name, not an IP address"
                errors.append(invalid(f"{at}.hostname", one.hostname, said))
    return errors


def warnings(service: Service) -> list[str]:
    """What the writer of a Service that is accepted should know. Upstream: pkg/api/service/warnings.go."""
    spec = service.spec
    headless = spec.type == "ClusterIP" and spec.clusterIP == "None"
    external = spec.type == "ExternalName"
    said: list[str] = []
    if TOPOLOGY_HINTS in service.metadata.annotations:
        said.append(f"annotation {TOPOLOGY_HINTS} is deprecated, please use {TOPOLOGY_MODE} instead")
    if spec.clusterIP not in ("", "None") and not external:
        for i, address in enumerate(spec.clusterIPs):
            said += addresses.ip_warnings(f"spec.clusterIPs[{i}]", address)
    if headless:
        for field, used in (
            ("loadBalancerIP", spec.loadBalancerIP),
            ("externalIPs", spec.externalIPs),
            ("SessionAffinity", spec.sessionAffinity != "None"),
        ):
            if used:
                said.append(f"spec.{field} is ignored for headless services")
    for i, address in enumerate(spec.externalIPs):
        said += addresses.ip_warnings(f"spec.externalIPs[{i}]", address)
    if spec.externalIPs and not headless and not external:
        said.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    said += addresses.ip_warnings("spec.loadBalancerIP", spec.loadBalancerIP)
    for i, value in enumerate(spec.loadBalancerSourceRanges):
        said += addresses.cidr_warnings(f"spec.loadBalancerSourceRanges[{i}]", value)
    if external and spec.externalIPs:
        said.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if not external and spec.externalName:
        said.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.trafficDistribution == "PreferClose":
        said.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return said
