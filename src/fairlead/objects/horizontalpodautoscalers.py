"""HorizontalPodAutoscalers: what is filled in, what is refused, and the older form, v1. Nothing here scales by them.

Upstream: pkg/apis/autoscaling/validation, pkg/apis/autoscaling/v2/defaults.go, pkg/apis/autoscaling/v1/conversion.go.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec.structs import replace

from fairlead.objects import autoscaling_v1, names
from fairlead.objects.autoscaling_v2 import (
    CrossVersionObjectReference,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehavior,
    HorizontalPodAutoscalerSpec,
    HorizontalPodAutoscalerStatus,
    MetricSpec,
    MetricTarget,
    ResourceMetricSource,
)
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.status import FieldError, forbidden, invalid, not_supported, required

T = TypeVar("T")

DEFAULT_UTILIZATION = 80
"""Per cent of the requested CPU, where no metric is named (autoscaling.DefaultCPUUtilization)."""

METRICS = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
"""The types of metrics, with the field of each."""

METRICS_ANNOTATION = "autoscaling.alpha.kubernetes.io/metrics"
BEHAVIOR_ANNOTATION = "autoscaling.alpha.kubernetes.io/behavior"
"""Where v1 has what it has no field for."""


def default(autoscaler: HorizontalPodAutoscaler) -> HorizontalPodAutoscaler:
    """The autoscaler with a lower limit and a metric."""
    spec = autoscaler.spec
    return replace(
        autoscaler,
        spec=replace(
            spec,
            minReplicas=1 if spec.minReplicas is None else spec.minReplicas,
            metrics=spec.metrics or (_cpu(DEFAULT_UTILIZATION),),
        ),
    )


def validate(
    autoscaler: HorizontalPodAutoscaler, old: HorizontalPodAutoscaler | None = None
) -> list[FieldError]:
    """The errors of an autoscaler that is created, or that replaces `old`."""
    errors = validate_metadata_update(autoscaler.metadata, old.metadata) if old is not None else []
    errors += validate_metadata(autoscaler.metadata, names.is_dns1123_subdomain)
    spec = autoscaler.spec
    least = spec.minReplicas
    if least is not None and least < 1:
        errors.append(invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    if spec.maxReplicas < 1:
        errors.append(invalid("spec.maxReplicas", spec.maxReplicas, "must be greater than 0"))
    if least is not None and spec.maxReplicas < least:
        said = "must be greater than or equal to `minReplicas`"
        errors.append(invalid("spec.maxReplicas", spec.maxReplicas, said))
    errors += _validate_reference(spec.scaleTargetRef, "spec.scaleTargetRef")
    for i, metric in enumerate(spec.metrics):
        errors += _validate_metric(metric, f"spec.metrics[{i}]")
    return errors


def _validate_reference(to: CrossVersionObjectReference, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for field, value in (("kind", to.kind), ("name", to.name)):
        if not value:
            errors.append(required(f"{path}.{field}"))
        else:
            errors += names.wrong(names.is_path_segment, f"{path}.{field}", value)
    return errors


def _validate_metric(metric: MetricSpec, path: str) -> list[FieldError]:
    if not metric.type:
        return [required(f"{path}.type", "must specify a metric source type")]
    if metric.type not in METRICS:
        return [not_supported(f"{path}.type", metric.type, tuple(METRICS))]
    own = METRICS[metric.type]
    errors: list[FieldError] = []
    if getattr(metric, own) is None:
        said = "must populate information for the given metric source"
        errors.append(required(f"{path}.{own}", said))
    for field in METRICS.values():
        if field != own and getattr(metric, field) is not None:
            said = "must populate the given metric source only"
            errors.append(forbidden(f"{path}.{field}", said))
    return errors


def _cpu(utilization: int) -> MetricSpec:
    target = MetricTarget(type="Utilization", averageUtilization=utilization)
    return MetricSpec(type="Resource", resource=ResourceMetricSource(name="cpu", target=target))


def _utilization(metric: MetricSpec) -> int | None:
    """The share of CPU that v1 has a field for; None for other metrics."""
    if metric.resource is None or metric.resource.name != "cpu":
        return None
    return metric.resource.target.averageUtilization


def read(autoscaler: HorizontalPodAutoscaler) -> autoscaling_v1.HorizontalPodAutoscaler:
    """The older form: what it has no field for is in annotations, in the newer form."""
    spec, status = autoscaler.spec, autoscaler.status
    first = next((i for i, metric in enumerate(spec.metrics) if _utilization(metric) is not None), None)
    others = [metric for i, metric in enumerate(spec.metrics) if i != first]
    annotations = dict(autoscaler.metadata.annotations)
    if others:
        annotations[METRICS_ANNOTATION] = msgspec.json.encode(others).decode()
    if spec.behavior is not None:
        annotations[BEHAVIOR_ANNOTATION] = msgspec.json.encode(spec.behavior).decode()
    return autoscaling_v1.HorizontalPodAutoscaler(
        metadata=replace(autoscaler.metadata, annotations=annotations),
        spec=autoscaling_v1.HorizontalPodAutoscalerSpec(
            scaleTargetRef=msgspec.convert(
                msgspec.to_builtins(spec.scaleTargetRef), autoscaling_v1.CrossVersionObjectReference
            ),
            minReplicas=spec.minReplicas,
            maxReplicas=spec.maxReplicas,
            targetCPUUtilizationPercentage=None if first is None else _utilization(spec.metrics[first]),
        ),
        status=autoscaling_v1.HorizontalPodAutoscalerStatus(
            observedGeneration=status.observedGeneration,
            lastScaleTime=status.lastScaleTime,
            currentReplicas=status.currentReplicas,
            desiredReplicas=status.desiredReplicas,
        ),
    )


def write(autoscaler: autoscaling_v1.HorizontalPodAutoscaler) -> HorizontalPodAutoscaler:
    """The newer form of the older one. Annotations that are not what `read` writes are left as they are."""
    spec, status = autoscaler.spec, autoscaler.status
    annotations = dict(autoscaler.metadata.annotations)
    metrics: list[MetricSpec] = []
    if spec.targetCPUUtilizationPercentage is not None:
        metrics.append(_cpu(spec.targetCPUUtilizationPercentage))
    fields = HorizontalPodAutoscalerSpec(
        scaleTargetRef=CrossVersionObjectReference(
            kind=spec.scaleTargetRef.kind,
            name=spec.scaleTargetRef.name,
            apiVersion=spec.scaleTargetRef.apiVersion,
        ),
        minReplicas=spec.minReplicas,
        maxReplicas=spec.maxReplicas,
    )
    behavior = _annotated(annotations, BEHAVIOR_ANNOTATION, HorizontalPodAutoscalerBehavior)
    metrics += _annotated(annotations, METRICS_ANNOTATION, list[MetricSpec]) or []
    return HorizontalPodAutoscaler(
        metadata=replace(autoscaler.metadata, annotations=annotations),
        spec=replace(fields, metrics=tuple(metrics), behavior=behavior),
        status=HorizontalPodAutoscalerStatus(
            observedGeneration=status.observedGeneration,
            lastScaleTime=status.lastScaleTime,
            currentReplicas=status.currentReplicas,
            desiredReplicas=status.desiredReplicas,
        ),
    )


def default_older(
    autoscaler: autoscaling_v1.HorizontalPodAutoscaler,
) -> autoscaling_v1.HorizontalPodAutoscaler:
    """The older form of what `default` makes of it."""
    return read(default(write(autoscaler)))


def validate_older(
    autoscaler: autoscaling_v1.HorizontalPodAutoscaler,
    old: autoscaling_v1.HorizontalPodAutoscaler | None = None,
) -> list[FieldError]:
    """The errors of what comes in in the older form."""
    return validate(write(autoscaler), None if old is None else write(old))


def _annotated(annotations: dict[str, str], name: str, kind: type[T]) -> T | None:
    """What `read` wrote into an annotation, which goes; None, and it stays, where it is somebody else's."""
    try:
        value = msgspec.json.decode(annotations.get(name, ""), type=kind)
    except msgspec.DecodeError:
        return None
    del annotations[name]
    return value
