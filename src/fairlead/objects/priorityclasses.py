"""PriorityClasses: what is filled in for the user, and what is refused; and the two that every cluster has.

Upstream: pkg/apis/scheduling/validation, pkg/apis/scheduling/v1 (SetDefaults_PriorityClass, SystemPriorityClasses).
"""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects import names
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.metadata import unchanged, validate_metadata, validate_metadata_update
from fairlead.objects.scheduling_v1 import PriorityClass
from fairlead.objects.status import FieldError, forbidden, not_supported

PREEMPT, NEVER = "PreemptLowerPriority", "Never"
HIGHEST = 1_000_000_000
"""Of those that users define."""

SYSTEM_PREFIX = "system-"
SYSTEM = (
    PriorityClass(
        metadata=ObjectMeta(name="system-node-critical"),
        value=2 * HIGHEST + 1000,
        description="Used for system critical pods that must not be moved from their current node.",
    ),
    PriorityClass(
        metadata=ObjectMeta(name="system-cluster-critical"),
        value=2 * HIGHEST,
        description="Used for system critical pods that must run in the cluster, but can be moved to another node "
        "if necessary.",
    ),
)


def default(priority_class: PriorityClass) -> PriorityClass:
    """The class with a policy."""
    if priority_class.preemptionPolicy is not None:
        return priority_class
    return replace(priority_class, preemptionPolicy=PREEMPT)


def validate(priority_class: PriorityClass, old: PriorityClass | None = None) -> list[FieldError]:
    """The errors of a class that is created, or that replaces `old`: its value and policy never change."""
    if old is not None:
        errors = validate_metadata_update(priority_class.metadata, old.metadata)
        if priority_class.value != old.value:
            errors.append(forbidden("value", "may not be changed in an update."))
        return errors + unchanged(priority_class.preemptionPolicy, old.preemptionPolicy, "preemptionPolicy")
    errors = validate_metadata(priority_class.metadata, names.is_dns1123_subdomain, namespaced=False)
    if priority_class.metadata.name.startswith(SYSTEM_PREFIX):
        if said := _unknown(priority_class):
            reserved = f"priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only"
            errors.append(forbidden("metadata.name", f"{reserved}. error: {said}"))
    elif priority_class.value > HIGHEST:
        errors.append(forbidden("value", f"maximum allowed value of a user defined priority is {HIGHEST}"))
    if priority_class.preemptionPolicy not in (PREEMPT, NEVER):
        policies = (PREEMPT, NEVER)
        errors.append(not_supported("preemptionPolicy", priority_class.preemptionPolicy or "", policies))
    return errors


def _unknown(priority_class: PriorityClass) -> str:
    """Why it is none of the system's classes. Upstream: IsKnownSystemPriorityClass."""
    name = priority_class.metadata.name
    known = next((one for one in SYSTEM if one.metadata.name == name), None)
    if known is None:
        return f"{name} is not a known system priority class"
    if priority_class.value != known.value:
        return f"value of {name} PriorityClass must be {known.value}"
    return f"globalDefault of {name} PriorityClass must be false" if priority_class.globalDefault else ""
