"""The types of api.autoscaling.v1. Written by tools/generate_objects.py: change that."""

from __future__ import annotations

from msgspec import field

from fairlead.objects.meta_v1 import ListMeta, ObjectMeta
from fairlead.objects.scalars import Object, Time, empty, text, zero


class CrossVersionObjectReference(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=text)
    name: str = field(default_factory=text)
    apiVersion: str = ""


class HorizontalPodAutoscaler(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "HorizontalPodAutoscaler")
    apiVersion: str = field(default_factory=lambda: "autoscaling/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: HorizontalPodAutoscalerSpec = field(default_factory=lambda: HorizontalPodAutoscalerSpec())
    status: HorizontalPodAutoscalerStatus = field(default_factory=lambda: HorizontalPodAutoscalerStatus())


class HorizontalPodAutoscalerList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "HorizontalPodAutoscalerList")
    apiVersion: str = field(default_factory=lambda: "autoscaling/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[HorizontalPodAutoscaler, ...] = field(default_factory=empty)


class HorizontalPodAutoscalerSpec(Object, frozen=True, kw_only=True):
    scaleTargetRef: CrossVersionObjectReference = field(default_factory=lambda: CrossVersionObjectReference())
    minReplicas: int | None = None
    maxReplicas: int = field(default_factory=zero)
    targetCPUUtilizationPercentage: int | None = None


class HorizontalPodAutoscalerStatus(Object, frozen=True, kw_only=True):
    observedGeneration: int | None = None
    lastScaleTime: Time | None = None
    currentReplicas: int = field(default_factory=zero)
    desiredReplicas: int = field(default_factory=zero)
    currentCPUUtilizationPercentage: int | None = None


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
