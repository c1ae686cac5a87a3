"""StatefulSets: what is filled in for the user, and what is refused. Upstream: pkg/apis/apps/validation."""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects import counts, names, persistentvolumeclaims, templates
from fairlead.objects.apps_v1 import (
    RollingUpdateStatefulSetStrategy,
    StatefulSet,
    StatefulSetPersistentVolumeClaimRetentionPolicy,
    StatefulSetSpec,
    StatefulSetUpdateStrategy,
)
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.status import FieldError, forbidden, invalid, not_supported, required

POD_POLICIES = ("OrderedReady", "Parallel")
CLAIM_POLICIES = ("Delete", "Retain")
CHANGEABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_FIXED = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def default(stateful_set: StatefulSet) -> StatefulSet:
    """The StatefulSet with its number of replicas, how it replaces them, and what becomes of their claims."""
    spec = stateful_set.spec
    claims = spec.persistentVolumeClaimRetentionPolicy or StatefulSetPersistentVolumeClaimRetentionPolicy()
    limit = spec.revisionHistoryLimit
    filled = replace(
        spec,
        replicas=1 if spec.replicas is None else spec.replicas,
        template=templates.default(spec.template),
        podManagementPolicy=spec.podManagementPolicy or "OrderedReady",
        updateStrategy=_default_strategy(spec.updateStrategy),
        revisionHistoryLimit=10 if limit is None else limit,
        volumeClaimTemplates=tuple(
            persistentvolumeclaims.default(claim) for claim in spec.volumeClaimTemplates
        ),
        persistentVolumeClaimRetentionPolicy=replace(
            claims, whenDeleted=claims.whenDeleted or "Retain", whenScaled=claims.whenScaled or "Retain"
        ),
    )
    return replace(stateful_set, spec=filled)


def _default_strategy(strategy: StatefulSetUpdateStrategy) -> StatefulSetUpdateStrategy:
    rolling = strategy.rollingUpdate
    if not strategy.type:
        rolling = rolling or RollingUpdateStatefulSetStrategy()
    elif strategy.type != "RollingUpdate":
        return strategy
    if rolling is not None and rolling.partition is None:
        rolling = replace(rolling, partition=0)
    return replace(strategy, type="RollingUpdate", rollingUpdate=rolling)


def validate(stateful_set: StatefulSet, old: StatefulSet | None = None) -> list[FieldError]:
    """The errors of a StatefulSet that is created, or that replaces `old`; defaults are in it."""
    spec = stateful_set.spec
    if old is None:
        # Its pods are called after it, so its name has to be one part of a DNS name.
        return validate_metadata(stateful_set.metadata, names.is_dns1123_label) + _validate_spec(spec)
    errors = validate_metadata_update(stateful_set.metadata, old.metadata) + _validate_spec(spec)
    kept = {field: getattr(old.spec, field) for field in CHANGEABLE}
    if replace(spec, **kept) != old.spec:
        errors.append(forbidden("spec", _FIXED))
    return errors


def _validate_spec(spec: StatefulSetSpec) -> list[FieldError]:
    errors: list[FieldError] = []
    if spec.podManagementPolicy not in POD_POLICIES:
        said = "must be 'OrderedReady' or 'Parallel'"
        errors.append(invalid("spec.podManagementPolicy", spec.podManagementPolicy, said))
    errors += _validate_strategy(spec.updateStrategy, "spec.updateStrategy")
    claims = spec.persistentVolumeClaimRetentionPolicy
    for field in ("whenDeleted", "whenScaled") if claims is not None else ():
        if (policy := getattr(claims, field)) not in CLAIM_POLICIES:
            path = f"spec.persistentVolumeClaimRetentionPolicy.{field}"
            errors.append(not_supported(path, policy, CLAIM_POLICIES))
    errors += counts.all_not_negative(spec, ("replicas", "minReadySeconds", "revisionHistoryLimit"), "spec")
    if spec.ordinals is not None:
        errors += counts.not_negative("spec.ordinals.start", spec.ordinals.start)
    errors += templates.validate_selector(spec.selector, "spec.selector", "statefulset")
    matcher, path = templates.readable(spec.selector), "spec.template"
    if matcher is None:
        errors.append(invalid("spec.selector", spec.selector, ""))
    else:
        errors += templates.validate_selected(spec.template, matcher, path)
        # The volumes of its pods may be claims that the spec of a pod does not know, so the rest is left to the pods.
        errors += templates.validate_metadata(spec.template, path)
    return errors + templates.validate_running(spec.template, path, "StatefulSet")


def _validate_strategy(strategy: StatefulSetUpdateStrategy, path: str) -> list[FieldError]:
    rolling, at = strategy.rollingUpdate, f"{path}.rollingUpdate"
    match strategy.type:
        case "":
            return [required(path)]
        case "OnDelete":
            said = "only allowed for updateStrategy 'RollingUpdate'"
            return [] if rolling is None else [invalid(at, rolling, said)]
        case "RollingUpdate":
            pass
        case _:
            return [invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'")]
    if rolling is None:
        return []
    errors = counts.not_negative(f"{at}.partition", rolling.partition)
    if rolling.maxUnavailable is not None:
        errors += counts.int_or_percent(f"{at}.maxUnavailable", rolling.maxUnavailable)
        if counts.amount(rolling.maxUnavailable) == 0:
            errors.append(invalid(f"{at}.maxUnavailable", rolling.maxUnavailable, "cannot be 0"))
        errors += counts.at_most_100_percent(f"{at}.maxUnavailable", rolling.maxUnavailable)
    return errors


def validate_status(stateful_set: StatefulSet, old: StatefulSet) -> list[FieldError]:
    """The errors in a change of a StatefulSet's status."""
    status = stateful_set.status
    fields = ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    errors = counts.all_not_negative(status, (*fields, "observedGeneration", "collisionCount"), "status")
    errors += counts.at_most_all(status, fields[1:])
    if status.availableReplicas > status.readyReplicas:
        said = "cannot be greater than status.readyReplicas"
        errors.append(invalid("status.availableReplicas", status.availableReplicas, said))
    errors += validate_metadata_update(stateful_set.metadata, old.metadata)
    path = "status.collisionCount"
    return errors + counts.not_decremented(status.collisionCount, old.status.collisionCount, path)
