"""The types of api.scheduling.v1. Written by tools/generate_objects.py: change that."""

from __future__ import annotations

from msgspec import field

from fairlead.objects.meta_v1 import ListMeta, ObjectMeta
from fairlead.objects.scalars import Object, empty, zero


class PriorityClass(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "PriorityClass")
    apiVersion: str = field(default_factory=lambda: "scheduling.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    value: int = field(default_factory=zero)
    globalDefault: bool = False
    description: str = ""
    preemptionPolicy: str | None = None


class PriorityClassList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "PriorityClassList")
    apiVersion: str = field(default_factory=lambda: "scheduling.k8s.io/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[PriorityClass, ...] = field(default_factory=empty)
