"""Counts: numbers that must not be negative, and shares of them as percentages.

Upstream: ValidateNonnegativeField, ValidatePositiveIntOrPercent in pkg/apis/apps/validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from fairlead.objects.scalars import IntOrString
from fairlead.objects.status import FieldError, invalid

NOT_NEGATIVE = "must be greater than or equal to 0"

_PERCENT = re.compile("[0-9]+%")


def not_negative(path: str, value: int | None) -> list[FieldError]:
    """The error of a number below 0; none is fine."""
    return [invalid(path, value, NOT_NEGATIVE)] if value is not None and value < 0 else []


def all_not_negative(obj: Any, fields: Iterable[str], path: str) -> list[FieldError]:
    """The errors of those of an object's fields that are below 0."""
    return [error for field in fields for error in not_negative(f"{path}.{field}", getattr(obj, field))]


def at_most_all(status: Any, fields: Iterable[str], path: str = "status") -> list[FieldError]:
    """The errors of those fields of a status that count more replicas than there are."""
    said = "cannot be greater than status.replicas"
    counted = [(field, getattr(status, field)) for field in fields]
    return [invalid(f"{path}.{field}", count, said) for field, count in counted if count > status.replicas]


def not_decremented(new: int | None, old: int | None, path: str) -> list[FieldError]:
    """The error of a counter that went back."""
    if old is None or (new is not None and new >= old):
        return []
    return [invalid(path, new or 0, "cannot be decremented")]


def int_or_percent(path: str, value: IntOrString | None) -> list[FieldError]:
    """The error of a value that is neither a number from 0 on nor a percentage."""
    if not isinstance(value, str):
        return not_negative(path, value)
    if _PERCENT.fullmatch(value):
        return []
    said = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
    return [invalid(path, value, f"{said}regex used for validation is '[0-9]+%')")]


def at_most_100_percent(path: str, value: IntOrString | None) -> list[FieldError]:
    """The error of a share of more than all."""
    if isinstance(value, str) and _PERCENT.fullmatch(value) and int(value[:-1]) > 100:
        return [invalid(path, value, "must not be greater than 100%")]
    return []


def amount(value: IntOrString | None) -> int:
    """The number, or the percentage without its sign; 0 for what is neither."""
    text = str(value).removesuffix("%")
    return int(text) if value is not None and text.lstrip("-").isdecimal() else 0
