"""The types of api.storage.v1. Written by tools/generate_objects.py: change that."""

from __future__ import annotations

from msgspec import field

from fairlead.objects.core_v1 import TopologySelectorTerm
from fairlead.objects.meta_v1 import ListMeta, ObjectMeta
from fairlead.objects.scalars import Object, empty, text


class StorageClass(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "StorageClass")
    apiVersion: str = field(default_factory=lambda: "storage.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    provisioner: str = field(default_factory=text)
    parameters: dict[str, str] = {}
    reclaimPolicy: str | None = None
    mountOptions: tuple[str, ...] = ()
    allowVolumeExpansion: bool | None = None
    volumeBindingMode: str | None = None
    allowedTopologies: tuple[TopologySelectorTerm, ...] = ()


class StorageClassList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "StorageClassList")
    apiVersion: str = field(default_factory=lambda: "storage.k8s.io/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[StorageClass, ...] = field(default_factory=empty)
