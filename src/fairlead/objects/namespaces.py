"""Namespaces: what is filled in for the user, and what is refused. Upstream: ValidateNamespace."""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects import names
from fairlead.objects.core_v1 import Namespace
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.status import FieldError, invalid

NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"


def default(namespace: Namespace) -> Namespace:
    """The namespace with the label that selectors know it by, and its phase."""
    meta = namespace.metadata
    if meta.name and meta.labels.get(NAME_LABEL) != meta.name:
        namespace = replace(namespace, metadata=replace(meta, labels={**meta.labels, NAME_LABEL: meta.name}))
    if not namespace.status.phase:
        namespace = replace(namespace, status=replace(namespace.status, phase="Active"))
    return namespace


def validate(namespace: Namespace, old: Namespace | None = None) -> list[FieldError]:
    """The errors of a namespace that is created, or that replaces `old`."""
    errors = validate_metadata_update(namespace.metadata, old.metadata) if old is not None else []
    errors += validate_metadata(namespace.metadata, names.is_dns1123_label, namespaced=False)
    for finalizer in namespace.spec.finalizers:
        errors += names.wrong(names.is_qualified_name, "spec.finalizers", finalizer)
        if "/" not in finalizer and finalizer != FINALIZER:
            said = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(invalid("spec.finalizers", finalizer, said))
    return errors


def validate_status(namespace: Namespace, old: Namespace) -> list[FieldError]:
    """The errors in a change of a namespace's status."""
    errors = validate_metadata_update(namespace.metadata, old.metadata)
    deleted = namespace.metadata.deletionTimestamp is not None
    phase, expected = namespace.status.phase, "Terminating" if deleted else "Active"
    if phase != expected:
        said = f"may only be '{expected}' if `deletionTimestamp` is {'not ' if deleted else ''}empty"
        errors.append(invalid("status.Phase", phase, said))
    return errors
