"""The metadata of every object: its form, and what may change of it.

Upstream: apimachinery/pkg/api/validation/objectmeta.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from fairlead.objects import names
from fairlead.objects.labels import validate_labels
from fairlead.objects.meta_v1 import ObjectMeta, OwnerReference
from fairlead.objects.status import FieldError, forbidden, immutable, invalid, required, too_long

ANNOTATIONS_SIZE = 256 * 1024
"""The limit on keys and values of all annotations together, in bytes."""

T = TypeVar("T")


def validate_metadata(
    meta: ObjectMeta, check_name: names.Check, *, namespaced: bool = True, path: str = "metadata"
) -> list[FieldError]:
    """The errors in the metadata of an object, whose name has been generated already."""
    errors: list[FieldError] = []
    if meta.generateName:
        relaxed = names.without_trailing_dash(check_name)
        errors += names.wrong(relaxed, f"{path}.generateName", meta.generateName)
    if not meta.name:
        errors.append(required(f"{path}.name", "name or generateName is required"))
    else:
        errors += names.wrong(check_name, f"{path}.name", meta.name)
    if namespaced and not meta.namespace:
        errors.append(required(f"{path}.namespace"))
    elif namespaced:
        errors += names.wrong(names.is_dns1123_label, f"{path}.namespace", meta.namespace)
    elif meta.namespace:
        errors.append(forbidden(f"{path}.namespace", "not allowed on this type"))
    if meta.generation < 0:
        errors.append(invalid(f"{path}.generation", meta.generation, "must be greater than or equal to 0"))
    return errors + _validate_changeable(meta, path)


def validate_metadata_update(meta: ObjectMeta, old: ObjectMeta, path: str = "metadata") -> list[FieldError]:
    """The errors in a change of metadata. What the system sets has been filled in already (`inherit`)."""
    errors: list[FieldError] = []
    if old.deletionTimestamp is not None:
        added = sorted(set(meta.finalizers) - set(old.finalizers))
        if added:
            said = "no new finalizers can be added if the object is being deleted, found new finalizers "
            listed = ", ".join(f'"{name}"' for name in added)
            errors.append(forbidden(f"{path}.finalizers", f"{said}[]string{{{listed}}}"))
    if not meta.resourceVersion:
        errors.append(invalid(f"{path}.resourceVersion", "", "must be specified for an update"))
    if meta.generation < old.generation:
        errors.append(invalid(f"{path}.generation", meta.generation, "must not be decremented"))
    for field in (
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ):
        if getattr(meta, field) != getattr(old, field):
            errors.append(immutable(f"{path}.{field}", getattr(meta, field)))
    return errors + _validate_changeable(meta, path, old)


def inherit(meta: ObjectMeta, old: ObjectMeta) -> ObjectMeta:
    """The metadata of an update with what only the system sets taken from the old object, where it was left out."""
    return msgspec.structs.replace(
        meta,
        uid=meta.uid or old.uid,
        resourceVersion=meta.resourceVersion or old.resourceVersion,
        generation=meta.generation or old.generation,
        creationTimestamp=meta.creationTimestamp or old.creationTimestamp,
        deletionTimestamp=old.deletionTimestamp,
        deletionGracePeriodSeconds=old.deletionGracePeriodSeconds,
        selfLink="",
    )


def _validate_changeable(meta: ObjectMeta, path: str, old: ObjectMeta | None = None) -> list[FieldError]:
    """What may change. The very values of `old` were judged when they were stored."""
    errors: list[FieldError] = []
    if meta.labels and (old is None or meta.labels is not old.labels):
        errors += validate_labels(meta.labels, f"{path}.labels")
    if meta.annotations and (old is None or meta.annotations is not old.annotations):
        errors += validate_annotations(meta.annotations, f"{path}.annotations")
    if meta.ownerReferences and (old is None or meta.ownerReferences is not old.ownerReferences):
        errors += _validate_owners(meta.ownerReferences, f"{path}.ownerReferences")
    if not meta.finalizers:
        return errors
    for finalizer in meta.finalizers:
        errors += names.wrong(names.is_qualified_name, f"{path}.finalizers", finalizer)
    if {"orphan", "foregroundDeletion"} <= set(meta.finalizers):
        said = "finalizer orphan and foregroundDeletion cannot be both set"
        errors.append(invalid(f"{path}.finalizers", list(meta.finalizers), said))
    return errors


def validate_annotations(annotations: Mapping[str, str], path: str) -> list[FieldError]:
    """The errors in the keys of annotations, and their size."""
    errors: list[FieldError] = []
    size = 0
    for key, value in annotations.items():
        size += len(key.encode()) + len(value.encode())
        # The rule is that of labels but for the letter case.
        errors += [invalid(path, key, said) for said in names.is_qualified_name(key.lower())]
    if size > ANNOTATIONS_SIZE:
        errors.append(too_long(path, ANNOTATIONS_SIZE))
    return errors


def _validate_owners(owners: tuple[OwnerReference, ...], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    controller = ""
    for owner in owners:
        if not owner.apiVersion:
            errors.append(invalid(f"{path}.apiVersion", owner.apiVersion, "version must not be empty"))
        for field in ("kind", "name", "uid"):
            if not getattr(owner, field):
                errors.append(invalid(f"{path}.{field}", "", "must not be empty"))
        if owner.apiVersion == "v1" and owner.kind == "Event":
            errors.append(invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner"))
        if owner.controller:
            this = f"{owner.kind}/{owner.name}"
            if controller:
                said = 'Only one reference can have Controller set to true. Found "true" in references for '
                errors.append(invalid(path, list(owners), f"{said}{controller} and {this}"))
            controller = controller or this
    return errors


def unchanged(new: object, old: object, path: str) -> list[FieldError]:
    """The error of a field that may not change, where it did."""
    return [] if new == old else [immutable(path, new)]
