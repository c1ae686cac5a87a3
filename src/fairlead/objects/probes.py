"""Probes: how a container is asked whether it has started, lives, is ready; and the hooks of its lifecycle.

Upstream: SetDefaults_Probe, SetDefaults_HTTPGetAction; validateProbe, validateHandler in pkg/apis/core/validation.
"""

from __future__ import annotations

from typing import TypeVar

from msgspec.structs import replace

from fairlead.objects import names
from fairlead.objects.core_v1 import HTTPGetAction, Lifecycle, LifecycleHandler, Probe
from fairlead.objects.services import validate_port_number_or_name
from fairlead.objects.status import FieldError, forbidden, invalid, not_supported, required

Handler = TypeVar("Handler", Probe, LifecycleHandler)

HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
NOT_NEGATIVE = "must be greater than or equal to 0"


def default_probe(probe: Probe | None) -> Probe | None:
    """The probe with its times, in seconds, and thresholds."""
    if probe is None:
        return None
    return replace(
        _default_handler(probe),
        timeoutSeconds=probe.timeoutSeconds or 1,
        periodSeconds=probe.periodSeconds or 10,
        successThreshold=probe.successThreshold or 1,
        failureThreshold=probe.failureThreshold or 3,
    )


def default_lifecycle(lifecycle: Lifecycle | None) -> Lifecycle | None:
    """The hooks with complete handlers."""
    if lifecycle is None:
        return None
    start, stop = lifecycle.postStart, lifecycle.preStop
    return replace(
        lifecycle,
        postStart=_default_handler(start) if start else None,
        preStop=_default_handler(stop) if stop else None,
    )


def _default_handler(handler: Handler) -> Handler:
    if handler.httpGet is not None:
        got = handler.httpGet
        return replace(handler, httpGet=replace(got, path=got.path or "/", scheme=got.scheme or "HTTP"))
    if isinstance(handler, Probe) and handler.grpc is not None and handler.grpc.service is None:
        return replace(handler, grpc=replace(handler.grpc, service=""))
    return handler


def validate_probe(probe: Probe | None, path: str, *, once: bool) -> list[FieldError]:
    """The errors in a probe; `once` where a single success has to be enough (liveness and startup)."""
    if probe is None:
        return []
    errors = validate_handler(probe, path)
    for field in (
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ):
        if getattr(probe, field) < 0:
            errors.append(invalid(f"{path}.{field}", getattr(probe, field), NOT_NEGATIVE))
    grace = probe.terminationGracePeriodSeconds
    if grace is not None and not once:
        errors.append(
            invalid(f"{path}.terminationGracePeriodSeconds", grace, "must not be set for readinessProbes")
        )
    elif grace is not None and grace <= 0:
        errors.append(invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0"))
    if once and probe.successThreshold != 1:
        errors.append(invalid(f"{path}.successThreshold", probe.successThreshold, "must be 1"))
    return errors


def validate_lifecycle(lifecycle: Lifecycle | None, path: str) -> list[FieldError]:
    """The errors in a container's hooks."""
    errors: list[FieldError] = []
    if lifecycle is None:
        return errors
    if lifecycle.postStart is not None:
        errors += validate_handler(lifecycle.postStart, f"{path}.postStart")
    if lifecycle.preStop is not None:
        errors += validate_handler(lifecycle.preStop, f"{path}.preStop")
    return errors


def validate_handler(handler: Probe | LifecycleHandler, path: str) -> list[FieldError]:
    """The errors in the one thing that a probe or a hook does."""
    chosen = [name for name in HANDLERS if getattr(handler, name, None) is not None]
    if not chosen:
        return [required(path, "must specify a handler type")]
    said = "may not specify more than 1 handler type"
    errors = [forbidden(f"{path}.{name}", said) for name in chosen[1:]]
    if handler.exec is not None and not handler.exec.command:
        errors.append(required(f"{path}.exec.command"))
    if handler.httpGet is not None:
        errors += _validate_http(handler.httpGet, f"{path}.httpGet")
    if handler.tcpSocket is not None:
        errors += validate_port_number_or_name(handler.tcpSocket.port, f"{path}.tcpSocket.port")
    if isinstance(handler, Probe):
        if handler.grpc is not None:
            errors += validate_port_number_or_name(handler.grpc.port, f"{path}.grpc.port")
    elif handler.sleep is not None and handler.sleep.seconds < 0:
        errors.append(invalid(f"{path}.sleep", handler.sleep.seconds, NOT_NEGATIVE))
    return errors


def _validate_http(action: HTTPGetAction, path: str) -> list[FieldError]:
    errors = [] if action.path else [required(f"{path}.path")]
    errors += validate_port_number_or_name(action.port, f"{path}.port")
    if action.scheme not in ("HTTP", "HTTPS"):
        errors.append(not_supported(f"{path}.scheme", action.scheme, ("HTTP", "HTTPS")))
    for header in action.httpHeaders:
        errors += names.wrong(names.is_http_header_name, f"{path}.httpHeaders", header.name)
    return errors
