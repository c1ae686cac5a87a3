"""The types of api.autoscaling.v2. Written by tools/generate_objects.py: change that."""

from __future__ import annotations

from msgspec import field

from fairlead.objects.meta_v1 import LabelSelector, ListMeta, ObjectMeta
from fairlead.objects.scalars import Object, Quantity, Time, empty, text, zero


class ContainerResourceMetricSource(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    target: MetricTarget = field(default_factory=lambda: MetricTarget())
    container: str = field(default_factory=text)


class ContainerResourceMetricStatus(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    current: MetricValueStatus = field(default_factory=lambda: MetricValueStatus())
    container: str = field(default_factory=text)


class CrossVersionObjectReference(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=text)
    name: str = field(default_factory=text)
    apiVersion: str = ""


class ExternalMetricSource(Object, frozen=True, kw_only=True):
    metric: MetricIdentifier = field(default_factory=lambda: MetricIdentifier())
    target: MetricTarget = field(default_factory=lambda: MetricTarget())


class ExternalMetricStatus(Object, frozen=True, kw_only=True):
    metric: MetricIdentifier = field(default_factory=lambda: MetricIdentifier())
    current: MetricValueStatus = field(default_factory=lambda: MetricValueStatus())


class HPAScalingPolicy(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    value: int = field(default_factory=zero)
    periodSeconds: int = field(default_factory=zero)


class HPAScalingRules(Object, frozen=True, kw_only=True):
    selectPolicy: str | None = None
    policies: tuple[HPAScalingPolicy, ...] = ()
    stabilizationWindowSeconds: int | None = None
    tolerance: Quantity | None = None


class HorizontalPodAutoscaler(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "HorizontalPodAutoscaler")
    apiVersion: str = field(default_factory=lambda: "autoscaling/v2")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: HorizontalPodAutoscalerSpec = field(default_factory=lambda: HorizontalPodAutoscalerSpec())
    status: HorizontalPodAutoscalerStatus = field(default_factory=lambda: HorizontalPodAutoscalerStatus())


class HorizontalPodAutoscalerBehavior(Object, frozen=True, kw_only=True):
    scaleUp: HPAScalingRules | None = None
    scaleDown: HPAScalingRules | None = None


class HorizontalPodAutoscalerCondition(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    status: str = field(default_factory=text)
    lastTransitionTime: Time | None = None
    reason: str = ""
    message: str = ""
    observedGeneration: int = 0


class HorizontalPodAutoscalerList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "HorizontalPodAutoscalerList")
    apiVersion: str = field(default_factory=lambda: "autoscaling/v2")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[HorizontalPodAutoscaler, ...] = field(default_factory=empty)


class HorizontalPodAutoscalerSpec(Object, frozen=True, kw_only=True):
    scaleTargetRef: CrossVersionObjectReference = field(default_factory=lambda: CrossVersionObjectReference())
    minReplicas: int | None = None
    maxReplicas: int = field(default_factory=zero)
    metrics: tuple[MetricSpec, ...] = ()
    behavior: HorizontalPodAutoscalerBehavior | None = None


class HorizontalPodAutoscalerStatus(Object, frozen=True, kw_only=True):
    observedGeneration: int | None = None
    lastScaleTime: Time | None = None
    currentReplicas: int = 0
    desiredReplicas: int = field(default_factory=zero)
    currentMetrics: tuple[MetricStatus, ...] = ()
    conditions: tuple[HorizontalPodAutoscalerCondition, ...] = ()


class MetricIdentifier(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    selector: LabelSelector | None = None


class MetricSpec(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    object: ObjectMetricSource | None = None
    pods: PodsMetricSource | None = None
    resource: ResourceMetricSource | None = None
    external: ExternalMetricSource | None = None
    containerResource: ContainerResourceMetricSource | None = None


class MetricStatus(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    object: ObjectMetricStatus | None = None
    pods: PodsMetricStatus | None = None
    resource: ResourceMetricStatus | None = None
    external: ExternalMetricStatus | None = None
    containerResource: ContainerResourceMetricStatus | None = None


class MetricTarget(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    value: Quantity | None = None
    averageValue: Quantity | None = None
    averageUtilization: int | None = None


class MetricValueStatus(Object, frozen=True, kw_only=True):
    value: Quantity | None = None
    averageValue: Quantity | None = None
    averageUtilization: int | None = None


class ObjectMetricSource(Object, frozen=True, kw_only=True):
    describedObject: CrossVersionObjectReference = field(
        default_factory=lambda: CrossVersionObjectReference()
    )
    target: MetricTarget = field(default_factory=lambda: MetricTarget())
    metric: MetricIdentifier = field(default_factory=lambda: MetricIdentifier())


class ObjectMetricStatus(Object, frozen=True, kw_only=True):
    metric: MetricIdentifier = field(default_factory=lambda: MetricIdentifier())
    current: MetricValueStatus = field(default_factory=lambda: MetricValueStatus())
    describedObject: CrossVersionObjectReference = field(
        default_factory=lambda: CrossVersionObjectReference()
    )


class PodsMetricSource(Object, frozen=True, kw_only=True):
    metric: MetricIdentifier = field(default_factory=lambda: MetricIdentifier())
    target: MetricTarget = field(default_factory=lambda: MetricTarget())


class PodsMetricStatus(Object, frozen=True, kw_only=True):
    metric: MetricIdentifier = field(default_factory=lambda: MetricIdentifier())
    current: MetricValueStatus = field(default_factory=lambda: MetricValueStatus())


class ResourceMetricSource(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    target: MetricTarget = field(default_factory=lambda: MetricTarget())


class ResourceMetricStatus(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    current: MetricValueStatus = field(default_factory=lambda: MetricValueStatus())
