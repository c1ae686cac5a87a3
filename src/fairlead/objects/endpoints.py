"""Endpoints: what is filled in for the user, and what is refused.

Upstream: pkg/apis/core/validation/validation.go (ValidateEndpoints). Node names may change from one update to the next,
since addresses are used again.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from fairlead.objects import addresses, names
from fairlead.objects.core_v1 import EndpointAddress, EndpointPort, Endpoints, EndpointSubset
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.services import validate_protocol
from fairlead.objects.status import FieldError, invalid, required

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
CONTROLLER = "endpoint-controller"


def default(endpoints: Endpoints) -> Endpoints:
    """The Endpoints with TCP for every port that names no protocol."""
    if all(port.protocol for subset in endpoints.subsets for port in subset.ports):
        return endpoints
    return replace(endpoints, subsets=tuple(_default_subset(subset) for subset in endpoints.subsets))


def _default_subset(subset: EndpointSubset) -> EndpointSubset:
    ports = tuple(port if port.protocol else replace(port, protocol="TCP") for port in subset.ports)
    return replace(subset, ports=ports)


def validate(endpoints: Endpoints, old: Endpoints | None = None) -> list[FieldError]:
    """The errors of Endpoints that are created, or that replace `old`."""
    errors: list[FieldError] = []
    known: set[str] = set()
    if old is not None:
        errors += validate_metadata_update(endpoints.metadata, old.metadata)
        for subset in old.subsets:
            known.update(address.ip for address in subset.addresses + subset.notReadyAddresses)
    errors += validate_metadata(endpoints.metadata, names.is_dns1123_subdomain)
    for i, subset in enumerate(endpoints.subsets):
        path = f"subsets[{i}]"
        if not subset.addresses and not subset.notReadyAddresses:
            errors.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
        for j, address in enumerate(subset.addresses):
            errors += _validate_address(address, f"{path}.addresses[{j}]", known)
        for j, address in enumerate(subset.notReadyAddresses):
            errors += _validate_address(address, f"{path}.notReadyAddresses[{j}]", known)
        for j, port in enumerate(subset.ports):
            errors += _validate_port(port, f"{path}.ports[{j}]", named=len(subset.ports) > 1)
    return errors


def _validate_address(address: EndpointAddress, path: str, known: Collection[str]) -> list[FieldError]:
    errors = addresses.wrong(addresses.is_ip, f"{path}.ip", address.ip, old=known)
    if address.hostname:
        errors += names.wrong(names.is_dns1123_label, f"{path}.hostname", address.hostname)
    if address.nodeName is not None:
        errors += names.wrong(names.is_dns1123_subdomain, f"{path}.nodeName", address.nodeName)
    return errors + addresses.wrong(addresses.is_reachable, f"{path}.ip", address.ip)


def _validate_port(port: EndpointPort, path: str, *, named: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    if port.name:
        errors += names.wrong(names.is_dns1123_label, f"{path}.name", port.name)
    elif named:
        errors.append(required(f"{path}.name"))
    errors += [invalid(f"{path}.port", port.port, said) for said in names.is_port_number(port.port)]
    errors += validate_protocol(port.protocol, f"{path}.protocol")
    if port.appProtocol is not None:
        errors += names.wrong(names.is_qualified_name, f"{path}.appProtocol", port.appProtocol)
    return errors


def warnings(endpoints: Endpoints) -> list[str]:
    """Addresses in an unusual form; the controller's own are not looked at. Upstream: endpointsWarnings."""
    if endpoints.metadata.labels.get(MANAGED_BY) == CONTROLLER:
        return []
    said: list[str] = []
    for i, subset in enumerate(endpoints.subsets):
        for field in ("addresses", "notReadyAddresses"):
            for j, address in enumerate(getattr(subset, field)):
                if not addresses.is_usual(address.ip):
                    said += addresses.ip_warnings(f"subsets[{i}].{field}[{j}].ip", address.ip)
    return said
