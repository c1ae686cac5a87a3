"""The types of api.admissionregistration.v1. Written by tools/generate_objects.py: change that."""

from __future__ import annotations

from msgspec import field

from fairlead.objects.meta_v1 import LabelSelector, ListMeta, ObjectMeta
from fairlead.objects.scalars import Object, empty, text


class MatchCondition(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    expression: str = field(default_factory=text)


class MutatingWebhook(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    clientConfig: WebhookClientConfig = field(default_factory=lambda: WebhookClientConfig())
    rules: tuple[RuleWithOperations, ...] = ()
    failurePolicy: str | None = None
    matchPolicy: str | None = None
    namespaceSelector: LabelSelector | None = None
    objectSelector: LabelSelector | None = None
    sideEffects: str | None = None
    timeoutSeconds: int | None = None
    admissionReviewVersions: tuple[str, ...] = field(default_factory=empty)
    reinvocationPolicy: str | None = None
    matchConditions: tuple[MatchCondition, ...] = ()


class MutatingWebhookConfiguration(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "MutatingWebhookConfiguration")
    apiVersion: str = field(default_factory=lambda: "admissionregistration.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    webhooks: tuple[MutatingWebhook, ...] = ()


class MutatingWebhookConfigurationList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "MutatingWebhookConfigurationList")
    apiVersion: str = field(default_factory=lambda: "admissionregistration.k8s.io/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[MutatingWebhookConfiguration, ...] = field(default_factory=empty)


class Rule(Object, frozen=True, kw_only=True):
    apiGroups: tuple[str, ...] = ()
    apiVersions: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    scope: str | None = None


class RuleWithOperations(Object, frozen=True, kw_only=True):
    operations: tuple[str, ...] = ()
    apiGroups: tuple[str, ...] = ()
    apiVersions: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    scope: str | None = None


class ServiceReference(Object, frozen=True, kw_only=True):
    namespace: str = field(default_factory=text)
    name: str = field(default_factory=text)
    path: str | None = None
    port: int | None = None


class ValidatingWebhook(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    clientConfig: WebhookClientConfig = field(default_factory=lambda: WebhookClientConfig())
    rules: tuple[RuleWithOperations, ...] = ()
    failurePolicy: str | None = None
    matchPolicy: str | None = None
    namespaceSelector: LabelSelector | None = None
    objectSelector: LabelSelector | None = None
    sideEffects: str | None = None
    timeoutSeconds: int | None = None
    admissionReviewVersions: tuple[str, ...] = field(default_factory=empty)
    matchConditions: tuple[MatchCondition, ...] = ()


class ValidatingWebhookConfiguration(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ValidatingWebhookConfiguration")
    apiVersion: str = field(default_factory=lambda: "admissionregistration.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    webhooks: tuple[ValidatingWebhook, ...] = ()


class ValidatingWebhookConfigurationList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ValidatingWebhookConfigurationList")
    apiVersion: str = field(default_factory=lambda: "admissionregistration.k8s.io/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[ValidatingWebhookConfiguration, ...] = field(default_factory=empty)


class WebhookClientConfig(Object, frozen=True, kw_only=True):
    service: ServiceReference | None = None
    caBundle: bytes = b""
    url: str | None = None
