"""PersistentVolumeClaims: what is filled in for the user, and what is refused. Nothing here provides volumes.

Upstream: ValidatePersistentVolumeClaim, ValidatePersistentVolumeClaimUpdate in pkg/apis/core/validation.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from fairlead.objects import labels, names
from fairlead.objects.core_v1 import PersistentVolumeClaim, PersistentVolumeClaimSpec
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.status import FieldError, forbidden, not_supported, required

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")


def default(claim: PersistentVolumeClaim) -> PersistentVolumeClaim:
    """The claim with the mode of its volume, waiting for one."""
    spec, status = claim.spec, claim.status
    return replace(
        claim,
        spec=replace(spec, volumeMode=spec.volumeMode or "Filesystem"),
        status=replace(status, phase=status.phase or "Pending"),
    )


def validate(claim: PersistentVolumeClaim, old: PersistentVolumeClaim | None = None) -> list[FieldError]:
    """The errors of a claim that is created, or that replaces `old`; defaults are in it."""
    errors = validate_metadata_update(claim.metadata, old.metadata) if old is not None else []
    errors += validate_metadata(claim.metadata, names.is_dns1123_subdomain)
    errors += _validate_spec(claim.spec)
    if old is not None:
        kept = replace(
            claim.spec,
            volumeName=old.spec.volumeName or claim.spec.volumeName,
            resources=old.spec.resources,
            volumeAttributesClassName=old.spec.volumeAttributesClassName,
        )
        before = replace(old.spec, volumeName=kept.volumeName)
        changed = kept != before or claim.spec.volumeName != kept.volumeName
        asks = claim.spec.resources != old.spec.resources and old.status.phase != "Bound"
        if changed or asks:
            said = "spec is immutable after creation except resources.requests and volumeAttributesClassName "
            errors.append(forbidden("spec", f"{said}for bound claims"))
    return errors


def wrong_modes(modes: Sequence[str]) -> list[FieldError]:
    """What is wrong with the access modes of a claim, or of a volume, besides that there are none."""
    errors = [
        not_supported("spec.accessModes", mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES
    ]
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        said = "may not use ReadWriteOncePod with other access modes"
        errors.append(forbidden("spec.accessModes", said))
    return errors


def _validate_spec(spec: PersistentVolumeClaimSpec) -> list[FieldError]:
    errors: list[FieldError] = []
    if not spec.accessModes:
        errors.append(required("spec.accessModes", "at least 1 access mode is required"))
    errors += labels.validate_selector(spec.selector, "spec.selector")
    errors += wrong_modes(spec.accessModes)
    if "storage" not in spec.resources.requests:
        errors.append(required("spec.resources[storage]"))
    if spec.storageClassName:
        errors += names.wrong(names.is_dns1123_subdomain, "spec.storageClassName", spec.storageClassName)
    if spec.volumeMode not in VOLUME_MODES:
        errors.append(not_supported("spec.volumeMode", spec.volumeMode, VOLUME_MODES))
    return errors
