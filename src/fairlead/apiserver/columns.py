"""Columns of custom resources: what a definition says that tables show.

Upstream: pkg/registry/customresource/tableconvertor of apiextensions-apiserver.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from fairlead.apiserver.ages import since
from fairlead.apiserver.tablecolumns import AGE, NAME, Column
from fairlead.objects import jsonpaths
from fairlead.objects.apiextensions_v1 import CustomResourceColumnDefinition
from fairlead.objects.codec import plain

Cells = Callable[[Any, float], list[Any]]
"""The cells of an object, at a time in seconds since the epoch."""

CREATED = CustomResourceColumnDefinition(
    name="Age", type="date", jsonPath=".metadata.creationTimestamp", description=AGE.description
)


def table(given: Sequence[CustomResourceColumnDefinition]) -> tuple[tuple[Column, ...], Cells]:
    """The columns, and what stands in them; the age alone where a definition names none."""
    wanted = tuple(given) or (CREATED,)
    heads = tuple(
        Column(
            name=one.name,
            type=one.type,
            format=one.format,
            description=one.description
            or f"Custom resource definition column (in JSONPath format): {one.jsonPath}",
            priority=one.priority,
        )
        for one in wanted
    )
    readers = [(one.type, _path(one.jsonPath)) for one in wanted]

    def cells(obj: Any, now: float) -> list[Any]:
        metadata = plain(obj.metadata)
        whole = {**obj.content, "kind": obj.kind, "apiVersion": obj.apiVersion, "metadata": metadata}
        return [
            obj.metadata.name,
            *(_cell(kind, path.first(whole), now) if path is not None else None for kind, path in readers),
        ]

    return (NAME, *heads), cells


def _path(text: str) -> jsonpaths.JsonPath | None:
    """A path that cannot be followed here leaves its column empty."""
    try:
        return jsonpaths.parse(text)
    except ValueError:
        return None


def _cell(kind: str, value: Any, now: float) -> Any:
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "integer":
            return int(value) if number else None
        case "number":
            return value if number else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            return _age(value, now) if isinstance(value, str) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _age(moment: str, now: float) -> str:
    try:
        if datetime.fromisoformat(moment).tzinfo is None:
            return "<invalid>"
    except ValueError:
        return "<invalid>"
    return since(moment, now)
