"""Deployments: what is filled in for the user, and what is refused. Upstream: pkg/apis/apps/validation."""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects import counts, names, replicasets, templates
from fairlead.objects.apps_v1 import (
    Deployment,
    DeploymentSpec,
    DeploymentStrategy,
    RollingUpdateDeployment,
)
from fairlead.objects.metadata import unchanged, validate_metadata, validate_metadata_update
from fairlead.objects.status import FieldError, forbidden, invalid, not_supported, required

STRATEGIES = ("Recreate", "RollingUpdate")


COUNTS = (
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "terminatingReplicas",
    "collisionCount",
)
"""The numbers in its status."""


def default(deployment: Deployment) -> Deployment:
    """The Deployment with its number of replicas, and how it replaces them."""
    spec = deployment.spec
    limit, deadline = spec.revisionHistoryLimit, spec.progressDeadlineSeconds
    filled = replace(
        spec,
        replicas=1 if spec.replicas is None else spec.replicas,
        template=templates.default(spec.template),
        strategy=_default_strategy(spec.strategy),
        revisionHistoryLimit=10 if limit is None else limit,
        progressDeadlineSeconds=600 if deadline is None else deadline,
    )
    return replace(deployment, spec=filled)


def _default_strategy(strategy: DeploymentStrategy) -> DeploymentStrategy:
    kind = strategy.type or "RollingUpdate"
    if kind != "RollingUpdate":
        return strategy
    rolling = strategy.rollingUpdate or RollingUpdateDeployment()
    unavailable, surge = rolling.maxUnavailable, rolling.maxSurge
    rolling = replace(
        rolling,
        maxUnavailable="25%" if unavailable is None else unavailable,
        maxSurge="25%" if surge is None else surge,
    )
    return replace(strategy, type=kind, rollingUpdate=rolling)


def validate(deployment: Deployment, old: Deployment | None = None) -> list[FieldError]:
    """The errors of a Deployment that is created, or that replaces `old`; defaults are in it."""
    if old is not None:
        errors = validate_metadata_update(deployment.metadata, old.metadata)
        errors += _validate_spec(deployment.spec)
        return errors + unchanged(deployment.spec.selector, old.spec.selector, "spec.selector")
    errors = validate_metadata(deployment.metadata, names.is_dns1123_subdomain)
    return errors + _validate_spec(deployment.spec)


def _validate_spec(spec: DeploymentSpec) -> list[FieldError]:
    errors = counts.not_negative("spec.replicas", spec.replicas)
    errors += replicasets.validate_pods(spec.template, spec.selector)
    errors += _validate_strategy(spec.strategy, "spec.strategy")
    fields = ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    errors += counts.all_not_negative(spec, fields, "spec")
    deadline = spec.progressDeadlineSeconds
    if deadline is not None and deadline <= spec.minReadySeconds:
        said = "must be greater than minReadySeconds"
        errors.append(invalid("spec.progressDeadlineSeconds", deadline, said))
    return errors


def _validate_strategy(strategy: DeploymentStrategy, path: str) -> list[FieldError]:
    rolling = strategy.rollingUpdate
    match strategy.type:
        case "Recreate":
            said = "may not be specified when strategy `type` is 'Recreate'"
            return [forbidden(f"{path}.rollingUpdate", said)] if rolling is not None else []
        case "RollingUpdate":
            if rolling is None:
                return [required(f"{path}.rollingUpdate", "this should be defaulted and never be nil")]
        case _:
            return [not_supported(path, strategy, STRATEGIES)]
    at = f"{path}.rollingUpdate"
    errors = counts.int_or_percent(f"{at}.maxUnavailable", rolling.maxUnavailable)
    errors += counts.int_or_percent(f"{at}.maxSurge", rolling.maxSurge)
    if counts.amount(rolling.maxUnavailable) == 0 and counts.amount(rolling.maxSurge) == 0:
        said = "may not be 0 when `maxSurge` is 0"
        errors.append(invalid(f"{at}.maxUnavailable", rolling.maxUnavailable, said))
    return errors + counts.at_most_100_percent(f"{at}.maxUnavailable", rolling.maxUnavailable)


def validate_status(deployment: Deployment, old: Deployment) -> list[FieldError]:
    """The errors in a change of a Deployment's status."""
    status = deployment.status
    errors = validate_metadata_update(deployment.metadata, old.metadata)
    errors += counts.all_not_negative(status, COUNTS, "status")
    errors += counts.at_most_all(status, ("updatedReplicas", "readyReplicas", "availableReplicas"))
    errors += replicasets.validate_available(status.availableReplicas, status.readyReplicas)
    path = "status.collisionCount"
    return errors + counts.not_decremented(status.collisionCount, old.status.collisionCount, path)
