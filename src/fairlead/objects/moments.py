"""Moments in whatever form RFC 3339 allows, brought into the one that is stored: UTC, to the second or microsecond.

Go reads them all; clients that write `+00:00` or fractions of a second (Python, JavaScript) have their objects compared
with what the server wrote. Bodies in the usual form, nearly all, cost one search for a pattern (about 1 us for a pod).
Upstream: meta/v1 Time and MicroTime.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from fairlead.objects import schema

_UNUSUAL = re.compile(rb'-\d\d(?:[Tt]\d\d:\d\d:\d\d(?!Z"|\.\d{6}Z")| \d\d:\d\d:\d\d)')
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_TIME, _MICRO_TIME = f"{schema.META}.Time", f"{schema.META}.MicroTime"


class NoMoment(ValueError):
    """A text that stands for a moment is none. Upstream: the error of Go's time.Parse."""

    def __init__(self, text: str) -> None:
        super().__init__(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": it is no such time')


def in_usual_form(data: bytes, of: schema.Type | None) -> bytes:
    """The JSON text of an object of that type, with its moments as they are stored. Raises NoMoment.

    That the moments are some has to be known of a text that has them in the usual form (`checked`).
    """
    return data if of is None or _UNUSUAL.search(data) is None else checked(data, of)


def checked(data: bytes, of: schema.Type) -> bytes:
    """The same for any text, by a walk through it; one that is no JSON stays. Raises NoMoment."""
    try:
        return msgspec.json.encode(_walk(msgspec.json.decode(data), of))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return data


def usual(moment: str, *, micro: bool = False) -> str:
    """One moment in the usual form. Raises NoMoment."""
    try:
        read = datetime.fromisoformat(moment.upper()) if _RFC3339.fullmatch(moment) else None
        read = read.astimezone(UTC) if read is not None else None
    except (ValueError, OverflowError):
        read = None
    if read is None:
        raise NoMoment(moment)
    return f"{read:%Y-%m-%dT%H:%M:%S}{f'.{read.microsecond:06}' if micro else ''}Z"


def _walk(value: Any, of: schema.Type) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _member(member, of.fields.get(name)) for name, member in value.items()}


def _member(value: Any, field: schema.Field | None) -> Any:
    if field is None:
        return value
    if field.type in (_TIME, _MICRO_TIME):
        micro = field.type == _MICRO_TIME
        return _each(value, lambda one: usual(one, micro=micro) if isinstance(one, str) else one, field)
    inner = schema.type_of(field)
    return value if inner is None else _each(value, lambda one: _walk(one, inner), field)


def _each(value: Any, change: Any, field: schema.Field) -> Any:
    if field.is_list and isinstance(value, list):
        return [change(one) for one in value]
    if field.is_map and isinstance(value, dict):
        return {name: change(one) for name, one in value.items()}
    return change(value)
