"""IPAddresses: what is refused. Upstream: pkg/apis/networking/validation (ValidateIPAddress)."""

from __future__ import annotations

from fairlead.objects import addresses, names
from fairlead.objects.metadata import unchanged, validate_metadata, validate_metadata_update
from fairlead.objects.networking_v1 import IPAddress
from fairlead.objects.status import FieldError, required


def is_name(value: str) -> tuple[str, ...]:
    """An address in the one form that names its object: canonical, so that no address has two objects."""
    if said := addresses.is_ip(value):
        return said
    if addresses.canonical(value) != value:
        return (f'must be in canonical form ("{addresses.canonical(value)}")',)
    return ()


def validate(address: IPAddress, old: IPAddress | None = None) -> list[FieldError]:
    """The errors of an IPAddress that is created, or that replaces `old`."""
    errors: list[FieldError] = []
    parent = address.spec.parentRef
    if old is not None:
        errors += validate_metadata_update(address.metadata, old.metadata)
        errors += unchanged(parent, old.spec.parentRef, "spec.parentRef")
    errors += validate_metadata(address.metadata, is_name, namespaced=False)
    path = "spec.parentRef"
    if not (parent.resource or parent.name or parent.namespace or parent.group):
        return [*errors, required(path)]
    if parent.group:
        errors += names.wrong(names.is_dns1123_subdomain, f"{path}.group", parent.group)
    for field, value in (("resource", parent.resource), ("name", parent.name)):
        if not value:
            errors.append(required(f"{path}.{field}"))
        else:
            errors += names.wrong(names.is_path_segment, f"{path}.{field}", value)
    if parent.namespace:
        errors += names.wrong(names.is_path_segment, f"{path}.namespace", parent.namespace)
    return errors
