"""StorageClasses: what is filled in for the user, and what is refused. Upstream: pkg/apis/storage/validation."""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects import names
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.status import FieldError, forbidden, invalid, not_supported, required
from fairlead.objects.storage_v1 import StorageClass

POLICIES = ("Delete", "Retain")
BINDING_MODES = ("Immediate", "WaitForFirstConsumer")
NO_PROVISIONER = "kubernetes.io/no-provisioner"
"""The provisioner of classes whose volumes somebody makes by hand."""


def default(storage_class: StorageClass) -> StorageClass:
    """The class with what becomes of its volumes, and when they are chosen."""
    return replace(
        storage_class,
        reclaimPolicy=storage_class.reclaimPolicy or "Delete",
        volumeBindingMode=storage_class.volumeBindingMode or "Immediate",
    )


def validate(storage_class: StorageClass, old: StorageClass | None = None) -> list[FieldError]:
    """The errors of a class that is created, or that replaces `old`: only what may be grown and mounted changes."""
    errors = validate_metadata_update(storage_class.metadata, old.metadata) if old is not None else []
    errors += validate_metadata(storage_class.metadata, names.is_dns1123_subdomain, namespaced=False)
    if old is not None:
        for field in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
            if getattr(storage_class, field) != getattr(old, field):
                errors.append(forbidden(field, f"updates to {field} are forbidden."))
        return errors
    if not storage_class.provisioner:
        errors.append(required("provisioner"))
    else:
        said = names.is_qualified_name(storage_class.provisioner.lower())
        errors += [invalid("provisioner", storage_class.provisioner, why) for why in said]
    errors += [
        required(f"parameters[{key}]", "field can not be empty.")
        for key in storage_class.parameters
        if not key
    ]
    for field, known in (("reclaimPolicy", POLICIES), ("volumeBindingMode", BINDING_MODES)):
        value = getattr(storage_class, field)
        if value not in known:
            errors.append(not_supported(field, value, known))
    return errors
