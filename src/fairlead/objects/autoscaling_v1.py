"""The types of api.autoscaling.v1. Written by tools/generate_objects.py: change that."""

from __future__ import annotations

from msgspec import field

from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.scalars import Object, zero


class Scale(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "Scale")
    apiVersion: str = field(default_factory=lambda: "autoscaling/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: ScaleSpec = field(default_factory=lambda: ScaleSpec())
    status: ScaleStatus = field(default_factory=lambda: ScaleStatus())


class ScaleSpec(Object, frozen=True, kw_only=True):
    replicas: int = 0


class ScaleStatus(Object, frozen=True, kw_only=True):
    replicas: int = field(default_factory=zero)
    selector: str = ""
