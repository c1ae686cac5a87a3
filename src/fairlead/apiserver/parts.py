"""The parts of objects that are written or read in a form of their own, and what answers for each.

Status, and others that take and give the object itself, need nothing here: the usual verbs serve them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fairlead.apiserver.bindings import bind
from fairlead.apiserver.evictions import evict
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.registry import Registry
from fairlead.apiserver.requests import Query, RequestInfo
from fairlead.apiserver.scaling import scale
from fairlead.apiserver.writes import Body, Result
from fairlead.objects.meta_v1 import Status
from fairlead.objects.scalars import Object


@dataclass(frozen=True)
class Answered:
    """An object that is only an answer, and stored nowhere."""

    obj: Object
    warnings: tuple[str, ...] = ()


Answer = tuple[Kind, Result] | Status | Answered
"""What was written or read, with the kind that it is written as; or only how it went; or an answer in words."""

Part = Callable[[Registry, Kind, RequestInfo, Query, Body], Awaitable[Answer]]

PARTS: Mapping[str, Part] = {"binding": bind, "eviction": evict, "scale": scale}
