"""Binds the persistent volume claims of a lab: to a volume that somebody made, or to a folder that is made for it.

Upstream: syncUnboundClaim, syncVolume and findMatchingVolume in pkg/controller/volume/persistentvolume; the folders are
what a provisioner of local paths makes. What differs: a claim of a class that nobody here has gets a folder too, so
that manifests that name the classes of a cloud work; nodes do not matter, since all are this machine; a folder stays
until the lab goes, since nothing keeps a claim that pods still use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from fairlead.client.api import Api
from fairlead.client.informer import Informer, version_of
from fairlead.client.queue import WorkQueue
from fairlead.objects import labels
from fairlead.objects.core_v1 import (
    HostPathVolumeSource,
    ObjectReference,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeSpec,
)
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.quantities import parse
from fairlead.objects.resources import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, STORAGECLASSES
from fairlead.objects.status import StatusError
from fairlead.objects.storage_v1 import StorageClass
from fairlead.objects.storageclasses import NO_PROVISIONER

PROVISIONER = "fairlead.dev/folder"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"


def chosen(claim: PersistentVolumeClaim, volumes: Mapping[str, PersistentVolume]) -> PersistentVolume | None:
    """The volume for a claim: the one that it names or that is kept for it, else the smallest that will do."""
    if claim.spec.volumeName:
        named = volumes.get(claim.spec.volumeName)
        return named if named is not None and _may_have(claim, named) else None
    kept = [volume for volume in volumes.values() if volume.spec.claimRef and _may_have(claim, volume)]
    free = [volume for volume in volumes.values() if not volume.spec.claimRef and suits(claim, volume)]
    return next(iter(kept or sorted(free, key=_size)), None)


def suits(claim: PersistentVolumeClaim, volume: PersistentVolume) -> bool:
    """Whether a volume is what a claim asks for, whoever has it."""
    asked, spec = claim.spec, volume.spec
    return (
        volume.metadata.deletionTimestamp is None
        and (asked.storageClassName or "") == spec.storageClassName
        and set(asked.accessModes) <= set(spec.accessModes)
        and (asked.volumeMode or "Filesystem") == (spec.volumeMode or "Filesystem")
        and _size(volume) >= parse(asked.resources.requests.get("storage", "0"))
        and (asked.selector is None or labels.from_selector(asked.selector).matches(volume.metadata.labels))
    )


def waits(claim: PersistentVolumeClaim, classes: Mapping[str, StorageClass]) -> bool:
    """Whether only people make volumes for a claim: those of the class `""`, and of one without a provisioner."""
    name = claim.spec.storageClassName
    if name is None:
        return False
    of = classes.get(name)
    return not name or (of is not None and of.provisioner == NO_PROVISIONER)


def folder(
    claim: PersistentVolumeClaim, directory: Path, classes: Mapping[str, StorageClass]
) -> PersistentVolume:
    """A volume made for a claim: a folder with what it asks for. One of the same name made anew has another."""
    meta, spec = claim.metadata, claim.spec
    of = classes.get(spec.storageClassName or "")
    return PersistentVolume(
        metadata=ObjectMeta(name=f"pvc-{meta.uid}", annotations={PROVISIONED_BY: PROVISIONER}),
        spec=PersistentVolumeSpec(
            capacity={"storage": spec.resources.requests["storage"]},
            accessModes=spec.accessModes,
            claimRef=reference(claim),
            persistentVolumeReclaimPolicy=(of.reclaimPolicy if of is not None else None) or "Delete",
            storageClassName=spec.storageClassName or "",
            volumeMode=spec.volumeMode or "Filesystem",
            hostPath=HostPathVolumeSource(
                path=str(directory / meta.namespace / f"{meta.name}.{meta.uid}"), type="DirectoryOrCreate"
            ),
        ),
    )


def reference(claim: PersistentVolumeClaim) -> ObjectReference:
    """How a volume says whose it is."""
    meta = claim.metadata
    return ObjectReference(
        kind="PersistentVolumeClaim", apiVersion="v1", namespace=meta.namespace, name=meta.name, uid=meta.uid
    )


def phase(volume: PersistentVolume, claims: Mapping[str, PersistentVolumeClaim]) -> str:
    """Available, Bound, or Released when its claim is gone; Pending while it is kept for a claim that is to come."""
    ref = volume.spec.claimRef
    if ref is None:
        return "Available"
    claim = claims.get(f"{ref.namespace}/{ref.name}")
    if claim is not None and claim.metadata.uid == ref.uid:
        return "Bound"
    return "Released" if ref.uid else "Available"


def bound(volume: PersistentVolume) -> dict[str, Any]:
    """The status of a claim that has this volume."""
    spec = volume.spec
    return {"phase": "Bound", "accessModes": list(spec.accessModes), "capacity": dict(spec.capacity)}


def _may_have(claim: PersistentVolumeClaim, volume: PersistentVolume) -> bool:
    ref = volume.spec.claimRef
    if ref is None:
        return True
    meta = claim.metadata
    return (ref.namespace, ref.name) == (meta.namespace, meta.name) and ref.uid in ("", meta.uid)


def _size(volume: PersistentVolume) -> Any:
    return parse(volume.spec.capacity.get("storage", "0"))


class Binder:
    """Carries it out. Cost: four writes for a claim that gets a folder; a new volume looks at the claims that wait."""

    def __init__(self, api: Api, directory: Path) -> None:
        self._api = api
        self._directory = directory
        self._queue: WorkQueue[tuple[str, str]] = WorkQueue("claims")
        self._claims = Informer(api, PERSISTENTVOLUMECLAIMS)
        self._volumes = Informer(api, PERSISTENTVOLUMES)
        self._classes = Informer(api, STORAGECLASSES)
        self._written: dict[str, PersistentVolume] = {}
        """Volumes as they were written last, until the informer shows them."""

    async def run(self) -> None:
        """Binds until cancelled."""
        self._claims.subscribe(lambda change: self._claim_changed(change.key, change.old, change.new))
        self._volumes.subscribe(lambda change: self._volume_changed(change.key, change.new))
        self._classes.subscribe(lambda _: self._try_again())
        informers = (self._claims, self._volumes, self._classes)
        for informer in informers:
            informer.on_return(self._queue.hurry)
        async with asyncio.TaskGroup() as tasks:
            for informer in informers:
                tasks.create_task(informer.run())
            for informer in informers:
                await informer.synced()
            tasks.create_task(self._queue.serve(self._sync))

    def _claim_changed(
        self, key: str, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None
    ) -> None:
        self._queue.add(("claim", key))
        if old is not None and old.spec.volumeName and (new is None or new.metadata.uid != old.metadata.uid):
            self._queue.add(("volume", old.spec.volumeName))

    def _volume_changed(self, key: str, new: PersistentVolume | None) -> None:
        written = self._written.get(key)
        if written is not None and (new is None or version_of(new) >= version_of(written)):
            del self._written[key]
        self._queue.add(("volume", key))
        if new is not None and (new.spec.claimRef is None or not new.spec.claimRef.uid):
            self._try_again()

    def _try_again(self) -> None:
        for key, claim in self._claims.items.items():
            if claim.status.phase == "Pending":
                self._queue.add(("claim", key))

    async def _sync(self, what: tuple[str, str]) -> None:
        kind, key = what
        await (self._sync_claim(key) if kind == "claim" else self._sync_volume(key))

    async def _sync_claim(self, key: str) -> None:
        claim = self._claims.items.get(key)
        if claim is None or claim.metadata.deletionTimestamp or claim.status.phase != "Pending":
            return
        volume = chosen(claim, {**self._volumes.items, **self._written})
        if volume is None:
            if claim.spec.volumeName or waits(claim, self._classes.items):
                return
            volume = await self._make(folder(claim, self._directory, self._classes.items))
        elif not volume.spec.claimRef or not volume.spec.claimRef.uid:
            kept = replace(volume, spec=replace(volume.spec, claimRef=reference(claim)))
            volume = await self._api.replace(PERSISTENTVOLUMES, kept)
            self._written[volume.metadata.name] = volume
        meta = claim.metadata
        if not claim.spec.volumeName:
            patch: dict[str, Any] = {
                "metadata": {"uid": meta.uid, "annotations": {BIND_COMPLETED: "yes"}},
                "spec": {"volumeName": volume.metadata.name},
            }
            await self._api.patch(PERSISTENTVOLUMECLAIMS, meta.name, meta.namespace, patch)
        patch = {"metadata": {"uid": meta.uid}, "status": bound(volume)}
        await self._api.patch(
            PERSISTENTVOLUMECLAIMS, meta.name, meta.namespace, patch, kind="strategic", subresource="status"
        )

    async def _make(self, volume: PersistentVolume) -> PersistentVolume:
        try:
            made = await self._api.create(PERSISTENTVOLUMES, volume)
        except StatusError as error:
            if error.code != HTTPStatus.CONFLICT:
                raise
            made = await self._api.get(PERSISTENTVOLUMES, volume.metadata.name)
        self._written[made.metadata.name] = made
        return made

    async def _sync_volume(self, name: str) -> None:
        volume = self._volumes.items.get(name)
        if volume is None:
            return
        now = phase(volume, self._claims.items)
        if now == "Released" and volume.spec.persistentVolumeReclaimPolicy == "Delete" and _is_ours(volume):
            await self._api.delete(PERSISTENTVOLUMES, name, uid=volume.metadata.uid)
        elif now != volume.status.phase:
            patch = {"metadata": {"uid": volume.metadata.uid}, "status": {"phase": now}}
            await self._api.patch(PERSISTENTVOLUMES, name, "", patch, kind="strategic", subresource="status")


def _is_ours(volume: PersistentVolume) -> bool:
    return volume.metadata.annotations.get(PROVISIONED_BY) == PROVISIONER
