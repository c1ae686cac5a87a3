"""Configurations of admission webhooks: what is filled in for the user, and what is refused. Nothing here calls them.

Upstream: pkg/apis/admissionregistration/v1/defaults.go, pkg/apis/admissionregistration/validation.
"""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec.structs import replace

from fairlead.objects import labels, names
from fairlead.objects.admissionregistration_v1 import (
    MutatingWebhook,
    MutatingWebhookConfiguration,
    RuleWithOperations,
    ValidatingWebhook,
    ValidatingWebhookConfiguration,
    WebhookClientConfig,
)
from fairlead.objects.meta_v1 import LabelSelector
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.status import FieldError, duplicate, invalid, not_supported, required

Configuration = TypeVar("Configuration", MutatingWebhookConfiguration, ValidatingWebhookConfiguration)

FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
SIDE_EFFECTS = ("None", "NoneOnDryRun")
REINVOCATION_POLICIES = ("IfNeeded", "Never")
OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")
SECONDS = range(1, 31)
SEGMENTS = 3
"""Of a webhook's name, at least."""


def default(configuration: Configuration) -> Configuration:
    """The configuration with its webhooks filled in."""
    made: Any = replace(configuration, webhooks=tuple(map(_default_webhook, configuration.webhooks)))
    filled: Configuration = made
    return filled


def _default_webhook(webhook: Any) -> Any:
    fields: dict[str, Any] = {
        "failurePolicy": webhook.failurePolicy or "Fail",
        "matchPolicy": webhook.matchPolicy or "Equivalent",
        "namespaceSelector": webhook.namespaceSelector or LabelSelector(),
        "objectSelector": webhook.objectSelector or LabelSelector(),
        "timeoutSeconds": 10 if webhook.timeoutSeconds is None else webhook.timeoutSeconds,
        "rules": tuple(replace(rule, scope=rule.scope or "*") for rule in webhook.rules),
    }
    service = webhook.clientConfig.service
    if service is not None and service.port is None:
        fields["clientConfig"] = replace(webhook.clientConfig, service=replace(service, port=443))
    if isinstance(webhook, MutatingWebhook):
        fields["reinvocationPolicy"] = webhook.reinvocationPolicy or "Never"
    return replace(webhook, **fields)


def validate(configuration: Configuration, old: Configuration | None = None) -> list[FieldError]:
    """The errors of a configuration that is created, or that replaces `old`."""
    errors = validate_metadata_update(configuration.metadata, old.metadata) if old is not None else []
    errors += validate_metadata(configuration.metadata, names.is_dns1123_subdomain, namespaced=False)
    seen: set[str] = set()
    for i, webhook in enumerate(configuration.webhooks):
        errors += _validate_webhook(webhook, f"webhooks[{i}]")
        if webhook.name in seen:
            errors.append(duplicate(f"webhooks[{i}].name", webhook.name))
        seen.add(webhook.name)
    return errors


def _validate_webhook(webhook: MutatingWebhook | ValidatingWebhook, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if not webhook.name:
        errors.append(required(f"{path}.name"))
    else:
        errors += names.wrong(names.is_dns1123_subdomain, f"{path}.name", webhook.name)
        if webhook.name.count(".") < SEGMENTS - 1:
            said = "should be a domain with at least three segments separated by dots"
            errors.append(invalid(f"{path}.name", webhook.name, said))
    if not webhook.admissionReviewVersions:
        said = "must specify one of v1, v1beta1"
        errors.append(required(f"{path}.admissionReviewVersions", said))
    if webhook.sideEffects is None:
        errors.append(required(f"{path}.sideEffects", "must specify one of None, NoneOnDryRun"))
    for field, known in (
        ("sideEffects", SIDE_EFFECTS),
        ("failurePolicy", FAILURE_POLICIES),
        ("matchPolicy", MATCH_POLICIES),
        ("reinvocationPolicy", REINVOCATION_POLICIES),
    ):
        value = getattr(webhook, field, None)
        if value is not None and value not in known:
            errors.append(not_supported(f"{path}.{field}", value, known))
    if webhook.timeoutSeconds is not None and webhook.timeoutSeconds not in SECONDS:
        said = "the timeout value must be between 1 and 30 seconds"
        errors.append(invalid(f"{path}.timeoutSeconds", webhook.timeoutSeconds, said))
    for i, rule in enumerate(webhook.rules):
        errors += _validate_rule(rule, f"{path}.rules[{i}]")
    for field in ("namespaceSelector", "objectSelector"):
        errors += labels.validate_selector(getattr(webhook, field), f"{path}.{field}")
    return errors + _validate_client(webhook.clientConfig, f"{path}.clientConfig")


def _validate_rule(rule: RuleWithOperations, path: str) -> list[FieldError]:
    errors = [
        required(f"{path}.{field}")
        for field in ("operations", "apiGroups", "apiVersions", "resources")
        if not getattr(rule, field)
    ]
    errors += [
        not_supported(f"{path}.operations[{i}]", operation, OPERATIONS)
        for i, operation in enumerate(rule.operations)
        if operation not in OPERATIONS
    ]
    if rule.scope is not None and rule.scope not in SCOPES:
        errors.append(not_supported(f"{path}.scope", rule.scope, SCOPES))
    return errors


def _validate_client(client: WebhookClientConfig, path: str) -> list[FieldError]:
    if (client.url is None) == (client.service is None):
        return [required(path, "exactly one of url or service is required")]
    if client.url is not None:
        if client.url.startswith("https://"):
            return []
        return [invalid(f"{path}.url", client.url, "'https' is the only allowed URL scheme")]
    service = client.service
    return [
        required(f"{path}.service.{field}", f"service {field} is required")
        for field in ("namespace", "name")
        if service is not None and not getattr(service, field)
    ]
