"""Volumes of a pod: what is filled in for the user, and what is refused.

Upstream: SetDefaults_Volume, ValidateVolumes in pkg/apis/core/validation.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from fairlead.objects import names
from fairlead.objects.core_v1 import EmptyDirVolumeSource, KeyToPath, Volume, VolumeProjection
from fairlead.objects.status import FieldError, duplicate, forbidden, invalid, required

FILE_MODE = 0o644
TOKEN_LIFETIME = 3600
"""How long a projected ServiceAccount token is good unless the volume says otherwise, in seconds."""
SOURCES = tuple(field for field in Volume.__struct_fields__ if field != "name")


def default_volume(volume: Volume) -> Volume:
    """The volume with the modes of its files; one of no kind is an emptyDir."""
    if all(getattr(volume, source) is None for source in SOURCES):
        return replace(volume, emptyDir=EmptyDirVolumeSource())
    for field in ("secret", "configMap", "downwardAPI", "projected"):
        source = getattr(volume, field)
        if source is not None and source.defaultMode is None:
            volume = replace(volume, **{field: replace(source, defaultMode=FILE_MODE)})
    if volume.projected is not None:
        sources = tuple(_default_projection(projection) for projection in volume.projected.sources)
        volume = replace(volume, projected=replace(volume.projected, sources=sources))
    if volume.hostPath is not None and volume.hostPath.type is None:
        volume = replace(volume, hostPath=replace(volume.hostPath, type=""))
    return volume


def _default_projection(projection: VolumeProjection) -> VolumeProjection:
    asked = projection.serviceAccountToken
    if asked is None or asked.expirationSeconds is not None:
        return projection
    return replace(projection, serviceAccountToken=replace(asked, expirationSeconds=TOKEN_LIFETIME))


def validate_volumes(volumes: Sequence[Volume], path: str) -> list[FieldError]:
    """The errors in the volumes of a pod."""
    errors: list[FieldError] = []
    for i, volume in enumerate(volumes):
        at = f"{path}[{i}]"
        if not volume.name:
            errors.append(required(f"{at}.name"))
        else:
            errors += names.wrong(names.is_dns1123_label, f"{at}.name", volume.name)
        if volume.name in [other.name for other in volumes[:i]]:
            errors.append(duplicate(f"{at}.name", volume.name))
        chosen = [source for source in SOURCES if getattr(volume, source) is not None]
        if not chosen:
            errors.append(required(at, "must specify a volume type"))
        said = "may not specify more than one volume type"
        errors += [forbidden(f"{at}.{source}", said) for source in chosen[1:]]
        errors += _validate_source(volume, at)
    return errors


def _validate_source(volume: Volume, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if volume.hostPath is not None:
        if not volume.hostPath.path:
            errors.append(required(f"{path}.hostPath.path"))
        elif ".." in volume.hostPath.path.split("/"):
            errors.append(invalid(f"{path}.hostPath.path", volume.hostPath.path, "must not contain '..'"))
    if volume.secret is not None:
        if not volume.secret.secretName:
            errors.append(required(f"{path}.secret.secretName"))
        errors += _validate_items(volume.secret.items, f"{path}.secret.items")
        errors += _validate_mode(volume.secret.defaultMode, f"{path}.secret.defaultMode")
    if volume.configMap is not None:
        if not volume.configMap.name:
            errors.append(required(f"{path}.configMap.name"))
        errors += _validate_items(volume.configMap.items, f"{path}.configMap.items")
        errors += _validate_mode(volume.configMap.defaultMode, f"{path}.configMap.defaultMode")
    if volume.persistentVolumeClaim is not None and not volume.persistentVolumeClaim.claimName:
        errors.append(required(f"{path}.persistentVolumeClaim.claimName"))
    return errors


def _validate_items(items: Sequence[KeyToPath], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for i, item in enumerate(items):
        at = f"{path}[{i}]"
        if not item.key:
            errors.append(required(f"{at}.key"))
        if not item.path:
            errors.append(required(f"{at}.path"))
        elif item.path.startswith("/"):
            errors.append(invalid(f"{at}.path", item.path, "must be a relative path"))
        elif ".." in item.path.split("/"):
            errors.append(invalid(f"{at}.path", item.path, "must not contain '..'"))
        errors += _validate_mode(item.mode, f"{at}.mode")
    return errors


def _validate_mode(mode: int | None, path: str) -> list[FieldError]:
    if mode is None or 0 <= mode <= 0o777:
        return []
    return [invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive")]
