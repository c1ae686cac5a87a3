"""Schemas of custom resources: what makes one structural, so that each place in an object has exactly one schema.

Upstream: apiextensions-apiserver/pkg/apiserver/schema (validation.go, complete.go) and
pkg/apis/apiextensions/validation (ValidateCustomResourceDefinitionOpenAPISchema).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from fairlead.objects import embedded, jsonschema
from fairlead.objects.apiextensions_v1 import JSONSchemaProps
from fairlead.objects.jsonvalues import copied
from fairlead.objects.pruning import OWN, items_of, prune
from fairlead.objects.status import FieldError, forbidden, invalid, not_supported, required

TYPES = ("array", "boolean", "integer", "number", "object", "string")

ROOT, ITEM, MEMBER = "at the root", "for specified array items", "for specified object fields"
"""Where a schema stands, as the sentence about its missing type has it."""

INT_OR_STRING = (JSONSchemaProps(type="integer"), JSONSchemaProps(type="string"))

META_PROPERTIES = frozenset(f"properties[{name}]" for name in OWN)

UNSUPPORTED = {
    "id": "id is not supported",
    "additionalItems": "additionalItems is not supported",
    "patternProperties": "patternProperties is not supported",
    "definitions": "definitions is not supported",
    "dependencies": "dependencies is not supported",
    "$ref": "$ref is not supported",
}

NESTED: Mapping[str, str] = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}
"""What may not stand below a junctor, and why."""


def validate(schema: JSONSchemaProps, path: str) -> list[FieldError]:
    """The errors in the schema of a version."""
    errors = sorted([*_invariants(schema, ROOT, path), *_complete(schema, path)], key=str)
    if not errors:
        errors += _defaults(schema, path, whole=True)
    errors += _rules(schema, path, Place())
    if schema.nullable:
        errors.append(forbidden(f"{path}.nullable", "nullable cannot be true at the root"))
    return errors


_NAMES = tuple((field.name, field.encode_name) for field in msgspec.structs.fields(JSONSchemaProps))
_EMPTY: tuple[Any, ...] = ("", (), {})


def present(schema: JSONSchemaProps) -> dict[str, Any]:
    """The fields of a schema that say something, by their JSON names. Cost: about 5 us."""
    found: dict[str, Any] = {}
    for field, name in _NAMES:
        value = getattr(schema, field)
        if value is not None and value is not False and value not in _EMPTY:
            found[name] = value
    return found


def nested(schema: JSONSchemaProps) -> Iterator[tuple[str, JSONSchemaProps]]:
    """The schemas below its junctors, with their paths."""
    for name in ("anyOf", "allOf", "oneOf"):
        for i, one in enumerate(getattr(schema, name)):
            yield f"{name}[{i}]", one
    if schema.not_ is not None:
        yield "not", schema.not_


def children(schema: JSONSchemaProps) -> Iterator[tuple[str, JSONSchemaProps]]:
    """The schemas of its members and items, with their paths."""
    for name, one in schema.properties.items():
        yield f"properties[{name}]", one
    if isinstance(schema.additionalProperties, JSONSchemaProps):
        yield "additionalProperties", schema.additionalProperties
    if (items := items_of(schema)) is not None:
        yield "items", items


def everywhere(schema: JSONSchemaProps, path: str = "") -> Iterator[tuple[str, JSONSchemaProps]]:
    """A schema and all that are in it."""
    yield path, schema
    for name, one in (*children(schema), *nested(schema)):
        yield from everywhere(one, f"{path}.{name}" if path else name)


# ---- the invariants --------------------------------------------------------------------------------------------------


def _invariants(schema: JSONSchemaProps, level: str, path: str) -> Iterator[FieldError]:
    if schema.type == "array" and schema.items is None:
        yield required(f"{path}.items", "must be specified")
    if schema.additionalProperties is not None:
        if level is ROOT:
            yield forbidden(f"{path}.additionalProperties", "must not be used at the root")
        if schema.x_kubernetes_embedded_resource:
            said = "must not be used if x-kubernetes-embedded-resource is set"
            yield forbidden(f"{path}.additionalProperties", said)
    for name, one in children(schema):
        yield from _invariants(one, ITEM if name == "items" else MEMBER, f"{path}.{name}")
    yield from _extensions(schema, path)
    yield from _junctors(schema, path)
    yield from _types(schema, level, path)
    yield from _metadata(schema, level, path)


def _extensions(schema: JSONSchemaProps, path: str) -> Iterator[FieldError]:
    if not schema.x_kubernetes_int_or_string:
        return
    said = "must be false if x-kubernetes-int-or-string is true"
    if schema.x_kubernetes_preserve_unknown_fields:
        yield invalid(f"{path}.x-kubernetes-preserve-unknown-fields", True, said)
    if schema.x_kubernetes_embedded_resource:
        yield invalid(f"{path}.x-kubernetes-embedded-resource", True, said)


def _junctors(schema: JSONSchemaProps, path: str) -> Iterator[FieldError]:
    for name, one in nested(schema):
        # Two forms of int-or-string may speak of types below a junctor.
        if name.startswith("anyOf") and schema.anyOf == INT_OR_STRING:
            continue
        yield from _nested(one, f"{path}.{name}", spared=name == "allOf[0]" and one.anyOf == INT_OR_STRING)
    if schema.pattern:
        try:
            jsonschema.compiled(schema.pattern)
        except ValueError as error:
            said = f"must be a valid regular expression, but isn't: {error}"
            yield invalid(f"{path}.pattern", schema.pattern, said)


def _nested(schema: JSONSchemaProps, path: str, *, spared: bool = False) -> Iterator[FieldError]:
    found = present(schema)
    for name, said in NESTED.items():
        if name in found or (name == "additionalProperties" and schema.additionalProperties is False):
            yield forbidden(f"{path}.{name}", said)
    for name, one in children(schema):
        if name == "properties[metadata]":
            yield forbidden(f"{path}.{name}", "must not be specified in a nested context")
        yield from _nested(one, f"{path}.{name}")
    if not spared:
        yield from _junctors(schema, path)
    else:
        yield from _junctors(msgspec.structs.replace(schema, anyOf=()), path)


def _types(schema: JSONSchemaProps, level: str, path: str) -> Iterator[FieldError]:
    here = f"{path}.type"
    if schema.x_kubernetes_embedded_resource and schema.type != "object":
        said = "must be object if x-kubernetes-embedded-resource is true"
        yield invalid(here, schema.type, said) if schema.type else required(here, said)
    elif (
        not schema.type
        and not schema.x_kubernetes_int_or_string
        and not schema.x_kubernetes_preserve_unknown_fields
    ):
        yield required(here, f"must not be empty {level}")
    if level is ROOT and schema.type not in ("", "object"):
        yield invalid(here, schema.type, "must be object at the root")


def _metadata(schema: JSONSchemaProps, level: str, path: str) -> Iterator[FieldError]:
    properties = schema.properties
    if level is ROOT or schema.x_kubernetes_embedded_resource:
        for name in ("kind", "apiVersion"):
            if name in properties and properties[name].type != "string":
                yield invalid(f"{path}.properties[{name}].type", properties[name].type, "must be string")
        if "metadata" in properties and properties["metadata"].type != "object":
            yield invalid(f"{path}.properties[metadata].type", properties["metadata"].type, "must be object")
    if level is ROOT and "metadata" in properties:
        said = present(properties["metadata"])
        more = set(said.pop("properties", {})) - {"name", "generateName"}
        if more or set(said) - {"type", "default", "description", "title"}:
            yield forbidden(
                f"{path}.properties[metadata]",
                "must not specify anything other than name and generateName, but metadata is implicitly specified",
            )
    if (
        schema.x_kubernetes_embedded_resource
        and not schema.x_kubernetes_preserve_unknown_fields
        and not properties
    ):
        said_empty = (
            "must not be empty if x-kubernetes-embedded-resource is true without "
            "x-kubernetes-preserve-unknown-fields"
        )
        yield required(f"{path}.properties", said_empty)


def _complete(schema: JSONSchemaProps, path: str) -> Iterator[FieldError]:
    """What is spoken of below a junctor of the root has to be specified outside of it."""
    for name, one in nested(schema):
        yield from _complete_nested(one, schema, path, f"{path}.{name}")


def _complete_nested(
    judging: JSONSchemaProps, schema: JSONSchemaProps | None, path: str, judging_path: str
) -> Iterator[FieldError]:
    if schema is None:
        yield required(path, f"because it is defined in {judging_path}")
        return
    for name, one in nested(judging):
        yield from _complete_nested(one, schema, path, f"{judging_path}.{name}")
    if (items := items_of(judging)) is not None:
        yield from _complete_nested(items, items_of(schema), f"{path}.items", f"{judging_path}.items")
    for name, one in judging.properties.items():
        here = f"properties[{name}]"
        yield from _complete_nested(
            one, schema.properties.get(name), f"{path}.{here}", f"{judging_path}.{here}"
        )


# ---- defaults --------------------------------------------------------------------------------------------------------


def _defaults(schema: JSONSchemaProps, path: str, *, whole: bool = False) -> list[FieldError]:
    """Defaults have to be known to the schema they stand in, and good by it."""
    errors: list[FieldError] = []
    if schema.default is not None:
        here = f"{path}.default"
        pruned = copied(schema.default)
        if prune(pruned, schema, whole=schema.x_kubernetes_embedded_resource):
            errors.append(invalid(here, schema.default, "must not have unknown fields"))
        errors += embedded.validate(schema.default, schema, here) or jsonschema.validate(
            schema.default, schema, here
        )
    if (items := items_of(schema)) is not None:
        errors += _defaults(items, f"{path}.items")
    for name, one in schema.properties.items():
        if not (whole and name in OWN):
            errors += _defaults(one, f"{path}.properties[{name}]")
    return errors


# ---- what OpenAPI would allow, and Kubernetes does not ---------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """What a schema is part of."""

    root: bool = True
    in_metadata: bool = False
    no_defaults: str = ""
    """Why there may be none."""


def _rules(schema: JSONSchemaProps, path: str, place: Place) -> Iterator[FieldError]:
    found = present(schema)
    if schema.type and schema.type not in TYPES:
        yield not_supported(f"{path}.type", schema.type, TYPES)
    if schema.type == "null":
        yield forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    if schema.default is not None and place.no_defaults:
        yield forbidden(f"{path}.default", f"must not be set {place.no_defaults}")
    for name, said in UNSUPPORTED.items():
        if name in found or (name == "additionalItems" and schema.additionalItems is False):
            yield forbidden(f"{path}.{name}", said)
    if isinstance(schema.items, tuple):
        yield forbidden(f"{path}.items", "items must be a schema object and not an array")
    if place.in_metadata and schema.x_kubernetes_embedded_resource:
        said = "must not be used inside of resource meta"
        yield forbidden(f"{path}.x-kubernetes-embedded-resource", said)
    if schema.uniqueItems:
        said = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden(f"{path}.uniqueItems", said)
    if schema.properties and schema.additionalProperties not in (None, True):
        said = "additionalProperties and properties are mutual exclusive"
        yield forbidden(f"{path}.additionalProperties", said)
    if schema.x_kubernetes_preserve_unknown_fields is False:
        yield invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
    yield from _list_and_map(schema, path)
    yield from _expressions(schema, path)
    inner = replace(place, root=False)
    for name, one in (*children(schema), *nested(schema)):
        of = inner
        if name == "additionalProperties" and place.in_metadata:
            of = replace(inner, no_defaults="inside additionalProperties applying to object metadata")
        elif name in META_PROPERTIES and (place.root or schema.x_kubernetes_embedded_resource):
            of = replace(inner, in_metadata=True)
            if place.root:
                of = replace(of, no_defaults=f"in top-level {name[11:-1]}")
        yield from _rules(one, f"{path}.{name}", of)


def _list_and_map(schema: JSONSchemaProps, path: str) -> Iterator[FieldError]:
    for extension, value, kind, options in (
        ("x-kubernetes-map-type", schema.x_kubernetes_map_type, "object", ("atomic", "granular")),
        ("x-kubernetes-list-type", schema.x_kubernetes_list_type, "array", ("atomic", "set", "map")),
    ):
        if value is None:
            continue
        if schema.type != kind:
            said = f"must be {kind} if {extension} is specified"
            yield (
                invalid(f"{path}.type", schema.type, said) if schema.type else required(f"{path}.type", said)
            )
        if value not in options:
            yield not_supported(f"{path}.{extension}", value, options)
    items, list_type = items_of(schema), schema.x_kubernetes_list_type
    if schema.x_kubernetes_list_map_keys and list_type != "map":
        said = "must be map if x-kubernetes-list-map-keys is non-empty"
        here = f"{path}.x-kubernetes-list-type"
        yield required(here, said) if list_type is None else invalid(here, list_type, said)
    if list_type in ("set", "map") and items is not None and items.nullable:
        yield forbidden(
            f"{path}.items.nullable", f"cannot be nullable when x-kubernetes-list-type is {list_type}"
        )
    if list_type == "set" and items is not None:
        said = "must be atomic as item of a list with x-kubernetes-list-type=set"
        if items.type == "array" and items.x_kubernetes_list_type not in (None, "atomic"):
            yield invalid(f"{path}.items.x-kubernetes-list-type", items.x_kubernetes_list_type, said)
        if items.type == "object" and items.x_kubernetes_map_type != "atomic":
            yield invalid(f"{path}.items.x-kubernetes-map-type", items.x_kubernetes_map_type, said)
    if list_type == "map":
        yield from _list_map(schema, items, path)


def _list_map(schema: JSONSchemaProps, items: JSONSchemaProps | None, path: str) -> Iterator[FieldError]:
    keys = schema.x_kubernetes_list_map_keys
    if not keys:
        said = "must not be empty if x-kubernetes-list-type is map"
        yield required(f"{path}.x-kubernetes-list-map-keys", said)
    if items is None:
        if schema.items is None:
            yield required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")
        return
    if items.type != "object":
        said = "must be object if parent array's x-kubernetes-list-type is map"
        yield invalid(f"{path}.items.type", items.type, said)
        return
    if not set(keys) <= set(items.properties):
        said = "entries must all be names of item properties"
        yield invalid(f"{path}.x-kubernetes-list-map-keys", list(keys), said)
    if len(set(keys)) < len(keys):
        said = "must not contain duplicate entries"
        yield invalid(f"{path}.x-kubernetes-list-map-keys", list(keys), said)
    for key in dict.fromkeys(keys):
        of = items.properties.get(key)
        if of is None:
            continue
        here = f"{path}.items.properties[{key}]"
        if of.type in ("array", "object"):
            said = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield invalid(f"{here}.type", of.type, said)
        if key not in items.required and of.default is None:
            said = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            yield required(f"{here}.default", said)
        if of.nullable:
            said = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            yield forbidden(f"{here}.nullable", said)


REASONS = ("FieldValueRequired", "FieldValueForbidden", "FieldValueInvalid", "FieldValueDuplicate")


def _expressions(schema: JSONSchemaProps, path: str) -> Iterator[FieldError]:
    """The form of x-kubernetes-validations; what they say is not judged."""
    for i, rule in enumerate(schema.x_kubernetes_validations):
        here = f"{path}.x-kubernetes-validations[{i}]"
        message = rule.message.strip()
        if not rule.rule.strip():
            yield required(f"{here}.rule", "rule is not specified")
        elif rule.message and not message:
            yield invalid(f"{here}.message", rule.message, "message must be non-empty if specified")
        elif "\n" in message or "\r" in message:
            yield invalid(f"{here}.message", rule.message, "message must not contain line breaks")
        elif ("\n" in rule.rule.strip() or "\r" in rule.rule.strip()) and not message:
            yield required(f"{here}.message", "message must be specified if rule contains line breaks")
        if rule.messageExpression and not rule.messageExpression.strip():
            yield required(f"{here}.messageExpression", "messageExpression must be non-empty if specified")
        if rule.reason is not None and rule.reason not in REASONS:
            yield not_supported(f"{here}.reason", rule.reason, REASONS)
        if rule.fieldPath and not rule.fieldPath.strip():
            yield invalid(f"{here}.fieldPath", rule.fieldPath, "fieldPath must be non-empty if specified")
        if "\n" in rule.fieldPath or "\r" in rule.fieldPath:
            yield invalid(f"{here}.fieldPath", rule.fieldPath, "fieldPath must not contain line breaks")
