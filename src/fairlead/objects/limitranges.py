"""LimitRanges: what is filled in for the user, and what is refused. Nothing here applies the limits.

Upstream: SetDefaults_LimitRangeItem, ValidateLimitRange in pkg/apis/core/validation.
"""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects import names, quantities
from fairlead.objects.core_v1 import LimitRange, LimitRangeItem
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.scalars import Quantity
from fairlead.objects.status import FieldError, duplicate, forbidden, invalid

MAPS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def default(limits: LimitRange) -> LimitRange:
    """The limits of containers with defaults that follow from their extremes."""
    items = tuple(_default_item(item) if item.type == "Container" else item for item in limits.spec.limits)
    return replace(limits, spec=replace(limits.spec, limits=items))


def _default_item(item: LimitRangeItem) -> LimitRangeItem:
    limit = {**item.max, **item.default}
    return replace(item, default=limit, defaultRequest={**item.min, **limit, **item.defaultRequest})


def validate(limits: LimitRange, old: LimitRange | None = None) -> list[FieldError]:
    """The errors of limits that are created, or that replace `old`; defaults are in them."""
    errors = validate_metadata_update(limits.metadata, old.metadata) if old is not None else []
    errors += validate_metadata(limits.metadata, names.is_dns1123_subdomain)
    seen: set[str] = set()
    for i, item in enumerate(limits.spec.limits):
        path = f"spec.limits[{i}]"
        errors += names.wrong(names.is_qualified_name, f"{path}.type", item.type)
        if item.type in seen:
            errors.append(duplicate(f"{path}.type", item.type))
        seen.add(item.type)
        errors += _validate_item(item, path)
    return errors


def _validate_item(item: LimitRangeItem, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if item.type == "Pod":
        for field in ("default", "defaultRequest"):
            if getattr(item, field):
                errors.append(forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'"))
    for field in MAPS:
        for name, quantity in getattr(item, field).items():
            errors += names.wrong(names.is_qualified_name, f"{path}.{field}[{name}]", name)
            errors += quantities.wrong(f"{path}.{field}[{name}]", quantity)
    if errors:
        return errors
    for name in item.min.keys() & item.max.keys():
        errors += _ordered(f"{path}.min[{name}]", "min", item.min[name], "max", item.max[name])
    for name, request in item.defaultRequest.items():
        at = f"{path}.defaultRequest[{name}]"
        if name in item.min:
            errors += _ordered(at, "min", item.min[name], "default request", request, blamed=request)
        if name in item.default:
            errors += _ordered(at, "default request", request, "default", item.default[name])
    return errors


def _ordered(
    path: str, low: str, first: Quantity, high: str, second: Quantity, *, blamed: Quantity | None = None
) -> list[FieldError]:
    if quantities.parse(first) <= quantities.parse(second):
        return []
    said = f"{low} value {first} is greater than {high} value {second}"
    return [invalid(path, str(first if blamed is None else blamed), said)]
