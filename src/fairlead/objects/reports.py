"""Events of events.k8s.io/v1: the same objects as those of core/v1, under newer names.

What is stored is the older form. Upstream: pkg/apis/events/v1/conversion.go, pkg/apis/core/validation/events.go.
"""

from __future__ import annotations

from typing import Any

from fairlead.objects import core_v1, events, events_v1, names
from fairlead.objects.metadata import unchanged, validate_metadata, validate_metadata_update
from fairlead.objects.status import FieldError, invalid, required

SAME = ("metadata", "eventTime", "reportingInstance", "action", "reason", "related", "type")
RENAMED = {
    "reportingController": "reportingComponent",
    "regarding": "involvedObject",
    "note": "message",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
"""The names that changed, new to old."""

TYPES = ("Normal", "Warning")


def read(event: core_v1.Event) -> events_v1.Event:
    """The newer form."""
    fields: dict[str, Any] = {name: getattr(event, name) for name in SAME}
    fields |= {new: getattr(event, old) for new, old in RENAMED.items()}
    if event.series is not None:
        series = event.series
        fields["series"] = events_v1.EventSeries(count=series.count, lastObservedTime=series.lastObservedTime)
    return events_v1.Event(**fields)


def write(event: events_v1.Event) -> core_v1.Event:
    """The older form."""
    fields: dict[str, Any] = {name: getattr(event, name) for name in SAME}
    fields |= {old: value for new, old in RENAMED.items() if (value := getattr(event, new)) is not None}
    if event.series is not None:
        series = event.series
        fields["series"] = core_v1.EventSeries(count=series.count, lastObservedTime=series.lastObservedTime)
    return core_v1.Event(**fields)


def validate(event: events_v1.Event, old: events_v1.Event | None = None) -> list[FieldError]:
    """The errors of an Event that comes in under the newer names, with paths of the older ones, as upstream's."""
    stored = write(event)
    errors = events.validate_agreement(stored)
    if old is None:
        errors += validate_metadata(event.metadata, names.is_dns1123_subdomain)
        errors += _validate_series(stored)
        return errors + _validate_new(stored)
    before = write(old)
    errors += validate_metadata_update(event.metadata, old.metadata)
    if stored.series != before.series:
        errors += _validate_series(stored)
    for field in (
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "type",
        "eventTime",
        "action",
        "related",
    ):
        errors += unchanged(getattr(stored, field), getattr(before, field), field)
    errors += unchanged(event.reportingController, old.reportingController, "reportingController")
    return errors + unchanged(event.reportingInstance, old.reportingInstance, "reportingInstance")


def _validate_new(event: core_v1.Event) -> list[FieldError]:
    errors: list[FieldError] = []
    if event.eventTime is None:
        errors.append(required("eventTime"))
    if event.type not in TYPES:
        errors.append(invalid("type", "", f"has invalid value: {event.type}"))
    source = event.source
    given = {
        "firstTimestamp": event.firstTimestamp,
        "lastTimestamp": event.lastTimestamp,
        "count": event.count,
        "source": source.component or source.host,
    }
    return errors + [invalid(field, "", "needs to be unset") for field, value in given.items() if value]


def _validate_series(event: core_v1.Event) -> list[FieldError]:
    errors: list[FieldError] = []
    if event.series is not None:
        if event.series.count < 2:
            errors.append(invalid("series.count", "", "should be at least 2"))
        if event.series.lastObservedTime is None:
            errors.append(required("series.lastObservedTime"))
    return errors
