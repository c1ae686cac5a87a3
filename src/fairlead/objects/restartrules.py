"""A container's own restart policy, and its rules by exit code: what is refused.

Upstream: validateContainerRestartPolicy in pkg/apis/core/validation.
"""

from __future__ import annotations

from fairlead.objects.core_v1 import Container
from fairlead.objects.status import FieldError, not_supported, required, too_many

POLICIES = ("Always", "OnFailure", "Never")
ACTIONS = ("Restart", "RestartAllContainers")
OPERATORS = ("In", "NotIn")
MOST_RULES, MOST_CODES = 20, 255


def validate_restarts(container: Container, path: str) -> list[FieldError]:
    """The errors in the fields `restartPolicy` and `restartPolicyRules`."""
    errors: list[FieldError] = []
    policy, rules = container.restartPolicy, container.restartPolicyRules
    if policy is None:
        if rules:
            said = "must specify restartPolicy when restart rules are used"
            errors.append(required(f"{path}.restartPolicy", said))
    elif policy not in POLICIES:
        errors.append(not_supported(f"{path}.restartPolicy", policy, POLICIES))
    if len(rules) > MOST_RULES:
        errors.append(too_many(f"{path}.restartPolicyRules", len(rules), MOST_RULES))
    for i, rule in enumerate(rules):
        at = f"{path}.restartPolicyRules[{i}]"
        if rule.action not in ACTIONS:
            errors.append(not_supported(f"{at}.action", rule.action, ACTIONS))
        codes = rule.exitCodes
        if codes is None:
            errors.append(required(f"{at}.exitCodes", "must be specified"))
            continue
        if codes.operator not in OPERATORS:
            errors.append(not_supported(f"{at}.exitCodes.operator", codes.operator, OPERATORS))
        if len(codes.values) > MOST_CODES:
            errors.append(too_many(f"{at}.exitCodes.values", len(codes.values), MOST_CODES))
    return errors
