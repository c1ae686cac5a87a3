"""Events: what is refused. Upstream: pkg/apis/core/validation/events.go.

Events of core/v1 are only asked to agree with themselves, so that no component loses one over its form.
"""

from __future__ import annotations

from fairlead.objects import names
from fairlead.objects.core_v1 import Event
from fairlead.objects.metadata import validate_metadata
from fairlead.objects.status import FieldError, invalid, required

MAX_LENGTH = 128
MAX_MESSAGE = 1024


def validate(event: Event, old: Event | None = None) -> list[FieldError]:
    """The errors of an Event; nothing of it is immutable."""
    return validate_metadata(event.metadata, names.is_path_segment) + validate_agreement(event)


def validate_agreement(event: Event) -> list[FieldError]:
    """The errors of an Event that does not agree with itself, in whichever form it came."""
    errors: list[FieldError] = []
    namespace, about = event.metadata.namespace, event.involvedObject.namespace
    mismatch = invalid("involvedObject.namespace", about, "does not match event.namespace")
    if event.eventTime is None:
        if namespace != about and (about or namespace not in ("", "default")):
            errors.append(mismatch)
    else:
        if not about and namespace not in ("default", "kube-system"):
            errors.append(mismatch)
        errors += _validate_report(event)
    return errors + names.wrong(names.is_dns1123_subdomain, "namespace", namespace)


def _validate_report(event: Event) -> list[FieldError]:
    """The errors of an Event that has an eventTime: it says who did what and why."""
    errors: list[FieldError] = []
    controller = event.reportingComponent
    if not controller:
        errors.append(required("reportingController"))
    errors += names.wrong(names.is_qualified_name, "reportingController", controller)
    for field in ("reportingInstance", "action", "reason"):
        value: str = getattr(event, field)
        if not value:
            errors.append(required(field))
        elif len(value.encode()) > MAX_LENGTH:
            errors.append(invalid(field, "", f"can have at most {MAX_LENGTH} characters"))
    if len(event.message.encode()) > MAX_MESSAGE:
        errors.append(invalid("message", "", f"can have at most {MAX_MESSAGE} characters"))
    return errors
