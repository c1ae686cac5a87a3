"""The policies of a Job: what may be said of pods that failed, and of successes that are enough.

Upstream: validatePodFailurePolicy, validateSuccessPolicy, validateIndexesFormat in pkg/apis/batch/validation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fairlead.objects import counts, names
from fairlead.objects.batch_v1 import (
    JobSpec,
    PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
    SuccessPolicyRule,
)
from fairlead.objects.status import (
    FieldError,
    duplicate,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
)

ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
OPERATORS = ("In", "NotIn")
STATUSES = ("False", "True", "Unknown")
MAX_RULES = 20
MAX_CONDITIONS = 20
MAX_EXIT_CODES = 255
MAX_INDEXES = 64 * 1024
"""Bytes of a text that names indexes."""


def validate_failure_policy(spec: JobSpec, path: str) -> list[FieldError]:
    """The errors of spec.podFailurePolicy, if there is one; `path` is the policy's."""
    policy = spec.podFailurePolicy
    if policy is None:
        return []
    errors = _at_most(policy.rules, MAX_RULES, f"{path}.rules")
    pod = spec.template.spec
    containers = {container.name for container in (*pod.containers, *pod.initContainers)}
    for number, rule in enumerate(policy.rules):
        errors += _validate_failure_rule(spec, rule, f"{path}.rules[{number}]", containers)
    return errors


def _validate_failure_rule(
    spec: JobSpec, rule: PodFailurePolicyRule, path: str, containers: set[str]
) -> list[FieldError]:
    errors: list[FieldError] = []
    if rule.action == "FailIndex" and spec.backoffLimitPerIndex is None:
        said = "requires the backoffLimitPerIndex to be set"
        errors.append(invalid(f"{path}.action", rule.action, said))
    errors += _one_of(rule.action, ACTIONS, f"{path}.action")
    codes, conditions = rule.onExitCodes, rule.onPodConditions
    if codes is not None:
        errors += _validate_exit_codes(codes, f"{path}.onExitCodes", containers)
    errors += _validate_conditions(conditions, f"{path}.onPodConditions")
    if codes is not None and conditions:
        said = "specifying both OnExitCodes and OnPodConditions is not supported"
        errors.append(invalid(path, rule, said))
    if codes is None and not conditions:
        said = "specifying one of OnExitCodes and OnPodConditions is required"
        errors.append(invalid(path, rule, said))
    return errors


def _validate_exit_codes(
    codes: PodFailurePolicyOnExitCodesRequirement, path: str, containers: set[str]
) -> list[FieldError]:
    errors = _one_of(codes.operator, OPERATORS, f"{path}.operator")
    if codes.containerName and codes.containerName not in containers:
        said = "must be one of the container or initContainer names in the pod template"
        errors.append(invalid(f"{path}.containerName", codes.containerName, said))
    values = codes.values
    if not values:
        errors.append(invalid(f"{path}.values", values, "at least one value is required"))
    errors += _at_most(values, MAX_EXIT_CODES, f"{path}.values")
    for number, value in enumerate(values):
        if codes.operator == "In" and value == 0:
            errors.append(invalid(f"{path}.values[{number}]", value, "must not be 0 for the In operator"))
        if value in values[:number]:
            errors.append(duplicate(f"{path}.values[{number}]", value))
    if list(values) != sorted(values):
        errors.append(invalid(f"{path}.values", values, "must be ordered"))
    return errors


def _validate_conditions(
    patterns: Sequence[PodFailurePolicyOnPodConditionsPattern], path: str
) -> list[FieldError]:
    errors = _at_most(patterns, MAX_CONDITIONS, path)
    for number, pattern in enumerate(patterns):
        errors += names.wrong(names.is_qualified_name, f"{path}[{number}].type", pattern.type)
        errors += _one_of(pattern.status, STATUSES, f"{path}[{number}].status")
    return errors


def validate_success_policy(spec: JobSpec, path: str) -> list[FieldError]:
    """The errors of spec.successPolicy of an Indexed Job, if there is one; `path` is the policy's."""
    policy = spec.successPolicy
    if policy is None:
        return []
    errors = _at_most(policy.rules, MAX_RULES, f"{path}.rules")
    if not policy.rules:
        said = "at least one rules must be specified when the successPolicy is specified"
        errors.append(required(f"{path}.rules", said))
    for number, rule in enumerate(policy.rules):
        errors += _validate_success_rule(rule, spec.completions or 0, f"{path}.rules[{number}]")
    return errors


def _validate_success_rule(rule: SuccessPolicyRule, completions: int, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    count, indexes = rule.succeededCount, rule.succeededIndexes
    if not count and not indexes:
        errors.append(required(path, "at least one of succeededCount or succeededIndexes must be specified"))
    named = 0
    if len(indexes) > MAX_INDEXES:
        errors.append(too_long(f"{path}.succeededIndexes", MAX_INDEXES))
    else:
        try:
            named = count_indexes(indexes, completions)
        except ValueError as error:
            said = f"error parsing succeededIndexes: {error}"
            errors.append(invalid(f"{path}.succeededIndexes", indexes, said))
    errors += counts.not_negative(f"{path}.succeededCount", count)
    most = "must be less than or equal to"
    if count > completions:
        said = f"{most} {completions} (the number of specified completions)"
        errors.append(invalid(f"{path}.succeededCount", count, said))
    if indexes and count > named:
        said = f"{most} {named} (the number of indexes in the specified succeededIndexes field)"
        errors.append(invalid(f"{path}.succeededCount", count, said))
    return errors


def count_indexes(text: str, completions: int) -> int:
    """How many indexes below `completions` a text such as `0-2,5` names. Raises ValueError for what names none."""
    total, last = 0, -1
    for span in text.split(",") if text else ():
        ends = span.split("-")
        if len(ends) > 2:
            raise ValueError(
                f'the fragment "{span}" violates the requirement that an index interval can have at most two parts '
                "separated by '-'"
            )
        first, *rest = [_index(end, completions) for end in ends]
        if first <= last:
            raise ValueError(f"non-increasing order, previous: {last}, current: {first}")
        if rest and rest[0] <= first:
            raise ValueError(f"non-increasing order, previous: {first}, current: {rest[0]}")
        last = rest[0] if rest else first
        total += last - first + 1
    return total


def _index(text: str, completions: int) -> int:
    if not re.fullmatch("[+]?[0-9]{1,10}", text):
        raise ValueError(f'cannot convert string to integer for index: "{text}"')
    if int(text) >= completions:
        raise ValueError(f'too large index: "{text}"')
    return int(text)


def _one_of(value: str, allowed: Sequence[str], path: str) -> list[FieldError]:
    if not value:
        listed = " ".join(f'"{each}"' for each in allowed)
        return [required(path, f"valid values: [{listed}]")]
    return [] if value in allowed else [not_supported(path, value, allowed)]


def _at_most(items: Sequence[object], limit: int, path: str) -> list[FieldError]:
    return [too_many(path, len(items), limit)] if len(items) > limit else []
