"""The types of apiextensions-apiserver.pkg.apis.apiextensions.v1. Written by tools/generate_objects.py: change that."""

from __future__ import annotations

from typing import Any

from msgspec import field

from fairlead.objects.meta_v1 import ListMeta, ObjectMeta
from fairlead.objects.scalars import Object, Time, empty, no, text


class CustomResourceColumnDefinition(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    type: str = field(default_factory=text)
    format: str = ""
    description: str = ""
    priority: int = 0
    jsonPath: str = field(default_factory=text)


class CustomResourceConversion(Object, frozen=True, kw_only=True):
    strategy: str = field(default_factory=text)
    webhook: WebhookConversion | None = None


class CustomResourceDefinition(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "CustomResourceDefinition")
    apiVersion: str = field(default_factory=lambda: "apiextensions.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: CustomResourceDefinitionSpec = field(default_factory=lambda: CustomResourceDefinitionSpec())
    status: CustomResourceDefinitionStatus = field(default_factory=lambda: CustomResourceDefinitionStatus())


class CustomResourceDefinitionCondition(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    status: str = field(default_factory=text)
    lastTransitionTime: Time | None = None
    reason: str = ""
    message: str = ""
    observedGeneration: int = 0


class CustomResourceDefinitionList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "CustomResourceDefinitionList")
    apiVersion: str = field(default_factory=lambda: "apiextensions.k8s.io/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[CustomResourceDefinition, ...] = field(default_factory=empty)


class CustomResourceDefinitionNames(Object, frozen=True, kw_only=True):
    plural: str = field(default_factory=text)
    singular: str = ""
    shortNames: tuple[str, ...] = ()
    kind: str = field(default_factory=text)
    listKind: str = ""
    categories: tuple[str, ...] = ()


class CustomResourceDefinitionSpec(Object, frozen=True, kw_only=True):
    group: str = field(default_factory=text)
    names: CustomResourceDefinitionNames = field(default_factory=lambda: CustomResourceDefinitionNames())
    scope: str = field(default_factory=text)
    versions: tuple[CustomResourceDefinitionVersion, ...] = field(default_factory=empty)
    conversion: CustomResourceConversion | None = None
    preserveUnknownFields: bool = False


class CustomResourceDefinitionStatus(Object, frozen=True, kw_only=True):
    conditions: tuple[CustomResourceDefinitionCondition, ...] = ()
    acceptedNames: CustomResourceDefinitionNames = field(
        default_factory=lambda: CustomResourceDefinitionNames()
    )
    storedVersions: tuple[str, ...] = ()
    observedGeneration: int = 0


class CustomResourceDefinitionVersion(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    served: bool = field(default_factory=no)
    storage: bool = field(default_factory=no)
    deprecated: bool = False
    deprecationWarning: str | None = None
    schema: CustomResourceValidation | None = None
    subresources: CustomResourceSubresources | None = None
    additionalPrinterColumns: tuple[CustomResourceColumnDefinition, ...] = ()
    selectableFields: tuple[SelectableField, ...] = ()


class CustomResourceSubresourceScale(Object, frozen=True, kw_only=True):
    specReplicasPath: str = field(default_factory=text)
    statusReplicasPath: str = field(default_factory=text)
    labelSelectorPath: str | None = None


class CustomResourceSubresourceStatus(Object, frozen=True, kw_only=True):
    pass


class CustomResourceSubresources(Object, frozen=True, kw_only=True):
    status: CustomResourceSubresourceStatus | None = None
    scale: CustomResourceSubresourceScale | None = None


class CustomResourceValidation(Object, frozen=True, kw_only=True):
    openAPIV3Schema: JSONSchemaProps | None = None


class ExternalDocumentation(Object, frozen=True, kw_only=True):
    description: str = ""
    url: str = ""


class JSONSchemaProps(
    Object,
    frozen=True,
    kw_only=True,
    rename={
        "schema": "$schema",
        "ref": "$ref",
        "not_": "not",
        "x_kubernetes_preserve_unknown_fields": "x-kubernetes-preserve-unknown-fields",
        "x_kubernetes_embedded_resource": "x-kubernetes-embedded-resource",
        "x_kubernetes_int_or_string": "x-kubernetes-int-or-string",
        "x_kubernetes_list_map_keys": "x-kubernetes-list-map-keys",
        "x_kubernetes_list_type": "x-kubernetes-list-type",
        "x_kubernetes_map_type": "x-kubernetes-map-type",
        "x_kubernetes_validations": "x-kubernetes-validations",
    },
):
    id: str = ""
    schema: str = ""
    ref: str | None = None
    description: str = ""
    type: str = ""
    format: str = ""
    title: str = ""
    default: Any | None = None
    maximum: int | float | None = None
    exclusiveMaximum: bool = False
    minimum: int | float | None = None
    exclusiveMinimum: bool = False
    maxLength: int | None = None
    minLength: int | None = None
    pattern: str = ""
    maxItems: int | None = None
    minItems: int | None = None
    uniqueItems: bool = False
    multipleOf: int | float | None = None
    enum: tuple[Any, ...] = ()
    maxProperties: int | None = None
    minProperties: int | None = None
    required: tuple[str, ...] = ()
    items: JSONSchemaProps | tuple[JSONSchemaProps, ...] | None = None
    allOf: tuple[JSONSchemaProps, ...] = ()
    oneOf: tuple[JSONSchemaProps, ...] = ()
    anyOf: tuple[JSONSchemaProps, ...] = ()
    not_: JSONSchemaProps | None = None
    properties: dict[str, JSONSchemaProps] = {}
    additionalProperties: JSONSchemaProps | bool | None = None
    patternProperties: dict[str, JSONSchemaProps] = {}
    dependencies: dict[str, JSONSchemaProps | tuple[str, ...]] = {}
    additionalItems: JSONSchemaProps | bool | None = None
    definitions: dict[str, JSONSchemaProps] = {}
    externalDocs: ExternalDocumentation | None = None
    example: Any | None = None
    nullable: bool = False
    x_kubernetes_preserve_unknown_fields: bool | None = None
    x_kubernetes_embedded_resource: bool = False
    x_kubernetes_int_or_string: bool = False
    x_kubernetes_list_map_keys: tuple[str, ...] = ()
    x_kubernetes_list_type: str | None = None
    x_kubernetes_map_type: str | None = None
    x_kubernetes_validations: tuple[ValidationRule, ...] = ()


class SelectableField(Object, frozen=True, kw_only=True):
    jsonPath: str = field(default_factory=text)


class ServiceReference(Object, frozen=True, kw_only=True):
    namespace: str = field(default_factory=text)
    name: str = field(default_factory=text)
    path: str | None = None
    port: int | None = None


class ValidationRule(Object, frozen=True, kw_only=True):
    rule: str = field(default_factory=text)
    message: str = ""
    messageExpression: str = ""
    reason: str | None = None
    fieldPath: str = ""
    optionalOldSelf: bool | None = None


class WebhookClientConfig(Object, frozen=True, kw_only=True):
    service: ServiceReference | None = None
    caBundle: bytes = b""
    url: str | None = None


class WebhookConversion(Object, frozen=True, kw_only=True):
    clientConfig: WebhookClientConfig | None = None
    conversionReviewVersions: tuple[str, ...] = field(default_factory=empty)
