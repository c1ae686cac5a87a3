"""PodDisruptionBudgets: what is refused. Upstream: pkg/apis/policy/validation."""

from __future__ import annotations

from fairlead.objects import counts, labels, names
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.policy_v1 import PodDisruptionBudget
from fairlead.objects.status import FieldError, invalid, not_supported

EVICTION_POLICIES = ("AlwaysAllow", "IfHealthyBudget")


def validate(budget: PodDisruptionBudget, old: PodDisruptionBudget | None = None) -> list[FieldError]:
    """The errors of a budget that is created, or that replaces `old`."""
    if old is not None:
        errors = validate_metadata_update(budget.metadata, old.metadata)
    else:
        errors = validate_metadata(budget.metadata, names.is_path_segment)
    spec = budget.spec
    if spec.minAvailable is not None and spec.maxUnavailable is not None:
        errors.append(invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"))
    for field in ("minAvailable", "maxUnavailable"):
        value = getattr(spec, field)
        errors += counts.int_or_percent(f"spec.{field}", value)
        errors += counts.at_most_100_percent(f"spec.{field}", value)
    errors += labels.validate_selector(spec.selector, "spec.selector")
    policy = spec.unhealthyPodEvictionPolicy
    if policy is not None and policy not in EVICTION_POLICIES:
        errors.append(not_supported("spec.unhealthyPodEvictionPolicy", policy, EVICTION_POLICIES))
    return errors


def validate_status(budget: PodDisruptionBudget, old: PodDisruptionBudget) -> list[FieldError]:
    """The errors in a change of a budget's status."""
    errors = validate_metadata_update(budget.metadata, old.metadata)
    fields = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
    return errors + counts.all_not_negative(budget.status, fields, "status")
