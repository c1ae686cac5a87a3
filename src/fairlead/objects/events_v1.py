"""The types of api.events.v1. Written by tools/generate_objects.py: change that."""

from __future__ import annotations

from msgspec import field

from fairlead.objects.core_v1 import EventSource, ObjectReference
from fairlead.objects.meta_v1 import ListMeta, ObjectMeta
from fairlead.objects.scalars import MicroTime, Object, Time, empty, zero


class Event(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "Event")
    apiVersion: str = field(default_factory=lambda: "events.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    eventTime: MicroTime | None = None
    series: EventSeries | None = None
    reportingController: str = ""
    reportingInstance: str = ""
    action: str = ""
    reason: str = ""
    regarding: ObjectReference | None = None
    related: ObjectReference | None = None
    note: str = ""
    type: str = ""
    deprecatedSource: EventSource | None = None
    deprecatedFirstTimestamp: Time | None = None
    deprecatedLastTimestamp: Time | None = None
    deprecatedCount: int = 0


class EventList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "EventList")
    apiVersion: str = field(default_factory=lambda: "events.k8s.io/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[Event, ...] = field(default_factory=empty)


class EventSeries(Object, frozen=True, kw_only=True):
    count: int = field(default_factory=zero)
    lastObservedTime: MicroTime | None = None
