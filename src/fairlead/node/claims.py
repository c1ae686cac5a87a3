"""Persistent volume claims: where on this machine the files of one are.

A claim that is bound has a volume, of which a path of this machine (`hostPath`, `local`) can be mounted. Where nobody
binds claims, a claim has a folder of the node's own, as if it were bound. There is no storage behind either.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path

from fairlead.client.api import Api
from fairlead.objects.core_v1 import HostPathVolumeSource, PersistentVolume, PersistentVolumeClaim
from fairlead.objects.resources import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES
from fairlead.objects.status import StatusError

PATIENCE = 1.0
"""Seconds for which a claim that is about to be bound is asked again before the pod is told to wait."""

PAUSE = 0.05


class ClaimError(OSError):
    """The claim cannot be mounted, or not yet; the message is upstream's where it has one."""


async def find(api: Api, namespace: str, name: str, *, bound: bool) -> PersistentVolumeClaim:
    """The claim; with `bound` only when it has its volume. Raises `ClaimError`, and StatusError of the API."""
    for _ in range(int(PATIENCE / PAUSE)):
        try:
            claim = await api.get(PERSISTENTVOLUMECLAIMS, name, namespace)
        except StatusError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            raise ClaimError(f'persistentvolumeclaim "{name}" not found') from error
        if not bound or claim.status.phase == "Bound":
            return claim
        await asyncio.sleep(PAUSE)
    phase = f"can't use PVC {namespace}/{name}: PVC is not bound"
    raise ClaimError(f"{phase}: it waits for a PersistentVolume that suits it (kubectl describe pvc {name})")


async def source(api: Api, claim: PersistentVolumeClaim) -> HostPathVolumeSource | None:
    """The path of the claim's volume; None where it names none. Raises `ClaimError` for storage that is no path."""
    if not claim.spec.volumeName:
        return None
    try:
        volume = await api.get(PERSISTENTVOLUMES, claim.spec.volumeName)
    except StatusError as error:
        if error.code != HTTPStatus.NOT_FOUND:
            raise
        raise ClaimError(f'persistentvolume "{claim.spec.volumeName}" not found') from error
    return path_of(volume)


def path_of(volume: PersistentVolume) -> HostPathVolumeSource:
    """Where a volume is on this machine. Raises `ClaimError` where it is storage of another kind."""
    spec = volume.spec
    if spec.hostPath is not None:
        return spec.hostPath
    if spec.local is not None:
        return HostPathVolumeSource(path=spec.local.path, type="Directory")
    raise ClaimError(
        f'the PersistentVolume "{volume.metadata.name}" is neither hostPath nor local: see docs/pods.md'
    )


def folder(directory: Path, claim: PersistentVolumeClaim) -> Path:
    """The folder for a claim. A claim that was deleted and made again has a new one."""
    meta = claim.metadata
    return directory / meta.namespace / f"{meta.name}.{meta.uid}"


def make(path: Path) -> None:
    """Makes a claim's folder, if need be: everybody may write."""
    path.mkdir(parents=True, exist_ok=True, mode=0o755)
    path.chmod(0o777)
