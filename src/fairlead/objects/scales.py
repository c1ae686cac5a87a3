"""Scales (autoscaling/v1): the number of replicas of an object as an object of its own.

Upstream: the ScaleREST of each kind, pkg/apis/autoscaling/validation.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from fairlead.objects import labels, names
from fairlead.objects.autoscaling_v1 import Scale, ScaleSpec, ScaleStatus
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.metadata import validate_metadata
from fairlead.objects.status import FieldError, invalid


def of(obj: Any) -> Scale:
    """The scale of an object that has replicas in spec and status, and a selector of either form."""
    selector = obj.spec.selector
    matches = labels.from_map(selector) if isinstance(selector, dict) else labels.from_selector(selector)
    return Scale(
        metadata=identity(obj.metadata),
        spec=ScaleSpec(replicas=obj.spec.replicas or 0),
        status=ScaleStatus(replicas=obj.status.replicas, selector=str(matches)),
    )


def identity(metadata: ObjectMeta) -> ObjectMeta:
    """Which object it is the scale of."""
    return ObjectMeta(
        name=metadata.name,
        namespace=metadata.namespace,
        uid=metadata.uid,
        resourceVersion=metadata.resourceVersion,
        creationTimestamp=metadata.creationTimestamp,
    )


def scaled(obj: Any, replicas: int) -> Any:
    """The object with another number of replicas."""
    return replace(obj, spec=replace(obj.spec, replicas=replicas))


def validate(scale: Scale) -> list[FieldError]:
    """The errors of a scale that is to be put into its object."""
    errors = validate_metadata(scale.metadata, names.is_dns1123_subdomain)
    if scale.spec.replicas < 0:
        errors.append(invalid("spec.replicas", scale.spec.replicas, "must be greater than or equal to 0"))
    return errors
