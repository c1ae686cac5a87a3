"""EndpointSlices: what is filled in for the user, and what is refused.

Upstream: pkg/apis/discovery/validation/validation.go. Port numbers are not checked there, so they are not here.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from fairlead.objects import addresses, names
from fairlead.objects.discovery_v1 import Endpoint, EndpointHints, EndpointPort, EndpointSlice
from fairlead.objects.labels import validate_labels
from fairlead.objects.metadata import unchanged, validate_metadata, validate_metadata_update
from fairlead.objects.services import validate_protocol
from fairlead.objects.status import FieldError, duplicate, invalid, not_supported, required, too_many

ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
MAX_ENDPOINTS = 1000
MAX_ADDRESSES = 100
MAX_PORTS = 20000
MAX_HINTS = 8
MAX_TOPOLOGY = 16
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
CONTROLLER = "endpointslice-controller.k8s.io"
ZONE = "topology.kubernetes.io/zone"


def default(endpoint_slice: EndpointSlice) -> EndpointSlice:
    """The slice with a name, possibly empty, and a protocol for every port."""
    return replace(endpoint_slice, ports=tuple(_default_port(port) for port in endpoint_slice.ports))


def _default_port(port: EndpointPort) -> EndpointPort:
    name = "" if port.name is None else port.name
    return replace(port, name=name, protocol="TCP" if port.protocol is None else port.protocol)


def validate(endpoint_slice: EndpointSlice, old: EndpointSlice | None = None) -> list[FieldError]:
    """The errors of a slice that is created, or that replaces `old`."""
    errors: list[FieldError] = []
    known: set[str] = set()
    if old is not None:
        errors += validate_metadata_update(endpoint_slice.metadata, old.metadata)
        errors += unchanged(endpoint_slice.addressType, old.addressType, "addressType")
        for endpoint in old.endpoints:
            known.update(endpoint.addresses)
    errors += validate_metadata(endpoint_slice.metadata, names.is_dns1123_subdomain)
    kind = endpoint_slice.addressType
    if not kind:
        errors.append(required("addressType"))
    elif kind not in ADDRESS_TYPES:
        errors.append(not_supported("addressType", kind, ADDRESS_TYPES))
    if len(endpoint_slice.endpoints) > MAX_ENDPOINTS:
        errors.append(too_many("endpoints", len(endpoint_slice.endpoints), MAX_ENDPOINTS))
    else:
        for i, endpoint in enumerate(endpoint_slice.endpoints):
            if kind != "IPv4" or not _is_usual(endpoint):
                errors += _validate_endpoint(endpoint, kind, f"endpoints[{i}]", known)
    return errors + _validate_ports(endpoint_slice.ports)


def _is_usual(endpoint: Endpoint) -> bool:
    """Whether there is nothing to say of an IPv4 endpoint: most are so, and a slice has a hundred of them."""
    if len(endpoint.addresses) != 1 or endpoint.hostname is not None or endpoint.hints is not None:
        return False
    if endpoint.deprecatedTopology or not addresses.is_plain(endpoint.addresses[0]):
        return False
    return endpoint.nodeName is None or not names.is_dns1123_subdomain(endpoint.nodeName)


def _validate_endpoint(endpoint: Endpoint, kind: str, path: str, known: Collection[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    listed = endpoint.addresses
    if not listed:
        errors.append(required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(listed) > MAX_ADDRESSES:
        errors.append(too_many(f"{path}.addresses", len(listed), MAX_ADDRESSES))
    for i, address in enumerate(listed):
        if kind == "IPv4" and addresses.is_plain(address):
            continue
        errors += _validate_address(address, kind, f"{path}.addresses[{i}]", known)
    if endpoint.nodeName is not None and names.is_dns1123_subdomain(endpoint.nodeName):
        errors += names.wrong(names.is_dns1123_subdomain, f"{path}.nodeName", endpoint.nodeName)
    if endpoint.deprecatedTopology:
        at = f"{path}.deprecatedTopology"
        if len(endpoint.deprecatedTopology) > MAX_TOPOLOGY:
            errors.append(too_many(at, len(endpoint.deprecatedTopology), MAX_TOPOLOGY))
        errors += validate_labels(endpoint.deprecatedTopology, at)
        if ZONE in endpoint.deprecatedTopology:
            errors.append(invalid(f"{at}[{ZONE}]", "", "deprecated"))
    if endpoint.hostname is not None:
        errors += names.wrong(names.is_dns1123_label, f"{path}.hostname", endpoint.hostname)
    if endpoint.hints is not None:
        errors += _validate_hints(endpoint.hints, f"{path}.hints")
    return errors


def _validate_address(address: str, kind: str, path: str, known: Collection[str]) -> list[FieldError]:
    if kind == "FQDN":
        return _validate_domain(address, path)
    if kind not in ("IPv4", "IPv6"):
        return []
    check = addresses.is_ipv4 if kind == "IPv4" else addresses.is_ipv6
    errors = addresses.wrong(check, path, address, old=known if addresses.family(address) == kind else ())
    return errors + addresses.wrong(addresses.is_reachable, path, address)


def _validate_domain(name: str, path: str) -> list[FieldError]:
    if not name:
        return [required(path)]
    name = name.removesuffix(".")
    if said := names.is_dns1123_subdomain(name):
        return [invalid(path, name, ",".join(said))]
    labels = name.split(".")
    if len(labels) < 2:
        return [invalid(path, name, "should be a domain with at least two segments separated by dots")]
    wrong = [(label, names.is_dns1123_label(label)) for label in labels]
    return [invalid(path, label, ",".join(said)) for label, said in wrong if said]


def _validate_hints(hints: EndpointHints, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for field, check in (("forZones", names.is_label_value), ("forNodes", names.is_dns1123_subdomain)):
        listed = [hint.name for hint in getattr(hints, field)]
        if len(listed) > MAX_HINTS:
            errors.append(too_many(f"{path}.{field}", len(listed), MAX_HINTS))
            continue
        for i, name in enumerate(listed):
            if name in listed[:i]:
                errors.append(duplicate(f"{path}.{field}[{i}].name", name))
            errors += names.wrong(check, f"{path}.{field}[{i}].name", name)
    return errors


def _validate_ports(ports: tuple[EndpointPort, ...]) -> list[FieldError]:
    if len(ports) > MAX_PORTS:
        return [too_many("ports", len(ports), MAX_PORTS)]
    errors: list[FieldError] = []
    seen: set[str] = set()
    for i, port in enumerate(ports):
        path, name = f"ports[{i}]", port.name or ""
        if name:
            errors += names.wrong(names.is_dns1123_label, f"{path}.name", name)
        if name in seen:
            errors.append(duplicate(f"{path}.name", name))
        seen.add(name)
        errors += validate_protocol(port.protocol, f"{path}.protocol")
        if port.appProtocol is not None:
            errors += names.wrong(names.is_qualified_name, f"{path}.appProtocol", port.appProtocol)
    return errors


def warnings(endpoint_slice: EndpointSlice) -> list[str]:
    """A deprecated type, addresses in an unusual form; the controller's own are not looked at.

    Upstream: pkg/registry/discovery/endpointslice/strategy.go.
    """
    if endpoint_slice.addressType == "FQDN":
        return ["spec.addressType: FQDN endpoints are deprecated"]
    if endpoint_slice.metadata.labels.get(MANAGED_BY) == CONTROLLER:
        return []
    said: list[str] = []
    for i, endpoint in enumerate(endpoint_slice.endpoints):
        for j, address in enumerate(endpoint.addresses):
            if not addresses.is_usual(address):
                said += addresses.ip_warnings(f"endpoints[{i}].addresses[{j}]", address)
    return said
