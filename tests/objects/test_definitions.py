"""Definitions of custom resources: what is filled in, what is refused and in which words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fairlead.objects import definitions
from fairlead.objects.apiextensions_v1 import CustomResourceDefinition
from fairlead.objects.versions import preference

SCHEMA = {"type": "object", "properties": {"spec": {"type": "object"}}}


def crd(**changes: Any) -> dict[str, Any]:
    """A good definition, with changes to its spec."""
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}}
    spec = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [version],
    }
    return {"metadata": {"name": "widgets.example.com"}, "spec": {**spec, **changes}}


def with_version(**changes: Any) -> dict[str, Any]:
    """With changes to its only version."""
    return crd(versions=[{**crd()["spec"]["versions"][0], **changes}])


def with_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """With this schema for its field `spec`."""
    root = {"type": "object", "properties": {"spec": schema}}
    return with_version(schema={"openAPIV3Schema": root})


def typed(obj: dict[str, Any]) -> CustomResourceDefinition:
    found = definitions.default(msgspec.convert(obj, CustomResourceDefinition))
    stored = [version.name for version in found.spec.versions if version.storage]
    status = msgspec.structs.replace(found.status, storedVersions=tuple(stored[:1]))
    return msgspec.structs.replace(found, status=status)


def said(obj: dict[str, Any]) -> list[str]:
    return [str(error) for error in definitions.validate(typed(obj))]


def test_a_good_definition_is_completed() -> None:
    found = typed(crd())
    assert definitions.validate(found) == []
    assert (found.spec.names.singular, found.spec.names.listKind) == ("widget", "WidgetList")
    assert found.spec.conversion is not None
    assert found.spec.conversion.strategy == "None"


V1 = crd()["spec"]["versions"][0]
STATUS: dict[str, Any] = {"status": {}}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a name that is not plural.group": (
        {**crd(), "metadata": {"name": "gadgets.example.com"}},
        'metadata.name: Invalid value: "gadgets.example.com": must be spec.names.plural+"."+spec.group',
    ),
    "no group": (crd(group=""), "spec.group: Required value"),
    "a group without a dot": (
        crd(group="example"),
        'spec.group: Invalid value: "example": should be a domain with at least one dot',
    ),
    "no scope": (crd(scope=""), "spec.scope: Required value"),
    "an unknown scope": (
        crd(scope="World"),
        'spec.scope: Unsupported value: "World": supported values: "Cluster", "Namespaced"',
    ),
    "no kind": (crd(names={"plural": "widgets"}), "spec.names.kind: Required value"),
    "a kind that is the list kind": (
        crd(names={"plural": "widgets", "kind": "Widget", "listKind": "Widget"}),
        'spec.names.listKind: Invalid value: "Widget": kind and listKind may not be the same',
    ),
    "a short name in upper case": (
        crd(names={"plural": "widgets", "kind": "Widget", "shortNames": ["W"]}),
        'spec.names.shortNames[0]: Invalid value: "W": a DNS-1035 label must consist of',
    ),
    "no version": (
        crd(versions=[]),
        "spec.versions: Invalid value: []: must have exactly one version marked as storage version",
    ),
    "two storage versions": (
        crd(versions=[V1, {**V1, "name": "v2"}]),
        "must have exactly one version marked as storage version",
    ),
    "one version twice": (
        crd(versions=[V1, {**V1, "storage": False}]),
        "must contain unique version names",
    ),
    "a version's name": (with_version(name="1"), 'spec.versions[0].name: Invalid value: "1": a DNS-1035'),
    "no schema": (
        with_version(schema=None),
        "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required",
    ),
    "a warning of what is not deprecated": (
        with_version(deprecationWarning="x"),
        'spec.versions[0].deprecationWarning: Invalid value: "x": can only be set for deprecated versions',
    ),
    "unknown fields for all": (
        crd(preserveUnknownFields=True),
        "spec.preserveUnknownFields: Invalid value: true: cannot set to true",
    ),
    "a webhook": (
        crd(conversion={"strategy": "Webhook"}),
        "spec.conversion.strategy: Forbidden: this server converts by None only: it calls no webhooks",
    ),
    "a group of Kubernetes without approval": (
        {**crd(group="x.k8s.io"), "metadata": {"name": "widgets.x.k8s.io"}},
        "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval",
    ),
    "a column of no type": (
        with_version(additionalPrinterColumns=[{"name": "A", "type": "text", "jsonPath": ".a"}]),
        'spec.additionalPrinterColumns[0].type: Invalid value: "text": must be one of boolean,date,integer',
    ),
    "a column without a path": (
        with_version(additionalPrinterColumns=[{"name": "A", "type": "string", "jsonPath": ""}]),
        "spec.additionalPrinterColumns[0].JSONPath: Required value",
    ),
    "replicas outside of spec": (
        with_version(subresources={"scale": {"specReplicasPath": ".x", "statusReplicasPath": ".status.x"}}),
        'spec.subresources.scale.specReplicasPath: Invalid value: ".x": should be a json path under .spec',
    ),
    "a selectable field that is an object": (
        with_version(selectableFields=[{"jsonPath": ".spec"}]),
        'spec.selectableFields[0].jsonPath: Invalid value: ".spec": must point to a field of type string',
    ),
    "a selectable field that is not there": (
        with_version(selectableFields=[{"jsonPath": ".spec.x"}]),
        "is an invalid path: does not refer to a valid field",
    ),
    "junctors at the root beside a status subresource": (
        with_version(
            subresources=STATUS, schema={"openAPIV3Schema": {**SCHEMA, "oneOf": [{"required": ["a"]}]}}
        ),
        "fields are allowed at the root of the schema if the status subresource is enabled",
    ),
}

SCHEMAS: dict[str, tuple[dict[str, Any], str]] = {
    "no type": (
        {},
        "spec.validation.openAPIV3Schema.properties[spec].type: Required value: "
        "must not be empty for specified object fields",
    ),
    "items without a type": (
        {"type": "array", "items": {}},
        "properties[spec].items.type: Required value: must not be empty for specified array items",
    ),
    "a list without items": ({"type": "array"}, "properties[spec].items: Required value: must be specified"),
    "an unknown type": (
        {"type": "text"},
        'properties[spec].type: Unsupported value: "text": supported values: "array"',
    ),
    "a type below a junctor": (
        {"type": "object", "anyOf": [{"type": "object"}]},
        "properties[spec].anyOf[0].type: Forbidden: must be empty to be structural",
    ),
    "a default below a junctor": (
        {"type": "string", "allOf": [{"default": "x"}]},
        "properties[spec].allOf[0].default: Forbidden: must be undefined to be structural",
    ),
    "properties and additionalProperties": (
        {
            "type": "object",
            "properties": {"a": {"type": "string"}},
            "additionalProperties": {"type": "string"},
        },
        "additionalProperties and properties are mutual exclusive",
    ),
    "unique items": (
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
    ),
    "several schemas for items": (
        {"type": "array", "items": [{"type": "string"}]},
        "properties[spec].items: Forbidden: items must be a schema object and not an array",
    ),
    "a reference": (
        {"type": "object", "$ref": "#/x"},
        "properties[spec].$ref: Forbidden: $ref is not supported",
    ),
    "preserving nothing": (
        {"type": "object", "x-kubernetes-preserve-unknown-fields": False},
        "x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined",
    ),
    "an embedded resource that is no object": (
        {"type": "string", "x-kubernetes-embedded-resource": True},
        "must be object if x-kubernetes-embedded-resource is true",
    ),
    "a default that does not fit": (
        {"type": "integer", "default": "x"},
        'properties[spec].default: Invalid value: "string": ',
    ),
    "a default with unknown fields": (
        {"type": "object", "default": {"x": 1}},
        'properties[spec].default: Invalid value: {"x":1}: must not have unknown fields',
    ),
    "a pattern that is none": (
        {"type": "string", "pattern": "("},
        'properties[spec].pattern: Invalid value: "(": must be a valid regular expression, but isn\'t: missing )',
    ),
    "a pattern of Perl": (
        {"type": "string", "pattern": "(?!a)b"},
        "must be a valid regular expression, but isn't: invalid perl operator: (?!",
    ),
    "a list map without keys": (
        {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"},
        "x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
    ),
    "a key that may be absent": (
        {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["a"],
            "items": {"type": "object", "properties": {"a": {"type": "string"}}},
        },
        "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
    ),
    "a set of objects": (
        {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"},
        "must be atomic as item of a list with x-kubernetes-list-type=set",
    ),
    "a rule that says nothing": (
        {"type": "object", "x-kubernetes-validations": [{"rule": " "}]},
        "x-kubernetes-validations[0].rule: Required value: rule is not specified",
    ),
}


@pytest.mark.parametrize(("obj", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(obj: dict[str, Any], expected: str) -> None:
    assert any(expected in one for one in said(obj)), said(obj)


@pytest.mark.parametrize(("schema", "expected"), SCHEMAS.values(), ids=SCHEMAS.keys())
def test_schemas_refused(schema: dict[str, Any], expected: str) -> None:
    found = said(with_schema(schema))
    assert any(expected in one for one in found), found


ACCEPTED: dict[str, dict[str, Any]] = {
    "int or string": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
    "int or string with more": {
        "x-kubernetes-int-or-string": True,
        "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"pattern": "^[0-9]+%?$"}],
    },
    "anything": {"x-kubernetes-preserve-unknown-fields": True},
    "a map": {"type": "object", "additionalProperties": {"type": "string"}},
    "junctors over what is specified": {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        "not": {"properties": {"a": {"enum": ["x"]}}},
    },
    "an embedded resource": {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "x-kubernetes-preserve-unknown-fields": True,
    },
    "a set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
    "a nullable default": {
        "type": "object",
        "nullable": True,
        "properties": {"a": {"type": "integer", "default": 1}},
    },
}


def test_a_schema_may_not_be_deeper_than_its_readers_can_walk() -> None:
    def nested(depth: int) -> dict[str, Any]:
        of: dict[str, Any] = {"type": "string"}
        for _ in range(depth):
            of = {"type": "object", "properties": {"a": of}}
        return of

    assert said(with_version(schema={"openAPIV3Schema": nested(100)})) == []
    (error,) = said(with_version(schema={"openAPIV3Schema": nested(150)}))
    assert "must not be nested deeper than 300 objects and lists of JSON" in error


@pytest.mark.parametrize("schema", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_schemas_accepted(schema: dict[str, Any]) -> None:
    assert said(with_schema(schema)) == []


def test_what_differs_between_versions_is_reported_at_the_version() -> None:
    bad = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {}}}}
    versions = [V1, {**V1, "name": "v2", "storage": False, "schema": bad}]
    assert said(crd(versions=versions)) == [
        "spec.versions[1].schema.openAPIV3Schema.properties[spec].type: "
        "Required value: must not be empty for specified object fields"
    ]


def test_what_cannot_change() -> None:
    old = typed(crd())
    established = msgspec.convert(
        {"conditions": [{"type": "Established", "status": "True"}], "storedVersions": ["v1"]},
        type(old.status),
    )
    old = msgspec.structs.replace(
        old,
        status=established,
        metadata=msgspec.structs.replace(old.metadata, resourceVersion="1"),
    )
    new = msgspec.structs.replace(
        old, spec=msgspec.structs.replace(old.spec, scope="Cluster", group="other.com")
    )
    found = [str(error) for error in definitions.validate(new, old)]
    assert 'spec.scope: Invalid value: "Cluster": field is immutable' in found
    assert 'spec.group: Invalid value: "other.com": field is immutable' in found
    gone = msgspec.structs.replace(
        old, status=msgspec.structs.replace(old.status, storedVersions=("v1", "v1alpha1"))
    )
    [error] = definitions.validate(gone, old)
    assert str(error).startswith(
        'status.storedVersions[1]: Invalid value: "v1alpha1": missing from spec.versions'
    )


def test_warnings() -> None:
    schema = {"type": "string", "format": "odd", "x-kubernetes-validations": [{"rule": "self != ''"}]}
    assert definitions.warnings(typed(with_schema(schema))) == [
        'unrecognized format "odd"',
        "spec.versions[v1].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations: "
        "rules in CEL are stored but not enforced by this server",
    ]
    assert definitions.warnings(typed(crd())) == []


def test_versions_in_the_order_of_kubernetes() -> None:
    order = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"]
    backwards = order[::-1]
    assert sorted(backwards, key=preference) == order
