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
from fairlead.objects.labels import validate_labels
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.scalars import IntOrString
from fairlead.objects.status import FieldError, duplicate, forbidden, invalid, not_supported, required

CLIENT_IP_TIMEOUT = 10800
"""How long a client is held to its endpoint unless the Service says otherwise, in seconds."""
MAX_CLIENT_IP_TIMEOUT = 86400

TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
PROTOCOLS = ("TCP", "UDP", "SCTP")
FAMILIES = ("IPv4", "IPv6")
FAMILY_POLICIES = ("SingleStack", "PreferDualStack", "RequireDualStack")
TRAFFIC_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
TOPOLOGY_MODE = "service.kubernetes.io/topology-mode"
TOPOLOGY_HINTS = "service.kubernetes.io/topology-aware-hints"


def is_headless(spec: ServiceSpec) -> bool:
    """Whether it asks for no virtual address: clients find its endpoints through DNS."""
    return spec.clusterIP == "None" or spec.clusterIPs == ("None",)


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
    errors += _validate_source_ranges(service, before)
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
            errors.append(duplicate(f"spec.ports[{i}]", {"port": port.port, "protocol": port.protocol}))
        taken.add((port.protocol, port.port))
    return errors


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


def validate_cluster_ips(spec: ServiceSpec, before: ServiceSpec | None = None) -> list[FieldError]:
    """The errors in clusterIPs, ipFamilies and ipFamilyPolicy. The allocator asks too, before it allocates."""
    if spec.type == "ExternalName":
        return []
    path = "spec.clusterIPs"
    listed = list(spec.clusterIPs)
    errors: list[FieldError] = []
    if spec.clusterIP and not spec.clusterIPs:
        errors.append(required(path))
    elif spec.clusterIP and spec.clusterIPs[0] != spec.clusterIP:
        errors.append(invalid(path, listed, "first value must match `clusterIP`"))
    elif not spec.clusterIP and spec.clusterIPs:
        errors.append(invalid(path, listed, "must be empty when `clusterIP` is not specified"))
    for i, family in enumerate(spec.ipFamilies):
        if family not in FAMILIES:
            errors.append(not_supported(f"spec.ipFamilies[{i}]", family, FAMILIES))
        if family in spec.ipFamilies[:i]:
            errors.append(duplicate(f"spec.ipFamilies[{i}]", family))
    if spec.ipFamilyPolicy is not None and spec.ipFamilyPolicy not in FAMILY_POLICIES:
        errors.append(not_supported("spec.ipFamilyPolicy", spec.ipFamilyPolicy, FAMILY_POLICIES))
    malformed = False
    for i, address in enumerate(spec.clusterIPs):
        if i == 0 and address == "None":
            if len(spec.clusterIPs) > 1:
                malformed = True
                errors.append(invalid(path, listed, "'None' must be the first and only value"))
            continue
        found = addresses.wrong(
            addresses.is_ip, f"{path}[{i}]", address, old=before.clusterIPs if before else ()
        )
        malformed = malformed or bool(found)
        errors += found
    if len(spec.clusterIPs) > 2:
        errors.append(invalid(path, listed, "may only hold up to 2 values"))
    if malformed:
        return errors
    families = [addresses.family(address) for address in spec.clusterIPs]
    if len(families) > 1 and set(families) != set(FAMILIES):
        errors.append(invalid(path, listed, "may specify no more than one IP for each IP family"))
    if not is_headless(spec):
        for i, (address, family) in enumerate(zip(spec.clusterIPs, spec.ipFamilies, strict=False)):
            if family in FAMILIES and families[i] != family:
                said = f"expected an {family} value as indicated by `ipFamilies[{i}]`"
                errors.append(invalid(f"{path}[{i}]", address, said))
    return errors


def _validate_source_ranges(service: Service, before: ServiceSpec) -> list[FieldError]:
    spec = service.spec
    # The capital letter is upstream's.
    path, paths, ranges = "spec.LoadBalancerSourceRanges", "", list(spec.loadBalancerSourceRanges)
    annotation = service.metadata.annotations.get(SOURCE_RANGES)
    if not ranges and annotation is not None:
        path = paths = f"metadata.annotations[{SOURCE_RANGES}]"
        ranges = annotation.split(",") if annotation.strip() else []
    elif not ranges:
        return []
    errors: list[FieldError] = []
    if spec.type != "LoadBalancer":
        errors.append(forbidden(path, "may only be used when `type` is 'LoadBalancer'"))
    old = {value.strip() for value in before.loadBalancerSourceRanges}
    for i, value in enumerate(ranges):
        # They may be padded with spaces, since they once stood in the annotation.
        errors += addresses.wrong(addresses.is_cidr, paths or f"{path}[{i}]", value.strip(), old=old)
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
    """A second address may come and go; the first, and the class of a load balancer, are for life."""
    errors: list[FieldError] = []
    if "ExternalName" not in (spec.type, before.type):
        headless, was_headless = is_headless(spec), is_headless(before)
        if not (headless and was_headless):
            errors += _validate_kept(spec, before, "clusterIPs", "clusterIP")
        if not headless and not was_headless:
            errors += _validate_kept(spec, before, "ipFamilies", "ipFamily")
    if spec.type == before.type == "LoadBalancer" and spec.loadBalancerClass != before.loadBalancerClass:
        errors.append(invalid("spec.loadBalancerClass", spec.loadBalancerClass, "may not change once set"))
    checked = needs_health_check(spec) and needs_health_check(before)
    if checked and spec.healthCheckNodePort != before.healthCheckNodePort:
        errors.append(forbidden("spec.healthCheckNodePort", "field is immutable"))
    return errors


def _validate_kept(spec: ServiceSpec, before: ServiceSpec, field: str, one: str) -> list[FieldError]:
    new: tuple[str, ...] = getattr(spec, field)
    old: tuple[str, ...] = getattr(before, field)
    first = f"spec.{field}[0]"
    errors: list[FieldError] = []
    if len(new) == len(old):
        for i, (value, was) in enumerate(zip(new, old, strict=True)):
            if value != was:
                path = f"spec.{field}[{i}]" if field == "clusterIPs" else first
                errors.append(invalid(path, list(new), "may not change once set"))
        return errors
    if old and not new:
        return [invalid(first, [], f"primary {one} can not be unset")]
    if old and new[0] != old[0]:
        errors.append(invalid(first, list(new), "may not change once set"))
    if len(new) == 1 < len(old) and spec.ipFamilyPolicy != "SingleStack":
        said = f"must be set to 'SingleStack' when releasing the secondary {one}"
        errors.append(invalid("spec.ipFamilyPolicy", spec.ipFamilyPolicy, said))
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
