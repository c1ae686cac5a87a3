"""What tables show of volumes, their claims and their classes. Upstream: pkg/printers/internalversion/printers.go."""

from __future__ import annotations

from collections.abc import Iterable

from fairlead.apiserver.ages import since
from fairlead.apiserver.rows import UNSET, Cells
from fairlead.objects import core_v1, storage_v1

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def persistentvolume(volume: core_v1.PersistentVolume, now: float) -> Cells:
    """Name, size, access, what becomes of it, status, claim, class, attributes' class, reason, age, mode."""
    spec, status = volume.spec, volume.status
    claim, attributes = spec.claimRef, spec.volumeAttributesClassName
    return [
        volume.metadata.name,
        str(spec.capacity.get("storage", "0")),
        ",".join(short for mode, short in MODES.items() if mode in spec.accessModes),
        spec.persistentVolumeReclaimPolicy,
        "Terminating" if volume.metadata.deletionTimestamp is not None else status.phase,
        f"{claim.namespace}/{claim.name}" if claim is not None else "",
        spec.storageClassName,
        UNSET if attributes is None else attributes,
        status.reason,
        since(volume.metadata.creationTimestamp, now),
        spec.volumeMode or UNSET,
    ]


def storageclass(storage_class: storage_v1.StorageClass, now: float) -> Cells:
    """Name, provisioner, what becomes of volumes, when they are chosen, whether they grow, age."""
    default = storage_class.metadata.annotations.get(DEFAULT_CLASS) == "true"
    return [
        storage_class.metadata.name + (" (default)" if default else ""),
        storage_class.provisioner,
        storage_class.reclaimPolicy or "Delete",
        storage_class.volumeBindingMode or UNSET,
        bool(storage_class.allowVolumeExpansion),
        since(storage_class.metadata.creationTimestamp, now),
    ]


def persistentvolumeclaim(claim: core_v1.PersistentVolumeClaim, now: float) -> Cells:
    """Name, status, volume, size, access, class, attributes' class, age, mode."""
    spec, status = claim.spec, claim.status
    ending = claim.metadata.deletionTimestamp is not None
    bound = bool(spec.volumeName)
    modes: Iterable[str] = status.accessModes if bound else ()
    attributes = spec.volumeAttributesClassName
    return [
        claim.metadata.name,
        "Terminating" if ending else status.phase,
        spec.volumeName,
        str(status.capacity.get("storage", "0")) if bound else "",
        ",".join(short for mode, short in MODES.items() if mode in modes),
        spec.storageClassName or "",
        UNSET if attributes is None else attributes,
        since(claim.metadata.creationTimestamp, now),
        spec.volumeMode or UNSET,
    ]
