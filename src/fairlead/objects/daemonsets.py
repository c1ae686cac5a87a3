"""DaemonSets: what is filled in for the user, and what is refused. Upstream: pkg/apis/apps/validation."""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects import counts, labels, names, templates
from fairlead.objects.apps_v1 import (
    DaemonSet,
    DaemonSetSpec,
    DaemonSetUpdateStrategy,
    RollingUpdateDaemonSet,
)
from fairlead.objects.metadata import unchanged, validate_metadata, validate_metadata_update
from fairlead.objects.status import FieldError, invalid, not_supported, required

STRATEGIES = ("OnDelete", "RollingUpdate")


COUNTS = (
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
)
"""The numbers in its status."""


def default(daemon_set: DaemonSet) -> DaemonSet:
    """The DaemonSet with how it replaces its pods."""
    spec = daemon_set.spec
    limit = spec.revisionHistoryLimit
    filled = replace(
        spec,
        template=templates.default(spec.template),
        updateStrategy=_default_strategy(spec.updateStrategy),
        revisionHistoryLimit=10 if limit is None else limit,
    )
    return replace(daemon_set, spec=filled)


def _default_strategy(strategy: DaemonSetUpdateStrategy) -> DaemonSetUpdateStrategy:
    kind = strategy.type or "RollingUpdate"
    if kind != "RollingUpdate":
        return strategy
    rolling = strategy.rollingUpdate or RollingUpdateDaemonSet()
    unavailable, surge = rolling.maxUnavailable, rolling.maxSurge
    rolling = replace(
        rolling,
        maxUnavailable=1 if unavailable is None else unavailable,
        maxSurge=0 if surge is None else surge,
    )
    return replace(strategy, type=kind, rollingUpdate=rolling)


def validate(daemon_set: DaemonSet, old: DaemonSet | None = None) -> list[FieldError]:
    """The errors of a DaemonSet that is created, or that replaces `old`; defaults are in it."""
    if old is not None:
        errors = validate_metadata_update(daemon_set.metadata, old.metadata)
        errors += _validate_spec(daemon_set.spec)
        return errors + unchanged(daemon_set.spec.selector, old.spec.selector, "spec.selector")
    errors = validate_metadata(daemon_set.metadata, names.is_dns1123_subdomain)
    return errors + _validate_spec(daemon_set.spec)


def _validate_spec(spec: DaemonSetSpec) -> list[FieldError]:
    path = "spec.template"
    errors = labels.validate_selector(spec.selector, "spec.selector")
    matcher = templates.readable(spec.selector)
    if matcher is not None:
        errors += templates.validate_selected(spec.template, matcher, path)
    if spec.selector is not None and matcher is not None and matcher.everything:
        errors.append(invalid("spec.selector", spec.selector, "empty selector is invalid for daemonset"))
    errors += templates.validate(spec.template, path)
    errors += templates.validate_running(spec.template, path, "DaemonSet")
    errors += counts.not_negative("spec.minReadySeconds", spec.minReadySeconds)
    errors += _validate_strategy(spec.updateStrategy, "spec.updateStrategy")
    return errors + counts.not_negative("spec.revisionHistoryLimit", spec.revisionHistoryLimit)


def _validate_strategy(strategy: DaemonSetUpdateStrategy, path: str) -> list[FieldError]:
    if strategy.type == "OnDelete":
        return []
    if strategy.type != "RollingUpdate":
        return [not_supported(path, strategy, STRATEGIES)]
    rolling, at = strategy.rollingUpdate, f"{path}.rollingUpdate"
    if rolling is None:
        return [required(at)]
    given = {"maxUnavailable": rolling.maxUnavailable, "maxSurge": rolling.maxSurge}
    errors: list[FieldError] = []
    for check in (counts.int_or_percent, counts.at_most_100_percent):
        for field, value in given.items():
            errors += check(f"{at}.{field}", value)
    unavailable, surge = (counts.amount(value) != 0 for value in given.values())
    if unavailable and surge:
        said = "may not be set when maxUnavailable is non-zero"
        errors.append(invalid(f"{at}.maxSurge", rolling.maxSurge, said))
    elif not unavailable and not surge:
        errors.append(required(f"{at}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return errors


def validate_status(daemon_set: DaemonSet, old: DaemonSet) -> list[FieldError]:
    """The errors in a change of a DaemonSet's status."""
    status = daemon_set.status
    errors = validate_metadata_update(daemon_set.metadata, old.metadata)
    errors += counts.all_not_negative(status, COUNTS, "status")
    path = "status.collisionCount"
    return errors + counts.not_decremented(status.collisionCount, old.status.collisionCount, path)
