"""The columns of tables, and those that most tables have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from fairlead.apiserver.rows import Cells
from fairlead.objects.scalars import Object, text, zero


class Column(Object, frozen=True, kw_only=True):
    """A column. Those with a priority above 0 are for `-o wide`."""

    name: str
    type: str = msgspec.field(default_factory=lambda: "string")
    format: str = msgspec.field(default_factory=text)
    description: str = msgspec.field(default_factory=text)
    priority: int = msgspec.field(default_factory=zero)


Layout = tuple[tuple[Column, ...], Callable[[Any, float], Cells]]
"""The columns of a table, and what stands in them for an object, at a time in seconds since the epoch."""


def column(name: str, kind: str = "string", *, wide: bool = False, about: str = "") -> Column:
    """A column of a table below."""
    return Column(name=name, type=kind, priority=int(wide), description=about)


NAME = Column(
    name="Name",
    format="name",
    description="Name must be unique within a namespace. Is required when creating resources, although some "
    "resources may allow a client to request the generation of an appropriate name automatically. Cannot be updated.",
)
AGE = column(
    "Age",
    about="CreationTimestamp is a timestamp representing the server time when this object was created. "
    "It is represented in RFC3339 form and is in UTC.",
)
