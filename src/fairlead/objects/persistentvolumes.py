"""PersistentVolumes: what is filled in for the user, and what is refused.

Upstream: ValidatePersistentVolume, ValidatePersistentVolumeUpdate in pkg/apis/core/validation.
"""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects import names, quantities
from fairlead.objects.core_v1 import PersistentVolume, PersistentVolumeSource, PersistentVolumeSpec
from fairlead.objects.metadata import unchanged, validate_metadata, validate_metadata_update
from fairlead.objects.persistentvolumeclaims import VOLUME_MODES, wrong_modes
from fairlead.objects.status import FieldError, forbidden, invalid, not_supported, required

RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
SOURCES = PersistentVolumeSource.__struct_fields__


def default(volume: PersistentVolume) -> PersistentVolume:
    """The volume with its mode and what becomes of it when its claim goes."""
    spec, status = volume.spec, volume.status
    host_path = spec.hostPath
    if host_path is not None and host_path.type is None:
        host_path = replace(host_path, type="")
    return replace(
        volume,
        spec=replace(
            spec,
            hostPath=host_path,
            volumeMode=spec.volumeMode or "Filesystem",
            persistentVolumeReclaimPolicy=spec.persistentVolumeReclaimPolicy or "Retain",
        ),
        status=replace(status, phase=status.phase or "Pending"),
    )


def sources(spec: PersistentVolumeSpec) -> list[str]:
    """The kinds of storage that are named; a valid volume has one."""
    return [name for name in SOURCES if getattr(spec, name) is not None]


def validate(volume: PersistentVolume, old: PersistentVolume | None = None) -> list[FieldError]:
    """The errors of a volume that is created, or that replaces `old`: where it is never changes."""
    errors = validate_metadata_update(volume.metadata, old.metadata) if old is not None else []
    errors += validate_metadata(volume.metadata, names.is_dns1123_subdomain, namespaced=False)
    errors += _validate_spec(volume.spec)
    if old is not None:
        if any(getattr(volume.spec, name) != getattr(old.spec, name) for name in SOURCES):
            said = "spec.persistentvolumesource is immutable after creation"
            errors.append(forbidden("spec.persistentvolumesource", said))
        errors += unchanged(volume.spec.volumeMode, old.spec.volumeMode, "spec.volumeMode")
    return errors


def _validate_spec(spec: PersistentVolumeSpec) -> list[FieldError]:
    errors: list[FieldError] = []
    if not spec.accessModes:
        errors.append(required("spec.accessModes"))
    errors += wrong_modes(spec.accessModes)
    if not spec.capacity:
        errors.append(required("spec.capacity"))
    if set(spec.capacity) != {"storage"}:
        errors.append(not_supported("spec.capacity", dict(spec.capacity), ("storage",)))
    elif quantities.parse(spec.capacity["storage"]) <= 0:
        errors.append(
            invalid("spec.capacity[storage]", spec.capacity["storage"], "must be greater than zero")
        )
    if spec.persistentVolumeReclaimPolicy not in RECLAIM_POLICIES:
        policy = spec.persistentVolumeReclaimPolicy
        errors.append(not_supported("spec.persistentVolumeReclaimPolicy", policy, RECLAIM_POLICIES))
    found = sources(spec)
    errors += [forbidden(f"spec.{name}", "may not specify more than 1 volume type") for name in found[1:]]
    if not found:
        errors.append(required("spec", "must specify a volume type"))
    errors += _validate_paths(spec)
    if spec.storageClassName:
        errors += names.wrong(names.is_dns1123_subdomain, "spec.storageClassName", spec.storageClassName)
    if spec.volumeMode not in VOLUME_MODES:
        errors.append(not_supported("spec.volumeMode", spec.volumeMode, VOLUME_MODES))
    return errors


def _validate_paths(spec: PersistentVolumeSpec) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, source in (("hostPath", spec.hostPath), ("local", spec.local)):
        if source is None:
            continue
        if not source.path:
            errors.append(required(f"spec.{name}.path"))
        elif ".." in source.path.split("/"):
            errors.append(invalid(f"spec.{name}.path", source.path, "must not contain '..'"))
    if spec.local is not None and (spec.nodeAffinity is None or spec.nodeAffinity.required is None):
        errors.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
    return errors
